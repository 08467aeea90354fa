"""What is built: the ``[image]`` tables of a machine file as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pefstack.hw.flip import FlipSpec
from pefstack.hw.mapping import SettingError, check_range, from_mapping, to_mapping
from pefstack.tools.builders.content_spec import ContentSpec
from pefstack.tools.builders.guest_spec import GuestImageSpec

MIN_FLASH_SIZE: Final = 0x10000
MAX_FLASH_SIZE: Final = 1 << 28
BLOCK_SIZE: Final = 0x1000
_UINT32: Final = 0xFFFF_FFFF
_UINT64: Final = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysSpec:
    """Signing keys: a folder of PEM files, or test keys that follow from a seed."""

    file: str = ""
    seed: str = ""

    def __post_init__(self) -> None:
        if bool(self.file) == bool(self.seed):
            raise SettingError("file", "give either `file` (a folder) or `seed`")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """How a content is signed; the options of the signing tools.

    With ``hash_pages`` a hash page table is the payload and the content follows it,
    verified page by page; for HBI in the flash, which is tied to HBB. With ``nested``
    the payload is a container of its own around the content: a key transition.
    """

    sw_keys: int = 1
    entry: int = 0
    security_version: int = 0
    hw_flags: int = 0x80000000
    sw_flags: int = 0
    target_hrmor: int = 0
    label: str = ""
    keys: KeysSpec | None = None
    hash_pages: bool = False
    nested: ContainerSpec | None = None

    def __post_init__(self) -> None:
        if self.nested is not None and (self.hash_pages or self.nested.nested):
            raise SettingError("nested", "found more than a container in a container")
        check_range("sw-keys", self.sw_keys, 3, least=1)
        check_range("entry", self.entry, _UINT64)
        check_range("security-version", self.security_version, 0xFF)
        check_range("hw-flags", self.hw_flags, _UINT32)
        check_range("sw-flags", self.sw_flags, _UINT32)
        check_range("target-hrmor", self.target_hrmor, _UINT64)


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionSpec:
    """A section of the SEEPROM; with a container it is signed."""

    content: ContentSpec
    container: ContainerSpec = field(default_factory=ContainerSpec)
    flip: tuple[FlipSpec, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeepromSpec:
    """The boot SEEPROM: what the mutable boot loader is made of."""

    base: SectionSpec
    sb_verification: SectionSpec
    hbbl: SectionSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementSpec:
    """The measurement SEEPROM: immutable code and its 4-byte version."""

    code: ContentSpec
    version: bytes = bytes.fromhex("00020013")

    def __post_init__(self) -> None:
        if len(self.version) != 4:
            found = self.version.hex()
            raise SettingError("version", f"found {found!r}, expected 4 bytes in hex")


@dataclass(frozen=True, slots=True, kw_only=True)
class SbeImageSpec:
    """An SBE image as a partition's content: the machine's boot SEEPROM, built anew.

    ``keys`` sign its containers, ``security_version`` goes into both; another ``seed``
    is the code of another build. Its settings are blank: Hostboot puts them in.
    """

    keys: KeysSpec | None = None
    security_version: int = 0
    seed: str = "pefstack"

    def __post_init__(self) -> None:
        check_range("security-version", self.security_version, 0xFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSpec:
    """A flash partition: raw place and size in bytes; ``flags`` as ffspart's letters.

    What lies in it is ``content`` or ``sbe_image``. E is not a flag here but ``ecc``.
    With a container the content is signed, unless ``signed`` is False; ``flip`` then
    damages it before ECC is put over it, ``flip_raw`` after. An ``absent`` partition is
    left out, as if nobody had named it.
    """

    base: int
    size: int
    ecc: bool = False
    flags: str = ""
    content: ContentSpec | None = None
    sbe_image: SbeImageSpec | None = None
    container: ContainerSpec | None = None
    signed: bool = True
    flip: tuple[FlipSpec, ...] = ()
    flip_raw: tuple[FlipSpec, ...] = ()
    absent: bool = False

    def __post_init__(self) -> None:
        _check_blocks("base", self.base)
        _check_blocks("size", self.size, least=BLOCK_SIZE)
        if self.content is not None and self.sbe_image is not None:
            raise SettingError("sbe-image", "give either `content` or `sbe-image`")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashSpec:
    """The flash image; ``partition`` is a table by name."""

    size: int
    table_size: int = 0x8000
    keys: KeysSpec | None = None
    partition: dict[str, PartitionSpec] = field(default_factory=dict)

    @property
    def present(self) -> dict[str, PartitionSpec]:
        """The partitions that are really there."""
        return {name: p for name, p in self.partition.items() if not p.absent}

    def __post_init__(self) -> None:
        _check_blocks("size", self.size, least=MIN_FLASH_SIZE)
        _check_blocks("table-size", self.table_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """All images of a machine, and the keys that sign them.

    ``provisioned``: the machine comes with the state of a TPM that has its index and
    keys; a ``guest`` that is sealed for it needs them, and brings them along.
    """

    keys: KeysSpec
    measurement: MeasurementSpec
    seeprom: SeepromSpec
    flash: FlashSpec
    provisioned: bool = False
    guest: GuestImageSpec | None = None

    @property
    def makes_tpm_state(self) -> bool:
        """Whether the machine comes with the state of its TPM."""
        sealed = self.guest is not None and self.guest.is_sealed
        return self.provisioned or sealed

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any]) -> ImageSpec:
        """From the ``[image]`` table of a machine file; raises `SettingError`."""
        return from_mapping(cls, table, "image")

    def to_mapping(self) -> dict[str, Any]:
        """The ``[image]`` table that gives this value again."""
        return to_mapping(self)


def _check_blocks(key: str, value: int, least: int = 0) -> None:
    """An offset or a size in the flash: whole blocks of 4 KiB."""
    check_range(key, value, MAX_FLASH_SIZE, least)
    if value % BLOCK_SIZE:
        found, expected = f"0x{value:x}", f"a multiple of 0x{BLOCK_SIZE:x}"
        raise SettingError(key, f"found {found}, expected {expected}")
