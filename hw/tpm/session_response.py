"""The authorization area of a response: new nonces, HMACs, audit (tpm.md 3)."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmaSession, TpmCc
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.crypto.sessions import session_hmac
from pefstack.hw.tpm.entities import resolve
from pefstack.hw.tpm.invocation import Invocation
from pefstack.hw.tpm.response_codes import Refusal
from pefstack.hw.tpm.session import Session
from pefstack.hw.tpm.session_hmac import crypt_parameter, hmac_key
from pefstack.hw.tpm.session_use import PASSWORD_RESPONSE, SessionUse
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_tpm2b, put_uint16

_NO_AUTH_VALUE: Final = frozenset((TpmCc.NV_UNDEFINE_SPACE_SPECIAL,))


def answer_sessions(
    inner: Internals, call: Invocation, uses: list[SessionUse], results: bytes
) -> tuple[bytes, bytes]:
    """The response parameters, encrypted where asked, and the authorization area."""
    for use in uses:
        if use.session is not None:
            size = len(use.session.nonce_tpm)
            use.session.nonce_tpm = inner.entropy.random_bytes(size)
    entities = [_present(inner, call, index) for index in range(len(uses))]
    results = _encrypted(uses, entities, results)
    _audit(inner, call, uses, results)
    area = b"".join(
        _answer(call, use, entity, results)
        for use, entity in zip(uses, entities, strict=True)
    )
    for use in uses:
        _end_use(inner, use)
    return results, area


def _end_use(inner: Internals, use: SessionUse) -> None:
    """A session goes, or goes on; a policy goes on from its beginning."""
    if use.session is None:
        return
    if not use.has(TpmaSession.CONTINUE_SESSION):
        inner.state.sessions.flush(use.handle)
    if use.session.policy is not None:
        use.session.restart_policy()
        use.session.started_at = inner.time()


def _present(inner: Internals, call: Invocation, index: int) -> Any | None:
    """The entity as it is now: the command may have changed its authValue."""
    if call.authorized(index) is None or call.command.code in _NO_AUTH_VALUE:
        return None
    try:
        return resolve(inner, call.handles[index])
    except Refusal:  # the command took it away: as it was
        return call.entities[index]


def _encrypted(
    uses: list[SessionUse], entities: list[Any | None], results: bytes
) -> bytes:
    for use, entity in zip(uses, entities, strict=True):
        session = use.session
        if session is not None and use.has(TpmaSession.ENCRYPT):
            size = 2 + int.from_bytes(results[:2], "big")
            nonces = session.nonce_tpm, use.nonce_caller
            data = results[2:size]
            hidden = crypt_parameter(session, entity, nonces, data, decrypt=False)
            return put_uint16(len(hidden)) + hidden + results[size:]
    return results


def _audit(
    inner: Internals, call: Invocation, uses: list[SessionUse], results: bytes
) -> None:
    """Extend the audit session's digest, and say whether it is the exclusive one."""
    store = inner.state.sessions
    for use in uses:
        session = use.session
        if session is None or not use.has(TpmaSession.AUDIT):
            continue
        starts = use.has(TpmaSession.AUDIT_RESET) or not session.audit_digest
        alg = session.auth_hash
        old = bytes(DIGEST_SIZE[alg]) if starts else session.audit_digest
        hashes = call.cp_hash(alg), call.rp_hash(alg, results)
        session.audit_digest = digest(alg, old, *hashes)
        if starts:
            store.exclusive = use.handle
            session.bound = b""  # an audit session is bound to nothing
        exclusive = TpmaSession.AUDIT_EXCLUSIVE
        use.attributes &= ~exclusive
        use.attributes |= exclusive if store.exclusive == use.handle else 0


def _answer(
    call: Invocation,
    use: SessionUse,
    entity: Any | None,
    results: bytes,
) -> bytes:
    session = use.session
    if session is None:
        return PASSWORD_RESPONSE
    key = hmac_key(session, entity, is_bound=use.is_bound)
    mac = _hmac(call, use, session, key, results)
    head = put_tpm2b(session.nonce_tpm) + bytes((use.attributes,))
    return head + put_tpm2b(mac)


def _hmac(
    call: Invocation,
    use: SessionUse,
    session: Session,
    key: bytes,
    results: bytes,
) -> bytes:
    """Empty for a policy without any key, and where the password was sent in clear."""
    policy = session.policy
    if policy is not None and (policy.needs_password or not (key or use.auth)):
        return b""
    alg = session.auth_hash
    p_hash = call.rp_hash(alg, results)
    nonces = session.nonce_tpm, use.nonce_caller
    return session_hmac(alg, key, p_hash, *nonces, use.attributes)
