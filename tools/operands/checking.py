"""Whether an operand is good, as far as it can be said with what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.esm_integrity import TYPE_WORDS, IntegrityBlock, Measured
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_keys import SealedData
from pefstack.images.esm_operand_open import open_operand
from pefstack.images.esm_operand_slot import KIND_LOCKBOX, KIND_TPM_IMPORT
from pefstack.images.esm_refusal import OperandError

OK: Final = "OK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What an operand is held against; what is not known is not checked.

    ``machine_id`` is the digest of the Name of the machine's storage or wrapping key,
    ``sealed`` what a slot should give, ``guest`` some parts of the guest by type.
    """

    machine_id: bytes | None = None
    sealed: SealedData | None = None
    guest: Mapping[int, Measured]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandCheck:
    """``verdict`` is OK or the name of a refusal (esm.md 5.7), with what it is about.

    ``checked`` and ``unchecked`` say in words what was looked at and what was not.
    """

    verdict: str
    field: str = ""
    offset: int = 0
    found: str = ""
    expected: str = ""
    checked: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


def check_operand(raw: Buffer, known: Known) -> OperandCheck:
    """The verdict on an operand and the bytes behind it, in the order of the checks."""
    done: list[str] = []
    try:
        _check(raw, known, done)
    except OperandError as error:
        return OperandCheck(
            verdict=error.refusal.value,
            field=error.field,
            offset=error.offset,
            found=error.found,
            expected=error.expected,
            checked=tuple(done),
        )
    rest = tuple(each for each in _ALL if each not in done)
    return OperandCheck(verdict=OK, checked=tuple(done), unchecked=rest)


_WITHOUT_KEY: Final = "what needs no key"
_SLOT: Final = "a slot for the machine"
_PAYLOAD: Final = "HMAC, table of blocks, integrity block, version"
_ALL: Final = (_WITHOUT_KEY, _SLOT, _PAYLOAD, *TYPE_WORDS.values())


def _check(raw: Buffer, known: Known, done: list[str]) -> None:
    operand = EsmOperand.from_bytes(raw)
    done.append(_WITHOUT_KEY)
    if known.machine_id is not None:
        kinds = KIND_TPM_IMPORT, KIND_LOCKBOX
        operand.candidates(dict.fromkeys(kinds, known.machine_id))
        done.append(_SLOT)
    if known.sealed is not None:
        opened = open_operand(operand, known.sealed.to_bytes())
        done.append(_PAYLOAD)
        _check_guest(opened.integrity, known.guest)
        done += [TYPE_WORDS[kind] for kind in known.guest]


def _check_guest(integrity: IntegrityBlock, guest: Mapping[int, Measured]) -> None:
    """Of a guest known in parts only these are compared."""
    parts = {kind: integrity.parts[kind] for kind in guest}
    replace(integrity, parts=parts).check_guest(guest)
