"""Find out what a file is, and say what every byte of it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from pefstack.images import (
    cpio_header,
    ecc,
    elf_header,
    esm_operand,
    event_log_header,
    fdt_header,
    hdif,
)
from pefstack.images.codec import Buffer
from pefstack.images.container import MAGIC
from pefstack.images.errors import FormatError
from pefstack.tools.inspection.container import container_regions
from pefstack.tools.inspection.cpio import cpio_regions
from pefstack.tools.inspection.device_tree import device_tree_regions
from pefstack.tools.inspection.elf import elf_regions
from pefstack.tools.inspection.esm_blob import esm_blob_regions, is_esm_blob
from pefstack.tools.inspection.esm_operand import esm_operand_regions
from pefstack.tools.inspection.event_log import event_log_regions, replayed
from pefstack.tools.inspection.flash import flash_regions
from pefstack.tools.inspection.hdat import hdat_regions
from pefstack.tools.inspection.region import Region
from pefstack.tools.inspection.seeprom import seeprom_regions

Inspector = Callable[[Buffer], Iterator[Region]]
_CONTAINER: Final = MAGIC.to_bytes(4, "big")
_BEHIND_ECC: Final = ecc.encode(_CONTAINER + b"\0\1\0\0")  # version 1, then its size


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a file is; ``pcrs`` is what a log replays to, by bank and PCR."""

    format: str
    size: int
    regions: tuple[Region, ...]
    pcrs: dict[str, dict[str, str]] = field(default_factory=dict)


def inspect_bytes(raw: Buffer) -> Inspection:
    """Recognise the format by its magic; `FormatError` if there is none, or if the
    bytes break its rules."""
    head = bytes(raw[:64])
    for name, magic, offset, inspector in _FORMATS:
        if head[offset : offset + len(magic)] == magic:
            if inspector is device_tree_regions and is_esm_blob(raw):
                name, inspector = "ESM blob", esm_blob_regions
            pcrs = replayed(raw) if inspector is event_log_regions else {}
            return Inspection(
                format=name, size=len(raw), regions=tuple(inspector(raw)), pcrs=pcrs
            )
    known = ", ".join(dict.fromkeys(name for name, *_ in _FORMATS))
    raise FormatError("file", "magic", 0, head[:16].hex() or "nothing", known)


def _behind_ecc(raw: Buffer) -> Iterator[Region]:
    """A partition as it lies in the flash; offsets are those of the data behind ECC."""
    decoded = ecc.decode(raw[: len(raw) // 9 * 9])
    if decoded.uncorrectable:
        where = 9 * decoded.uncorrectable[0]
        count = len(decoded.uncorrectable)
        raise FormatError("ECC", "word", where, f"{count} uncorrectable", "none")
    return container_regions(decoded.data)


_FORMATS: Final[tuple[tuple[str, bytes, int, Inspector], ...]] = (
    ("flash image", b"PART", 0, flash_regions),
    ("SEEPROM image", b"XIP ", 0, seeprom_regions),
    ("device tree", fdt_header.MAGIC.to_bytes(4, "big"), 0, device_tree_regions),
    ("ESM operand", esm_operand.MAGIC, 0, esm_operand_regions),
    ("HDAT", hdif.MAGIC, 0, hdat_regions),
    ("event log", event_log_header.SIGNATURE, 32, event_log_regions),
    ("container behind ECC", _BEHIND_ECC, 0, _behind_ecc),
    ("container", _CONTAINER, 0, container_regions),
    ("cpio", cpio_header.MAGIC, 0, cpio_regions),
    ("cpio", cpio_header.MAGIC_CRC, 0, cpio_regions),
    ("ELF", elf_header.MAGIC, 0, elf_regions),
)
