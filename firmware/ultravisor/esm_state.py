"""UV_ESM between two answers: a value that can be printed, forked, resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from pefstack.firmware.ultravisor.conversation import Failure
from pefstack.firmware.ultravisor.effects import Answer, Effect, PageIn
from pefstack.firmware.ultravisor.esm_refusal import EsmError, EsmRefusal
from pefstack.firmware.ultravisor.lockbox_client import LockboxState
from pefstack.firmware.ultravisor.svm import gfns
from pefstack.firmware.ultravisor.tpm_client import POLICY_PCR, SlotState
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_blob_refusal import EsmProfile
from pefstack.images.esm_digests import EsmDigests
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_open import AuthenticPayload, OpenedPayload
from pefstack.images.fdt import Fdt
from pefstack.images.uv_tpm import UvTpm


@dataclass(frozen=True, slots=True)
class Extent:
    """Guest addresses from ``start``, ``size`` bytes."""

    start: int = 0
    size: int = 0

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.start + self.size

    @property
    def pages(self) -> range:
        """The numbers of the pages that it touches."""
        return gfns(self.start, self.size)

    def meets(self, other: Extent) -> bool:
        """Whether they have a byte in common."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class EsmCaller:
    """Who called, and what the machine is: the same through the whole call.

    ``machine``: OPAL's hand-over, None where the TPM was not prepared. ``pcr`` is that
    of the boot policy.
    """

    lpid: int
    msr: int
    kbase: int
    fdt_address: int
    cpus: int = 1
    profile: EsmProfile = EsmProfile.STRICT
    machine: UvTpm | None = field(default=None, repr=False)
    pcr: int = POLICY_PCR


@dataclass(frozen=True, slots=True, kw_only=True)
class EsmState:
    """Where a call stands: ``step`` of esm.md 2.1, ``phase`` in it, and what it knows.

    ``gfn`` counts pages within a phase. Secrets do not print.
    """

    caller: EsmCaller
    step: int = 1
    phase: int = 0
    gfn: int = 0
    tree_size: int = 0
    tree: Fdt | None = field(default=None, repr=False)
    memory: int = 0
    reserved: Mapping[str, Extent] = field(default_factory=dict)
    rtas: Extent = Extent()
    rtas_text: int = 0
    initrd: Extent = Extent()
    bootargs: bytes = b""
    place: Extent = Extent()
    archive_size: int = 0
    blob: EsmBlob | None = field(default=None, repr=False)
    operand: EsmOperand | None = field(default=None, repr=False)
    slots: tuple[int, ...] = ()
    client: SlotState | LockboxState | None = field(default=None, repr=False)
    fingerprint: bytes = b""
    secret: bytes = field(default=b"", repr=False)
    authentic: AuthenticPayload | None = field(default=None, repr=False)
    payload: OpenedPayload | None = field(default=None, repr=False)
    digests: EsmDigests | None = field(default=None, repr=False)
    kernel: Extent = Extent()
    measured: Mapping[str, bytes] = field(default_factory=dict)
    trouble: Failure | None = None

    @property
    def strict(self) -> bool:
        """Whether the profile is strict."""
        return self.caller.profile is EsmProfile.STRICT

    def one_page_on(self) -> EsmState:
        """As `replace` with ``gfn`` + 1, which would cost more than the page itself."""
        other = object.__new__(EsmState)
        for put, get in _SLOTS:
            put(other, get(self))
        _PUT_GFN(other, self.gfn + 1)
        return other


_MEMBERS: Final = [getattr(EsmState, each.name) for each in fields(EsmState)]
_SLOTS: Final = [(each.__set__, each.__get__) for each in _MEMBERS]
_PUT_GFN: Final = EsmState.__dict__["gfn"].__set__

Asks = Callable[[EsmState], Effect | None]
Takes = Callable[[EsmState, Any], "EsmState | tuple[EsmState, Effect]"]
Settles = Callable[[EsmState], EsmState]


def _nothing(_: EsmState) -> None:
    return None


def _unchanged(state: EsmState, _: Answer) -> EsmState:
    return state


def _settled(state: EsmState) -> EsmState:
    return state


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """``ask`` gives a question, or None when there is nothing to ask.

    ``take`` takes its answer, and may go on with a next question. A phase that is
    ``repeated`` is asked again until it has nothing to ask. ``settle`` draws the
    conclusion at its end. All raise FormatError, or `Refusing`.
    """

    ask: Asks = _nothing
    take: Takes = _unchanged
    settle: Settles = _settled
    repeated: bool = False


def check(look: Callable[[EsmState], object]) -> Phase:
    """Only look, and raise or not."""

    def settle(state: EsmState) -> EsmState:
        look(state)
        return state

    return Phase(settle=settle)


def page_in(pages: Callable[[EsmState], range]) -> Phase:
    """Have these pages in secure memory, one after the other."""

    def ask(state: EsmState) -> PageIn | None:
        wanted = pages(state)
        gfn = wanted.start + state.gfn
        return PageIn(gfn) if gfn < wanted.stop else None

    def take(state: EsmState, answer: int) -> EsmState:
        if answer != 1:
            gfn = pages(state).start + state.gfn
            found, right = f"not page 0x{gfn:x}", "it from the hypervisor"
            raise EsmError(EsmRefusal.PAGE_IN, "page", gfn, found, right)
        return state.one_page_on()

    return Phase(ask=ask, take=take, repeated=True)
