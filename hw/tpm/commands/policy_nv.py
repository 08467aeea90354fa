"""PolicyNV, PolicyAuthorizeNV: policies about an index's content (Part 3)."""

from __future__ import annotations

from hmac import compare_digest
from typing import Any, Final

from pefstack.hw.tpm import policy as digests
from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmCc
from pefstack.hw.tpm.command import AuthRole, Command, Handle
from pefstack.hw.tpm.commands.policy_conditions import OPERAND, P1, P2
from pefstack.hw.tpm.handles import (
    TPMI_RH_NV_AUTH,
    TPMI_RH_NV_INDEX,
    TPMI_SH_POLICY,
)
from pefstack.hw.tpm.nv import NvIndex
from pefstack.hw.tpm.nv_access import check_read
from pefstack.hw.tpm.policy_session import meets, policy_of
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.session import Session
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import Reader, tagged_digest


def policy_nv(
    inner: Internals,
    authorizing: Any,
    index: NvIndex,
    session: Session,
    operand: bytes,
    offset: int,
    operation: int,
) -> tuple[()]:
    """A comparison with a part of what the index holds now: else TPM_RC_POLICY."""
    policy = policy_of(session)
    if not session.is_trial:
        check_read(authorizing, index)
        _compare(index, operand, offset, operation)
    policy.digest = digests.policy_nv(
        policy.digest, index.name, operand, offset, operation, alg=session.auth_hash
    )
    return ()


def _compare(index: NvIndex, operand: bytes, offset: int, operation: int) -> None:
    if offset > index.public.data_size:
        raise Refusal(TpmRc.VALUE + P2)
    if len(operand) > index.public.data_size - offset:
        raise Refusal(TpmRc.SIZE + P1)
    if not meets(operation, index.data[offset : offset + len(operand)], operand):
        raise Refusal(TpmRc.POLICY)


def policy_authorize_nv(
    inner: Internals, authorizing: Any, index: NvIndex, session: Session
) -> tuple[()]:
    """The policy so far is the one that the index holds, as a TPMT_HA."""
    policy, alg = policy_of(session), session.auth_hash
    if not session.is_trial:
        check_read(authorizing, index)
        reader = Reader(index.data, 0, len(index.data), DIGEST_SIZE)
        held_alg, held = tagged_digest(reader)
        if held_alg != alg:
            raise Refusal(TpmRc.HASH)
        if not compare_digest(held, policy.digest):
            raise Refusal(TpmRc.VALUE)
    policy.digest = digests.policy_authorize_nv(policy.digest, index.name, alg=alg)
    return ()


_HANDLES: Final = (
    Handle(name="authHandle", type=TPMI_RH_NV_AUTH),
    Handle(name="nvIndex", type=TPMI_RH_NV_INDEX, role=AuthRole.NONE),
    Handle(name="policySession", type=TPMI_SH_POLICY, role=AuthRole.NONE),
)
COMMANDS: Final = (
    Command(
        code=TpmCc.POLICY_NV,
        action=policy_nv,
        handles=_HANDLES,
        parameters=OPERAND,
        decrypts=True,
    ),
    Command(
        code=TpmCc.POLICY_AUTHORIZE_NV, action=policy_authorize_nv, handles=_HANDLES
    ),
)
