"""Hypervisors with other intentions, as data: a name, and what it does at which call.

Everything here is what untrusted software can do: it answers what it likes, hands over
what it likes, and makes any ultra-call of its own at any time. It never reads secure
memory; it would only fault. What relays do to TPM commands is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pefstack.firmware.hypervisor import hostile_life as life
from pefstack.firmware.hypervisor import hostile_pages as pages
from pefstack.firmware.hypervisor import hostile_tpm as tpm
from pefstack.firmware.hypervisor.kvm import HANDLERS, Handler, Hypervisor
from pefstack.firmware.ultravisor.codes import HCall, HStatus


class Outcome(StrEnum):
    """What a VM that asks for secure mode then gets from a correct ultravisor."""

    REFUSED = "refused"
    SECURE = "secure"  # with the right content: the behaviour does not reach it
    EITHER = "refused or secure"  # both are right; the content is, if it is secure
    NORMAL = "normal"  # told that all is well, without the S bit and its secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One deviation from honest KVM; calls that are not in ``handlers`` stay honest."""

    what: str
    outcome: Outcome
    handlers: Mapping[HCall, Handler]


def behave(hypervisor: Hypervisor, name: str) -> None:
    """Make a hypervisor behave so from now on; ``honest`` undoes it.

    Raises `KeyError` for a name that is not in `BEHAVIOURS`.
    """
    changes = {} if name == HONEST else BEHAVIOURS[name].handlers
    hypervisor.handlers = MappingProxyType({**HANDLERS, **changes})


HONEST: Final = "honest"


def _one(
    what: str, call: HCall, handler: Handler, outcome: Outcome = Outcome.REFUSED
) -> Behaviour:
    return Behaviour(what=what, outcome=outcome, handlers={call: handler})


def _odd(call: HCall) -> Behaviour:
    what = f"does its work, says {_STRANGE}"
    return _one(what, call, life.works_but_says(_STRANGE, HANDLERS[call]))


_STRANGE: Final = 77  # no status
_START, _DONE = HCall.SVM_INIT_START, HCall.SVM_INIT_DONE
_IN, _TPM = HCall.SVM_PAGE_IN, HCall.SVM_TPM_COMM
_REFUSES: Final = Behaviour(
    what="refuses the start, and says at the abort that all is well",
    outcome=Outcome.NORMAL,
    handlers={
        _START: life.answers(HStatus.STATE),
        HCall.SVM_INIT_ABORT: life.abort_claims_success,
    },
)

BEHAVIOURS: Final[Mapping[str, Behaviour]] = MappingProxyType(
    {
        "start-refuses": _one("H_STATE", _START, life.answers(HStatus.STATE)),
        "start-strange-status": _odd(_START),
        "start-lies": _one(
            "success, no slot registered", _START, life.start_without_slots
        ),
        "start-half": _one(
            "registers the lower half of each slot", _START, life.start_with_half
        ),
        "start-overlap": _one(
            "registers every slot twice, under two numbers",
            _START,
            life.start_with_overlap,
            Outcome.SECURE,
        ),
        "page-in-refuses": _one("H_PARAMETER", _IN, life.answers(HStatus.PARAMETER)),
        "page-in-lies": _one("success, nothing handed over", _IN, life.answers(0)),
        "page-in-neighbour": _one(
            "hands over the next page's content", _IN, pages.neighbour
        ),
        "page-in-elsewhere": _one(
            "hands over for the next page's address", _IN, pages.elsewhere
        ),
        "page-in-changed-kernel": _one(
            "flips a bit of the kernel first", _IN, pages.changed_kernel
        ),
        "page-in-then-change": _one(
            "overwrites its own page afterwards",
            _IN,
            pages.changed_afterwards,
            Outcome.SECURE,
        ),
        "page-in-twice": _one(
            "hands a page over again, with other content",
            _IN,
            pages.twice,
            Outcome.EITHER,
        ),
        "page-in-secure-source": _one(
            "hands over from an address in secure memory", _IN, pages.secure_source
        ),
        "page-in-outside-source": _one(
            "hands over from an address behind all memory", _IN, pages.outside_source
        ),
        "page-in-other-partition": _one(
            "hands over for another partition", _IN, pages.other_partition
        ),
        "page-in-order": _one("hands over 2 MiB", _IN, pages.large_order),
        "page-in-and-out": _one(
            "has each page out again at once", _IN, pages.out_again, Outcome.EITHER
        ),
        "share-another": _one(
            "shares the next page instead", _IN, pages.shares_another
        ),
        "tpm-refuses": _one("H_RESOURCE", _TPM, life.answers(HStatus.RESOURCE)),
        "tpm-missing": _one("not available", _TPM, life.answers(HStatus.NOT_AVAILABLE)),
        "tpm-strange-status": _odd(_TPM),
        "tpm-lies": _one("success, the old bytes", _TPM, tpm.old_bytes),
        "tpm-too-long": _one("one byte more than the room", _TPM, tpm.too_long),
        "tpm-huge": _one("a length of 2^64 - 1", _TPM, tpm.huge),
        "tpm-negative": _one("a length of -1", _TPM, tpm.negative),
        "tpm-short": _one("a length of 9, less than a header", _TPM, tpm.short),
        "tpm-cut": _one("all but the last byte", _TPM, tpm.cut),
        "tpm-no-length": _one("a status without a length", _TPM, tpm.no_length),
        "tpm-overrun": _one(
            "writes on behind the room", _TPM, tpm.overrun, Outcome.SECURE
        ),
        "tpm-terminates": _one(
            "ends the VM's record in the middle of the call", _TPM, tpm.terminates
        ),
        "tpm-unregisters": _one(
            "takes the memory slots back in the middle",
            _TPM,
            tpm.unregisters,
            Outcome.EITHER,
        ),
        "tpm-replaces-tree": _one(
            "has the device tree's page out, and another in",
            _TPM,
            pages.tree_replaced_at_tpm,
            Outcome.EITHER,
        ),
        "done-refuses": _one("H_STATE", _DONE, life.answers(HStatus.STATE)),
        "done-strange-status": _odd(_DONE),
        "done-replaces-kernel": _one(
            "hands over another kernel page, after the measurement",
            _DONE,
            pages.replaced_at_done,
            Outcome.EITHER,
        ),
        "done-swaps-kernel": _one(
            "has the kernel page out, and another in, after the measurement",
            _DONE,
            pages.swapped_at_done,
            Outcome.EITHER,
        ),
        "done-unregisters": _one(
            "takes the memory slots back at the end",
            _DONE,
            life.done_unregisters,
            Outcome.EITHER,
        ),
        "done-terminates": _one(
            "ends the VM's record, and says success", _DONE, life.done_terminates
        ),
        "done-early": _one(
            "says success, hands over none of the rest",
            _DONE,
            life.done_early,
            Outcome.EITHER,
        ),
        "abort-claims-success": _REFUSES,
    }
)
