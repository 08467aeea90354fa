"""A secure boot container, field by field, with the hashes that it should have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from pefstack.images.codec import Buffer
from pefstack.images.container import (
    FLAG_KEY_TRANSITION,
    HEADER_SIZE,
    ContainerHeader,
)
from pefstack.images.container_peek import begins_like_container, hw_keys_hash_of
from pefstack.images.errors import FormatError
from pefstack.images.hash_page_table import (
    MAX_DATA_SIZE,
    PageError,
    check_pages,
    page_count,
    table_size,
)
from pefstack.images.signing import HW_KEY_NAMES, SW_KEY_NAMES
from pefstack.tools.inspection.region import Region, rest

# sizes of the header fields that are neither keys nor bytes, by their names
_SIZES = {
    "magic": 4,
    "version": 2,
    "container_size": 8,
    "target_hrmor": 8,
    "stack_pointer": 8,
    "hash_alg": 1,
    "sig_alg": 1,
    "code_start_offset": 8,
    "reserved": 8,
    "flags": 4,
    "sw_key_count": 1,
    "security_version": 1,
    "payload_size": 8,
    "ecid_count": 1,
}


def container_regions(raw: Buffer) -> Iterator[Region]:
    """The header's fields and the payload; `FormatError` if it is no container.

    The payload of a key transition is shown as the container that it is.
    """
    header = ContainerHeader.from_prefix(raw)
    yield from _header(raw, header)
    nested = nested_of(raw, header)
    if nested is None:
        yield from _payload(raw, header)
    else:
        yield from _nested_payload(raw, header, nested)


def _header(raw: Buffer, header: ContainerHeader) -> Iterator[Region]:
    at = 0
    for name, size, value in _fields(header):
        yield Region(offset=at, size=size, name=name, value=value)
        at += size
    yield from rest(raw, at, HEADER_SIZE, "padding")


def summary(raw: Buffer) -> str:
    """One line: label, sizes, versions, pages, what a key transition holds.

    ``raw`` begins with the header; what follows it may be missing.
    """
    header = ContainerHeader.from_prefix(raw)
    return _summary(raw, header) + _transition(raw, header)


def nested_of(raw: Buffer, header: ContainerHeader) -> memoryview | None:
    """The container in the payload of a key transition; None where there is none."""
    nested = _parts(raw, header)[0]
    announced = header.prefix.flags & FLAG_KEY_TRANSITION
    there = len(nested) >= HEADER_SIZE and begins_like_container(nested)
    return nested if announced and there else None


def _transition(raw: Buffer, header: ContainerHeader) -> str:
    """What a key transition would put in charge; nothing of other containers."""
    if not header.prefix.flags & FLAG_KEY_TRANSITION:
        return ""
    nested = nested_of(raw, header)
    if nested is None:
        return "; key transition without a nested container"
    try:
        inner = _summary(nested, ContainerHeader.from_prefix(nested))
    except FormatError as broken:
        return f"; key transition to a broken container: {broken}"
    return f"; key transition to {hw_keys_hash_of(nested).hex()}: {inner}"


def _summary(raw: Buffer, header: ContainerHeader) -> str:
    software = header.software
    pages = _pages(header, *_parts(raw, header))
    return (
        f"container {header.label or '(no label)'}: "
        f"payload 0x{software.payload_size:x} bytes, "
        f"{header.prefix.sw_key_count} software keys, "
        f"security version {software.security_version}"
        + (f"; {pages.value}" if pages else "")
    )


def _fields(header: ContainerHeader) -> Iterator[tuple[str, int, str]]:
    yield from _values("hardware", header.hardware)
    yield from _values("prefix", header.prefix)
    yield from _bytes("prefix.ecids", header.prefix_ecids)
    yield from _many("signature by ", HW_KEY_NAMES, header.hw_signatures)
    yield from _many("software.", _sw_names(header), header.sw_keys)
    yield from _values("software", header.software)
    yield from _bytes("software.ecids", header.software_ecids)
    yield from _many("signature by ", _sw_names(header), header.sw_signatures)


def _sw_names(header: ContainerHeader) -> list[str]:
    spare = [f"sw_key_{number}" for number in range(len(header.sw_keys))]
    return [*SW_KEY_NAMES[: len(spare)], *spare[len(SW_KEY_NAMES) :]]


def _values(part: str, value: Any) -> Iterator[tuple[str, int, str]]:
    for each in fields(value):
        item = getattr(value, each.name)
        if each.name == "hw_keys":
            yield from _many("hardware.", HW_KEY_NAMES, item)
        elif isinstance(item, bytes):
            yield f"{part}.{each.name}", len(item), _readable(each.name, item)
        else:
            size = _SIZES[each.name]
            yield f"{part}.{each.name}", size, f"0x{item:0{2 * size}x}"


def _readable(name: str, item: bytes) -> str:
    text = item.rstrip(b"\0").decode("ascii", "replace")
    if name == "component_id" and text.isprintable():
        return repr(text)
    return item.hex()


def _bytes(name: str, value: bytes) -> Iterable[tuple[str, int, str]]:
    return [(name, len(value), value.hex())] if value else []


def _many(
    prefix: str, names: Sequence[str], values: Sequence[bytes]
) -> Iterator[tuple[str, int, str]]:
    for name, value in zip(names, values, strict=True):
        yield f"{prefix}{name}", len(value), value.hex()


def _payload(raw: Buffer, header: ContainerHeader) -> Iterator[Region]:
    payload, behind = _parts(raw, header)
    there = len(payload)
    state = _state(payload, header)
    pages = _pages(header, payload, behind)
    kind = "; a hash page table" if pages else ""
    yield Region(offset=HEADER_SIZE, size=there, name="payload", value=state + kind)
    if pages:
        yield replace(pages, offset=HEADER_SIZE + there)
    end = HEADER_SIZE + there + (pages.size if pages else 0)
    yield from rest(raw, end, len(raw), "unprotected")


def _state(payload: memoryview, header: ContainerHeader) -> str:
    """Whether the payload is whole and the one that the header names."""
    size = header.software.payload_size
    if len(payload) < size:
        return f"cut short, the header says 0x{size:x} bytes"
    good = hashlib.sha512(payload).digest() == header.software.payload_hash
    return "hash as in the header" if good else "hash differs from the header"


def _nested_payload(
    raw: Buffer, header: ContainerHeader, nested: memoryview
) -> Iterator[Region]:
    """The payload of a key transition, byte by byte; a broken one as a whole.

    A container in the nested one is its payload and nothing more.
    """
    state, end = _state(nested, header), HEADER_SIZE + len(nested)
    try:
        inner = ContainerHeader.from_prefix(nested)
    except FormatError as broken:
        text = f"{state}; broken container: {broken}"
        yield Region(offset=HEADER_SIZE, size=len(nested), name="payload", value=text)
    else:
        keys = hw_keys_hash_of(nested).hex()
        text = f"payload, {state}: key transition to {keys}"
        yield Region(offset=HEADER_SIZE, size=0, name="nested", value=text)
        for each in (*_header(nested, inner), *_payload(nested, inner)):
            offset, name = HEADER_SIZE + each.offset, f"nested.{each.name}"
            yield replace(each, offset=offset, name=name)
    yield from rest(raw, end, len(raw), "unprotected")


def _parts(raw: Buffer, header: ContainerHeader) -> tuple[memoryview, memoryview]:
    """The payload, as far as there is one, and what lies behind it."""
    rest_of_it = memoryview(raw)[HEADER_SIZE:]
    size = header.software.payload_size
    return rest_of_it[:size], rest_of_it[size:]


def _pages(
    header: ContainerHeader, table: memoryview, behind: memoryview
) -> Region | None:
    """What lies behind a hash page table, which shows by the sizes of both.

    The container size says how much it is; in a partition more may follow.
    """
    whole = header.hardware.container_size - HEADER_SIZE - len(table)
    size = min(len(behind), max(0, whole))
    if not size or size > MAX_DATA_SIZE or len(table) != table_size(size):
        return None
    count = page_count(size)
    state = f"{count} pages, each as in the table"
    try:
        check_pages(table, behind[:size])
    except PageError as wrong:
        state = f"{count} pages; {wrong}"
    return Region(offset=0, size=size, name="pages", value=state)
