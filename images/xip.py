"""XIP image of an SBE SEEPROM: header and section table (boot-chain.md 2.4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from typing import Final

from pefstack.images.codec import U8, U32, U64, Buffer, Layout, octets
from pefstack.images.errors import FormatError

NAME: Final = "XIP image"
MAGIC: Final = 0x584950205345504D  # XIP SEPM, boot and measurement SEEPROM alike
HEADER_VERSION: Final = 2  # the POWER10 one, with 24 places in the section table
HEADER_SIZE: Final = 456
SECTION_TABLE_OFFSET: Final = 64
SECTION_COUNT: Final = 24
IMAGE_SIZE_OFFSET: Final = 352
HEADER_VERSION_OFFSET: Final = 384
IMAGE_ALIGNMENT: Final = 8
MAX_ALIGNMENT: Final = 128
HEADER_SECTION: Final = ".header"

# in the order of the table, whose last place is spare
SECTION_NAMES: Final = (
    HEADER_SECTION,
    ".fixed",
    ".fixed_toc",
    ".toc",
    ".strings",
    ".loader_text",
    ".pibrepr_data",
    ".text",
    ".data",
    ".base",
    ".baseloader",
    ".rings",
    ".overrides",
    ".hbbl",
    ".fa_ec_cl2_far",
    ".fa_ec_mma_far",
    ".fa_ring_ovrd",
    ".ringidfeatlist",
    ".hdct",
    ".sbh_firmware",
    ".sbh_hbbl",
    ".sb_settings",
    ".sb_verification",
)

_SECTION: Final = struct.Struct(">IIBB2s")
_HEADER: Final = Layout(
    NAME,
    magic=U64,
    l1_loader_address=U64,
    l2_loader_address=U64,
    kernel_address=U64,
    data_address=U64,
    link_address=U64,
    reserved=octets(16),
    sections=octets(SECTION_COUNT * _SECTION.size),
    image_size=U32,
    build_date=U32,
    build_time=U32,
    build_tag=octets(20),
    header_version=U8,
    normalized=U8,
    toc_sorted=U8,
    reserved_flags=octets(5),
    build_user=octets(16),
    build_host=octets(32),
    build_head_commit=octets(8),
    reserved_text=octets(8),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class XipSection:
    """One place of the section table; a section of size 0 is absent."""

    offset: int = 0
    size: int = 0
    alignment: int = 1
    dd_support: int = 0
    reserved: bytes = bytes(2)

    def to_bytes(self) -> bytes:
        """12 bytes; `FormatError` if a number does not fit into its field."""
        values = [getattr(self, each.name) for each in fields(self)]
        try:
            return _SECTION.pack(*values)
        except struct.error as exc:
            raise FormatError(NAME, "section", 0, str(exc), "values that fit") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class XipHeader:
    """456 bytes; ``l1_loader_address`` at offset 8 is where the OTPROM jumps to.

    ``image_size`` counts the header. What a build would say about its time and place is
    empty unless it is given.
    """

    magic: int = MAGIC
    l1_loader_address: int = 0
    l2_loader_address: int = 0
    kernel_address: int = 0
    data_address: int = 0
    link_address: int = 0
    reserved: bytes = bytes(16)
    sections: tuple[XipSection, ...]
    image_size: int
    build_date: int = 0
    build_time: int = 0
    build_tag: bytes = bytes(20)
    header_version: int = HEADER_VERSION
    normalized: int = 1
    toc_sorted: int = 0
    reserved_flags: bytes = bytes(5)
    build_user: bytes = bytes(16)
    build_host: bytes = bytes(32)
    build_head_commit: bytes = bytes(8)
    reserved_text: bytes = bytes(8)

    @classmethod
    def from_prefix(cls, raw: Buffer) -> tuple[XipHeader, int]:
        """The header at the start of ``raw``, and its size.

        Raises `FormatError` for another magic or version, and for an image size or a
        section that does not agree with the others (not with the length of ``raw``).
        """
        _check_magic(raw)
        values = _HEADER.parse_prefix(raw)
        header = cls(**values | {"sections": _sections(values["sections"])})
        _check_header(header)
        return header, HEADER_SIZE

    def to_bytes(self) -> bytes:
        """456 bytes; `FormatError` if a value does not fit into its field."""
        table = b"".join(each.to_bytes() for each in self.sections)
        return _HEADER.build(self, sections=table)


@dataclass(frozen=True, slots=True, kw_only=True)
class XipImage:
    """The header, and all bytes of the image, those of the header among them."""

    header: XipHeader
    raw: bytes

    @classmethod
    def from_prefix(cls, raw: Buffer) -> tuple[XipImage, int]:
        """The image at the start of a SEEPROM, and its size.

        Raises `FormatError` for a bad header or an image that ``raw`` cuts off.
        """
        header, _ = XipHeader.from_prefix(raw)
        size = header.image_size
        if size > len(raw):
            limit = f"at most 0x{len(raw):x} bytes"
            raise FormatError(
                NAME, "image_size", IMAGE_SIZE_OFFSET, f"0x{size:x}", limit
            )
        return cls(header=header, raw=bytes(raw[:size])), size

    @classmethod
    def from_bytes(cls, raw: Buffer) -> XipImage:
        """The same, and nothing may follow the image."""
        image, size = cls.from_prefix(raw)
        if rest := len(raw) - size:
            found = f"0x{rest:x} bytes left over"
            raise FormatError(NAME, "end", size, found, "no more bytes")
        return image

    def to_bytes(self) -> bytes:
        """All bytes of the image."""
        return self.raw

    @property
    def entry_pointer(self) -> int:
        """The address that the OTPROM jumps to."""
        return self.header.l1_loader_address

    def offset(self, name: str) -> int:
        """Where a section begins in the image; 0 if it is absent."""
        return self.header.sections[SECTION_NAMES.index(name)].offset

    def with_section(self, name: str, content: bytes) -> XipImage:
        """The image with another content of the same size; `FormatError` otherwise."""
        old, at = self.section(name), self.offset(name)
        if len(old) != len(content):
            found, wanted = f"0x{len(content):x} bytes", f"0x{len(old):x} bytes"
            raise FormatError(NAME, name, at, found, wanted)
        raw = self.raw[:at] + content + self.raw[at + len(content) :]
        return XipImage(header=self.header, raw=raw)

    @property
    def sections(self) -> dict[str, bytes]:
        """Name to content of the sections that are there, in the order of the table."""
        return {
            name: self.raw[each.offset : each.offset + each.size]
            for name, each in zip(SECTION_NAMES, self.header.sections, strict=False)
            if each.size
        }

    def section(self, name: str) -> bytes:
        """The content of a section; `FormatError` if it is absent."""
        for known, each in zip(SECTION_NAMES, self.header.sections, strict=False):
            if known == name and each.size:
                return self.raw[each.offset : each.offset + each.size]
        raise FormatError(NAME, name, SECTION_TABLE_OFFSET, "no such section", "one")


def begins_like_image(raw: Buffer) -> bool:
    """Whether the magic is there; nothing else is looked at."""
    return bytes(raw[:8]) == MAGIC.to_bytes(8, "big")


def _sections(raw: bytes) -> tuple[XipSection, ...]:
    rows = list(_SECTION.iter_unpack(raw))
    made = {row: _section(*row) for row in set(rows)}  # most are absent, and alike
    return tuple(made[row] for row in rows)


def _section(
    offset: int, size: int, alignment: int, dd_support: int, reserved: bytes
) -> XipSection:
    return XipSection(
        offset=offset,
        size=size,
        alignment=alignment,
        dd_support=dd_support,
        reserved=reserved,
    )


def _check_magic(raw: Buffer) -> None:
    magic = bytes(raw[:8])
    if magic != MAGIC.to_bytes(8, "big"):
        raise FormatError(NAME, "magic", 0, f"0x{magic.hex()}", f"0x{MAGIC:016x}")


def _check_header(header: XipHeader) -> None:
    if header.header_version != HEADER_VERSION:
        found = f"0x{header.header_version:x}"
        raise FormatError(NAME, "header_version", HEADER_VERSION_OFFSET, found, "0x2")
    size = header.image_size
    if size < HEADER_SIZE or size % IMAGE_ALIGNMENT:
        wanted = f"at least 0x{HEADER_SIZE:x}, a multiple of 0x{IMAGE_ALIGNMENT:x}"
        raise FormatError(NAME, "image_size", IMAGE_SIZE_OFFSET, f"0x{size:x}", wanted)
    for number, section in enumerate(header.sections):
        if section.size:
            _check_section(number, section, size)


def _check_section(number: int, section: XipSection, image_size: int) -> None:
    at = SECTION_TABLE_OFFSET + number * _SECTION.size
    name = SECTION_NAMES[number] if number < len(SECTION_NAMES) else f"{number}"
    if section.offset + section.size > image_size:
        found = f"0x{section.offset:x} + 0x{section.size:x}"
        limit = f"to end by 0x{image_size:x}"
        raise FormatError(NAME, f"section {name}", at, found, limit)
    alignment = section.alignment
    if not 0 < alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        limit = f"a power of two up to 0x{MAX_ALIGNMENT:x}"
        raise FormatError(
            NAME, f"alignment of {name}", at + 8, f"0x{alignment:x}", limit
        )
    if section.offset % alignment:
        limit = f"a multiple of 0x{alignment:x}"
        raise FormatError(NAME, f"offset of {name}", at, f"0x{section.offset:x}", limit)
