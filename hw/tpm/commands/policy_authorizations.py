"""PolicySigned, PolicySecret, PolicyTicket, PolicyAuthorize: somebody agrees."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm import policy as digests
from pefstack.hw.tpm import tickets
from pefstack.hw.tpm.buffers import (
    TPM2B_DIGEST,
    TPM2B_NAME,
    TPM2B_NONCE,
    TPM2B_TIMEOUT,
)
from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmCc, TpmRh, TpmSt
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.handles import TPMI_DH_ENTITY, TPMI_DH_OBJECT, TPMI_SH_POLICY
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.policy_session import (
    check_parameters,
    deadline,
    policy_of,
    restrict,
)
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.session import Session
from pefstack.hw.tpm.signature import TPMT_SIGNATURE, Signature
from pefstack.hw.tpm.signing import verify_signature
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import Reader, put_tpm2b
from pefstack.hw.tpm.ticket import TPMT_TK_AUTH, TPMT_TK_VERIFIED, Ticket

_P1, _P2, _P3, _P4, _P5 = (RC_P + n * RC_1 for n in range(1, 6))
_TIMEOUT_SIZE: Final = 8


def policy_signed(
    inner: Internals,
    auth_object: Any,
    session: Session,
    nonce_tpm: bytes,
    cp_hash: bytes,
    policy_ref: bytes,
    expiration: int,
    auth: Signature,
) -> tuple[bytes, Ticket]:
    """The holder of a key agrees; a ticket where the expiration is negative."""
    ends_at = None
    if not session.is_trial:
        ends_at = _checked(inner, session, nonce_tpm, cp_hash, expiration)
        signed = nonce_tpm + expiration.to_bytes(4, "big", signed=True)
        signed += cp_hash + policy_ref
        try:
            verify_signature(auth_object, digest(auth.hash_alg, signed), auth)
        except Refusal as refusal:
            raise Refusal(refusal.rc + _P5) from None
    policy, alg = policy_of(session), session.auth_hash
    name = auth_object.name
    policy.digest = digests.policy_signed(policy.digest, name, policy_ref, alg=alg)
    restrict(policy, ends_at, cp_hash)
    return _ticket(
        inner,
        TpmSt.AUTH_SIGNED,
        auth_object.hierarchy,
        (cp_hash, policy_ref, name),
        ends_at if expiration < 0 else None,
    )


def policy_secret(
    inner: Internals,
    auth_handle: Any,
    session: Session,
    nonce_tpm: bytes,
    cp_hash: bytes,
    policy_ref: bytes,
    expiration: int,
) -> tuple[bytes, Ticket]:
    """Who knows an entity's authValue agrees: the command's authorization proved it."""
    ends_at = None
    if not session.is_trial:
        ends_at = _checked(inner, session, nonce_tpm, cp_hash, expiration)
    policy, alg = policy_of(session), session.auth_hash
    name = auth_handle.name
    policy.digest = digests.policy_secret(policy.digest, name, policy_ref, alg=alg)
    restrict(policy, ends_at, cp_hash)
    return _ticket(
        inner,
        TpmSt.AUTH_SECRET,
        _hierarchy_of(inner, auth_handle),
        (cp_hash, policy_ref, name),
        ends_at if expiration < 0 else None,
    )


def _checked(
    inner: Internals,
    session: Session,
    nonce_tpm: bytes,
    cp_hash: bytes,
    expiration: int,
) -> int | None:
    """The end of the authorization, once nonce, time and cpHash are found good."""
    if nonce_tpm and nonce_tpm != session.nonce_tpm:
        raise Refusal(TpmRc.NONCE + _P1)
    ends_at = deadline(inner, session, expiration, from_start=bool(nonce_tpm))
    check_parameters(inner, session, ends_at, cp_hash, (_P4, _P2))
    return ends_at


def _hierarchy_of(inner: Internals, entity: Any) -> int:
    """Whose proof makes the ticket: that of an object, else the entity's own."""
    if isinstance(entity, TpmObject):
        return entity.hierarchy
    handle = getattr(entity, "handle", int(TpmRh.NULL))
    if handle in (TpmRh.PLATFORM, TpmRh.ENDORSEMENT):
        return int(handle)
    is_platform_nv = hasattr(entity, "public") and entity.public.attributes >> 30 & 1
    return int(TpmRh.PLATFORM if is_platform_nv else TpmRh.OWNER)


def _ticket(
    inner: Internals,
    tag: TpmSt,
    hierarchy: int,
    parts: tuple[bytes, bytes, bytes],
    ends_at: int | None,
) -> tuple[bytes, Ticket]:
    """timeout and policyTicket; empty ones where no ticket is wanted."""
    if ends_at is None:
        return b"", Ticket(tag=int(tag))
    timeout = ends_at.to_bytes(_TIMEOUT_SIZE, "big")
    return timeout, tickets.make(inner, int(tag), hierarchy, timeout, *parts)


def policy_ticket(
    inner: Internals,
    session: Session,
    timeout: bytes,
    cp_hash: bytes,
    policy_ref: bytes,
    auth_name: bytes,
    ticket: Ticket,
) -> tuple[()]:
    """An earlier agreement, as its ticket shows; not for a trial."""
    if session.is_trial:
        raise Refusal(TpmRc.ATTRIBUTES + RC_1)
    if len(timeout) != _TIMEOUT_SIZE:
        raise Refusal(TpmRc.SIZE + _P1)
    ends_at = int.from_bytes(timeout, "big")
    check_parameters(inner, session, ends_at, cp_hash, (_P1, _P2))
    parts = timeout, cp_hash, policy_ref, auth_name
    if not tickets.check(inner, ticket, *parts):
        raise Refusal(TpmRc.TICKET + _P5)
    policy, alg = policy_of(session), session.auth_hash
    is_signed = ticket.tag == TpmSt.AUTH_SIGNED
    update = digests.policy_signed if is_signed else digests.policy_secret
    policy.digest = update(policy.digest, auth_name, policy_ref, alg=alg)
    restrict(policy, ends_at, cp_hash)
    return ()


def policy_authorize(
    inner: Internals,
    session: Session,
    approved: bytes,
    policy_ref: bytes,
    key_sign: bytes,
    ticket: Ticket,
) -> tuple[()]:
    """The policy so far was approved by a key: a ticket of VerifySignature shows it."""
    policy, alg = policy_of(session), session.auth_hash
    key_alg = int.from_bytes(key_sign[:2], "big")
    if key_alg not in DIGEST_SIZE:
        raise Refusal(TpmRc.HASH + _P3)
    if len(key_sign) != 2 + DIGEST_SIZE[key_alg]:
        raise Refusal(TpmRc.SIZE + _P3)
    if not session.is_trial:
        if approved != policy.digest:
            raise Refusal(TpmRc.VALUE + _P1)
        a_hash = digest(key_alg, approved, policy_ref)
        if not tickets.check(inner, ticket, a_hash, key_sign):
            raise Refusal(TpmRc.VALUE + _P4)
    policy.digest = digests.policy_authorize(
        policy.digest, key_sign, policy_ref, alg=alg
    )
    return ()


def int32(reader: Reader) -> int:
    """INT32: signed, four bytes."""
    return int.from_bytes(reader.take(4), "big", signed=True)


_SESSION: Final = Handle(name="policySession", type=TPMI_SH_POLICY, role=AuthRole.NONE)
_CP_HASH: Final = Parameter(name="cpHashA", unmarshal=TPM2B_DIGEST)
_REF: Final = Parameter(name="policyRef", unmarshal=TPM2B_NONCE)
_TERMS: Final = (
    Parameter(name="nonceTPM", unmarshal=TPM2B_NONCE),
    _CP_HASH,
    _REF,
    Parameter(name="expiration", unmarshal=int32),
)
_RESULTS: Final = (put_tpm2b, Ticket.to_bytes)
COMMANDS: Final = (
    Command(
        code=TpmCc.POLICY_SIGNED,
        action=policy_signed,
        handles=(
            Handle(name="authObject", type=TPMI_DH_OBJECT, role=AuthRole.NONE),
            _SESSION,
        ),
        parameters=(*_TERMS, Parameter(name="auth", unmarshal=TPMT_SIGNATURE)),
        results=_RESULTS,
        decrypts=True,
        encrypts=True,
    ),
    Command(
        code=TpmCc.POLICY_SECRET,
        action=policy_secret,
        handles=(Handle(name="authHandle", type=TPMI_DH_ENTITY), _SESSION),
        parameters=_TERMS,
        results=_RESULTS,
        decrypts=True,
        encrypts=True,
    ),
    Command(
        code=TpmCc.POLICY_TICKET,
        action=policy_ticket,
        handles=(_SESSION,),
        parameters=(
            Parameter(name="timeout", unmarshal=TPM2B_TIMEOUT),
            _CP_HASH,
            _REF,
            Parameter(name="authName", unmarshal=TPM2B_NAME),
            Parameter(name="ticket", unmarshal=TPMT_TK_AUTH),
        ),
        decrypts=True,
    ),
    Command(
        code=TpmCc.POLICY_AUTHORIZE,
        action=policy_authorize,
        handles=(_SESSION,),
        parameters=(
            Parameter(name="approvedPolicy", unmarshal=TPM2B_DIGEST),
            _REF,
            Parameter(name="keySign", unmarshal=TPM2B_NAME),
            Parameter(name="checkTicket", unmarshal=TPMT_TK_VERIFIED),
        ),
        decrypts=True,
    ),
)
