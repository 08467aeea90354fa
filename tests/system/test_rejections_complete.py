"""Every rejection and every refusal is provoked here, and no list has a gap."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from container_matrix import HW_KEY_HASH, put_bytes, table, variants
from pefstack.firmware.boot import STAGES
from pefstack.firmware.invariants import refusal_is_the_last_word
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.hw.fuses import Fuses
from pefstack.images.container_verify import HBBL, rom_verify, sbe_verify
from pefstack.images.rejection import Rejection, VerificationError
from pefstack.images.signing import SigningOptions, sign_header
from pefstack.images.xip import SECTION_NAMES, XipHeader
from pefstack.tools.machine import Machine
from strategies import imprint_keys
from tpm_client_kit import two_b
from tpm_kit import EMPTY_PASSWORD, PLATFORM, command, rc_of

CODE = hashlib.shake_128(b"code").digest(64)
ROM, SBE = "rom", "sbe"

# field, its new value, what is made right again, who looks
PROVOKED: dict[Rejection, tuple[str, int, str, str]] = {
    Rejection.MAGIC_NUMBER: ("magic", 0, "raw", ROM),
    Rejection.CONTAINER_VERSION: ("version", 2, "raw", ROM),
    Rejection.PREFIX_VER_ALG: ("prefix.hash_alg", 2, "signed", ROM),
    Rejection.HEADER_VER_ALG: ("software.version", 2, "signed", ROM),
    Rejection.HW_KEY_HASH: ("hw_pkey_b", 1, "raw", ROM),
    Rejection.HW_SIGNATURE: ("prefix.flags", 0, "raw", ROM),
    Rejection.PREFIX_ECID: ("prefix.ecid_count", 1, "signed", ROM),
    Rejection.PREFIX_HASH: ("prefix.payload_hash", 0, "signed", ROM),
    Rejection.SW_KEY_PROTECTION: ("prefix.payload_size", 131, "hashed", ROM),
    Rejection.SW_KEY_COUNT: ("prefix.sw_key_count", 4, "hashed", ROM),
    Rejection.PREFIX_HEADER_SIZE: ("prefix.ecid_count", 19, "signed", SBE),
    Rejection.PREFIX_PAYLOAD_SIZE: ("prefix.payload_size", 401, "hashed", SBE),
    Rejection.SW_PAYLOAD_SIZE: ("software.payload_size", 32, "hashed", SBE),
    Rejection.SW_SIGNATURE: ("software.flags", 1, "raw", ROM),
    Rejection.HEADER_ECID: ("software.ecid_count", 1, "signed", ROM),
    Rejection.HEADER_HASH: ("software.payload_hash", 0, "signed", ROM),
    Rejection.CODE_PROTECTION: ("software.code_start_offset", 64, "signed", ROM),
    Rejection.COMPONENT_ID: ("software.component_id", 0, "signed", SBE),
    Rejection.ENTRY_POINT: ("software.code_start_offset", 2, "signed", ROM),
    Rejection.SECURE_VERSION: ("software.security_version", 0, "signed", ROM),
}


def provoked(name: str, value: int, variant: str, who: str) -> VerificationError:
    options = SigningOptions(label="HBBL", security_version=1)
    good = sign_header(CODE, imprint_keys(), options)
    field = next(each for each in table(1) if each.name == name)
    header = dict(variants(good, CODE, field, value))[variant]
    with pytest.raises(VerificationError) as caught:
        if who == ROM:
            rom_verify(header + CODE, HW_KEY_HASH, 1)
        else:
            sbe_verify(header, CODE, HBBL, HW_KEY_HASH, 1)
    return caught.value


@pytest.mark.parametrize("rejection", Rejection)
def test_every_rejection_is_provoked(rejection: Rejection) -> None:
    refused = provoked(*PROVOKED[rejection])
    assert refused.rejection is rejection
    assert refused.log == 0xFFFFFFFFFFFF8100 | rejection
    assert refused.what and refused.mend


def test_the_list_of_rejections_is_complete() -> None:
    assert {provoked(*case).rejection for case in PROVOKED.values()} == set(Rejection)


def section_offset(machine: Machine, name: str) -> int:
    sections = XipHeader.from_prefix(machine.board.seeprom.content)[0].sections
    return sections[SECTION_NAMES.index(name)].offset


def settings_differ(machine: Machine) -> None:
    machine.board.seeprom.reprogram(section_offset(machine, ".sb_settings"), b"\0\0")


def seeprom_format(machine: Machine) -> None:
    machine.board.seeprom.reprogram(0, b"PIX")


def signing_mode(machine: Machine) -> None:
    offset = section_offset(machine, ".sb_settings")
    machine.board.seeprom.reprogram(offset + 65, b"\1")
    machine.board.fuses = Fuses(hw_key_hash=HW_KEY_HASH, signing_mode=1)


def tpm_refused(machine: Machine) -> None:
    """The TPM loses its power behind the stages' backs: nobody started it again."""
    machine.run(until="sbe_immutable")
    machine.board.tpm.power_off()
    machine.board.tpm.power_on()


def tpm_required(machine: Machine) -> None:
    """It dies in the hands of a machine that could go on without."""
    machine.run(until="hostboot_init")
    machine.board.tpm.power_off()


def secondary_chip(machine: Machine) -> None:
    chip = machine.board.secondaries[0]
    chip.seeprom.reprogram(0, b"PIX")


def container_rejected(machine: Machine) -> None:
    machine.flash["HBI"].write(b"\0")


def sbe_reported(machine: Machine) -> None:
    """The SBE left a status byte, as it does where it only records."""
    machine.run(until="hostboot_init")
    machine.board.chip.put_scom(0x50182, 0x0000_6100_0000_0000)


def hbi_salt(machine: Machine) -> None:
    machine.run(until="hostboot_loader")
    machine.board.memory.write(0x0800_0000 - 4096 + 1150, bytes(132))


def page_hash(machine: Machine) -> None:
    machine.flash["HBI"].write(bytes(8), 0x9000)


def key_transition(machine: Machine) -> None:
    """A container in SBKT that is no key transition."""
    options = SigningOptions(label="SBKT")
    container = sign_header(bytes(0x1000), imprint_keys(), options) + bytes(0x1000)
    machine.flash["SBKT"].write(container)


SBKT = "image.flash.partition.SBKT={ base = 0x78000, size = 0x4000 }"
PAGED = (
    "machine.measure.profile=p10",
    "image.flash.partition.HBI.container.hash-pages=true",
)


def log_broken(machine: Machine) -> None:
    machine.run(until="hostboot_ext")
    machine.board.memory.write(0x3120_1070, bytes(0x1000))


def hdat_broken(machine: Machine) -> None:
    machine.run(until="hostboot_ext")
    machine.board.memory.write(0x3120_1000, bytes(2))


def tpm_provision(machine: Machine) -> None:
    """Somebody defined the index before, with attributes of his own."""
    machine.run(until="hostboot_ext")
    public = bytes.fromhex("01c101a0000b420400060000") + b"\0\x08"
    params = two_b(b"") + two_b(public)
    raw = command(0x12A, params, handles=(PLATFORM,), area=EMPTY_PASSWORD)
    assert rc_of(machine.board.tpm.execute(raw)) == 0


def table_offsets(machine: Machine) -> tuple[int, int]:
    return 0, machine.board.flash.size - 0x9000


def partition_table(machine: Machine) -> None:
    for at in table_offsets(machine):
        machine.board.flash.write(at, bytes(48))


def change_hbb_entry(machine: Machine, place: int, word: bytes) -> None:
    """Another word in the entry of HBB in both tables, its checksum made to fit."""
    flash = machine.board.flash
    for at in table_offsets(machine):
        raw = bytes(flash.read(at, 0x1000))
        entry = raw.index(b"HBB\0")
        old, checksum = raw[entry + place :][:4], raw[entry + 124 :][:4]
        mended = bytes(a ^ b ^ c for a, b, c in zip(old, word, checksum, strict=True))
        flash.write(at + entry + place, word)
        flash.write(at + entry + 124, mended)


def partition_missing(machine: Machine) -> None:
    change_hbb_entry(machine, 0, b"HBX\0")


def partition_size(machine: Machine) -> None:
    """One block of 4096 bytes holds 3640 of data behind its ECC."""
    change_hbb_entry(machine, 20, b"\0\0\0\1")


def ecc_uncorrectable(machine: Machine) -> None:
    machine.flash["HBB"].flip(0x2000, 0)
    machine.flash["HBB"].flip(0x2000, 1)


def signed_anew(machine: Machine, options: SigningOptions) -> None:
    size = int.from_bytes(machine.flash["HBB"].data[1077:1085], "big")
    payload = machine.flash["HBB"].data[4096 : 4096 + size]
    machine.flash["HBB"].write(sign_header(payload, imprint_keys(), options))


def component_id(machine: Machine) -> None:
    signed_anew(machine, SigningOptions(label="HBI"))


def container_size(machine: Machine) -> None:
    machine.flash["PAYLOAD"].write(b"\xff" * 8, 6)


def sw_key_count(machine: Machine) -> None:
    signed_anew(machine, SigningOptions(label="HBB", sw_key_count=3))


def no_kernel(machine: Machine) -> None:
    machine.board.guest_images = None


FURTHER = ", ".join(['{ text = "' + "x" * 1000 + '", value = "00" }'] * 70)
REFUSED: dict[Refusal, tuple[str, Callable[[Machine], None]]] = {
    Refusal.SETTINGS_DIFFER: ("sbe_immutable", settings_differ),
    Refusal.SEEPROM_FORMAT: ("sbe_immutable", seeprom_format),
    Refusal.SIGNING_MODE: ("sbe_immutable", signing_mode),
    Refusal.TPM_REFUSED: ("sbe_mutable", tpm_refused),
    Refusal.TPM_REQUIRED: ("hostboot_ext", tpm_required),
    Refusal.SECONDARY_CHIP: ("hostboot_ext", secondary_chip),
    Refusal.CONTAINER_REJECTED: ("hostboot_init", container_rejected),
    Refusal.SBE_REPORTED: ("hostboot_ext", sbe_reported),
    Refusal.PARTITION_TABLE: ("hostboot_loader", partition_table),
    Refusal.PARTITION_MISSING: ("hostboot_loader", partition_missing),
    Refusal.PARTITION_SIZE: ("hostboot_loader", partition_size),
    Refusal.ECC_UNCORRECTABLE: ("hostboot_loader", ecc_uncorrectable),
    Refusal.COMPONENT_ID: ("hostboot_loader", component_id),
    Refusal.CONTAINER_SIZE: ("hostboot_ext", container_size),
    Refusal.SW_KEY_COUNT: ("hostboot_loader", sw_key_count),
    Refusal.HBI_SALT: ("hostboot_init", hbi_salt),
    Refusal.KEY_TRANSITION: ("hostboot_ext", key_transition),
    Refusal.PAGE_HASH: ("hostboot_ext", page_hash),
    Refusal.LOG_BROKEN: ("opal", log_broken),
    Refusal.HDAT_BROKEN: ("opal", hdat_broken),
    Refusal.LOG_FULL: ("opal", lambda machine: None),
    Refusal.GUEST_IMAGES: ("hypervisor", no_kernel),
    Refusal.TPM_PROVISION: ("opal", tpm_provision),
}


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_is_provoked(small: Machine, refusal: Refusal) -> None:
    stage, breaks = REFUSED[refusal]
    machine = small
    if refusal is Refusal.LOG_FULL:
        settings = [f"machine.measure.further=[{FURTHER}]"]
        machine = Machine("small", settings=settings)
    if refusal in (Refusal.HBI_SALT, Refusal.PAGE_HASH):
        machine = Machine("small", settings=PAGED)
    if refusal is Refusal.TPM_REQUIRED:
        machine = Machine("small", settings=["machine.measure.profile=p10"])
    if refusal is Refusal.SECONDARY_CHIP:
        machine = Machine("small", settings=["machine.secondary-chips=[{}]"])
    if refusal is Refusal.GUEST_IMAGES:
        machine = Machine("svm")
    if refusal is Refusal.TPM_PROVISION:
        machine = Machine("small", settings=["machine.pef.provision=real"])
    if refusal is Refusal.KEY_TRANSITION:
        machine = Machine("small", settings=[SBKT])
    breaks(machine)
    with pytest.raises(BootFailure) as caught:
        machine.run()
    failure = caught.value
    assert (failure.refusal, failure.stage) == (refusal, stage)
    assert failure.reason and failure.mend
    assert bool(failure.log) == (refusal is Refusal.CONTAINER_REJECTED)
    check_nothing_follows(machine, failure)


def check_nothing_follows(machine: Machine, failure: BootFailure) -> None:
    events = list(machine.journal)
    last = events[-1]
    assert (last.source, last.kind) == (failure.stage, "boot-failure")
    assert last.detail["refusal"] == failure.refusal.value
    started = [each.source for each in events if each.kind == "start"]
    assert started == list(STAGES[: STAGES.index(failure.stage) + 1])
    assert refusal_is_the_last_word(events) is None
    assert machine.step() is None
    assert list(machine.journal) == events


@pytest.mark.parametrize("count", [2, 3])
def test_hbb_has_one_software_key(small: Machine, count: int) -> None:
    signed_anew(small, SigningOptions(label="HBB", sw_key_count=count))
    with pytest.raises(BootFailure) as caught:
        small.run()
    assert caught.value.refusal is Refusal.SW_KEY_COUNT
    assert f"found {count} software keys, expected 1" in caught.value.reason


@pytest.mark.parametrize(
    ("name", "change", "good"),
    [
        ("HBI", -1, False),
        ("HBI", 0, True),
        ("HBI", 0x40000 - 0x39000, True),
        ("HBI", 0x40001 - 0x39000, False),
        ("PAYLOAD", -1, False),
        ("PAYLOAD", 0x40000 - 0x31000, True),
        ("PAYLOAD", 0x40001 - 0x31000, False),
    ],
)
def test_container_size_bounds(
    small: Machine, name: str, change: int, good: bool
) -> None:
    """From header and payload up to what the partition holds, both included."""
    size = int.from_bytes(small.flash[name].data[6:14], "big")
    changed = put_bytes(bytes(8), 0, (size + change).to_bytes(8, "big"))
    small.flash[name].write(changed, 6)
    if good:
        assert small.run().stage is None
        return
    with pytest.raises(BootFailure) as caught:
        small.run()
    assert caught.value.refusal is Refusal.CONTAINER_SIZE
    assert f"found 0x{size + change:x}" in caught.value.reason
