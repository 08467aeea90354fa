"""What policy commands share: update a session, compare operands, limits (Part 3)."""

from __future__ import annotations

from hmac import compare_digest
from typing import Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmEo
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.session import PolicyState, Session
from pefstack.hw.tpm.state import Internals

_SECOND: Final = 1000  # milliseconds


def policy_of(session: Session) -> PolicyState:
    """The policy state of a session that a policy command was given."""
    if session.policy is None:  # its handle says that it is a policy session
        raise Refusal(TpmRc.FAILURE)
    return session.policy


def deadline(
    inner: Internals, session: Session, expiration: int, *, from_start: bool
) -> int | None:
    """When an authorization ends, in ms of the TPM's time; None: never.

    ``expiration`` in seconds, negative where a ticket is wanted; it counts from the
    start of the session where the session's nonce was signed, else from now.
    """
    if not expiration:
        return None
    start = session.started_at if from_start else inner.time()
    return start + abs(expiration) * _SECOND


def check_parameters(
    inner: Internals,
    session: Session,
    ends_at: int | None,
    cp_hash: bytes,
    places: tuple[int, int],
) -> None:
    """TPM_RC_EXPIRED, _CPHASH, _SIZE; ``places`` of expiration and cpHashA."""
    expiration_at, cp_hash_at = places
    if ends_at is not None and ends_at < inner.time():
        raise Refusal(TpmRc.EXPIRED + expiration_at)
    if cp_hash:
        policy = policy_of(session)
        if len(cp_hash) != DIGEST_SIZE[session.auth_hash]:
            raise Refusal(TpmRc.SIZE + cp_hash_at)
        if policy.has_other_hash or not _same_or_none(policy.cp_hash, cp_hash):
            raise Refusal(TpmRc.CPHASH)


def _same_or_none(old: bytes, new: bytes) -> bool:
    return not old or compare_digest(old, new)


def restrict(policy: PolicyState, ends_at: int | None, cp_hash: bytes) -> None:
    """Note the limits of an authorization: the earlier end, the cpHash."""
    if ends_at is not None:
        earlier = ends_at if policy.timeout is None else min(ends_at, policy.timeout)
        policy.timeout = earlier
    if cp_hash:
        policy.cp_hash = cp_hash


def meets(operation: int, a: bytes, b: bytes) -> bool:
    """The comparison of PolicyNV and PolicyCounterTimer, byte strings of one size."""
    unsigned = int.from_bytes(a, "big"), int.from_bytes(b, "big")
    signed = (
        int.from_bytes(a, "big", signed=True),
        int.from_bytes(b, "big", signed=True),
    )
    x, y = signed if operation in _SIGNED else unsigned
    results = {
        TpmEo.EQ: x == y,
        TpmEo.NEQ: x != y,
        TpmEo.SIGNED_GT: x > y,
        TpmEo.UNSIGNED_GT: x > y,
        TpmEo.SIGNED_LT: x < y,
        TpmEo.UNSIGNED_LT: x < y,
        TpmEo.SIGNED_GE: x >= y,
        TpmEo.UNSIGNED_GE: x >= y,
        TpmEo.SIGNED_LE: x <= y,
        TpmEo.UNSIGNED_LE: x <= y,
        TpmEo.BITSET: x & y == y,
        TpmEo.BITCLEAR: x & y == 0,
    }
    return results[TpmEo(operation)]


_SIGNED: Final = frozenset(
    (TpmEo.SIGNED_GT, TpmEo.SIGNED_LT, TpmEo.SIGNED_GE, TpmEo.SIGNED_LE)
)
