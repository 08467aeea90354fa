"""The authorization area: read it, and check who may act (tpm.md 1; Part 1)."""

from __future__ import annotations

from hmac import compare_digest
from typing import Final, NamedTuple

from pefstack.hw.tpm.codes import (
    MAX_ACTIVE_SESSIONS,
    MAX_DIGEST_SIZE,
    MAX_SESSION_NUM,
    TpmaSession,
    TpmHt,
    TpmRh,
)
from pefstack.hw.tpm.command import Command
from pefstack.hw.tpm.response_codes import RC_1, RC_S, Refusal, TpmRc
from pefstack.hw.tpm.structures import UINT8, UINT32, Reader, tpm2b

MIN_SESSION_SIZE: Final = 9  # handle, empty nonce, attributes, empty hmac
PASSWORD_RESPONSE: Final = bytes((0, 0, TpmaSession.CONTINUE_SESSION, 0, 0))
EMPTY_AUTH: Final = b""  # the authValue of every PCR and of the platform

_READ_NONCE: Final = tpm2b(MAX_DIGEST_SIZE)
_READ_AUTH: Final = tpm2b(MAX_DIGEST_SIZE)
_HMAC_FIRST: Final = TpmHt.HMAC_SESSION << 24
_POLICY_FIRST: Final = TpmHt.POLICY_SESSION << 24
_NOT_WITH_PASSWORD: Final = (
    TpmaSession.AUDIT_EXCLUSIVE
    | TpmaSession.AUDIT_RESET
    | TpmaSession.DECRYPT
    | TpmaSession.ENCRYPT
    | TpmaSession.AUDIT
)


class Session(NamedTuple):
    """One session as a command carries it."""

    handle: int
    nonce: bytes
    attributes: int
    auth: bytes


def read_sessions(reader: Reader, command: Command) -> list[Session]:
    """The authorization area, from its length field on; the reader is left after it.

    Each fault in a session carries the session's number.
    """
    size = UINT32(reader)
    area_end = reader.offset + size
    if size < MIN_SESSION_SIZE or area_end > reader.end:
        raise Refusal(TpmRc.SIZE)
    if not command.allows_sessions:
        raise Refusal(TpmRc.AUTH_CONTEXT)
    area = Reader(reader.raw, reader.offset, area_end, reader.digest_sizes)
    sessions: list[Session] = []
    while area.offset < area_end:
        sessions.append(_numbered(area, len(sessions)))
    reader.offset = area_end
    return sessions


def check_authorizations(command: Command, sessions: list[Session]) -> None:
    """Every handle that needs it is authorized, and no session is there for nothing."""
    if len(sessions) < command.auth_count:
        raise Refusal(TpmRc.AUTH_MISSING)
    if len(sessions) > command.auth_count:  # a password can only authorize
        raise Refusal(TpmRc.HANDLE + _where(command.auth_count))
    for index, session in enumerate(sessions):
        if not compare_digest(session.auth.rstrip(b"\0"), EMPTY_AUTH):
            raise Refusal(TpmRc.BAD_AUTH + _where(index))


def session_responses(sessions: list[Session]) -> bytes:
    """The response's authorization area."""
    return PASSWORD_RESPONSE * len(sessions)


def _numbered(area: Reader, index: int) -> Session:
    if index == MAX_SESSION_NUM:
        raise Refusal(TpmRc.SIZE + _where(index))
    try:
        session = _read_session(area)
        _check_session(session)
    except Refusal as refusal:
        if refusal.rc == TpmRc.REFERENCE_S0:  # a warning: it counts the sessions itself
            raise Refusal(refusal.rc + index) from None
        raise Refusal(refusal.rc + _where(index)) from None
    return session


def _read_session(area: Reader) -> Session:
    handle = UINT32(area)
    if handle != TpmRh.PW and not _is_session_handle(handle):
        raise Refusal(TpmRc.VALUE)
    nonce = _READ_NONCE(area)
    attributes = UINT8(area)
    if attributes & TpmaSession.RESERVED:
        raise Refusal(TpmRc.RESERVED_BITS)
    return Session(handle, nonce, attributes, _READ_AUTH(area))


def _check_session(session: Session) -> None:
    if session.handle != TpmRh.PW:  # no command of this TPM loads a session
        raise Refusal(TpmRc.REFERENCE_S0)
    if session.attributes & _NOT_WITH_PASSWORD:
        raise Refusal(TpmRc.ATTRIBUTES)
    if session.nonce:
        raise Refusal(TpmRc.NONCE)


def _is_session_handle(handle: int) -> bool:
    in_hmac = _HMAC_FIRST <= handle < _HMAC_FIRST + MAX_ACTIVE_SESSIONS
    return in_hmac or _POLICY_FIRST <= handle < _POLICY_FIRST + MAX_ACTIVE_SESSIONS


def _where(index: int) -> int:
    return RC_S + (index + 1) * RC_1
