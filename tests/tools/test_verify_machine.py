"""pef verify MACHINE: its answer is that of a boot with security on."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_matrix import HW_KEY_HASH, put_bytes
from pefstack import BootFailure, FormatError, Machine, Refusal
from pefstack.hw.machine import FusesSpec, MachineSpec
from pefstack.images.signing import SigningOptions, seeded_key_set, sign_header
from pefstack.images.xip import SECTION_NAMES, XipHeader
from pefstack.tools.built import BuiltMachine, build_folder
from pefstack.tools.cli.app import main
from pefstack.tools.machine_file import BUILT_IN, built_in_machines, load
from pefstack.tools.verification.finding import Finding, Verification
from pefstack.tools.verification.verify_machine import verify_machine
from strategies import imprint_keys

Caught = pytest.CaptureFixture[str]
NAMES = [path.stem for path in built_in_machines()]
# the jumper, policies and a dying TPM are not what a container is held against
PLAIN = (
    "machine.chip.smd=false",
    'machine.verify.policy="fail-closed"',
    "machine.tpm.dies-at=0",
    "machine.chip.scratch-8=0",
)
SMALL = BUILT_IN / "small.toml"


def refusal_of(machine: Machine) -> BootFailure | None:
    try:
        machine.run()
    except BootFailure as failure:
        return failure
    return None


def built(machine: Machine) -> BuiltMachine:
    """The bytes of this machine as they are now."""
    board = machine.board
    return BuiltMachine(
        name=machine.name,
        about="",
        spec=board.spec,
        flash=bytes(board.flash.read(0, board.flash.size)),
        seeprom=board.seeprom.content,
        measurement_seeprom=board.measurement_seeprom.content,
    )


def check_agreement(found: Verification, failure: BootFailure | None) -> None:
    """The first finding that is bad is what the boot refuses for, in that stage."""
    bad = [each for each in found.findings if not each.good]
    assert found.good == (not bad) == (failure is None)
    if failure is not None:
        assert (bad[0].stage, bad[0].refusal) == (failure.stage, str(failure.refusal))
        rejected = bad[0].refusal == "container-rejected"
        assert (bad[0].log if rejected else 0) == failure.log
        assert bad[0].found in failure.reason
        assert bad[0].mend == failure.mend


@pytest.mark.parametrize("name", NAMES)
def test_every_built_in_machine_as_its_boot(name: str, capsys: Caught) -> None:
    failure = refusal_of(Machine(name, settings=PLAIN))
    assert main(["verify", name, "--json"]) == (0 if failure is None else 1)
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    for each in answer["findings"]:
        each["log"] = None if each["log"] is None else int(each["log"], 16)
    findings = tuple(Finding(**each) for each in answer["findings"])
    check_agreement(Verification(**answer | {"findings": findings}), failure)
    assert answer["name"] == name
    assert answer["keys"] == "fuses of this machine"


@pytest.mark.parametrize("name", ["small", "p10", "p9"])
def test_what_is_verified_is_what_the_boot_verifies(name: str) -> None:
    """Once for each container and stage; SBE_FW by the first that looks at it."""
    machine = Machine(name)
    findings = verify_machine(built(machine)).findings
    machine.run()
    events = [event for event in machine.journal if event.kind == "verify"]
    looked_at = [(event.source, str(event.detail["code"])) for event in events]
    if name == "small":
        looked_at.remove(("sbe_mutable", "SBE_FW"))
    assert [(each.stage, each.place) for each in findings] == looked_at


PAGED = (
    "machine.measure.profile=p10",
    "image.flash.partition.HBI.container.hash-pages=true",
)


def good_page(machine: Machine) -> None:
    assert machine.flash["HBI"].header.hardware.container_size > 0x2000


def wrong_page(machine: Machine) -> None:
    machine.flash["HBI"].write(bytes(8), 0x9000)


def lost_word(machine: Machine) -> None:
    for bit in (0, 1):
        machine.flash["HBI"].flip(9 * 0x1200, bit)


def other_salt(machine: Machine) -> None:
    other = "image.flash.partition.HBB.content.seed=another build"
    foreign = Machine("small", settings=[*PAGED, other])
    machine.flash["HBI"].write(foreign.flash["HBI"].data)


def more_than_the_table(machine: Machine) -> None:
    size = machine.flash["HBI"].header.hardware.container_size + 0x2000
    machine.flash["HBI"].write(size.to_bytes(8, "big"), 6)


@pytest.mark.parametrize(
    "breaks", [good_page, wrong_page, lost_word, other_salt, more_than_the_table]
)
def test_pages_of_hbi_agree_with_the_boot(breaks: Callable[[Machine], None]) -> None:
    machine = Machine("small", settings=PAGED)
    breaks(machine)
    findings = verify_machine(built(machine)).findings
    refusals = [(each.stage, each.refusal) for each in findings if not each.good]
    try:
        machine.run()
    except BootFailure as failure:
        assert refusals[0] == (failure.stage, str(failure.refusal))
    else:
        assert refusals == []
    assert bool(refusals) == (breaks is not good_page)


@pytest.mark.parametrize("name", ["SBE", "MEMD", "HCODE", "WOFDATA"])
def test_pages_of_other_partitions_agree_with_the_boot(name: str) -> None:
    place = f"image.flash.partition.{name}"
    machine = Machine(
        "small",
        settings=[
            PAGED[0],
            f"{place}.base=0xd0000",
            f"{place}.size=0x9000",
            f"{place}.content.fill=0x3800",
            f"{place}.container.hash-pages=true",
        ],
    )
    assert verify_machine(built(machine)).good
    machine.flash[name].write(bytes(8), 0x3000)
    bad = [f for f in verify_machine(built(machine)).findings if not f.good]
    assert [(f.place, f.refusal, f.check) for f in bad] == [
        (f"{name} pages", "page-hash", "page 0x1")
    ]
    assert name in bad[0].mend
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.refusal is Refusal.PAGE_HASH
    assert bad[0].found in caught.value.reason


CODE = bytes(range(64))


def put(machine: Machine, place: str, size: int = 0, **options: int | str) -> None:
    """A container with the imprint keys in a partition."""
    chosen: dict[str, Any] = {"label": place, **options}
    header = sign_header(CODE, imprint_keys(), SigningOptions(**chosen))
    if size:
        header = put_bytes(header, 6, size.to_bytes(8, "big"))
    machine.flash[place].write(header + CODE)


def foreign(machine: Machine) -> None:
    header = sign_header(CODE, seeded_key_set("x"), SigningOptions(label="HBI"))
    machine.flash["HBI"].write(header + CODE)


def torn(machine: Machine, place: str, offset: int) -> None:
    machine.flash[place].flip(offset, 0)
    machine.flash[place].flip(offset, 1)


def in_seeprom(machine: Machine, name: str, offset: int, new: bytes) -> None:
    sections = XipHeader.from_prefix(machine.board.seeprom.content)[0].sections
    at = sections[SECTION_NAMES.index(name)].offset
    machine.board.seeprom.reprogram(at + offset, new)


def renamed(machine: Machine, name: bytes, new: bytes, place: int = 0) -> None:
    """A word of the entry of this name in both tables, its checksum made to fit."""
    flash = machine.board.flash
    for at in (0, flash.size - 0x9000):
        raw = bytes(flash.read(at, 0x1000))
        entry = raw.index(name + b"\0")
        old, checksum = raw[entry + place :][:4], raw[entry + 124 :][:4]
        mended = bytes(a ^ b ^ c for a, b, c in zip(old, new, checksum, strict=True))
        flash.write(at + entry + place, new)
        flash.write(at + entry + 124, mended)


BREAKS: dict[str, Callable[[Machine], None]] = {
    "nothing": lambda machine: None,
    "one-bit": lambda machine: machine.flash["HBB"].flip(7000),
    "hbb-ok-size": lambda machine: put(machine, "HBB", size=1),
    "hbb-label": lambda machine: put(machine, "HBB", label="HBI"),
    "hbb-keys": lambda machine: put(machine, "HBB", sw_key_count=2),
    "hbi-keys": lambda machine: put(machine, "HBI", sw_key_count=2),
    "hbi-label": lambda machine: put(machine, "HBI", label="HBB"),
    "hbi-small": lambda machine: put(machine, "HBI", size=4096),
    "payload-size": lambda machine: put(machine, "PAYLOAD", size=0x40001),
    "payload-fits": lambda machine: put(machine, "PAYLOAD", size=0x40000),
    "foreign": foreign,
    "entry": lambda machine: put(machine, "HBB", code_start_offset=2),
    "torn-header": lambda machine: torn(machine, "HBB", 0),
    "torn-payload": lambda machine: torn(machine, "HBI", 9 * 600),
    "torn-behind": lambda machine: torn(machine, "HBI", 0x47FF7 // 9 * 9),
    "blank": lambda machine: machine.flash["PAYLOAD"].write(b"\xff" * 0x2000),
    "no-hbb": lambda machine: renamed(machine, b"HBB", b"HBX\0"),
    "no-payload": lambda machine: renamed(machine, b"PAYLOAD", b"PAY\0"),
    "one-block": lambda machine: renamed(machine, b"HBB", b"\0\0\0\1", 20),
    "minimum": lambda machine: in_seeprom(machine, ".sb_settings", 64, b"\1"),
    "key-hash": lambda machine: in_seeprom(machine, ".sb_settings", 0, b"\0"),
    "loader": lambda machine: in_seeprom(machine, ".sb_verification", 9, b"\0\1"),
    "base": lambda machine: in_seeprom(machine, ".base", 9, b"\0\1"),
    "hbbl": lambda machine: in_seeprom(machine, ".hbbl", 9, b"\0\1"),
    "key-a": lambda machine: in_seeprom(machine, ".sbh_hbbl", 524, b"\0"),
    "key-b": lambda machine: in_seeprom(machine, ".sbh_hbbl", 656, b"\0"),
    "firmware-label": lambda machine: in_seeprom(machine, ".sbh_firmware", 1064, b"X"),
}
YES = {"nothing", "one-bit", "hbb-ok-size", "hbi-keys", "payload-fits", "torn-behind"}
YES |= {"key-b"}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_machine_as_its_boot(small: Machine, name: str) -> None:
    BREAKS[name](small)
    found = verify_machine(built(small))
    assert found.good == (name in YES)
    check_agreement(found, refusal_of(small))


def test_a_signing_mode_without_a_verifier(small: Machine) -> None:
    fuses = FusesSpec(hw_key_hash=HW_KEY_HASH, signing_mode=1)
    in_seeprom(small, ".sb_settings", 65, b"\1")
    machine = built(small)
    spec = MachineSpec(fuses=fuses)
    board = spec.build("x", machine.flash, machine.seeprom, machine.measurement_seeprom)
    small.board = board
    found = verify_machine(built(small))
    assert [each.refusal for each in found.findings if not each.good] == [
        "signing-mode"
    ]
    failure = refusal_of(small)
    assert failure is not None and failure.refusal == "signing-mode"


def test_the_key_hash_of_a_power9_is_in_the_hbbl_area() -> None:
    machine = Machine("small", settings=['machine.measure.profile="p9"'])
    assert verify_machine(built(machine)).good
    in_seeprom(machine, ".hbbl", 0x4FC0, b"\0")
    found = verify_machine(built(machine))
    assert (found.findings[0].place, found.findings[0].rules) == (".hbbl", "fuses")
    check_agreement(found, refusal_of(machine))


# OPAL: no minimum version, no label, no size; Hostboot looks at VERSION first.

KERNEL = 'image.flash.partition.BOOTKERNEL={base=0xe0000, size=0x8000, flags="R", '
OLD = "machine.fuses.minimum-secure-version=1"
NEW = [
    f"image.flash.partition.{name}.container.security-version=1"
    for name in ("HBB", "HBI", "PAYLOAD")
]
NEW += [f"image.seeprom.{name}.container.security-version=1" for name in
        ("base", "hbbl")]  # fmt: skip


@pytest.mark.parametrize("label", ["BOOTKERNEL", "OTHER"])
def test_opal_takes_an_old_version_and_any_label(label: str) -> None:
    kernel = f'{KERNEL}content={{fill=64}}, container={{label="{label}"}}}}'
    machine = Machine("small", settings=[kernel, OLD, *NEW])
    found = verify_machine(built(machine))
    assert found.findings[-1].place == "BOOTKERNEL"
    check_agreement(found, refusal_of(machine))
    assert found.good


def test_what_no_stage_verifies_is_named() -> None:
    extra = KERNEL.replace("BOOTKERNEL", "EXTRA") + "content={fill=64}, container={}}"
    found = verify_machine(built(Machine("small", settings=[extra])))
    assert found.good
    assert found.notes == ("verified by no stage of this boot: EXTRA",)
    assert verify_machine(built(Machine("small"))).notes == ()


@cache
def _small() -> Machine:
    return Machine("small")


@given(st.data())
def test_flipped_bits_anywhere_as_the_boot(data: st.DataObject) -> None:
    machine = _small().fork()
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(["HBB", "HBI", "PAYLOAD", "seeprom"]))
        if place == "seeprom":
            at = data.draw(st.integers(0, len(machine.board.seeprom.content) - 1))
            old = machine.board.seeprom.content[at]
            machine.board.seeprom.reprogram(at, bytes([old ^ 0x10]))
        else:
            head = data.draw(st.booleans())
            last = 0x1200 if head else machine.flash[place].size - 1
            machine.flash[place].flip(data.draw(st.integers(0, last)))
    image = built(machine)
    failure = refusal_of(machine)
    try:
        found = verify_machine(image)
    except FormatError:
        assert failure is not None and failure.refusal == "seeprom-format"
        return
    check_agreement(found, failure)


# What MACHINE may be.


def test_a_folder_and_a_file(tmp_path: Path, capsys: Caught) -> None:
    folder = tmp_path / "a.machine"
    build_folder(SMALL, load(SMALL), folder)
    for target in (folder, folder / "machine.toml", SMALL):
        assert main(["verify", str(target)]) == 0
        assert capsys.readouterr().out.startswith("small: machine, profile patent\n")
    raw = bytearray((folder / "flash.bin").read_bytes())
    raw[0x90000 + 0x1800] ^= 1
    (folder / "flash.bin").write_bytes(raw)
    assert main(["verify", str(folder)]) == 1
    assert "0xffffffffffff8172" in capsys.readouterr().out
    (folder / "seeprom.bin").write_bytes(b"PIX")
    assert main(["verify", str(folder)]) == 3
    assert capsys.readouterr().out == ""


def test_a_name_wins_over_a_file_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Caught
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("small", "image"):
        (tmp_path / name).write_bytes(b"no image")
    assert main(["verify", "small"]) == 0
    assert main(["verify", "./small"]) == 3
    assert main(["verify", "image"]) == 3
    assert "file: magic" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--key-hash", "imprint"], ["--min-version", "0"]])
def test_a_machine_has_fuses_of_its_own(words: list[str], capsys: Caught) -> None:
    assert main(["verify", "small", *words]) == 2
    assert "fuses" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["no-such", "no.toml", "a/no.toml"])
def test_no_such_machine(target: str, capsys: Caught) -> None:
    assert main(["verify", target]) == 2
    assert "no such" in (text := capsys.readouterr().err) or "no machine" in text


SBKT = "image.flash.partition.SBKT"
SBE = "image.flash.partition.SBE"


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("machine.chip.node-id=1", ""),
        (f"{SBKT}.container.hw-flags=0x80000000", "SBKT nested"),
        (f'{SBKT}.container.label="HBB"', "SBKT"),
        (f'{SBKT}.container.keys.seed="else"', "SBKT"),
        (f'{SBKT}.container.nested.label="HBB"', "SBKT nested"),
        (f'{SBE}.sbe-image.keys.seed="else"', "SBE image"),
        (f"{SBE}.absent=true", "SBE image"),
    ],
)
def test_a_key_transition_as_its_boot(setting: str, place: str) -> None:
    machine = Machine("key-transition", settings=[setting])
    found = verify_machine(built(machine))
    check_agreement(found, refusal_of(machine))
    bad = [each.place for each in found.findings if not each.good]
    assert bad == ([place] if place else [])


def test_a_blank_sbkt_is_not_asked_for() -> None:
    setting = f"{SBKT}={{ base = 0x78000, size = 0x4000, ecc = true }}"
    machine = Machine("small", settings=[setting])
    found = verify_machine(built(machine))
    check_agreement(found, refusal_of(machine))
    assert "SBKT" not in {each.place for each in found.findings}


@pytest.mark.parametrize(("name", "said"), [("lab-override", True), ("small", False)])
def test_the_lab_override_is_said(name: str, said: bool) -> None:
    notes = " ".join(verify_machine(built(Machine(name))).notes)
    assert ("lab override" in notes) is said
