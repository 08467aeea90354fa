"""G2, L1: a TPM in another state: PCR 6 moved on, or a reset (relay.json)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.empty_auth import NEW_AUTH, OWN_PASSWORD
from pefstack.firmware.hypervisor.relay.honest import Attack, Honest
from pefstack.firmware.hypervisor.relay.own_session import ALG
from pefstack.firmware.hypervisor.relay.substituted import next_use
from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmCc, TpmRh
from pefstack.hw.tpm.structures import put_uint32


def _extend(relay: Honest, digest: bytes) -> bytes:
    return relay.hands.extend(relay.known.pcr, digest)


def _move_on(relay: Honest, _: bytes) -> bytes:
    return _extend(relay, b"\1" * DIGEST_SIZE[ALG])


def _reset(relay: Honest) -> None:
    """The TPM alone, while the machine goes on; and the boot's extends again."""
    if relay.known.reset_tpm is None:
        raise ValueError("on this board the TPM is not reset alone")
    relay.known.reset_tpm()
    relay.hands.sessions.clear()
    relay.hands.startup()
    for digest in relay.known.extends:
        _extend(relay, digest)


def _own_password(relay: Honest) -> int:
    """For the index, by the platform's empty authValue; a policy session."""
    hands, index = relay.hands, relay.known.nv_index
    own = hands.start().handle
    code = put_uint32(TpmCc.NV_CHANGE_AUTH)
    hands.plain(TpmCc.POLICY_COMMAND_CODE, (own,), code)
    hands.policy_secret(int(TpmRh.PLATFORM), own, b"")
    hands.by_policy(TpmCc.NV_CHANGE_AUTH, (index,), own, NEW_AUTH)
    return own


def _after_reset(relay: Honest, command: bytes) -> bytes:
    """Import, Load, Unseal with the password that it set itself."""
    _reset(relay)
    own, answer = _own_password(relay), b""
    relay.course.policy = own
    for _ in (TpmCc.IMPORT, TpmCc.LOAD, TpmCc.UNSEAL):
        relay.hands.policy_secret(relay.known.nv_index, own, OWN_PASSWORD)
        relay.hands.policy_pcr(own, relay.known.pcr)
        answer = next_use(relay, command)
    return answer


OTHER_STATE: Final = {
    "G2": Attack(
        what="Extends PCR 6 once more.",
        stopped_by="PCR 6 in the policies",
        before={Step.START_A: _move_on},
    ),
    "L1": Attack(
        what="Resets the TPM alone, repeats the extends and sets a password of its "
        "own: the limit, no format helps.",
        stopped_by="nothing but the board, which resets TPM and processor together",
        before={Step.IMPORT: _after_reset},
    ),
}
