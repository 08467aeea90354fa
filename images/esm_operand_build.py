"""ESM operand: a payload from its blocks, and an operand with free slots (esm.md 5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from pefstack.images.esm_integrity import IntegrityBlock
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_keys import crypt_block, encryption_key, mac_of
from pefstack.images.esm_operand_open import Secret
from pefstack.images.esm_operand_payload import (
    ENTRY_SIZE,
    HEADER_SIZE,
    MAC_SIZE,
    PayloadHeader,
)
from pefstack.images.esm_operand_slot import Slot
from pefstack.images.esm_operand_toc import TYPE_INTEGRITY, TocEntry, padded, read_table

_Block = tuple[int, str, bytes]  # type, name, content


def build_operand(
    payload: bytes, slots: Iterable[Slot] = (), *, slot_count: int
) -> EsmOperand:
    """An operand with these slots first, and placeholders up to ``slot_count``.

    Raises `OperandError` for what `EsmOperand.from_bytes` refuses.
    """
    used = tuple(slots)
    slots = used + (Slot(),) * (slot_count - len(used))
    operand = EsmOperand(slots=slots, payload=payload)
    return EsmOperand.from_bytes(operand.to_bytes())


def build_payload(
    seed: bytes,
    integrity: IntegrityBlock,
    secrets: Sequence[Secret] = (),
    *,
    svm_id: bytes,
    build_nonce: bytes,
    clear_integrity: bool = False,
) -> bytes:
    """The payload under keys from ``seed``; a passphrase must be the first secret.

    ``build_nonce`` must be new with every build: the keys follow from it, and two
    builds under one key would show how they differ. Raises `OperandError` for names,
    sizes and an order that `open_operand` refuses.
    """
    blocks: list[_Block] = [(TYPE_INTEGRITY, "", integrity.to_bytes())]
    blocks += [(each.type, each.name, each.content) for each in secrets]
    entries = _placed(blocks)
    header = PayloadHeader(
        payload_size=entries[-1].end + MAC_SIZE,
        block_count=len(blocks),
        clear_integrity=clear_integrity,
        svm_id=svm_id,
        build_nonce=build_nonce,
    )
    key = encryption_key(seed, header)
    table = b"".join(entry.to_bytes() for entry in entries)
    body = [header.to_bytes(), crypt_block(key, 0, table)]
    body += chain.from_iterable(
        _encrypted(key, index, content, clear=index == 1 and clear_integrity)
        for index, (_, _, content) in enumerate(blocks, 1)
    )
    return _authenticated(seed, header, table, b"".join(body))


def _placed(blocks: list[_Block]) -> list[TocEntry]:
    at, entries = HEADER_SIZE + ENTRY_SIZE * len(blocks), []
    for kind, name, content in blocks:
        entry = TocEntry(type=kind, offset=at, size=len(content), name=name)
        entries.append(entry)
        at = entry.end
    return entries


def _encrypted(
    key: bytes, index: int, content: bytes, *, clear: bool
) -> tuple[bytes, bytes]:
    """The block, and its padding: zero in the file, and under no key stream."""
    data = content if clear else crypt_block(key, index, content)
    return data, bytes(padded(len(content)) - len(content))


def _authenticated(
    seed: bytes, header: PayloadHeader, table: bytes, body: bytes
) -> bytes:
    payload = body + mac_of(seed, body, header)
    read_table(table, payload)
    return payload
