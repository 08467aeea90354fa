"""A: sessions of the relay's own, which lack the password (relay.json A1 to A8)."""

from __future__ import annotations

from functools import partial
from typing import Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.hands import EMPTY
from pefstack.firmware.hypervisor.relay.honest import Attack, Deed, Honest
from pefstack.firmware.hypervisor.relay.wire import RawCommand
from pefstack.hw.tpm.codes import TpmAlgId, TpmCc, TpmRh
from pefstack.hw.tpm.structures import put_uint16

GUESS: Final = b"guessed password"
TO_NOBODY: Final = EMPTY + put_uint16(TpmAlgId.NULL)  # no inner wrap


def pcr_session(relay: Honest) -> int:
    """An own policy session with PolicyPCR, the part of the policy that is for free."""
    own = relay.hands.start()
    relay.hands.policy_pcr(own.handle, relay.known.pcr)
    return own.handle


def unseal(relay: Honest, _: bytes) -> bytes:
    """Unseal the loaded object."""
    policy = pcr_session(relay)
    return relay.hands.by_policy(TpmCc.UNSEAL, (relay.course.loaded,), policy)


def duplicate(relay: Honest, _: bytes) -> bytes:
    """Duplicate the loaded object, wrapped for nobody."""
    handles = relay.course.loaded, int(TpmRh.NULL)
    policy = pcr_session(relay)
    return relay.hands.by_policy(TpmCc.DUPLICATE, handles, policy, TO_NOBODY)


def import_slot(relay: Honest, command: bytes) -> bytes:
    """The ultravisor's Import, with the own session."""
    parameters = RawCommand.from_bytes(command).parameters
    handles, policy = (relay.known.storage_key,), pcr_session(relay)
    return relay.hands.by_policy(TpmCc.IMPORT, handles, policy, parameters)


def _secret_with(password: bytes | None, relay: Honest, _: bytes) -> bytes:
    """PolicySecret; None: the password of an earlier boot."""
    if password is None:
        password = b"".join(relay.known.passwords[:1])
    own = relay.hands.start()
    return relay.hands.policy_secret(relay.known.nv_index, own.handle, password)


def _before_unseal(what: str, stopped_by: str, deed: Deed) -> Attack:
    before = {Step.AUTHORIZE_UNSEAL: deed}
    return Attack(what=what, stopped_by=stopped_by, before=before)


OWN_POLICY: Final = {
    "A1": _before_unseal(
        "Unseals the loaded object with an own session that has PolicyPCR alone.",
        "PolicySecret in the object's policy",
        unseal,
    ),
    "A2": _before_unseal(
        "Guesses the index's password in PolicySecret.",
        "PolicySecret: the password is random",
        partial(_secret_with, GUESS),
    ),
    "A3": _before_unseal(
        "Gives the password of an earlier boot to PolicySecret.",
        "PolicySecret: the password is new at each boot",
        partial(_secret_with, None),
    ),
    "A5": Attack(
        what="Imports the slot with an own session that has PolicyPCR alone.",
        stopped_by="PolicySecret in the storage key's policy",
        before={Step.IMPORT: import_slot},
    ),
    "A8": _before_unseal(
        "Duplicates the loaded object with an own session that has PolicyPCR alone.",
        "no PolicyCommandCode(Duplicate) in the object's policy",
        duplicate,
    ),
}
