"""Whether a policy session meets an entity's policy (Part 1, "Policy Evaluation")."""

from __future__ import annotations

from hmac import compare_digest
from typing import Any, Final

from pefstack.hw.tpm.codes import MAX_COMMAND_SIZE, TpmaNv, TpmCc
from pefstack.hw.tpm.command import AuthRole
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.invocation import Invocation
from pefstack.hw.tpm.nv import NvIndex
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.session import PolicyState, Session
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import Reader, tpm2b

_CREATING: Final = (TpmCc.CREATE, TpmCc.CREATE_PRIMARY, TpmCc.CREATE_LOADED)
_ANY_SIZED: Final = tpm2b(MAX_COMMAND_SIZE)


def check_policy(
    inner: Internals, call: Invocation, session: Session, index: int, entity: Any
) -> None:
    """Refuses where the session's digest, or a condition it carries, is not met."""
    policy = session.policy
    if policy is None or session.is_trial:
        raise Refusal(TpmRc.ATTRIBUTES)
    _check_mode(call, policy)
    _check_pcrs(inner, policy)
    _check_digest(session, policy, entity)
    if policy.timeout is not None and policy.timeout < inner.time():
        raise Refusal(TpmRc.EXPIRED)
    _check_command(call, policy, index)
    if policy.locality and not _at_locality(policy.locality, inner.locality):
        raise Refusal(TpmRc.LOCALITY)
    if policy.needs_presence:  # nobody can push a button on this TPM
        raise Refusal(TpmRc.PP)
    _check_hashes(call, session, policy)
    if isinstance(entity, NvIndex) and policy.nv_written is not None:
        _check_written(entity, written=policy.nv_written)


def _check_mode(call: Invocation, policy: PolicyState) -> None:
    """PolicySecret is for a secret: a policy alone does not do (TPM_RC_MODE)."""
    has_secret = policy.needs_auth_value or policy.needs_password
    if call.command.code == TpmCc.POLICY_SECRET and not has_secret:
        raise Refusal(TpmRc.MODE)


def _check_written(index: NvIndex, *, written: bool) -> None:
    if index.has(TpmaNv.WRITTEN) is not written:
        raise Refusal(TpmRc.POLICY_FAIL)


def _check_pcrs(inner: Internals, policy: PolicyState) -> None:
    counter = policy.pcr_counter
    if counter is not None and counter != inner.state.pcrs.update_counter:
        raise Refusal(TpmRc.PCR_CHANGED)


def _check_digest(session: Session, policy: PolicyState, entity: Any) -> None:
    if session.auth_hash != entity.policy_alg:
        raise Refusal(TpmRc.POLICY_FAIL)
    if not compare_digest(policy.digest, entity.auth_policy):
        raise Refusal(TpmRc.POLICY_FAIL)


def _check_command(call: Invocation, policy: PolicyState, index: int) -> None:
    """The command that the policy names; ADMIN and DUP need it named."""
    if policy.command_code:
        if policy.command_code != call.command.code:
            raise Refusal(TpmRc.POLICY_CC)
    elif call.role(index) in (AuthRole.ADMIN, AuthRole.DUP):
        raise Refusal(TpmRc.POLICY_FAIL)


def _check_hashes(call: Invocation, session: Session, policy: PolicyState) -> None:
    alg = session.auth_hash
    if policy.cp_hash and not compare_digest(policy.cp_hash, call.cp_hash(alg)):
        raise Refusal(TpmRc.POLICY_FAIL)
    if policy.name_hash and not compare_digest(
        policy.name_hash, digest(alg, call.names())
    ):
        raise Refusal(TpmRc.POLICY_FAIL)
    if policy.template_hash and not _template_matches(call, alg, policy.template_hash):
        raise Refusal(TpmRc.POLICY_FAIL)


def _template_matches(call: Invocation, alg: int, wanted: bytes) -> bool:
    """The second parameter of a command that creates: inPublic, without its length."""
    if call.command.code not in _CREATING:
        return False
    reader = Reader(call.parameters, 0, len(call.parameters), {})
    try:
        _ANY_SIZED(reader)
        return compare_digest(wanted, digest(alg, _ANY_SIZED(reader)))
    except Refusal:
        return False


def _at_locality(mask: int, locality: int) -> bool:
    """TPMA_LOCALITY: a bit each for 0 to 4, or the number itself from 32 on."""
    if mask >= 32:
        return mask == locality
    return bool(mask >> locality & 1)
