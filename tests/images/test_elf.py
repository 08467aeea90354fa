"""ELF files: both classes and byte orders, every place that is checked."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elf_kit import ESM, NOBITS, Load, Made, Part, kernel
from pefstack.images.elf import Elf
from pefstack.images.elf_header import ElfHeader
from pefstack.images.errors import FormatError
from pefstack.images.flat_image import flat_image


def refused(raw: bytes) -> tuple[str, int]:
    with pytest.raises(FormatError) as caught:
        Elf.from_bytes(raw)
    assert caught.value.format_name == "ELF"
    return caught.value.field, caught.value.offset


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_classes_and_byte_orders(bits: int, order: str) -> None:
    part = Part(".kernel:x", 0x400, b"content", addr=0x1234, flags=6)
    load = Load(0x400, 0x1000, 0x2000, 7, 0x99)
    elf = Elf.from_bytes(Made([part], [load], bits, order).to_bytes())
    assert (elf.header.bits, elf.header.e_machine, elf.header.e_flags) == (bits, 21, 2)
    section = elf.named(".kernel:x")
    assert section is not None
    assert asdict(section) == {
        "name": ".kernel:x",
        "sh_type": 1,
        "sh_flags": 6,
        "sh_addr": 0x1234,
        "sh_offset": 0x400,
        "sh_size": 7,
    }
    assert bytes(elf.content_of(section)) == b"content"
    assert [asdict(each) for each in elf.segments] == [
        {
            "p_type": 1,
            "p_flags": 7,
            "p_offset": 0x400,
            "p_vaddr": 0x1000,
            "p_paddr": 0x2000,
            "p_filesz": 7,
            "p_memsz": 0x99,
            "p_align": 1,
        }
    ]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_header_is_written_as_it_was_read(bits: int, order: str) -> None:
    raw = (
        kernel(bits=64).to_bytes() if bits == 64 else Made([], [], 32, order).to_bytes()
    )
    header, size = ElfHeader.from_prefix(raw)
    assert header.to_bytes() == raw[:size]
    assert size == {32: 52, 64: 64}[bits]


def test_a_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(FormatError, match="header"):
        ElfHeader(e_type=0x10000).to_bytes()


def test_foreign_files() -> None:
    elf = Elf.from_bytes((ESM / "in" / "vmlinux-a.elf").read_bytes())
    names = ["", ".head.text", ".rodata", ".data", ".bss", ".comment", ".notloaded"]
    assert [each.name for each in elf.sections][:7] == names
    assert [each.p_paddr for each in elf.segments] == [0, 0x100]
    loaded = [each.name for each in elf.sections if each.is_loaded]
    assert loaded == [".head.text", ".rodata", ".data"]
    bss = elf.named(".bss")
    assert bss is not None
    assert bytes(elf.content_of(bss)) == b""


def patched(at: int, value: int, size: int = 1) -> bytes:
    raw = bytearray(kernel().to_bytes())
    raw[at : at + size] = value.to_bytes(size, "little")
    return bytes(raw)


END = len(kernel().to_bytes())
TABLE = Elf.from_bytes(kernel().to_bytes()).header.e_shoff
REFUSED = [
    (b"", "EI_MAG", 0),
    (patched(0, 0x7E), "EI_MAG", 0),
    (b"\x7fELF\2\1\1", "e_ident", 0),
    (patched(4, 3), "EI_CLASS", 4),
    (patched(4, 0), "EI_CLASS", 4),
    (patched(5, 3), "EI_DATA", 5),
    (patched(6, 0), "EI_VERSION", 6),
    (kernel().to_bytes()[:63], "header", 0),
    (patched(20, 2, 4), "e_version", 20),
    (patched(40, TABLE + 1, 8), "e_shoff", 40),
    (patched(40, 2**64 - 1, 8), "e_shoff", 40),
    (patched(32, END, 8), "e_phoff", 32),
    (patched(54, 32, 2), "e_phentsize", 54),
    (patched(58, 40, 2), "e_shentsize", 58),
    (patched(60, 0, 2), "e_shnum", 60),
    (patched(60, 0xFF00, 2), "e_shnum", 60),
    (patched(62, 7, 2), "e_shstrndx", 62),
    (patched(62, 0xFFFF, 2), "e_shstrndx", 62),
    (patched(62, 1, 2), "string table", TABLE + 64),
    (patched(64 + 32, 0x10000, 8), "segment 0", 64),
    (patched(64 + 56 + 8, 2**64 - 1, 8), "segment 1", 64 + 56),
    (patched(TABLE + 64 + 24, END, 8), "section 1", TABLE + 64),
    (patched(TABLE + 3 * 64 + 32, 2**63, 8), "section 3", TABLE + 3 * 64),
    (patched(TABLE + 64, 0x1000, 4), "sh_name", TABLE + 64),
]


@pytest.mark.parametrize(("raw", "field", "offset"), REFUSED)
def test_refused(raw: bytes, field: str, offset: int) -> None:
    assert refused(raw) == (field, offset)


def test_a_name_must_end_in_its_table() -> None:
    raw = bytearray(kernel().to_bytes())
    at = raw.index(b".shstrtab\0") + 9
    raw[at] = ord("x")
    assert refused(bytes(raw))[0] == "sh_name"


def test_sections_without_contents_may_lie_anywhere() -> None:
    parts = [Part(".bss", 1 << 40, b"", 0x100, NOBITS, size=1 << 40)]
    made = Made(parts)
    raw = bytearray(Made([Part(".bss", 0, b"", 0x100, NOBITS)]).to_bytes())
    at = struct.unpack_from("<Q", raw, 40)[0] + 64
    raw[at + 24 : at + 40] = struct.pack("<QQ", parts[0].offset, 1 << 40)
    elf = Elf.from_bytes(raw)
    assert elf.sections[1].sh_size == made.parts[0].size


def test_a_name_that_stands_twice_is_refused_when_asked_for() -> None:
    made = Made([Part(".one", 0x400, b"1"), Part(".one", 0x401, b"2")])
    elf = Elf.from_bytes(made.to_bytes())
    assert elf.named(".none") is None
    with pytest.raises(FormatError, match=r"\.one again"):
        elf.named(".one")


@given(st.integers(0, END - 1))
def test_cut_short(size: int) -> None:
    """The section headers are the last of the file: every cut is noticed."""
    with pytest.raises(FormatError):
        Elf.from_bytes(kernel().to_bytes()[:size])


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x7fELF\2\1\1", b"\x7fELF\1\2\1"])
)
def test_noise(raw: bytes, start: bytes) -> None:
    with suppress(FormatError):
        Elf.from_bytes(start + raw)


@given(st.integers(0, 0xFF) | st.integers(TABLE, END - 1), st.integers(0, 255))
def test_a_changed_byte_is_taken_or_refused_politely(at: int, value: int) -> None:
    with suppress(FormatError):
        flat_image(Elf.from_bytes(patched(at, value)))
