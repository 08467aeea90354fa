"""The documentation says what the code does: tables, examples, links, names.

Tables are read from the pages and held against values built here, real boots and the
enums; a row too many, one too few or a wrong number fails.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import io
import json
import re
import shlex
import shutil
import struct
import tomllib
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from pathlib import Path
from types import FunctionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import pefstack
from pefstack import (
    BootFailure,
    FormatError,
    Machine,
    Refusal,
    Rejection,
    VerificationError,
)
from pefstack.firmware.boot import CODE, FIRMWARE, STAGES
from pefstack.firmware.profiles import PROFILES
from pefstack.firmware.ultravisor.calls import Caller
from pefstack.firmware.ultravisor.codes import HCall, UvCall
from pefstack.firmware.virtualization import Virtualization
from pefstack.hw.chip import MSR_HV
from pefstack.hw.flip import FlipSpec
from pefstack.hw.guest_spec import GuestSpec
from pefstack.hw.journal import Event
from pefstack.hw.machine import AnyTpmSpec, FurtherSpec, MachineSpec
from pefstack.hw.secondary_spec import SecondaryChipSpec
from pefstack.hw.secure_memory import SECURE_BIT
from pefstack.hw.tpm import client
from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.commands.table import CODES
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.foreign import ForeignTpm
from pefstack.hw.tpm_step import TpmStep
from pefstack.images import (
    container,
    container_verify,
    cpio_header,
    ecc,
    event_log,
    event_log_build,
    event_log_header,
    ffs_entry,
    iplparams,
    tpmrel,
    zimage,
)
from pefstack.images.compressed import COMPRESSIONS
from pefstack.images.container import (
    ContainerHeader,
    HardwareHeader,
    PrefixHeader,
    SoftwareHeader,
)
from pefstack.images.cpio_header import CpioHeader
from pefstack.images.elf_header import ElfHeader
from pefstack.images.fdt import Fdt
from pefstack.images.ffs import FfsHeader
from pefstack.images.hdif import HdifHeader
from pefstack.images.initramfs import NameRule
from pefstack.images.sb_settings import MeasurementSettings, SbSettings
from pefstack.images.xip import SECTION_NAMES, XipHeader, XipSection
from pefstack.tools.builders import flash, spec
from pefstack.tools.builders.content_spec import ContentSpec
from pefstack.tools.builders.guest_spec import GuestImageSpec
from pefstack.tools.built import FURTHER_IMAGES, IMAGES
from pefstack.tools.cli import app, verb_tpm
from pefstack.tools.cli.keeping import serve_event
from pefstack.tools.errors import UsageError
from pefstack.tools.inspection.inspect_file import Inspection
from pefstack.tools.inspection.region import Region
from pefstack.tools.machine_file import built_in_machines, load
from pefstack.tools.partitions import FlashPartition
from pefstack.tools.tpm_server import state_file, swtpm
from pefstack.tools.tpm_server.server import PORTS, Address
from tpm_key_kit import hmac_areas, put_in, two
from tpm_kit import EMPTY_PASSWORD
from tpm_kit import command as tpm_command

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
Row = dict[str, str]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for kind, text in found if kind == language]


def section(page: str, heading: str = "") -> str:
    """The text under a heading; without one, what stands above the first."""
    text = (DOCS / page).read_text(encoding="utf-8")
    top, *rest = re.split(r"^##+ (.*)$", text, flags=re.MULTILINE)
    return dict(zip(rest[::2], rest[1::2], strict=True))[heading] if heading else top


def table(page: str, heading: str = "", number: int = 0) -> list[Row]:
    """The rows of a table by its column names, without the marks of code."""
    found = re.findall(r"(?:^\|.*\n)+", section(page, heading) + "\n", re.MULTILINE)
    lines = [
        [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        for line in found[number].splitlines()
    ]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def column(rows: list[Row], *names: str) -> list[tuple[str, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


# Layouts: change one field, and exactly its bytes change.

LAYOUTS: list[tuple[str, str, type[Any]]] = [
    ("formats/container.md", "Hardware header", HardwareHeader),
    ("formats/container.md", "Prefix header", PrefixHeader),
    ("formats/container.md", "Software header", SoftwareHeader),
    ("formats/ffs.md", "Header", FfsHeader),
    ("formats/ffs.md", "Entry", ffs_entry.FfsEntry),
    ("formats/xip.md", "Header", XipHeader),
    ("formats/xip.md", "Section entry", XipSection),
    ("formats/sb_settings.md", "Of the boot SEEPROM", SbSettings),
    ("formats/sb_settings.md", "Of the measurement SEEPROM", MeasurementSettings),
]
ZERO = XipSection(alignment=0)
ONES = XipSection(
    offset=0xFFFFFFFF,
    size=0xFFFFFFFF,
    alignment=0xFF,
    dd_support=0xFF,
    reserved=b"\xff\xff",
)


def place(row: Row) -> range:
    return range(int(row["offset"]), int(row["offset"]) + int(row["size"]))


def filled(cls: type[Any], rows: list[Row], chosen: str = "") -> bytes:
    """The bytes of a value that is zero but for one field, which has all bits set."""
    hints, values = get_type_hints(cls), dict[str, Any]()
    for row in rows:
        name, bracket, _ = row["name"].partition("[")
        raw = (b"\xff" if row["name"] == chosen else b"\0") * int(row["size"])
        if bracket:
            values[name] = (*values.get(name, ()), raw)
        elif name == "sections":
            values[name] = (ONES if raw[0] else ZERO,) * (len(raw) // 12)
        elif hints.get(name) is str:
            values[name] = raw[:-1].strip(b"\0").decode("latin-1")
        elif name in hints:
            values[name] = int.from_bytes(raw, "big") if hints[name] is int else raw
    made: bytes = cls(**values).to_bytes()
    return made


def differing(one: bytes, other: bytes) -> set[int]:
    pairs = enumerate(zip(one, other, strict=True))
    return {at for at, (old, new) in pairs if old != new}


@pytest.mark.parametrize(("page", "heading", "cls"), LAYOUTS)
def test_table_of_a_layout(page: str, heading: str, cls: type[Any]) -> None:
    rows = table(page, heading)
    zero = filled(cls, rows)
    assert [at for row in rows for at in place(row)] == [*range(len(zero))]
    names = {row["name"].partition("[")[0] for row in rows}
    assert names - {"checksum"} == {each.name for each in fields(cls)} - {"name_rest"}
    checksum = {at for row in rows if row["name"] == "checksum" for at in place(row)}
    seen: set[int] = set()
    for row in rows:
        changed = differing(zero, filled(cls, rows, row["name"]))
        expected = {*place(row)} - ({15} if row["meaning"].endswith("NUL") else set())
        assert changed - checksum == expected - checksum, row["name"]
        seen |= changed & checksum
    assert seen == checksum


def test_tables_of_cpio() -> None:
    rows = table("formats/cpio.md", "Header")
    places = {row["name"]: int(row["offset"]) for row in rows[1:]}
    assert places == cpio_header.OFFSETS
    assert [at for row in rows for at in place(row)] == [*range(110)]
    zero = CpioHeader(nlink=0, namesize=0)
    for row in rows[1:]:
        full = replace(zero, **{row["name"]: 2**32 - 1})
        assert differing(zero.to_bytes(), full.to_bytes()) == {*place(row)}
    known = [(each.name, each.magic.hex()) for each in COMPRESSIONS]
    assert column(table("formats/cpio.md", "Compressed data"), "name", "magic") == known


@pytest.mark.parametrize(("bits", "columns"), [(32, (1, 2)), (64, (3, 4))])
def test_table_of_an_elf_header(bits: int, columns: tuple[int, int]) -> None:
    rows = [[*row.values()] for row in table("formats/elf.md", "Header")]
    names = [each.name for each in fields(ElfHeader)][2:]
    assert [row[0] for row in rows] == names
    zero = ElfHeader(bits=bits, order="big", **dict.fromkeys(names, 0))
    for row in rows:
        at, size = (int(row[each]) for each in columns)
        named: dict[str, Any] = {row[0]: 256**size - 1}
        full = replace(zero, **named).to_bytes()
        assert differing(zero.to_bytes(), full) == {*range(at, at + size)}


def test_tables_of_a_guests_image() -> None:
    rows = table("formats/initramfs.md", "Names")
    assert [row["rule"] for row in rows] == [each.value for each in NameRule]
    names = [row["section"] for row in table("formats/elf.md", "zImage")]
    assert names == [zimage.KERNEL, zimage.INITRD, zimage.ESM_BLOB, zimage.CMDLINE]


def test_tables_of_hdat() -> None:
    """Header and entry of a TPM byte by byte; system parameters by their place."""
    rows = table("formats/hdat.md", "System parameters")
    places = [(row["name"], int(row["size"])) for row in rows]
    assert places == [*iplparams.SYSTEM_FIELDS]
    assert [at for row in rows for at in place(row)] == [*range(iplparams.SYSTEM_SIZE)]
    zero = HdifHeader(eye_catcher=bytes(6), version=0, total_size=0, pointer_count=0)
    for row in table("formats/hdat.md", "Header")[1:]:
        full = b"\xff" * int(row["size"])
        value = full if row["name"] == "eye_catcher" else int.from_bytes(full, "big")
        named: dict[str, Any] = {row["name"]: value}
        changed = replace(zero, **named)
        assert differing(zero.to_bytes(), changed.to_bytes()) <= {*place(row)}
    tpm = tpmrel.NodeTpm(chip_id=0, localities=bytes(4), status=0, srtm_log=b"")
    for row in table("formats/hdat.md", "TPMs")[:6]:
        full = b"\xff" * int(row["size"])
        is_number = isinstance(getattr(tpm, row["name"]), int)
        value = int.from_bytes(full, "big") if is_number else full
        one = structure_of(tpm)
        named = {row["name"]: value}
        other = structure_of(replace(tpm, **named))
        assert differing(one, other) == {0x50 + at for at in place(row)}
    logged = structure_of(replace(tpm, srtm_log=b"s" * 3, drtm_log=b"d" * 5))
    words = struct.unpack_from(">4I", logged, 0x50 + 16)
    names = [row["name"] for row in table("formats/hdat.md", "TPMs")[6:]]
    assert dict(zip(names, words, strict=True)) == {
        "srtm_log_offset": 0x20,
        "srtm_log_size": 3,
        "drtm_log_offset": 0x23,
        "drtm_log_size": 5,
    }


def structure_of(tpm: tpmrel.NodeTpm) -> bytes:
    value = tpmrel.TpmRel(
        version=0x30, tpms=(tpm,), physical_presence=(0, 0), services=()
    )
    return value.to_bytes()


def test_every_property_that_bears_on_secure_boot_is_documented() -> None:
    known = re.findall(r"`([^`]+)`", section("formats/device_tree.md"))
    for name in ("p9", "p10"):
        for path, node in Fdt.from_bytes(Machine(name).run().device_tree).nodes():
            if path.startswith("/ibm,secureboot") or "/tpm@" in path:
                names = {key for key, _ in node.properties}
                assert names - {"#address-cells", "#size-cells", "reg"} <= {*known}
            if "/tpm@" in path:
                assert path in known


@pytest.mark.parametrize("count", [1, 2, 3])
def test_places_of_a_containers_parts(count: int) -> None:
    def marked(first: int, number: int) -> tuple[bytes, ...]:
        return tuple(bytes([first + each]) * 132 for each in range(number))

    header = ContainerHeader(
        hardware=HardwareHeader(container_size=1, hw_keys=marked(0x10, 3)),
        prefix=PrefixHeader(
            sw_key_count=count, payload_size=2, payload_hash=b"\3" * 64
        ),
        hw_signatures=marked(0x20, 3),
        sw_keys=marked(0x30, count),
        software=SoftwareHeader(
            component_id=b"\4" * 8, payload_size=5, payload_hash=b"\6" * 64
        ),
        sw_signatures=marked(0x40, count),
    )
    raw, end = header.to_bytes(), 0
    for row in table("formats/container.md", "Parts"):
        if (offset := row[f"offset {count}"]) == "-":
            continue
        name, bracket, index = row["name"].partition("[")
        part = getattr(header, name)
        part = part[int(index[:-1])] if bracket else part.to_bytes()
        assert (int(offset), int(row["size"])) == (end, len(part))
        assert raw[end:].startswith(part)
        end += len(part)
    assert not any(raw[end:])


def check_log_table(
    heading: str,
    raw: bytes,
    changes: dict[str, bytes],
    parse: Callable[[bytes], object],
) -> None:
    """Each change touches its field alone; constants stand as the table says, and
    another value is refused under the field's name."""
    rows = table("formats/event_log.md", heading)
    assert [at for row in rows for at in place(row)] == [*range(len(raw))]
    for row in rows:
        name, start, stop = row["name"], place(row).start, place(row).stop
        if row["value"]:
            found = int.from_bytes(raw[start:stop], "little")
            assert found == int(row["value"]), name
        if name in changes:
            assert differing(raw, changes.pop(name)) == {*place(row)}, name
            continue
        other = bytes(each ^ 0xFF for each in raw[start:stop])
        with pytest.raises(FormatError) as caught:
            parse(raw[:start] + other + raw[stop:])
        assert caught.value.field == name.replace("vendor_info_size", "vendor_info")
    assert changes == {}


def test_table_of_log_record_0() -> None:
    good = event_log_build.header()
    raw = good.to_bytes()
    changes = {
        "algorithm": replace(good, algorithms=((0xFFFF ^ 11, 32),)),
        "digest_size": replace(good, algorithms=((11, 0xFFFF ^ 32),)),
        "platform_class": replace(good, platform_class=0xFFFFFFFE),
        "spec_version_minor": replace(good, spec_version_minor=9),
        "spec_version_major": replace(good, spec_version_major=9),
        "spec_errata": replace(good, spec_errata=9),
        "uintn_size": replace(good, uintn_size=9),
        "vendor_info": replace(good, vendor_info=b"\xff" * 4),
    }
    check_log_table(
        "Record 0",
        raw,
        {name: each.to_bytes() for name, each in changes.items()},
        event_log_header.SpecIdHeader.from_prefix,
    )
    assert raw.index(event_log_header.SIGNATURE) == 32
    assert "Spec ID Event03" in section("formats/event_log.md", "Record 0")


def test_table_of_a_log_record() -> None:
    def record(
        pcr: int = 0,
        event_type: int = 0,
        bank: int = 0,
        digest: bytes = bytes(32),
        event: bytes = bytes(4),
    ) -> bytes:
        return event_log.LogRecord(
            pcr_index=pcr,
            event_type=event_type,
            digests=((bank, digest),),
            event=event,
        ).to_bytes()

    changes = {
        "pcr_index": record(pcr=0xFFFFFFFF),
        "event_type": record(event_type=0xFFFFFFFF),
        "algorithm": record(bank=0xFFFF),
        "digest": record(digest=b"\xff" * 32),
        "event": record(event=b"\xff" * 4),
    }
    check_log_table(
        "Record",
        record(),
        changes,
        lambda raw: event_log.LogRecord.from_prefix(raw, {0: 32}),
    )


def test_event_types_and_separators() -> None:
    named = vars(event_log_header) | vars(event_log)
    types = {(str(v), k) for k, v in named.items() if k.startswith("EV_")}
    rows = table("formats/event_log.md", "Event types")
    assert set(column(rows, "number", "name")) == types
    by_name = {name: bank for bank, name in event_log_header.HASH_NAMES.items()}
    for row in table("formats/event_log.md", "Digests"):
        digest = event_log_build.separator_digest(by_name[row["bank"]])
        assert digest.hex() == row["digest of a separator"]


def test_ecc_word_rows_and_examples() -> None:
    page = "formats/ecc.md"
    assert column(table(page, "Raw word"), "offset", "size") == [("0", "8"), ("8", "1")]
    rows = [int(row["row"], 16) for row in table(page, "Check byte")]
    for bit in range(64):
        word = (1 << bit).to_bytes(8, "big")
        check = sum(((row >> bit) & 1) << i for i, row in enumerate(rows))
        assert ecc.encode(word) == word + bytes([check])
    for word_text, check_text in column(
        table(page, "Check byte", 1), "word", "check byte"
    ):
        assert ecc.encode(bytes.fromhex(word_text)).hex() == word_text + check_text


def test_bits_sections_and_order_of_checks() -> None:
    flags = {f"0x{v:08x} {k}" for k, v in vars(container).items() if k[:5] == "FLAG_"}
    rows = table("formats/container.md", "Flags")
    assert {" ".join(pair) for pair in column(rows, "bit", "name")} == flags
    misc = {
        (f"0x{bit:02x}", letter, name)
        for letter, bit in flash._MISC.items()
        for name, value in vars(ffs_entry).items()
        if name.startswith("MISC_") and value == bit
    }
    rows = table("formats/ffs.md", "Bits of misc")
    assert set(column(rows, "bit", "letter", "name")) == misc
    assert len(misc) == sum(name.startswith("MISC_") for name in vars(ffs_entry))
    names = [(str(number), name) for number, name in enumerate(SECTION_NAMES)]
    assert column(table("formats/xip.md", "Sections"), "number", "name") == names
    rows = table("formats/container.md", "Checks")
    for verifier, order in (
        ("ROM", container_verify.ROM_ORDER),
        ("SBE", container_verify.SBE_ORDER),
    ):
        listed = [row for row in rows if row[verifier] != "-"]
        listed.sort(key=lambda row: int(row[verifier]))
        codes = [rejection_of(check) for check in order]
        assert column(listed, "check", "code") == codes
        assert [int(row[verifier]) for row in listed] == [*range(1, len(order) + 1)]


def rejection_of(check: container_verify.Check) -> tuple[str, str]:
    """The name of a check and the one code that its function speaks of."""
    assert isinstance(check, FunctionType)
    names = {*check.__code__.co_names} & {*Rejection.__members__}
    (member,) = names
    return check.__name__, f"0x{Rejection[member]:02x}"


# Stages: real boots.


def measures(machine: Machine) -> list[tuple[str, ...]]:
    """Each announced extend, with the type that stands in the event log."""
    types = {v: k for k, v in vars(event_log).items() if k.startswith("EV_")}
    events = [event for event in machine.journal if event.kind == "measure"]
    records = event_log.EventLog.from_bytes(machine.event_log).records
    found: list[tuple[str, ...]] = []
    for event, record in zip(events, records, strict=True):
        detail = event.detail
        text = "separator" if record.event == b"\xff" * 4 else record.text
        assert (detail["pcr"], detail["text"]) == (record.pcr_index, text)
        pcr, kind = str(record.pcr_index), types[record.event_type]
        found.append((event.source, pcr, kind, str(detail["what"]), text))
    return found


def pcrs_of(text: str) -> list[int]:
    """``0-5, 7`` as numbers."""
    ranges = (part.partition("-") for part in text.split(", "))
    return [
        pcr for low, _, high in ranges for pcr in range(int(low), int(high or low) + 1)
    ]


def documented_extends(security: bool) -> Iterator[tuple[str, ...]]:
    for row in table("stages.md", "Extends"):
        if security or "security on" not in row["value"]:
            for pcr in pcrs_of(row["PCR"]):
                yield row["stage"], str(pcr), row["type"], row["what"], row["text"]


def test_every_extend_of_a_boot_in_its_order(booted: Machine) -> None:
    assert measures(booted) == [*documented_extends(security=True)]
    off = Machine("jumper-off").run()
    assert measures(off) == [*documented_extends(security=False)]
    rows = table("stages.md", "Profiles p10 and p9")
    assert [row["profile"] for row in rows] == [*PROFILES]


def test_what_stages_verify_and_hand_over_to() -> None:
    rows = table("stages.md")
    assert [row["stage"].split()[0] for row in rows] == [*STAGES]
    codes = {STAGES[at]: row["code"] for at, row in enumerate(rows) if at}
    assert codes == {**CODE, "guest": "-"}
    booted = Machine("svm").run()
    for stage, row in zip(STAGES, rows, strict=True):
        mine = [event for event in booted.journal if event.source == stage]
        verified = [str(e.detail["code"]) for e in mine if e.kind == "verify"]
        assert row["verifies"] == (", ".join(verified) or "-")
        ended = [event for event in mine if event.kind in ("hand-over", "starts")]
        assert row["hands over to"] == (ended[-1].detail["to"] if ended else "-")


def test_what_is_measured_of_a_secondary_chip() -> None:
    for name, chips in (("secondary-mismatch", (1, 2)), ("backup-tpm", (1,))):
        found = [row for row in measures(Machine(name).run()) if "chip 0" not in row[4]]
        rows = [
            ("hostboot_ext", r["PCR"], r["type"], r["what"], r["text"][:-1] + str(chip))
            for chip in chips
            for r in table("stages.md", "Secondary chips")
        ]
        assert [row for row in found if row[3].startswith("secondary-")] == rows


def test_steps_with_the_tpm() -> None:
    rows = column(table("stages.md", "Steps with the TPM"), "code", "step")
    assert rows == [(f"0x{step:02x}", step.label) for step in TpmStep]


def test_refusals_and_codes_are_complete() -> None:
    refusals = [row["refusal"] for row in table("stages.md", "Refusals")]
    assert refusals == [str(each) for each in Refusal]
    rows = table("stages.md", "Codes of a rejected container")
    expected = [
        (f"0x{each:02x}", each.name, error.what, error.mend)
        for each in Rejection
        for error in [VerificationError(each, "", "")]
    ]
    assert column(rows, "code", "name", "looked at", "what to do") == expected


# Machine files: every key of the dataclasses.

TABLES = {
    spec.KeysSpec: "keys",
    ContentSpec: "content",
    spec.ContainerSpec: "container",
    FlipSpec: "flip",
    spec.SbeImageSpec: "sbe-image",
    spec.SectionSpec: "section",
    spec.PartitionSpec: "partition",
    FurtherSpec: "further",
    SecondaryChipSpec: "secondary-chips",
    AnyTpmSpec: "backup-tpm",
    GuestSpec: "guest",
    GuestImageSpec: "image.guest",
    spec.ImageSpec: "image",
    MachineSpec: "machine",
}
KINDS = {bool: "true or false", int: "number", str: "text", bytes: "hex"}


def type_text(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return "list of texts" if get_args(hint)[0] is str else "list of tables"
    if get_origin(hint) is dict:
        return "tables by name"
    hint = get_args(hint)[0] if get_args(hint) else hint  # X | None
    return KINDS.get(hint, "table")


def default_of(each: Field[Any]) -> object:
    value = each.default if each.default_factory is MISSING else each.default_factory()
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value):  # all defaults
        return {}
    return [*value] if isinstance(value, tuple) else value


def keys_of(cls: Any, prefix: str = "") -> Iterator[tuple[str, str, object]]:
    hints = get_type_hints(cls)
    for each in fields(cls):
        key, hint = prefix + each.name.replace("_", "-"), hints[each.name]
        if is_dataclass(hint) and hint not in TABLES:
            yield from keys_of(hint, f"{key}.")
        else:
            yield key, type_text(hint), default_of(each)


def documented_default(text: str) -> object:
    words = {"needed": MISSING, "none": None}
    return words[text] if text in words else tomllib.loads(f"x = {text}")["x"]


@pytest.mark.parametrize(("cls", "heading"), TABLES.items())
def test_every_key_of_a_machine_file(cls: type[Any], heading: str) -> None:
    rows = table("machine-file.md", heading)
    documented = [(r["key"], r["type"], documented_default(r["default"])) for r in rows]
    assert documented == [*keys_of(cls)]


def test_top_of_a_machine_file_and_images_of_a_built_one(tmp_path: Path) -> None:
    file = tmp_path / "machine.toml"
    file.write_text("nonsense = 1\n")
    with pytest.raises(UsageError) as caught:
        load(file)
    top = [row["key"] for row in table("machine-file.md", "Top of the file")]
    assert str(caught.value).endswith("there are: " + ", ".join(top))
    built = table("machine-file.md", "Built machines")
    assert {row["key"]: row["file"] for row in built} == IMAGES | FURTHER_IMAGES


# Command line and journal.


def shown(action: argparse.Action) -> tuple[str, str]:
    metavar = action.metavar or action.dest.upper()
    value = "" if action.nargs == 0 else f" {metavar}"
    names = [name + value for name in action.option_strings] or [str(metavar)]
    default = action.default if isinstance(action.default, str) else ""
    return ", ".join(names), default


@pytest.mark.parametrize("verb", sorted(app.BUILT))
def test_options_of_a_verb(verb: str) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    importlib.import_module(f"pefstack.tools.cli.verb_{verb}").configure(parser)
    rows = table("cli.md", verb)
    assert column(rows, "option", "default") == [*map(shown, parser._actions)]


def test_options_of_the_nouns_of_tpm() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    verb_tpm.configure(parser)
    (nouns,) = (each.choices for each in parser._actions)
    assert isinstance(nouns, dict)
    assert [*nouns] == ["serve", "provision"]
    for name, noun in nouns.items():
        actions = noun._actions[1:]  # after --help
        rows = table("cli.md", f"tpm {name}")
        assert column(rows, "option", "default") == [*map(shown, actions)]


def test_verbs_exit_codes_and_json_names() -> None:
    built = [(verb, app.VERBS[verb]) for verb in app.VERBS if verb in app.BUILT]
    assert column(table("cli.md"), "verb", "does") == built
    codes = {v for k, v in vars(app).items() if k.isupper() and isinstance(v, int)}
    assert {int(row["code"]) for row in table("cli.md", "Exit codes")} == codes
    page = section("cli.md", "inspect")
    for cls in (Inspection, Region):
        for each in fields(cls):
            assert f"`{each.name}`" in page


def events_of_all_kinds() -> Iterator[Event]:
    """Boots of all built-in machines, and what they do not do by themselves."""
    machines = [Machine(path.stem) for path in built_in_machines()]
    allocates = Machine("small", settings=['machine.tpm.allocated=["sha1"]'])
    broken = Machine("small")
    broken.flash["HBB"].flip(0)
    broken.flash["HBI"].flip(0)
    broken.flash["HBI"].flip(1)
    chips = ["machine.secondary-chips=[{}]", "machine.backup-tpm={}"]
    for profile in ("patent", "p9"):
        hbbl = f"image.seeprom.hbbl.content.fill={0x1000:d}"
        chosen = [f"machine.measure.profile={profile}", hbbl, *chips]
        machines.append(Machine("small", settings=chosen))
    for machine in (*machines, allocates, broken):
        with suppress(BootFailure):
            machine.run()
    reset = struct.pack(">HIIIIIHBH", 0x8002, 27, 0x13D, 16, 9, 0x40000009, 0, 0, 0)
    for command in (reset, client.shutdown()):
        client.response(machines[0].board.tpm.execute(command))
    tpm = machines[0].board.tpm
    assert isinstance(tpm, Tpm)
    signer = put_in(tpm, hmac_areas())
    for code, handle, params in (
        (0x158, signer, two(b"") + b"\0\x10" + bytes(4)),  # Quote
        (0x128, 0x40000001, b"\0\0\1" + bytes(5)),  # ClockSet
    ):
        raw = tpm_command(code, params, handles=(handle,), area=EMPTY_PASSWORD)
        client.response(machines[0].board.tpm.execute(raw))
    machines[0].board.tpm.hash_start()
    machines[0].board.tpm.hash_end()
    abroad = Machine("small")
    abroad.board.tpm = ForeignTpm(Machine("small").board.tpm)
    abroad.run()
    for machine in (*machines, allocates, broken, abroad):
        yield from machine.journal
    yield from of_guests()
    addresses = [Address(protocol=each, host="", port=1) for each in PORTS]
    yield Event(**serve_event(abroad, [*reversed(addresses)]))
    text, _ = pef(["boot", "small", "--json"])
    yield Event(**json.loads(text.splitlines()[-1]))


OF_EVERY_STAGE = ("start", "hand-over", "starts", "boot-complete")


def of_guests() -> Iterator[Event]:
    """Secure VMs that do not get what they want, or lose it."""
    append = "image.guest.append=svm=on pef.secrets=other"
    odd = ["machine.guest.command-line=svm=on x"], ["machine.chip.pef-enable=false"]
    for settings in ([append], *odd):
        yield from Machine("svm", settings=settings).run().journal
    machine = Machine("svm").run(until="hypervisor")
    running = machine.board.running
    assert isinstance(running, Virtualization)
    assert running.ultravisor is not None
    while running.end is None:
        running.step()
    gone = UvCall.UNREGISTER_MEM_SLOT, 1, 0
    running.ultravisor.ultracall(Caller(MSR_HV, 0), (0, 0, 0, *gone))
    vm = running.hypervisor.vms.pop(1)
    running.run()
    vm.base |= SECURE_BIT
    running.hypervisor.vms[1] = vm
    running.hypervisor.hypercall(1, HCall.RTAS)
    yield from machine.journal


def source_of(event: Event) -> str:
    """As the page groups them: stages, whatever chip they ran on, and devices."""
    name = re.sub(r"^chip\d+\.", "", event.source).removeprefix("backup-")
    return "a stage" if name in FIRMWARE or event.kind in OF_EVERY_STAGE else name


def test_every_kind_of_event_and_its_details() -> None:
    found = {
        (source_of(event), event.kind, details)
        for event in events_of_all_kinds()
        for details in [", ".join(event.detail)]
    }
    rows = table("cli.md", "JSON lines")
    assert sorted(column(rows, "source", "kind", "detail")) == sorted(found)


# API, threat model, glossary.


def test_public_names_and_members(small: Machine) -> None:
    names = [row["name"] for row in table("api.md")]
    assert sorted(names) == pefstack.__all__
    rows = table("api.md", "Machine")
    members = {name for row in rows for name in row["member"].split(", ")}
    public = {name for name in {*vars(Machine), *vars(small)} if name[0] != "_"}
    assert {name.removesuffix("()") for name in members} == public
    for name in vars(FlashPartition):
        if name[0] != "_":
            assert re.search(rf"`{name}[`(]", section("api.md", "Fork and break"))


def test_control_requests_and_state_file_of_the_tpm_server() -> None:
    rows = table("tpm-server.md", "swtpm")
    known = [(str(int(each)), each.name) for each in swtpm.Code]
    assert column(rows, "code", "request") == known
    assert f"0x{swtpm.CAPABILITIES:x}: the requests" in rows[0]["here"]
    raw = state_file.packed(b"content")
    cuts = [int(row["offset"]) for row in table("tpm-server.md", "The state file")]
    parts = [raw[at:to] for at, to in zip(cuts, [*cuts[1:], None], strict=True)]
    assert parts[:2] == [b"PEFTPM\r\n", bytes((0, 0, 0, 1))]
    assert (int.from_bytes(parts[2], "big"), parts[4]) == (7, b"content")
    assert parts[3] == hashlib.sha256(b"".join(parts[:3]) + b"content").digest()


def test_commands_of_the_tpm() -> None:
    rows = table("tpm.md", "Commands")
    documented = {
        (name.removeprefix("TPM2_").replace("_", "").upper(), int(code, 16))
        for name, code in column(rows, "command", "code")
    }
    assert documented == {(TpmCc(c).name.replace("_", ""), c) for c in CODES}


def test_the_readme_counts_the_commands_of_the_tpm() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"(\d+) commands: keys", text) == [str(len(CODES))]


def test_glossary_speaks_of_names_that_exist() -> None:
    terms = [row["term"] for row in table("glossary.md")]
    assert terms == sorted(set(terms), key=lambda each: (each.casefold(), each))
    layers = ("images", "hw", "firmware", "tools")
    files = [path for layer in layers for path in (ROOT / layer).rglob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in files)
    for line in section("glossary.md").splitlines():
        for name in re.findall(r"`([^`]+)`", line) if line.startswith("| ") else []:
            assert name in code, name


# Examples, links, names in all pages.


def pef(words: list[str]) -> tuple[str, int]:
    """What a command prints on both channels, and its exit code."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        try:
            code = app.main(words)
        except SystemExit as leaving:
            code = int(leaving.code or 0)
    return out.getvalue(), code


def pattern(lines: list[str]) -> str:
    """A line `…` stands for any lines, elsewhere … for any text in the line."""
    return "".join(
        r"(?:.*\n)*?"
        if line == "…"
        else ".*".join(map(re.escape, line.split("…"))) + r" *\n"
        for line in lines
    )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_console_blocks(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "machines", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for block in blocks(page, "toml"):
        if name := re.match(r"# ([\w-]+\.toml)\n", block):
            (tmp_path / name[1]).write_text(block)
    code = 0
    for block in blocks(page, "console"):
        if not block.startswith("$ pef"):
            continue
        for shot in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = shot.splitlines()
            if command == "echo $?":
                out = f"{code}\n"
            else:
                program, *words = shlex.split(command)
                assert program == "pef"
                out, code = pef(words)
            assert re.fullmatch(pattern(lines), out), f"$ {command}\n{out}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks(page: Path) -> None:
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks(page, "python"), start=1):
        exec(compile(block, f"{name_of(page)} block {number}", "exec"), names)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", each.lower()) for each in headings)
    return {each.replace(" ", "-") for each in kept}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_names_of_files_and_tests(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), anchor
    folders = "docs|firmware|hw|images|machines|tests|tools"
    for name in re.findall(rf"\b(?:{folders})/[\w./-]*\.(?:py|md|toml)\b", text):
        assert (ROOT / name).is_file(), name
    tests = "\n".join(each.read_text() for each in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"::(test_\w+)", text):
        assert f"def {name}(" in tests, name
    assert not re.search(r"[\s(`](/home|/tmp|/work|/root)/", text)


def test_the_sabotage_entry_is_one() -> None:
    (block,) = [
        block
        for block in blocks(DOCS / "extending.md", "toml")
        if block.startswith("[[sabotage]]")
    ]
    (entry,) = tomllib.loads(block)["sabotage"]
    assert set(entry) == {"id", "defends", "file", "old", "new", "tests"}
    assert (ROOT / entry["file"]).read_text().count(entry["old"]) == 1
