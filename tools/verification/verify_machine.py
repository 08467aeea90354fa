"""Verify what a machine verifies in its boot, in its order, without booting it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pefstack.firmware.key_transition import SBKT
from pefstack.firmware.profiles import Profile, profile_of
from pefstack.firmware.stage import Refusal
from pefstack.hw.machine import FusesSpec
from pefstack.images.container import FLAG_LAB_OVERRIDE, HEADER_SIZE
from pefstack.images.container_peek import hw_flags_of
from pefstack.images.ffs import FfsTable
from pefstack.images.hbbl_area import hw_key_hash_of
from pefstack.images.sb_settings import SIGNING_V1, MeasurementSettings, SbSettings
from pefstack.images.sbe_payload import padded
from pefstack.images.xip import XipImage, begins_like_image
from pefstack.tools.built import BuiltMachine
from pefstack.tools.verification.finding import Finding, Trust, Verification, refused
from pefstack.tools.verification.flash import (
    Rules,
    container_of,
    holds_container,
    partition_finding,
    place_of,
    table_of,
)
from pefstack.tools.verification.pages import content_of, page_findings
from pefstack.tools.verification.seeprom import (
    FIRMWARE_HEADER,
    P10,
    PATENT,
    sbe_findings,
)
from pefstack.tools.verification.transition import image_finding, nested_finding

FUSED: Final = "fuses of this machine"
_FUSES: Final = "fuses"
_FIRST: Final = (("hostboot_loader", "HBB"), ("hostboot_init", "HBI"))
_RULES: Final = {
    "hostboot_loader": Rules(one_key=True, size=False),
    "opal": Rules(label=False, size=False),
}
# subjects of a profile that are values, though a partition could be called like them
_VALUES: Final = frozenset({"hbb", "hbi", "pvr", "separator"})


def verify_machine(built: BuiltMachine) -> Verification:
    """Hold every container of the boot against the fuses; policies and the jumper do
    not count. `FormatError` if a SEEPROM or the flash is broken as a whole."""
    fuses, profile = built.spec.fuses, profile_of(built.spec.measure)
    flash = memoryview(built.flash)
    table = table_of(flash)
    findings = (
        *_seeproms(built, fuses, profile),
        *_partitions(built, flash, table, profile),
    )
    return Verification(
        name=built.name,
        format=f"machine, profile {profile.name}",
        good=all(each.good for each in findings),
        keys=FUSED,
        key_hash=fuses.hw_key_hash.hex(),
        minimum_version=fuses.minimum_secure_version,
        notes=(*_override(built), *_unverified(table, findings)),
        findings=findings,
    )


def _seeproms(
    built: BuiltMachine, fuses: FusesSpec, profile: Profile
) -> Iterator[Finding]:
    image = XipImage.from_bytes(built.seeprom)
    if not profile.table.sbe_measures:
        there = SbSettings(hw_key_hash=hw_key_hash_of(padded(image.section(".hbbl"))))
        at = image.offset(".hbbl")
        start = Finding(place=".hbbl", offset=at, stage="hostboot_loader", rules=_FUSES)
        yield from _settings(start, there, fuses)
        return
    yield from _sbe(built, image, fuses, profile)


def _sbe(
    built: BuiltMachine, image: XipImage, fuses: FusesSpec, profile: Profile
) -> Iterator[Finding]:
    """Settings, then the two containers; what is only measured must be there."""
    measurement = XipImage.from_bytes(built.measurement_seeprom)
    MeasurementSettings.from_bytes(padded(measurement.section(".sb_settings")))
    image.section(".sb_verification")
    there = SbSettings.from_bytes(padded(image.section(".sb_settings")))
    at = image.offset(".sb_settings")
    start = Finding(
        place=".sb_settings", offset=at, stage="sbe_immutable", rules=_FUSES
    )
    yield from _settings(start, there, fuses)
    composition = PATENT if profile.table.loader_is_signed else P10
    yield from sbe_findings(image, _trust(fuses), composition)


def _settings(start: Finding, there: SbSettings, fuses: FusesSpec) -> Iterator[Finding]:
    """Nothing where the SEEPROM says what the fuses say."""
    for name in ("hw_key_hash", "minimum_secure_version", "signing_mode"):
        found, fused = getattr(there, name), getattr(fuses, name)
        if found != fused:
            mend = "build the SEEPROM for this machine's fuses"
            texts = name, _text(found), _text(fused), mend
            yield refused(start, Refusal.SETTINGS_DIFFER, *texts)
    if there.signing_mode != SIGNING_V1:
        mend = "set machine.fuses.signing-mode to 0 and build again"
        texts = "signing mode", f"{there.signing_mode}", f"{SIGNING_V1}", mend
        yield refused(start, Refusal.SIGNING_MODE, *texts)


def _text(value: bytes | int) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _trust(fuses: FusesSpec, stage: str = "") -> Trust:
    """OPAL gives the verification code no minimum version."""
    version = 0 if stage == "opal" else fuses.minimum_secure_version
    return Trust(key_hash=fuses.hw_key_hash, minimum_version=version)


def _partitions(
    built: BuiltMachine, flash: memoryview, table: FfsTable, profile: Profile
) -> Iterator[Finding]:
    fuses = built.spec.fuses
    for stage, name in _programme(flash, table, profile):
        if name not in table.partition_sizes:
            yield _missing(table, stage, name)
            continue
        rules, trust = _RULES.get(stage, Rules()), _trust(fuses, stage)
        finding = partition_finding(flash, place_of(table, name), rules, trust, stage)
        yield finding
        if stage != "opal":
            yield from page_findings(flash, table, name, profile.table)
        if name == SBKT and finding.good:
            yield from _transition(built, flash, table, profile)


def _transition(
    built: BuiltMachine, flash: memoryview, table: FfsTable, profile: Profile
) -> Iterator[Finding]:
    """What SBKT holds, and the SBE image that the new keys must have signed."""
    place, trust = place_of(table, SBKT), _trust(built.spec.fuses)
    outer = container_of(flash, place)
    nested = nested_finding(outer, place.offset, trust, "hostboot_ext")
    yield nested
    if not nested.good:
        return
    image, at = _sbe_image(flash, table, profile) or (built.seeprom, 0)
    yield image_finding(image, at, outer, trust, profile.table)


def _sbe_image(
    flash: memoryview, table: FfsTable, profile: Profile
) -> tuple[bytes, int] | None:
    """What Hostboot would put into the SEEPROM, and its place; None without one."""
    if "SBE" not in table.partition_sizes:
        return None
    place = place_of(table, "SBE")
    found = content_of(flash, place, profile.table)
    return (found, place.offset) if begins_like_image(found) else None


def _programme(
    flash: memoryview, table: FfsTable, profile: Profile
) -> Iterator[tuple[str, str]]:
    """Stage and partition, as the boot asks for them; SBKT only where it is used."""
    yield from _FIRST
    for stage in ("hostboot_ext", "opal"):
        for what in profile.subjects(stage):
            needed = (stage, what) == ("hostboot_ext", "payload")
            there = what.upper() in table.partition_sizes
            if there and what.upper() == SBKT:
                there = holds_container(flash, place_of(table, SBKT))
            if needed or (there and what not in _VALUES):
                yield stage, what.upper()


def _missing(table: FfsTable, stage: str, name: str) -> Finding:
    there = ", ".join(table.partition_sizes)
    start = Finding(place=name, offset=0, stage=stage)
    mend = f"add {name} to the flash image"
    texts = "partition", f"no partition {name} among {there}", name, mend
    return refused(start, Refusal.PARTITION_MISSING, *texts)


def _override(built: BuiltMachine) -> Iterator[str]:
    """A verdict does not say whether security is on: SBE_FW may leave it to the BMC."""
    header = XipImage.from_bytes(built.seeprom).sections.get(FIRMWARE_HEADER, b"")
    if len(header) == HEADER_SIZE and hw_flags_of(header) & FLAG_LAB_OVERRIDE:
        yield "lab override: SBE_FW lets scratch registers 3 and 8 switch security off"


def _unverified(table: FfsTable, findings: tuple[Finding, ...]) -> Iterator[str]:
    """Containers in the flash that no stage of this boot verifies are named."""
    asked = {each.place for each in findings}
    announced = {each.name for each in table.entries if each.has_container}
    names = [name for name in table.partition_sizes if name in announced - asked]
    if names:
        yield f"verified by no stage of this boot: {', '.join(names)}"
