"""An ESM operand, slot by slot, and its payload as far as it is readable: no key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.esm_integrity import TYPE_WORDS, IntegrityBlock
from pefstack.images.esm_operand import HEADER_SIZE, EsmOperand
from pefstack.images.esm_operand_payload import ALGORITHMS, MAC_SIZE, PayloadHeader
from pefstack.images.esm_operand_payload import HEADER_SIZE as PAYLOAD_HEADER_SIZE
from pefstack.images.esm_operand_slot import KIND_WORDS, SLOT_SIZE, Slot
from pefstack.images.esm_refusal import OperandError
from pefstack.tools.inspection.region import Region, rest

_SLOT_HEAD: Final = 40
_INTEGRITY_HEAD: Final = 16
_PART_SIZE: Final = 80


def esm_operand_regions(raw: Buffer) -> Iterator[Region]:
    """In the order of the file; `OperandError` as `EsmOperand.from_prefix`."""
    operand, size = EsmOperand.from_prefix(raw)
    count = len(operand.slots)
    text = f"version 2, 0x{size:x} bytes, {count} slots"
    yield Region(offset=0, size=HEADER_SIZE, name="header", value=text)
    for index, slot in enumerate(operand.slots):
        yield from _slot(index, slot)
    start = HEADER_SIZE + count * SLOT_SIZE
    yield from _payload(operand.payload, start)
    yield from rest(raw, size, len(raw))


def _slot(index: int, slot: Slot) -> Iterator[Region]:
    at, used = HEADER_SIZE + index * SLOT_SIZE, len(slot.body)
    machine = f", machine {slot.machine_id.hex()}" if any(slot.machine_id) else ""
    if slot.kind and not machine:
        machine = ", any machine"
    name, value = f"slot {index}", KIND_WORDS[slot.kind] + machine
    yield Region(offset=at, size=_SLOT_HEAD, name=name, value=value)
    if used:
        sizes = ", ".join(f"0x{len(part):x} bytes" for part in slot.parts())
        body, value = f"{name} body", f"sealed, {sizes}"
        yield Region(offset=at + _SLOT_HEAD, size=used, name=body, value=value)
    end = at + _SLOT_HEAD + used
    padding, size = f"{name} padding", SLOT_SIZE - _SLOT_HEAD - used
    yield Region(offset=end, size=size, name=padding, value="zero")


def _payload(payload: bytes, at: int) -> Iterator[Region]:
    header = PayloadHeader.from_prefix(payload)
    words = ", ".join(ALGORITHMS.values())
    nonces = f"SVM {header.svm_id.hex()}, build {header.build_nonce.hex()}"
    size = PAYLOAD_HEADER_SIZE
    yield Region(
        offset=at, size=size, name="payload header", value=f"{nonces}; {words}"
    )
    table, count = header.first_block, header.block_count
    yield Region(
        offset=at + size,
        size=table - size,
        name="table of blocks",
        value=f"encrypted, {count} blocks",
    )
    end = len(payload) - MAC_SIZE
    integrity = payload[table : table + _integrity_size(payload[table:end], header)]
    if integrity:
        value = _integrity(integrity)
        size = len(integrity)
        yield Region(offset=at + table, size=size, name="integrity", value=value)
    start = table + len(integrity)
    value = "encrypted"
    yield Region(offset=at + start, size=end - start, name="blocks", value=value)
    mac = payload[end:].hex()
    yield Region(offset=at + end, size=MAC_SIZE, name="HMAC", value=mac)


def _integrity_size(raw: bytes, header: PayloadHeader) -> int:
    """The integrity block's size when it lies in clear, else 0; nothing proves it."""
    if not header.clear_integrity or len(raw) < _INTEGRITY_HEAD:
        return 0
    size = _INTEGRITY_HEAD + _PART_SIZE * int.from_bytes(raw[6:8], "big")
    return min(size, len(raw))


def _integrity(raw: bytes) -> str:
    """What the block says, or why it is refused."""
    try:
        block = IntegrityBlock.from_bytes(raw)
    except OperandError as error:
        return f"in clear, not checked: {error}"
    parts = (
        f"{TYPE_WORDS[kind]} 0x{each.length:x} bytes {each.digest.hex()}"
        for kind, each in block.parts.items()
    )
    text = f"in clear, not checked: security version {block.security_version}"
    return "; ".join((text, *parts))
