"""Policies that bind a session to one use: PolicyCpHash and its kin (Part 3)."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm import policy as digests
from pefstack.hw.tpm.buffers import TPM2B_DIGEST, TPM2B_NAME
from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmCc
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.handles import TPMI_SH_POLICY
from pefstack.hw.tpm.policy_session import policy_of
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.session import PolicyState, Session
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import TPMI_YES_NO

_P1: Final = RC_P + RC_1


def policy_cp_hash(inner: Internals, session: Session, cp_hash: bytes) -> tuple[()]:
    """One command with its handles and parameters."""
    policy = policy_of(session)
    _check_size(session, cp_hash)
    if cp_hash != policy.cp_hash:  # the same again is no contradiction
        _check_free(policy)
    policy.cp_hash = cp_hash
    alg = session.auth_hash
    policy.digest = digests.policy_cp_hash(policy.digest, cp_hash, alg=alg)
    return ()


def policy_name_hash(inner: Internals, session: Session, name_hash: bytes) -> tuple[()]:
    """The Names of all handles of a command."""
    policy = policy_of(session)
    _check_size(session, name_hash)
    _check_free(policy)
    policy.name_hash = name_hash
    alg = session.auth_hash
    policy.digest = digests.policy_name_hash(policy.digest, name_hash, alg=alg)
    return ()


def policy_template(inner: Internals, session: Session, template: bytes) -> tuple[()]:
    """The public template of an object to be created."""
    policy = policy_of(session)
    if template != policy.template_hash:
        if policy.template_hash:
            raise Refusal(TpmRc.VALUE + _P1)
        _check_free(policy)
    _check_size(session, template)
    policy.template_hash = template
    alg = session.auth_hash
    policy.digest = digests.policy_template(policy.digest, template, alg=alg)
    return ()


def policy_duplication_select(
    inner: Internals,
    session: Session,
    object_name: bytes,
    new_parent_name: bytes,
    include_object: int,
) -> tuple[()]:
    """Duplicate, and to whom; the object itself only where it is included."""
    policy, alg = policy_of(session), session.auth_hash
    _check_free(policy)
    if policy.command_code:
        raise Refusal(TpmRc.COMMAND_CODE)
    policy.command_code = int(TpmCc.DUPLICATE)
    policy.name_hash = digest(alg, object_name, new_parent_name)
    included = bool(include_object)
    policy.digest = digests.policy_duplication_select(
        policy.digest, object_name, new_parent_name, included, alg=alg
    )
    return ()


def _check_free(policy: PolicyState) -> None:
    """A session holds one hash, of any of these kinds: TPM_RC_CPHASH."""
    if policy.cp_hash or policy.has_other_hash:
        raise Refusal(TpmRc.CPHASH)


def _check_size(session: Session, value: bytes) -> None:
    if len(value) != DIGEST_SIZE[session.auth_hash]:
        raise Refusal(TpmRc.SIZE + _P1)


def _command(code: TpmCc, action: Any, *parameters: Parameter) -> Command:
    session = Handle(name="policySession", type=TPMI_SH_POLICY, role=AuthRole.NONE)
    return Command(
        code=code,
        action=action,
        handles=(session,),
        parameters=parameters,
        decrypts=True,
    )


COMMANDS: Final = (
    _command(
        TpmCc.POLICY_CP_HASH,
        policy_cp_hash,
        Parameter(name="cpHashA", unmarshal=TPM2B_DIGEST),
    ),
    _command(
        TpmCc.POLICY_NAME_HASH,
        policy_name_hash,
        Parameter(name="nameHash", unmarshal=TPM2B_DIGEST),
    ),
    _command(
        TpmCc.POLICY_TEMPLATE,
        policy_template,
        Parameter(name="templateHash", unmarshal=TPM2B_DIGEST),
    ),
    _command(
        TpmCc.POLICY_DUPLICATION_SELECT,
        policy_duplication_select,
        Parameter(name="objectName", unmarshal=TPM2B_NAME),
        Parameter(name="newParentName", unmarshal=TPM2B_NAME),
        Parameter(name="includeObject", unmarshal=TPMI_YES_NO),
    ),
)
