"""A relay that denies: what no protocol can prevent (esm.md 4.3)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.honest import Attack, Deed, Honest
from pefstack.firmware.hypervisor.relay.wire import FAILED, number
from pefstack.hw.tpm.codes import TpmHt

_SHIFT: Final = 24
_KINDS: Final = (TpmHt.TRANSIENT, TpmHt.HMAC_SESSION, TpmHt.POLICY_SESSION)
_MOST: Final = 64  # more than are ever loaded


def _refuse(_: Honest, __: bytes) -> bytes:
    return FAILED


def _silence(_: Honest, __: bytes) -> bytes:
    return b""


def loaded_handles(relay: Honest) -> list[int]:
    """Everything that is loaded in the TPM, by GetCapability."""
    found: list[int] = []
    for kind in _KINDS:
        answer = relay.hands.handles(kind << _SHIFT, _MOST)
        ends = range(19, 19 + 4 * number(answer, 15), 4)
        handles = [number(answer, at) for at in ends]
        found += [each for each in handles if each >> _SHIFT == kind]
    return found


def _flush_all(relay: Honest, command: bytes) -> bytes:
    for handle in loaded_handles(relay):
        relay.hands.flush(handle)
    return relay.passed(command)


def _always(deed: Deed) -> dict[Step, Deed]:
    return dict.fromkeys(Step, deed)


DENYING: Final = {
    "deny": Attack(
        what="Answers every command with a failure.",
        stopped_by="nothing: no protocol can",
        instead=_always(_refuse),
    ),
    "silent": Attack(
        what="Answers nothing at all.",
        stopped_by="nothing: no protocol can",
        instead=_always(_silence),
    ),
    "flush": Attack(
        what="Flushes every session and object before Unseal.",
        stopped_by="nothing: no protocol can",
        instead={Step.UNSEAL: _flush_all},
    ),
}
