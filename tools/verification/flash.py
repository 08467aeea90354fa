"""Verify containers in flash: through the ECC, in the order that a boot checks them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pefstack.firmware.partitions import Partition
from pefstack.firmware.stage import Refusal
from pefstack.images import ecc
from pefstack.images.codec import Buffer
from pefstack.images.container import (
    FLAG_KEY_TRANSITION,
    HEADER_SIZE,
    ContainerHeader,
    component_id,
)
from pefstack.images.container_peek import (
    announced_payload_size,
    begins_like_container,
    hw_flags_of,
)
from pefstack.images.container_verify import rom_verify
from pefstack.images.ecc import WORD_SIZE
from pefstack.images.ffs import FfsTable
from pefstack.images.ffs_entry import TYPE_PARTITION, FfsEntry
from pefstack.images.ffs_find import find_table
from pefstack.tools.verification.finding import Finding, Trust, judged, refused
from pefstack.tools.verification.transition import nested_finding

ONE_KEY: Final = "HBB"  # HBBL takes no more than one software key there


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is asked of a partition's container beside the checks of the ROM code."""

    label: bool = True
    one_key: bool = False
    size: bool = True


def table_of(flash: memoryview) -> FfsTable:
    """The table that a boot would find; `FormatError` if there is none."""
    return find_table(lambda at, size: flash[at : at + size], len(flash))[1]


def flash_findings(raw: Buffer, trust: Trust) -> Iterator[Finding]:
    """Every partition that announces a container, or begins like one."""
    flash = memoryview(raw)
    table = table_of(flash)
    for name in table.partition_sizes:
        entry, place = table.entry(name), place_of(table, name)
        if _has_container(flash, entry, place):
            rules = Rules(one_key=name == ONE_KEY)
            finding = partition_finding(flash, place, rules, trust)
            yield finding
            if finding.good and is_transition(flash, place):
                yield nested_finding(container_of(flash, place), place.offset, trust)


def place_of(table: FfsTable, name: str) -> Partition:
    """Where the first partition of this name lies."""
    return Partition(name, *table.extent(name), table.entry(name).has_ecc)


def partition_finding(
    flash: memoryview, place: Partition, rules: Rules, trust: Trust, stage: str = ""
) -> Finding:
    """The container of one partition; nothing behind its payload is looked at."""
    start = Finding(place=place.name, offset=place.offset, stage=stage)
    if place.room < HEADER_SIZE:
        found, wanted = f"0x{place.room:x} bytes", f"at least 0x{HEADER_SIZE:x} bytes"
        mend = "make the partition larger"
        refusal = Refusal.PARTITION_SIZE
        return refused(start, refusal, "partition size", found, wanted, mend)
    read = _read(flash, place, _size(flash, place))
    if read.uncorrectable:
        return _torn(start, place, read.uncorrectable)
    container = memoryview(read.data)
    return _in_place(rom_finding(start, container, trust), container, place, rules)


def holds_container(flash: memoryview, place: Partition) -> bool:
    """Whether the partition begins like a container."""
    return begins_like_container(_read(flash, place, min(WORD_SIZE, place.room)).data)


def container_of(flash: memoryview, place: Partition) -> memoryview:
    """The container of a partition that has room for one, through its ECC."""
    return memoryview(_read(flash, place, _size(flash, place)).data)


def is_transition(flash: memoryview, place: Partition) -> bool:
    """Whether the header of a container found good has the key transition flag."""
    header = _read(flash, place, HEADER_SIZE).data
    return bool(hw_flags_of(header) & FLAG_KEY_TRANSITION)


def rom_finding(start: Finding, container: Buffer, trust: Trust) -> Finding:
    """The 16 checks of the ROM code on a whole container."""
    wanted = trust.hash_for(container)
    version = trust.minimum_version
    return judged(start, container, lambda: rom_verify(container, wanted, version))


def _has_container(flash: memoryview, entry: FfsEntry, place: Partition) -> bool:
    if entry.type == TYPE_PARTITION:
        return False
    return entry.has_container or holds_container(flash, place)


def _size(flash: memoryview, place: Partition) -> int:
    """Header and announced payload, never more than the partition holds."""
    announced = announced_payload_size(_read(flash, place, HEADER_SIZE).data)
    return place.room if announced is None else min(place.room, HEADER_SIZE + announced)


def _read(flash: memoryview, place: Partition, size: int) -> ecc.Decoded:
    """The first ``size`` bytes of data, with the ECC words that are lost in them."""
    if not place.has_ecc:
        return ecc.Decoded(data=bytes(flash[place.offset : place.offset + size]))
    end = place.offset + ecc.raw_size(size)
    found = ecc.decode(flash[place.offset : end])
    return ecc.Decoded(data=found.data[:size], uncorrectable=found.uncorrectable)


def _torn(start: Finding, place: Partition, lost: tuple[int, ...]) -> Finding:
    first = place.offset + ecc.RAW_WORD_SIZE * lost[0]
    found = f"{len(lost)} uncorrectable words, the first at flash offset 0x{first:x}"
    mend = "write the partition again"
    return refused(start, Refusal.ECC_UNCORRECTABLE, "ECC", found, "none", mend)


def _in_place(
    finding: Finding, container: memoryview, place: Partition, rules: Rules
) -> Finding:
    """A verified container must also be the one that belongs there."""
    if not finding.good:
        return finding
    header = ContainerHeader.from_prefix(container)
    if rules.label and header.software.component_id != component_id(place.name):
        return _mislabelled(finding, header, place)
    if rules.one_key and header.prefix.sw_key_count != 1:
        found = f"{header.prefix.sw_key_count}"
        mend = f"sign {place.name} with one software key"
        refusal = Refusal.SW_KEY_COUNT
        return refused(finding, refusal, "number of software keys", found, "1", mend)
    return _sized(finding, header, place) if rules.size else finding


def _mislabelled(start: Finding, header: ContainerHeader, place: Partition) -> Finding:
    found, wanted = header.software.component_id, component_id(place.name)
    mend = "put each signed container into the partition of its own name"
    texts = "component id", repr(found), repr(wanted), mend
    return refused(start, Refusal.COMPONENT_ID, *texts)


def _sized(finding: Finding, header: ContainerHeader, place: Partition) -> Finding:
    found, least = (
        header.hardware.container_size,
        HEADER_SIZE + header.software.payload_size,
    )
    if least <= found <= place.room:
        return finding
    wanted = f"0x{least:x} to 0x{place.room:x}"
    mend = "build the container again; this field is not signed"
    texts = "container size", f"0x{found:x}", wanted, mend
    return refused(finding, Refusal.CONTAINER_SIZE, *texts)
