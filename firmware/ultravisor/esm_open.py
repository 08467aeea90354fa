"""UV_ESM, steps 16 and 17: the TPM opens a slot or a lockbox, the keys open the rest.

esm.md 2.1, 4.1, 4.3, 5.7. Slots are tried in their order, the first that opens counts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.firmware.ultravisor import lockbox_client, tpm_client
from pefstack.firmware.ultravisor.conversation import Failure, TpmCommand, Verdict
from pefstack.firmware.ultravisor.effects import DrawRandom, Effect
from pefstack.firmware.ultravisor.esm_refusal import EsmError, EsmRefusal
from pefstack.firmware.ultravisor.esm_state import EsmState, Phase
from pefstack.firmware.ultravisor.lockbox_client import LockboxState
from pefstack.firmware.ultravisor.sealed_object import SealedObject
from pefstack.hw.tpm import client_calls as calls
from pefstack.hw.tpm.client import TpmError
from pefstack.hw.tpm.client_call import plain_answer, take_sized
from pefstack.hw.tpm.client_salt import rsa_2048
from pefstack.images.errors import FormatError
from pefstack.images.esm_item import check_key
from pefstack.images.esm_lockbox import Lockbox, choose_lockbox, fingerprint_of_key
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_open import authenticate, open_payload
from pefstack.images.esm_operand_slot import KIND_LOCKBOX, KIND_TPM_IMPORT, Slot
from pefstack.images.esm_refusal import OperandError, OperandRefusal
from pefstack.images.uv_tpm import UvTpm

_R: Final = EsmRefusal


def _machine(state: EsmState) -> UvTpm:
    if state.caller.machine is None:
        right = "keys and passwords from OPAL (machine.pef.provision)"
        raise EsmError(_R.TPM, "hand-over", 0, "none", right)
    return state.caller.machine


def _operand(state: EsmState) -> EsmOperand:
    if state.operand is None:
        raise EsmError(_R.NO_OPERAND, "operand", 0, "none", "one that was copied")
    return state.operand


def _with_slots(state: EsmState) -> EsmState:
    """The slots of this machine; `OperandError` E_NO_SLOT."""
    machine = _machine(state)
    if state.operand is None:
        return state
    ids = {
        KIND_TPM_IMPORT: machine.storage_key_name[2:],
        KIND_LOCKBOX: machine.wrapping_key_name[2:],
    }
    return replace(state, slots=state.operand.candidates(ids))


def _slot(state: EsmState) -> Slot | None:
    """The slot that is tried now; None where a blob's lockbox is."""
    return state.operand.slots[state.slots[0]] if state.operand else None


def _lockbox(state: EsmState) -> Lockbox:
    if state.blob is None:
        raise EsmError(_R.NO_OPERAND, "blob", 0, "none", "one that was copied")
    boxes, profile = state.blob.lockboxes, state.caller.profile
    return choose_lockbox(boxes, state.fingerprint, profile)


def _ask_key(state: EsmState) -> TpmCommand | None:
    """Which lockbox is ours its key tells; the real code takes the first."""
    if state.blob is None or not state.strict:
        return None
    machine = _machine(state)
    key = machine.wrapping_key_handle, machine.wrapping_key_name
    return TpmCommand(calls.read_public(key).to_bytes())


def _take_key(state: EsmState, answer: bytes) -> EsmState:
    """The relay may answer what it likes: the Name is the one that was handed over."""
    machine = _machine(state)
    key = machine.wrapping_key_handle, machine.wrapping_key_name
    try:
        public, _ = take_sized(plain_answer(calls.read_public(key), answer).body, 0)
        found = rsa_2048(public, machine.wrapping_key_name, "wrapping key")
    except (FormatError, TpmError) as wrong:
        right = "the key that was handed over"
        raise EsmError(_R.TPM, "wrapping key", 0, str(wrong), right) from None
    fingerprint = fingerprint_of_key(found.modulus, found.exponent)
    return replace(state, fingerprint=fingerprint)


def _ask_open(state: EsmState) -> Effect | None:
    """Each attempt begins with new random numbers."""
    if state.secret or state.authentic:
        return None
    if state.client is None:
        _check_left(state)
        return DrawRandom(_random_size(_slot(state)))
    _, outcome = _advanced(state.client, None)
    return outcome if isinstance(outcome, TpmCommand) else None


def _random_size(slot: Slot | None) -> int:
    if slot is not None and slot.kind == KIND_TPM_IMPORT:
        return tpm_client.RANDOM_BYTES
    return lockbox_client.RANDOM_BYTES


def _take_open(state: EsmState, answer: bytes) -> EsmState | tuple[EsmState, Effect]:
    if state.client is None:
        client, outcome = _advanced(_begun(state, answer), None)
    else:
        client, outcome = _advanced(state.client, answer)
    if isinstance(outcome, TpmCommand):
        return replace(state, client=client), outcome
    if outcome.secret is None:
        return _next_slot(state, outcome.failure)
    return replace(state, client=None, secret=outcome.secret)


Client = tpm_client.SlotState | LockboxState


def _advanced(
    client: Client, answer: bytes | None
) -> tuple[Client, TpmCommand | Verdict]:
    if isinstance(client, LockboxState):
        return lockbox_client.advance(client, answer)
    return tpm_client.advance(client, answer)


def _begun(state: EsmState, random: bytes) -> Client:
    machine, slot = _machine(state), _slot(state)
    if slot is None:
        symkey = _lockbox(state).encrypted_symkey
        return lockbox_client.begin(machine, symkey, random, strict=state.strict)
    if slot.kind == KIND_LOCKBOX:
        (secret,) = slot.parts()
        return lockbox_client.begin(machine, secret, random, strict=state.strict)
    public, duplicate, seed = slot.parts()
    sealed = SealedObject(public=public, duplicate=duplicate, seed=seed)
    return tpm_client.begin(machine, sealed, random, state.caller.pcr)


def _next_slot(state: EsmState, failure: Failure | None) -> EsmState:
    """The next that fits, and why this one did not open."""
    return replace(state, client=None, slots=state.slots[1:], trouble=failure)


def _check_left(state: EsmState) -> None:
    """When nothing is left to try the last failure is told."""
    what = state.trouble
    if what is None or state.slots:
        return
    if state.operand is None:
        right = "the TPM to open the lockbox"
        raise EsmError(_R.LOCKBOX, f"TPM step {what.step}", 0, what.reason, right)
    found = f"step {what.step} of the conversation: {what.reason}"
    right = "a slot that the TPM opens"
    raise OperandError(OperandRefusal.UNSEAL, "slots", 0, found, right)


def _with_keys(state: EsmState) -> EsmState:
    """The master key of a blob; of an operand the HMAC must be right."""
    if state.blob is not None:
        check_key(state.secret, state.caller.profile)
        return state
    authentic = authenticate(_operand(state), state.secret)
    return replace(state, secret=b"", authentic=authentic)


def _with_content(state: EsmState) -> EsmState:
    """What the digests must be; and of an operand, that it is not too old."""
    if state.blob is not None:
        digests = state.blob.open_digests(state.secret, state.caller.profile)
        return replace(state, digests=digests)
    if state.authentic is None:
        raise EsmError(_R.NO_OPERAND, "payload", 0, "none", "an authentic one")
    return replace(state, payload=open_payload(state.authentic), authentic=None)


PHASES: Final[dict[int, tuple[Phase, ...]]] = {
    16: (
        Phase(settle=_with_slots),
        Phase(ask=_ask_key, take=_take_key),
        Phase(ask=_ask_open, take=_take_open, settle=_with_keys, repeated=True),
    ),
    17: (Phase(settle=_with_content),),
}
