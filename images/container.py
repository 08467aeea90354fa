"""Secure boot container, version 1: header layout and values (boot-chain.md 1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pefstack.images.codec import U8, U16, U32, U64, Buffer, Layout, octets
from pefstack.images.errors import FormatError
from pefstack.images.p521 import KEY_SIZE, SIGNATURE_SIZE

NAME: Final = "secure boot container"
MAGIC: Final = 0x17082011
HEADER_SIZE: Final = 4096
HW_KEYS_OFFSET: Final = 30
PREFIX_OFFSET: Final = 426
HW_SIGNATURES_OFFSET: Final = 524  # when the prefix has no ECID
SW_KEYS_OFFSET: Final = HW_SIGNATURES_OFFSET + 3 * SIGNATURE_SIZE
PART_SIZE: Final = 98  # prefix header and software header, without ECIDs
ECID_SIZE: Final = 16
HW_KEY_COUNT: Final = 3

FLAG_HOSTBOOT: Final = 0x80000000  # hardware flag: firmware keys of Hostboot
FLAG_OPAL: Final = 0x40000000
FLAG_LAB_OVERRIDE: Final = 0x00080000
FLAG_KEY_TRANSITION: Final = 0x00000001
FLAG_HASH_PAGE_TABLE: Final = 0x80000000  # software flag

_HARDWARE: Final = Layout(
    NAME,
    magic=U32,
    version=U16,
    container_size=U64,
    target_hrmor=U64,
    stack_pointer=U64,
    hw_keys=octets(HW_KEY_COUNT * KEY_SIZE),
)
_PREFIX: Final = Layout(
    NAME,
    version=U16,
    hash_alg=U8,
    sig_alg=U8,
    code_start_offset=U64,
    reserved=U64,
    flags=U32,
    sw_key_count=U8,
    payload_size=U64,
    payload_hash=octets(64),
    ecid_count=U8,
)
_SOFTWARE: Final = Layout(
    NAME,
    version=U16,
    hash_alg=U8,
    sig_alg=U8,
    code_start_offset=U64,
    component_id=octets(8),
    flags=U32,
    security_version=U8,
    payload_size=U64,
    payload_hash=octets(64),
    ecid_count=U8,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareHeader:
    """The first 426 bytes: root keys and load address; only the keys are hashed."""

    magic: int = MAGIC
    version: int = 1
    container_size: int
    target_hrmor: int = 0
    stack_pointer: int = 0
    hw_keys: tuple[bytes, ...]

    def to_bytes(self) -> bytes:
        """426 bytes; `FormatError` if a value does not fit into its field."""
        sizes = [len(each) for each in self.hw_keys]
        if sizes != [KEY_SIZE] * HW_KEY_COUNT:
            found = "keys of " + " ".join(f"0x{size:x}" for size in sizes) + " bytes"
            raise FormatError(NAME, "hw_keys", 0, found, "three of 0x84 bytes")
        return _HARDWARE.build(self, hw_keys=b"".join(self.hw_keys))


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixHeader:
    """98 bytes at 426, signed by the hardware keys; protects the software keys."""

    version: int = 1
    hash_alg: int = 1
    sig_alg: int = 1
    code_start_offset: int = 0
    reserved: int = 0
    flags: int = FLAG_HOSTBOOT
    sw_key_count: int
    payload_size: int
    payload_hash: bytes
    ecid_count: int = 0

    def to_bytes(self) -> bytes:
        """98 bytes without ECIDs; `FormatError` if a value does not fit."""
        return _PREFIX.build(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareHeader:
    """98 bytes behind the software keys, signed by them; protects the payload."""

    version: int = 1
    hash_alg: int = 1
    sig_alg: int = 1
    code_start_offset: int = 0
    component_id: bytes
    flags: int = 0
    security_version: int = 0
    payload_size: int
    payload_hash: bytes
    ecid_count: int = 0

    def to_bytes(self) -> bytes:
        """98 bytes without ECIDs; `FormatError` if a value does not fit."""
        return _SOFTWARE.build(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerHeader:
    """The 4096-byte header: every field of it, checked for shape and nothing else."""

    hardware: HardwareHeader
    prefix: PrefixHeader
    prefix_ecids: bytes = b""
    hw_signatures: tuple[bytes, ...]
    sw_keys: tuple[bytes, ...]
    software: SoftwareHeader
    software_ecids: bytes = b""
    sw_signatures: tuple[bytes, ...]
    padding: bytes = b""  # behind the last signature, trailing zeros left out

    @classmethod
    def from_prefix(cls, raw: Buffer) -> ContainerHeader:
        """The header at the start of ``raw``; the payload behind it is not looked at.

        Raises `FormatError` when it is shorter than 4096 bytes, is not a version 1
        container, or its counts do not fit into 4096 bytes.
        """
        if len(raw) < HEADER_SIZE:
            found = f"0x{len(raw):x} bytes"
            raise FormatError(NAME, "header", 0, found, f"0x{HEADER_SIZE:x} bytes")
        cursor = _Cursor(bytes(raw[:HEADER_SIZE]))
        hardware = _hardware(cursor.take("hardware header", PREFIX_OFFSET))
        prefix = PrefixHeader(**cursor.part("prefix header", _PREFIX))
        prefix_ecids = cursor.take("prefix ECIDs", prefix.ecid_count * ECID_SIZE)
        hw_signatures = cursor.many("hardware signatures", HW_KEY_COUNT)
        sw_keys = cursor.many("software keys", prefix.sw_key_count)
        software = SoftwareHeader(**cursor.part("software header", _SOFTWARE))
        return cls(
            hardware=hardware,
            prefix=prefix,
            prefix_ecids=prefix_ecids,
            hw_signatures=hw_signatures,
            sw_keys=sw_keys,
            software=software,
            software_ecids=cursor.take(
                "software ECIDs", software.ecid_count * ECID_SIZE
            ),
            sw_signatures=cursor.many("software signatures", prefix.sw_key_count),
            padding=cursor.rest().rstrip(b"\0"),
        )

    def to_bytes(self) -> bytes:
        """4096 bytes; `FormatError` if parts, counts and header do not fit together."""
        raw = b""
        for field, part, size in self._parts():
            if len(part) != size:
                found, wanted = f"0x{len(part):x} bytes", f"0x{size:x} bytes"
                raise FormatError(NAME, field, len(raw), found, wanted)
            raw += part
        raw += self.padding
        if len(raw) > HEADER_SIZE:
            found = f"0x{len(raw):x} bytes"
            raise FormatError(NAME, "header", 0, found, f"at most 0x{HEADER_SIZE:x}")
        return raw.ljust(HEADER_SIZE, b"\0")

    def _parts(self) -> tuple[tuple[str, bytes, int], ...]:
        """Name and bytes of each part, and its size by the counts in the headers."""
        prefix, software = self.prefix, self.software
        count = prefix.sw_key_count
        hw_signatures = b"".join(self.hw_signatures)
        sw_signatures = b"".join(self.sw_signatures)
        return (
            ("hardware header", self.hardware.to_bytes(), PREFIX_OFFSET),
            ("prefix header", prefix.to_bytes(), PART_SIZE),
            ("prefix ECIDs", self.prefix_ecids, ECID_SIZE * prefix.ecid_count),
            ("hardware signatures", hw_signatures, SIGNATURE_SIZE * HW_KEY_COUNT),
            ("software keys", b"".join(self.sw_keys), KEY_SIZE * count),
            ("software header", software.to_bytes(), PART_SIZE),
            ("software ECIDs", self.software_ecids, ECID_SIZE * software.ecid_count),
            ("software signatures", sw_signatures, SIGNATURE_SIZE * count),
        )

    @property
    def label(self) -> str:
        """The component id as text, for people."""
        return self.software.component_id.rstrip(b"\0").decode("ascii", "replace")


class _Cursor:
    """Reads the parts of a header one behind the other, each bounded by its end."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def take(self, field: str, size: int) -> bytes:
        end = self._at + size
        if end > HEADER_SIZE:
            raise FormatError(
                NAME, field, self._at, f"0x{size:x} bytes", "to end by 0x1000"
            )
        part = self._raw[self._at : end]
        self._at = end
        return part

    def part(self, field: str, layout: Layout) -> dict[str, Any]:
        return layout.parse_all(self.take(field, PART_SIZE))

    def many(self, field: str, count: int) -> tuple[bytes, ...]:
        return _pairs(self.take(field, count * KEY_SIZE))

    def rest(self) -> bytes:
        return self._raw[self._at :]


def _hardware(raw: bytes) -> HardwareHeader:
    found = _HARDWARE.parse_all(raw)
    if found["magic"] != MAGIC:
        raise FormatError(NAME, "magic", 0, f"0x{found['magic']:08x}", "0x17082011")
    if found["version"] != 1:
        raise FormatError(NAME, "version", 4, f"0x{found['version']:x}", "0x1")
    return HardwareHeader(**found | {"hw_keys": _pairs(found["hw_keys"])})


def _pairs(together: bytes) -> tuple[bytes, ...]:
    """Keys, or signatures, that stand one behind the other."""
    return tuple(
        together[at : at + KEY_SIZE] for at in range(0, len(together), KEY_SIZE)
    )


def component_id(label: str) -> bytes:
    """The label as the header holds it: ASCII, cut and zero-padded to 8 bytes."""
    return label.encode("ascii", "replace")[:8].ljust(8, b"\0")
