"""The search for the blob: verdicts of the real code, limits, both formats."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elf_kit import ESM
from pefstack.images.cpio import CpioEntry, write_archive
from pefstack.images.errors import FormatError
from pefstack.images.initramfs import (
    BLOB_MAGIC,
    MAGICS,
    OPERAND_MAGIC,
    NameRule,
    blob_archive,
    find_blob,
)

REAL = NameRule.REAL
# those in which the boot wrapper gives a blob, or no initramfs is given, search nothing
VERDICTS: list[dict[str, Any]] = [
    each
    for each in json.loads((ESM / "verdicts.json").read_text(encoding="utf-8"))
    if (ESM / each["initrd_file"]).is_file()
    and not each.get("chosen_esm_blob_file")
    and each["name"] != "initrd-absent"
]
BLOB = BLOB_MAGIC + b"blob"


# what the real code takes, or does not look at: files beside the blob, and padding
STRICT_REFUSES = {"cpio-prefix", "cpio-emptyfirst", "cpio-otherafter", "cpio-nopad"}


def located(raw: bytes, address: int, rule: NameRule) -> str:
    """As the driver of the real code prints it."""
    try:
        place = find_blob(raw, address=address, rule=rule)
    except FormatError:
        return "locate failed"
    start, rest = address + place.archive_size, len(place.rest_of(raw))
    return f"locate esmb {address + place.offset:#x} initrd {start:#x} len {rest:#x}"


@pytest.mark.parametrize("verdict", VERDICTS, ids=lambda each: each["name"])
def test_verdicts_of_the_real_code(verdict: dict[str, Any]) -> None:
    raw = (ESM / verdict["initrd_file"]).read_bytes()
    expected = verdict["oracle"]["locate"]
    assert located(raw, verdict["initrd_gpa"], REAL) == expected
    if verdict["name"] in STRICT_REFUSES:
        expected = "locate failed"
    assert located(raw, verdict["initrd_gpa"], NameRule.STRICT) == expected


def test_verdicts_are_there() -> None:
    assert len([each for each in VERDICTS if each["name"].startswith("cpio-")]) == 18


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_images_of_the_foreign_tool(name: str) -> None:
    raw = (ESM / f"esmb-initrd-{name}.img").read_bytes()
    blob = (ESM / f"blob-{name}.dtb").read_bytes()
    place = find_blob(raw)
    assert place.magic == BLOB_MAGIC
    assert place.offset == 608
    assert raw[place.offset :][: len(blob)] == blob
    assert place.room == len(blob)
    (behind,) = (ESM / "in").glob(f"initrd-{name}.*")
    assert bytes(place.rest_of(raw)) == behind.read_bytes()


def test_our_archive_is_laid_out_as_the_foreign_one() -> None:
    raw = (ESM / "esmb-initrd-a.img").read_bytes()
    ours = blob_archive("blob-a.dtb", (ESM / "blob-a.dtb").read_bytes())
    assert len(ours) == 2560
    assert find_blob(ours + raw[2560:]) == find_blob(raw)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "x" * 5000, "/a"])
def test_names_that_are_not_written(name: str) -> None:
    with pytest.raises(FormatError, match="name"):
        blob_archive(name, BLOB)


def archive(*files: tuple[str, bytes], padding: int = 512) -> bytes:
    made = [CpioEntry(name=name, data=data) for name, data in files]
    return write_archive(made, padding=padding)


def refused(raw: bytes, *, address: int = 0, rule: NameRule = REAL) -> tuple[str, int]:
    with pytest.raises(FormatError) as caught:
        find_blob(raw, address=address, rule=rule)
    return caught.value.field, caught.value.offset


PEF = "opt/ibm/pef/x"
DATA_AT = 124  # 110 bytes, then the name of 14


def test_an_operand_is_found_too_and_the_first_hit_decides() -> None:
    operand = OPERAND_MAGIC + b"more"
    place = find_blob(archive((PEF, operand)))
    assert (place.magic, place.offset, place.room) == (OPERAND_MAGIC, DATA_AT, 8)
    assert find_blob(archive((PEF, b"1234" + operand + BLOB))).magic == OPERAND_MAGIC
    assert find_blob(archive((PEF, b"1234" + BLOB + operand))).magic == BLOB_MAGIC


def test_real_firmware_goes_past_an_operand() -> None:
    raw = archive((PEF, OPERAND_MAGIC + b"more"), (PEF, BLOB))
    assert find_blob(raw).offset == DATA_AT
    place = find_blob(raw, magics=(BLOB_MAGIC,))
    assert (place.magic, place.offset) == (BLOB_MAGIC, DATA_AT + 8 + DATA_AT)


def test_strict_names() -> None:
    for name in (PEF, "opt/ibm/pef/a.b-c d"):
        assert find_blob(archive((name, BLOB)), rule=NameRule.STRICT).room == 8
    for name in ("opt/ibm/pef", "opt/ibm/pef/", "opt/ibm/pefX/y", "opt/ibm/pef/a/b"):
        raw = archive((name, BLOB))
        assert find_blob(raw, rule=REAL).room == 8
        assert refused(raw, rule=NameRule.STRICT) == ("name", 110)
    for name in ("opt/ibm/pef/..", "opt/ibm/pef/."):
        assert refused(archive((name, BLOB)), rule=NameRule.STRICT) == ("name", 110)


@pytest.mark.parametrize("name", ["opt/ibm/pe", "./opt/ibm/pef/x", "/opt/ibm/pef/x"])
def test_a_file_elsewhere_ends_the_search(name: str) -> None:
    for rule in NameRule:
        raw = archive((name, b"1"), (PEF, BLOB))
        assert refused(raw, rule=rule) == ("name", 110)


def test_a_name_without_its_nul_is_against_the_strict_rule_only() -> None:
    raw = bytearray(archive((PEF, BLOB)))
    raw[DATA_AT - 1] = ord("y")
    assert find_blob(raw, rule=REAL).offset == DATA_AT
    assert refused(bytes(raw), rule=NameRule.STRICT) == ("name", 110)


def test_no_blob() -> None:
    empty = archive()
    assert refused(empty) == ("blob", DATA_AT)
    for data in (b"", b"1234", b"1" + BLOB_MAGIC + b"123", b"\xd0\x0d\xfe", b"12345"):
        assert refused(archive((PEF, data)))[0] == "blob"


def test_a_magic_that_the_file_does_not_hold_whole() -> None:
    """The real code reads past the end of the file; here the file ends."""
    raw = bytearray(archive((PEF, b"1234" + BLOB_MAGIC[:3])))
    raw[DATA_AT + 7] = BLOB_MAGIC[3]
    assert refused(bytes(raw))[0] == "blob"


def test_magics_at_other_places_than_words() -> None:
    data = b"1" + BLOB_MAGIC * 100 + b"123" + BLOB
    place = find_blob(archive((PEF, data)))
    assert place.offset == DATA_AT + 404
    assert place.room == 8


def with_field(at: int, text: bytes, raw: bytes) -> bytes:
    return raw[:at] + text + raw[at + len(text) :]


def test_numbers_that_leave_the_initramfs() -> None:
    raw = archive((PEF, BLOB))
    assert refused(with_field(54, b"FFFFFFFF", raw)) == ("filesize", 54)
    beyond = f"{len(raw) - DATA_AT + 1:08X}".encode()
    assert refused(with_field(54, beyond, raw)) == ("filesize", 54)
    exactly = f"{len(raw) - DATA_AT:08X}".encode()
    assert find_blob(with_field(54, exactly, raw)).archive_size == 0
    assert refused(with_field(94, b"FFFFFFFF", raw)) == ("filesize", 54)
    folder = with_field(94, b"FFFFFFFF", archive(("opt", b""), (PEF, BLOB)))
    assert refused(folder)[0] == "magic"


@pytest.mark.parametrize("text", [b"-0000008", b"+0000008", b"0x000008", b"0000008 "])
def test_digits_are_digits(text: bytes) -> None:
    assert refused(with_field(54, text, archive((PEF, BLOB))))[0] == "filesize"
    assert refused(with_field(94, text, archive((PEF, BLOB))))[0] == "namesize"


def test_other_fields_are_not_looked_at() -> None:
    raw = with_field(6, b"not hex!" * 6, archive((PEF, BLOB)))
    assert find_blob(raw).archive_size == 512


def test_an_archive_that_breaks_off_behind_the_blob_has_no_trailer() -> None:
    raw = archive((PEF, BLOB), ("etc/x", b"1"))
    second = DATA_AT + len(BLOB)
    for broken in (
        raw[:second],
        raw[: second + 50],
        with_field(second, b"x", raw),
        with_field(second, b"070702", raw),
        with_field(second + 54, b"g", raw),
        with_field(second + 94, b"FFFFFFFF", raw),
    ):
        place = find_blob(broken, rule=REAL)
        assert (place.offset, place.archive_size) == (DATA_AT, 0)
        assert bytes(place.rest_of(broken)) == broken


def test_the_padding_must_be_there() -> None:
    raw = archive((PEF, BLOB), padding=4)
    assert refused(raw)[0] == "archive size"
    assert refused(raw.ljust(511, b"\0"))[0] == "archive size"
    assert find_blob(raw.ljust(512, b"\0")).archive_size == 512


def test_rounding_is_of_addresses() -> None:
    raw = archive((PEF, BLOB)) + bytes(512)
    assert find_blob(raw, address=8).archive_size == 504
    assert refused(raw, address=2)[0] == "magic"
    place = find_blob(b"\0\0" + raw, address=2)
    assert (place.offset, place.archive_size) == (2 + DATA_AT, 508)


def test_the_trailer_is_all_of_its_name() -> None:
    raw = archive(("TRAILER!!?", b""), (PEF, BLOB))
    assert find_blob(raw, rule=REAL).offset == DATA_AT + DATA_AT
    longer = archive(("TRAILER!!!x", b""), (PEF, BLOB))
    assert find_blob(longer, rule=REAL).archive_size == 512
    assert refused(archive() + archive((PEF, BLOB)))[0] == "blob"


BESIDE = {
    "a file": ("etc/x", b"1"),
    "an empty file": ("etc/x", b""),
    "a folder": ("etc", b""),
    "a folder's name with content": ("opt", b"1"),
    "a file above": ("opt/ibm/x", b"1"),
    "a file below": ("opt/ibm/pef/a/b", b""),
    "without NUL": ("opt/ibm/pef", b"1"),
}


@pytest.mark.parametrize("other", BESIDE.values(), ids=BESIDE)
def test_strictly_nothing_is_beside_the_blob(other: tuple[str, bytes]) -> None:
    """Linux unpacks it all, and no digest covers it."""
    behind = archive((PEF, BLOB), other)
    place = find_blob(behind, rule=REAL)
    assert place.archive_size == len(behind)
    assert refused(behind, rule=NameRule.STRICT)[0] == "name"
    if not other[1]:
        assert refused(archive(other, (PEF, BLOB)), rule=NameRule.STRICT)[0] == "name"
    several = archive((PEF, BLOB), ("opt/ibm/pef/y", b"1"), ("opt/ibm/pef", b""))
    assert find_blob(several, rule=NameRule.STRICT).archive_size == len(several)


def test_strictly_the_padding_is_blank() -> None:
    """Linux looks for a further archive there."""
    raw = archive((PEF, BLOB))
    end = (raw.index(b"TRAILER!!!") + len(b"TRAILER!!!") + 4) // 4 * 4
    for at in (end, len(raw) - 1):
        hidden = raw[:at] + b"0" + raw[at + 1 :]
        assert find_blob(hidden, rule=REAL).archive_size == len(raw)
        assert refused(hidden, rule=NameRule.STRICT)[0] == "padding"


def test_the_number_of_files_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = archive(*[("opt", b"")] * 3, (PEF, BLOB))
    assert find_blob(raw).room == 8
    monkeypatch.setattr("pefstack.images.initramfs.MAX_ENTRY_COUNT", 4)
    assert refused(raw)[0] == "entries"


@given(st.binary(max_size=400), st.integers(0, 5), st.sampled_from(NameRule))
def test_noise(raw: bytes, address: int, rule: NameRule) -> None:
    with suppress(FormatError):
        find_blob(b"070701" + raw, address=address, rule=rule)


@given(st.integers(0, 2559), st.integers(0, 255))
def test_a_changed_byte(at: int, value: int) -> None:
    """Whatever it does, what is found lies inside."""
    raw = bytearray((ESM / "esmb-initrd-a.img").read_bytes())
    raw[at] = value
    with suppress(FormatError):
        place = find_blob(raw, rule=REAL)
        assert bytes(raw[place.offset :][:4]) in MAGICS
        assert place.archive_size in (0, 2560)


@given(st.integers(0, 3583))
def test_cut_short(size: int) -> None:
    raw = (ESM / "esmb-initrd-a.img").read_bytes()[:size]
    try:
        place = find_blob(raw)
    except FormatError:
        assert size < 2560
    else:
        assert place.archive_size == (2560 if size >= 2560 else 0)


@given(st.lists(st.binary(max_size=20), max_size=4), st.sampled_from(MAGICS))
def test_the_place_against_a_plain_computation(
    parts: list[bytes], magic: bytes
) -> None:
    """One file; every word of it looked at, one after the other."""
    data = magic.join(parts)
    raw = archive((PEF, data))
    words = [data[at : at + 4] for at in range(0, len(data) - 3, 4)]
    hits = [4 * n for n, word in enumerate(words) if word in MAGICS]
    if hits:
        assert find_blob(raw).offset == DATA_AT + hits[0]
        assert find_blob(raw).archive_size == len(raw)
    else:
        assert refused(raw)[0] == "blob"


def test_numbers_are_read_in_either_case() -> None:
    raw = archive((PEF, BLOB + bytes(0xAB)))
    at = raw.index(b"000000B3")
    assert find_blob(with_field(at, b"000000b3", raw)) == find_blob(raw)
    assert struct.calcsize("4s4s") + 0xAB == 0xB3
