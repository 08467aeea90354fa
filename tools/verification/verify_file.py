"""Find out what a file is, and verify every container in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from pefstack.firmware.stage import Refusal
from pefstack.images import ecc
from pefstack.images.codec import Buffer
from pefstack.images.container import FLAG_KEY_TRANSITION, HEADER_SIZE, MAGIC
from pefstack.images.container_peek import announced_payload_size, hw_flags_of
from pefstack.images.errors import FormatError
from pefstack.images.hbbl_area import hw_key_hash_of
from pefstack.images.sb_settings import MeasurementSettings, SbSettings
from pefstack.images.xip import XipImage
from pefstack.tools.verification.finding import (
    Finding,
    Trust,
    Verification,
    refused,
)
from pefstack.tools.verification.flash import (
    flash_findings,
    rom_finding,
    table_of,
)
from pefstack.tools.verification.pages import shaped_findings
from pefstack.tools.verification.seeprom import (
    FIRMWARE_HEADER,
    HBBL_HEADER,
    sbe_findings,
)
from pefstack.tools.verification.transition import nested_finding

NOT_CHECKED: Final = "keys not checked: give --key-hash"
GIVEN: Final = "given with --key-hash"
OWN_SETTINGS: Final = ".sb_settings of this SEEPROM"
_FLASH: Final = b"PART"
_SEEPROM: Final = b"XIP "
_CONTAINER: Final = MAGIC.to_bytes(4, "big")
_KNOWN: Final = "flash image, SEEPROM image, container, container behind ECC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user wants a file held against; None where he does not say."""

    key_hash: bytes | None = None
    minimum_version: int | None = None

    @property
    def trust(self) -> Trust:
        """Without a hash the containers' own keys are taken, and said to be."""
        version = self.minimum_version or 0
        return Trust(key_hash=self.key_hash, minimum_version=version)


def verify_bytes(name: str, raw: Buffer, asked: Asked) -> Verification:
    """Recognise a file by its first bytes and verify it; `FormatError` if it is none
    of the known ones or broken as a whole."""
    head = bytes(raw[:9])
    if head[:4] == _SEEPROM:
        return _seeprom(name, raw, asked)
    if head[:4] == _CONTAINER:
        kind = "container behind ECC" if _is_ecc_word(head) else "container"
        return _container(name, kind, raw, asked)
    return _flash(name, raw, asked)


def _is_ecc_word(head: bytes) -> bool:
    """Data stands first in a word, so that the magic is there with and without ECC."""
    return head == ecc.encode(head[: ecc.WORD_SIZE].ljust(ecc.WORD_SIZE, b"\0"))


def summed(
    name: str, kind: str, asked: Asked, findings: tuple[Finding, ...]
) -> Verification:
    """A verification that says yes when there are findings and all of them are good."""
    return Verification(
        name=name,
        format=kind,
        good=bool(findings) and all(each.good for each in findings),
        keys=GIVEN if asked.key_hash else NOT_CHECKED,
        key_hash=(asked.key_hash or b"").hex(),
        minimum_version=asked.minimum_version or 0,
        findings=findings,
    )


def _container(name: str, kind: str, raw: Buffer, asked: Asked) -> Verification:
    start = Finding(place="container", offset=0)
    if kind == "container":
        finding = rom_finding(start, raw, asked.trust)
        view = memoryview(raw)
        nested: tuple[Finding, ...] = ()
        if finding.good and hw_flags_of(view) & FLAG_KEY_TRANSITION:
            nested = (nested_finding(view, 0, asked.trust),)
        return summed(name, kind, asked, (finding, *nested))
    return summed(name, kind, asked, (_behind_ecc(start, raw, asked),))


def _behind_ecc(start: Finding, raw: Buffer, asked: Asked) -> Finding:
    """Nothing behind the announced payload is looked at, as in a boot."""
    whole = memoryview(raw)[: len(raw) // ecc.RAW_WORD_SIZE * ecc.RAW_WORD_SIZE]
    found = ecc.decode(whole)
    size = len(found.data)
    if size >= HEADER_SIZE:
        announced = announced_payload_size(found.data[:HEADER_SIZE])
        size = size if announced is None else min(size, HEADER_SIZE + announced)
    lost = [word for word in found.uncorrectable if word * ecc.WORD_SIZE < size]
    if lost:
        first = ecc.RAW_WORD_SIZE * lost[0]
        text = f"{len(lost)} uncorrectable words, the first at 0x{first:x}"
        texts = "ECC", text, "none", "write the partition again"
        return refused(start, Refusal.ECC_UNCORRECTABLE, *texts)
    return rom_finding(start, memoryview(found.data)[:size], asked.trust)


def _flash(name: str, raw: Buffer, asked: Asked) -> Verification:
    """A table may also be found where the one at the start is broken."""
    try:
        flash = memoryview(raw)
        pages = shaped_findings(flash, table_of(flash))
        findings = (*flash_findings(flash, asked.trust), *pages)
    except FormatError as broken:
        if bytes(raw[:4]) == _FLASH:
            raise
        found = bytes(raw[:16]).hex() or "nothing"
        raise FormatError("file", "magic", 0, found, _KNOWN) from broken
    whole = summed(name, "flash image", asked, findings)
    note = "no container found: nothing here can be verified"
    return whole if findings else replace(whole, notes=(note,))


def _seeprom(name: str, raw: Buffer, asked: Asked) -> Verification:
    image = XipImage.from_bytes(raw)
    sections = image.sections
    whole = summed(name, "SEEPROM image", asked, ())
    if {FIRMWARE_HEADER, HBBL_HEADER} & sections.keys():
        return _boot_seeprom(whole, image, asked)
    if ".sb_settings" not in sections:
        return _power9(whole, image)
    if len(sections[".sb_settings"]) != len(MeasurementSettings().to_bytes()):
        return _boot_seeprom(whole, image, asked)
    version = MeasurementSettings.from_bytes(sections[".sb_settings"])
    settings = {"measurement_version": f"0x{version.measurement_version:08x}"}
    note = "a measurement SEEPROM has no containers"
    return _without_containers(whole, settings, note)


def _boot_seeprom(whole: Verification, image: XipImage, asked: Asked) -> Verification:
    found = SbSettings.from_bytes(image.section(".sb_settings"))
    wanted = asked.key_hash or found.hw_key_hash
    version = asked.minimum_version
    version = found.minimum_secure_version if version is None else version
    trust = Trust(key_hash=wanted, minimum_version=version)
    findings = tuple(replace(each, stage="") for each in sbe_findings(image, trust))
    return replace(
        whole,
        good=all(each.good for each in findings),
        keys=GIVEN if asked.key_hash else OWN_SETTINGS,
        key_hash=wanted.hex(),
        minimum_version=version,
        settings={
            "hw_key_hash": found.hw_key_hash.hex(),
            "minimum_secure_version": found.minimum_secure_version,
            "signing_mode": found.signing_mode,
        },
        findings=findings,
    )


def _power9(whole: Verification, image: XipImage) -> Verification:
    """The key hash at the end of the HBBL area is all that there is."""
    key_hash = hw_key_hash_of(image.section(".hbbl")).hex()
    note = "a POWER9 SEEPROM has no containers: nobody verifies HBBL there"
    return _without_containers(whole, {"hw_key_hash": key_hash}, note)


def _without_containers(
    whole: Verification, settings: dict[str, str] | dict[str, str | int], note: str
) -> Verification:
    return replace(
        whole,
        good=True,
        keys="no container has keys here",
        notes=(note,),
        key_hash="",
        settings=dict(settings),
    )
