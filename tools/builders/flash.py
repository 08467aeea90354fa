"""Build the flash image: partition tables, containers, ECC (boot-chain.md 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from pefstack.firmware.profile_row import ProfileTable
from pefstack.hw.flip import flipped
from pefstack.hw.mapping import SettingError
from pefstack.images import ecc, ffs_entry, hash_page_table
from pefstack.images.container_peek import sw_signatures_of
from pefstack.images.errors import FormatError
from pefstack.images.ffs_build import build_table
from pefstack.images.ffs_build import partition as table_entry
from pefstack.images.ffs_entry import FfsEntry
from pefstack.images.signing import KeySet
from pefstack.tools.builders.container import signed_header
from pefstack.tools.builders.content import content, key_set, page_salt
from pefstack.tools.builders.spec import (
    ContainerSpec,
    FlashSpec,
    PartitionSpec,
    SbeImageSpec,
)

BACKUP_DISTANCE: Final = 0x9000  # HBBL looks for the table this far before the end
_BLANK_WORD: Final = b"\xff" * 8
_MISC: Final = {  # ffspart's letters
    "P": ffs_entry.MISC_PRESERVED,
    "R": ffs_entry.MISC_READ_ONLY,
    "B": ffs_entry.MISC_BACKUP,
    "F": ffs_entry.MISC_REPROVISION,
    "V": ffs_entry.MISC_VOLATILE,
    "C": ffs_entry.MISC_CLEAR_ECC,
    "G": ffs_entry.MISC_GOLDEN,
}


BuildSbe = Callable[[SbeImageSpec], bytes]


def build_flash(
    spec: FlashSpec, keys: KeySet, profile: ProfileTable, build_sbe: BuildSbe
) -> bytearray:
    """The image: a table at the start and one near the end, partitions, erased gaps.

    What a hash page table needs beside its container follows from the profile.
    ``build_sbe`` makes the content of a partition that holds an SBE image.
    """
    signing = keys if spec.keys is None else key_set(spec.keys)
    image = bytearray(b"\xff") * spec.size
    _put_tables(spec, image)
    for name, each in spec.present.items():
        data = _content(name, each, build_sbe)
        if each.container is not None and each.signed:
            data = _signed(name, data, spec, signing, profile)
        raw = _raw(name, data, each)
        image[each.base : each.base + len(raw)] = raw
    return image


def _put_tables(spec: FlashSpec, image: bytearray) -> None:
    entries = [
        table_entry(
            name,
            each.base,
            each.size,
            ecc=each.ecc,
            container=each.container is not None,
            misc=_misc(name, each.flags),
        )
        for name, each in spec.present.items()
    ]
    table = _table(spec, entries)
    backup = spec.size - BACKUP_DISTANCE
    for name, each in spec.present.items():
        if each.base < backup + len(table) and each.base + each.size > backup:
            problem = f"lies on the second table at 0x{backup:x}"
            raise SettingError(f"{name}.base", problem)
    for at in (0, backup):
        image[at : at + len(table)] = table


def _table(spec: FlashSpec, entries: list[FfsEntry]) -> bytes:
    try:
        made = build_table(spec.size, entries, table_size=spec.table_size)
    except FormatError as wrong:  # the description is wrong, no bytes from outside
        raise SettingError("image.flash.partition", str(wrong)) from wrong
    return made.to_bytes()


def _misc(name: str, flags: str) -> int:
    if unknown := set(flags) - set(_MISC):
        there = "".join(_MISC)
        problem = f"found {min(unknown)!r}, expected some of {there}"
        raise SettingError(f"{name}.flags", problem)
    return sum(_MISC[letter] for letter in set(flags))


def _content(name: str, spec: PartitionSpec, build_sbe: BuildSbe) -> bytes:
    if spec.sbe_image is not None:
        return build_sbe(spec.sbe_image)
    return b"" if spec.content is None else content(spec.content, name)


def _signed(
    name: str, data: bytes, flash: FlashSpec, keys: KeySet, profile: ProfileTable
) -> bytes:
    """The container; of a key transition around a container of its own."""
    container = flash.partition[name].container or ContainerSpec()
    if container.hash_pages:
        return _paged(name, data, flash, keys, profile)
    if container.nested is not None:
        data = signed_header(data, container.nested, keys, name) + data
    return signed_header(data, container, keys, name) + data


def _raw(name: str, data: bytes, spec: PartitionSpec) -> bytes:
    """What lies in the partition: damaged, behind ECC as asked."""
    data = flipped(data, spec.flip, name)
    room = ecc.data_size(spec.size // 9 * 9) if spec.ecc else spec.size
    if len(data) > room:
        found, expected = f"0x{len(data):x} bytes", f"at most 0x{room:x}"
        raise SettingError(f"{name}.content", f"found {found}, expected {expected}")
    raw = _behind_ecc(data, room) if spec.ecc else data
    return flipped(raw, spec.flip_raw, name)


def _paged(
    name: str, data: bytes, flash: FlashSpec, keys: KeySet, profile: ProfileTable
) -> bytes:
    """A container whose payload is the table; the data follows it unprotected."""
    if name not in profile.paged:
        those = ", ".join(profile.paged) or "none"
        problem = f"the profile reads no pages of {name}; partitions with pages: "
        raise SettingError(f"{name}.container.hash-pages", problem + those)
    part = flash.partition[name]
    container = part.container or ContainerSpec()
    flags = container.sw_flags | profile.flag_of(name)
    salt = _hbi_salt(flash, keys) if name == "HBI" else page_salt(part.content, name)
    table = hash_page_table.build(salt, data)
    flagged = replace(container, sw_flags=flags)
    return signed_header(table, flagged, keys, name, len(data)) + table + data


def _hbi_salt(spec: FlashSpec, keys: KeySet) -> bytes:
    """What begins HBI's table: it follows from the signatures over HBB."""
    hbb = spec.present.get("HBB")
    if hbb is None or hbb.container is None or hbb.content is None:
        return bytes(hash_page_table.ENTRY_SIZE)
    header = signed_header(content(hbb.content, "HBB"), hbb.container, keys, "HBB")
    return hash_page_table.hbi_salt(sw_signatures_of(header))


def _behind_ecc(data: bytes, room: int) -> bytes:
    """The data and, up to the end of the partition, blank words: their ECC is zero."""
    words = -(-len(data) // 8) * 8
    blank = _BLANK_WORD * ((room - words) // 8)
    return ecc.encode(data.ljust(words, b"\xff") + blank)
