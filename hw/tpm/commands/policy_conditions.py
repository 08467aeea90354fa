"""Policies that state a condition: PCRs, command, locality, time (Part 3, 23).

A trial session computes the digest and checks nothing.
"""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm import policy as digests
from pefstack.hw.tpm.buffers import TPM2B_DIGEST, TPM2B_OPERAND, TPML_DIGEST
from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.commands.table import CODES
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.handles import TPMI_SH_POLICY
from pefstack.hw.tpm.interface_types import TPM_EO, TPMA_LOCALITY
from pefstack.hw.tpm.policy_session import meets, policy_of
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.session import Session
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import (
    TPMI_YES_NO,
    TPML_PCR_SELECTION,
    UINT16,
    UINT32,
    PcrSelect,
    put_pcr_selections,
    put_tpm2b,
)
from pefstack.hw.tpm.time_info import time_info

P1: Final = RC_P + RC_1
P2: Final = RC_P + 2 * RC_1
EXTENDED_LOCALITY: Final = 32  # TPMA_LOCALITY from here on is one number, not bits


def policy_pcr(
    inner: Internals, session: Session, pcr_digest: bytes, pcrs: list[PcrSelect]
) -> tuple[()]:
    """PCR values, now and until the session is used: TPM_RC_VALUE, _PCR_CHANGED."""
    policy, alg = policy_of(session), session.auth_hash
    banks = inner.state.pcrs
    selection, values = banks.select(pcrs)
    found = digest(alg, *values)
    if session.is_trial:
        found = pcr_digest or found
    else:
        counter = banks.update_counter
        if policy.pcr_counter not in (None, counter):
            raise Refusal(TpmRc.PCR_CHANGED)
        if pcr_digest and pcr_digest != found:
            raise Refusal(TpmRc.VALUE + P1)
        policy.pcr_counter = counter
    marshalled = put_pcr_selections(selection)
    made = digests.policy_pcr_digest(policy.digest, marshalled, found, alg=alg)
    policy.digest = made
    return ()


def policy_locality(inner: Internals, session: Session, locality: int) -> tuple[()]:
    """Localities from which the session may be used."""
    policy = policy_of(session)
    allowed = _narrowed(policy.locality, locality)
    policy.locality = allowed
    policy.digest = digests.policy_locality(
        policy.digest, locality, alg=session.auth_hash
    )
    return ()


def _narrowed(old: int, new: int) -> int:
    """Both conditions: bits are met by bits, an extended locality only by itself."""
    if not new:
        raise Refusal(TpmRc.RANGE + P1)
    if not old:
        return new
    if old >= EXTENDED_LOCALITY or new >= EXTENDED_LOCALITY:
        both = new if old == new else 0
    else:
        both = old & new
    if not both:
        raise Refusal(TpmRc.RANGE + P1)
    return both


def policy_command_code(inner: Internals, session: Session, code: int) -> tuple[()]:
    """The only command that the session may authorize."""
    policy = policy_of(session)
    if policy.command_code not in (0, code):
        raise Refusal(TpmRc.VALUE + P1)
    if code not in CODES:
        raise Refusal(TpmRc.POLICY_CC + P1)
    policy.command_code = code
    policy.digest = digests.policy_command_code(
        policy.digest, code, alg=session.auth_hash
    )
    return ()


def policy_physical_presence(inner: Internals, session: Session) -> tuple[()]:
    """Somebody at the machine; this TPM has no such line, so its use is refused."""
    policy = policy_of(session)
    policy.needs_presence = True
    policy.digest = digests.policy_physical_presence(
        policy.digest, alg=session.auth_hash
    )
    return ()


def policy_auth_value(inner: Internals, session: Session) -> tuple[()]:
    """The entity's authValue takes part in the session's HMAC."""
    return _with_auth(session, password=False)


def policy_password(inner: Internals, session: Session) -> tuple[()]:
    """The entity's authValue stands in the place of the HMAC; the same digest."""
    return _with_auth(session, password=True)


def _with_auth(session: Session, *, password: bool) -> tuple[()]:
    policy = policy_of(session)
    policy.needs_password, policy.needs_auth_value = password, not password
    policy.digest = digests.policy_auth_value(policy.digest, alg=session.auth_hash)
    return ()


def policy_nv_written(inner: Internals, session: Session, written: int) -> tuple[()]:
    """Whether the NV index has been written."""
    policy, wanted = policy_of(session), bool(written)
    if policy.nv_written not in (None, wanted):
        raise Refusal(TpmRc.VALUE + P1)
    policy.nv_written = wanted
    policy.digest = digests.policy_nv_written(
        policy.digest, wanted, alg=session.auth_hash
    )
    return ()


def policy_counter_timer(
    inner: Internals, session: Session, operand: bytes, offset: int, operation: int
) -> tuple[()]:
    """A comparison with a part of TPMS_TIME_INFO."""
    policy, now = policy_of(session), time_info(inner).to_bytes()
    if offset > len(now):
        raise Refusal(TpmRc.VALUE + P2)
    if len(operand) > len(now) - offset:
        raise Refusal(TpmRc.RANGE)
    compared = now[offset : offset + len(operand)]
    if not session.is_trial and not meets(operation, compared, operand):
        raise Refusal(TpmRc.POLICY)
    policy.digest = digests.policy_counter_timer(
        policy.digest, operand, offset, operation, alg=session.auth_hash
    )
    return ()


def policy_or(inner: Internals, session: Session, branches: list[bytes]) -> tuple[()]:
    """One of several policies: the digest so far must be among them."""
    policy = policy_of(session)
    if not session.is_trial and policy.digest not in branches:
        raise Refusal(TpmRc.VALUE + P1)
    policy.digest = digests.policy_or(policy.digest, branches, alg=session.auth_hash)
    return ()


def policy_get_digest(inner: Internals, session: Session) -> tuple[bytes]:
    """The digest so far."""
    return (policy_of(session).digest,)


def _command(code: TpmCc, action: Any, *parameters: Parameter, **more: Any) -> Command:
    """What all of them have: the session, which needs no authorization."""
    session = Handle(name="policySession", type=TPMI_SH_POLICY, role=AuthRole.NONE)
    return Command(
        code=code, action=action, handles=(session,), parameters=parameters, **more
    )


_PCR_DIGEST: Final = Parameter(name="pcrDigest", unmarshal=TPM2B_DIGEST)
_PCRS: Final = Parameter(name="pcrs", unmarshal=TPML_PCR_SELECTION)
_LOCALITY: Final = Parameter(name="locality", unmarshal=TPMA_LOCALITY)
_CODE: Final = Parameter(name="code", unmarshal=UINT32)
_WRITTEN: Final = Parameter(name="writtenSet", unmarshal=TPMI_YES_NO)
OPERAND: Final = (
    Parameter(name="operandB", unmarshal=TPM2B_OPERAND),
    Parameter(name="offset", unmarshal=UINT16),
    Parameter(name="operation", unmarshal=TPM_EO),
)
_BRANCHES: Final = Parameter(name="pHashList", unmarshal=TPML_DIGEST)
COMMANDS: Final = (
    _command(TpmCc.POLICY_PCR, policy_pcr, _PCR_DIGEST, _PCRS, decrypts=True),
    _command(TpmCc.POLICY_LOCALITY, policy_locality, _LOCALITY),
    _command(TpmCc.POLICY_COMMAND_CODE, policy_command_code, _CODE),
    _command(TpmCc.POLICY_PHYSICAL_PRESENCE, policy_physical_presence),
    _command(TpmCc.POLICY_AUTH_VALUE, policy_auth_value),
    _command(TpmCc.POLICY_PASSWORD, policy_password),
    _command(TpmCc.POLICY_NV_WRITTEN, policy_nv_written, _WRITTEN),
    _command(TpmCc.POLICY_COUNTER_TIMER, policy_counter_timer, *OPERAND, decrypts=True),
    _command(TpmCc.POLICY_OR, policy_or, _BRANCHES),
    _command(
        TpmCc.POLICY_GET_DIGEST, policy_get_digest, results=(put_tpm2b,), encrypts=True
    ),
)
