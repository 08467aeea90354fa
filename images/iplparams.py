"""HDAT IPL parameters: what Hostboot tells the payload about the system.

Only the first part, the system parameters, is read and written: the security settings
are in it (boot-chain.md 4.2; fields as in hostboot hdatiplparms.H and skiboot spira.h).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError
from pefstack.images.hdif import (
    CHILD_COUNT_OFFSET,
    POINTER_COUNT_OFFSET,
    HdifHeader,
    join,
    read_pointers,
)

NAME: Final = "IPLPMS"
EYE_CATCHER: Final = b"IPLPMS"
VERSION_POWER9: Final = 0x71
VERSION_POWER10: Final = 0x80
FIRST_VERSION: Final = 0x60  # the first one with security settings
HW_KEY_HASH_SIZE: Final = 64

SIGNATURE_CHECKING: Final = 0x8000  # bit 0 of sys_sec_setting
HASHES_EXTENDED: Final = 0x4000
OVERRIDES_ALLOWED: Final = 0x2000
TPM_REQUIRED: Final = 0x8000  # of tpm_config_bits

_FORMATS: Final = "4s 4s I I 8s I I I I I H B B I B B H I B 3s 64s H H H H 64s 64s 64s"
_SYSTEM: Final = struct.Struct(">" + _FORMATS)
SYSTEM_SIZE: Final = _SYSTEM.size
_VERSION_OFFSET: Final = 0x0A
_HASH_SIZE_FIELD: Final = 134


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemParameters:
    """328 bytes; speeds in MHz, texts with zeros behind them."""

    sys_model: bytes = bytes(4)
    cpu_feature_code: bytes = bytes(4)
    effective_pvr: int = 0
    system_type: int = 0
    num_lpar_oct: bytes = bytes(8)
    abc_bus_speed: int = 0
    wxyz_bus_speed: int = 0
    sys_eco_mode: int = 0
    sys_attributes: int = 0
    mem_scrubbing: int = 0
    cur_spl_value: int = 0
    pump_mode: int = 0
    use_pore_sleep: int = 0
    pore_image_size: int = 0
    vtpm_enabled: int = 0
    hw_page_table_size: int = 0
    hv_disp_wheel: int = 0
    nest_freq_mhz: int = 0
    split_core_mode: int = 0
    reserved: bytes = bytes(3)
    sys_vendor: bytes = bytes(64)
    sys_sec_setting: int = 0
    tpm_config_bits: int = 0
    tpm_drawer: int = 0
    hw_key_hash_size: int = 0
    hw_key_hash: bytes = bytes(64)
    sys_family: bytes = bytes(64)
    sys_type: bytes = bytes(64)

    @classmethod
    def from_bytes(cls, raw: Buffer) -> SystemParameters:
        """Exactly 328 bytes; `FormatError` for another number of them, and for a hash
        that is longer than its field."""
        if len(raw) != SYSTEM_SIZE:
            found = f"0x{len(raw):x} bytes"
            raise FormatError(NAME, "system", 0, found, f"0x{SYSTEM_SIZE:x} bytes")
        value = cls(**dict(zip(_FIELDS, _SYSTEM.unpack(raw), strict=True)))
        _check_hash_size(value.hw_key_hash_size)
        return value

    def to_bytes(self) -> bytes:
        """328 bytes; `FormatError` for what `from_bytes` refuses or does not fit."""
        _check_hash_size(self.hw_key_hash_size)
        values = _values(self)
        try:
            raw = _SYSTEM.pack(*values)
        except struct.error as exc:
            raise FormatError(NAME, "value", 0, str(exc), "values that fit") from None
        if _SYSTEM.unpack(raw) != values:  # struct cuts and fills without a word
            raise FormatError(NAME, "value", 0, "bytes of another size", "full fields")
        return raw


_FIELDS: Final = tuple(SystemParameters.__dataclass_fields__)
_values: Final = attrgetter(*_FIELDS)
# name and size of every field, in order
SYSTEM_FIELDS: Final = tuple(
    (name, struct.calcsize(each))
    for name, each in zip(_FIELDS, _FORMATS.split(), strict=True)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IplParameters:
    """The structure, as far as it is read here: its version and its first part."""

    instance: int = 0
    version: int
    system: SystemParameters

    @classmethod
    def from_prefix(cls, raw: Buffer) -> tuple[IplParameters, int]:
        """The structure at the start of ``raw``, and its size.

        Parts behind the first, and what newer firmware appends to the first, are not
        looked at. Raises `FormatError` for another eye-catcher, a version without
        security settings, children, no part at all, and a first part that is too short.
        """
        header, _ = HdifHeader.from_prefix(raw)
        _check_header(header)
        whole = memoryview(raw)[: header.total_size]
        first = read_pointers(whole, header)[0]
        if first.size < SYSTEM_SIZE:
            found, right = f"0x{first.size:x} bytes", f"0x{SYSTEM_SIZE:x} bytes"
            raise FormatError(NAME, "system", first.offset, found, right)
        part = whole[first.offset : first.offset + SYSTEM_SIZE]
        system = SystemParameters.from_bytes(part)
        value = cls(instance=header.instance, version=header.version, system=system)
        return value, header.total_size

    @classmethod
    def from_bytes(cls, raw: Buffer) -> IplParameters:
        """A structure and nothing behind it; errors as `from_prefix`."""
        value, size = cls.from_prefix(raw)
        if rest := len(raw) - size:
            raise FormatError(NAME, "end", size, f"0x{rest:x} bytes", "no more bytes")
        return value

    def to_bytes(self) -> bytes:
        """The header, one pointer, the system parameters: 376 bytes.

        Raises `FormatError` for what `from_bytes` would refuse.
        """
        if self.version < FIRST_VERSION:
            raise _wrong_version(self.version)
        parts = (self.system.to_bytes(),)
        return join(
            EYE_CATCHER, instance=self.instance, version=self.version, parts=parts
        )


def _check_header(header: HdifHeader) -> None:
    if header.eye_catcher != EYE_CATCHER:
        found = repr(header.eye_catcher)
        raise FormatError(NAME, "eye_catcher", 2, found, repr(EYE_CATCHER))
    if header.version < FIRST_VERSION:
        raise _wrong_version(header.version)
    if not header.pointer_count:
        raise FormatError(NAME, "pointer_count", POINTER_COUNT_OFFSET, "0x0", "0x1")
    if header.child_count:
        found = f"0x{header.child_count:x}"
        raise FormatError(NAME, "child_count", CHILD_COUNT_OFFSET, found, "0x0")


def _wrong_version(version: int) -> FormatError:
    right = f"at least 0x{FIRST_VERSION:x}"
    return FormatError(NAME, "version", _VERSION_OFFSET, f"0x{version:x}", right)


def _check_hash_size(size: int) -> None:
    if size > HW_KEY_HASH_SIZE:
        limit = f"at most 0x{HW_KEY_HASH_SIZE:x}"
        raise FormatError(
            NAME, "hw_key_hash_size", _HASH_SIZE_FIELD, f"0x{size:x}", limit
        )
