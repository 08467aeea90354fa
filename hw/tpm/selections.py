"""TPML_PCR_SELECTION as clients handle it: which PCRs of which bank (Part 2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, PCR_COUNT, PCR_SELECT_SIZE, TpmAlgId
from pefstack.hw.tpm.structures import put_pcr_selections
from pefstack.images.errors import FormatError

Selection = Mapping[int, Collection[int]] | Mapping[TpmAlgId, Collection[int]]
"""For each bank (TPM_ALG_ID) the PCR numbers; banks in the order of the list."""

_NAME: Final = "TPML_PCR_SELECTION"
_COUNT_SIZE: Final = 4
_ITEM_SIZE: Final = 3 + PCR_SELECT_SIZE  # hash, sizeofSelect, pcrSelect


def selection_bytes(selection: Selection) -> bytes:
    """TPML_PCR_SELECTION; ValueError for a PCR there is not."""
    return put_pcr_selections([(alg, _mask(pcrs)) for alg, pcrs in selection.items()])


def selected(selection: Selection) -> list[tuple[int, int]]:
    """(bank, PCR) in the order in which a TPM gives and hashes the values."""
    return [(alg, pcr) for alg, pcrs in selection.items() for pcr in sorted(set(pcrs))]


def without(selection: Selection, answered: Selection) -> dict[int, tuple[int, ...]]:
    """What is still to be asked for after an answer of PCR_Read."""
    have = set(selected(answered))
    rest: dict[int, tuple[int, ...]] = {}
    for alg, pcr in selected(selection):
        if (alg, pcr) not in have:
            rest[alg] = (*rest.get(alg, ()), pcr)
    return rest


def selection_from_prefix(
    raw: bytes, offset: int
) -> tuple[dict[int, tuple[int, ...]], int]:
    """Read a TPML_PCR_SELECTION at ``offset``: the selection, and where it ends."""
    count, offset = _count(raw, offset)
    selection: dict[int, tuple[int, ...]] = {}
    for start in range(offset, offset + count * _ITEM_SIZE, _ITEM_SIZE):
        alg = int.from_bytes(raw[start : start + 2], "big")
        if alg in selection:
            found = f"0x{alg:04x} twice"
            raise FormatError(_NAME, "hash", start, found, "each bank once")
        selection[alg] = _pcrs(raw, start + 2)
    return selection, offset + count * _ITEM_SIZE


def _count(raw: bytes, offset: int) -> tuple[int, int]:
    start = offset + _COUNT_SIZE
    if start > len(raw):
        found = f"0x{max(len(raw) - offset, 0):x} bytes"
        raise FormatError(_NAME, "count", offset, found, "0x4 bytes")
    count = int.from_bytes(raw[offset:start], "big")
    most = min(len(DIGEST_SIZE), (len(raw) - start) // _ITEM_SIZE)
    if count > most:
        raise FormatError(_NAME, "count", offset, f"0x{count:x}", f"at most 0x{most:x}")
    return count, start


def _pcrs(raw: bytes, offset: int) -> tuple[int, ...]:
    if raw[offset] != PCR_SELECT_SIZE:
        found = f"0x{raw[offset]:x}"
        raise FormatError(_NAME, "sizeofSelect", offset, found, "0x3")
    mask = int.from_bytes(raw[offset + 1 : offset + 1 + PCR_SELECT_SIZE], "little")
    return tuple(pcr for pcr in range(PCR_COUNT) if mask >> pcr & 1)


def _mask(pcrs: Iterable[int]) -> int:
    mask = 0
    for pcr in pcrs:
        if not 0 <= pcr < PCR_COUNT:
            raise ValueError(f"there is no PCR {pcr}")
        mask |= 1 << pcr
    return mask
