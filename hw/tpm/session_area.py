"""The authorization area of a command: its sessions, as they were sent (tpm.md 1)."""

from __future__ import annotations

from struct import Struct
from typing import Final

from pefstack.hw.tpm.codes import (
    MAX_DIGEST_SIZE,
    MAX_SESSION_NUM,
    TpmaSession,
    TpmRh,
)
from pefstack.hw.tpm.command import Command
from pefstack.hw.tpm.handles import TPMI_SH_AUTH_SESSION
from pefstack.hw.tpm.response_codes import RC_1, RC_S, Refusal, TpmRc
from pefstack.hw.tpm.session_store import SessionStore
from pefstack.hw.tpm.session_use import SessionUse
from pefstack.hw.tpm.structures import UINT8, UINT32, Reader, tpm2b

MIN_SESSION_SIZE: Final = 9  # handle, empty nonce, attributes, empty hmac
_PASSWORD: Final = Struct(">IHBH")  # handle, nonce and auth without their bytes
_PW: Final = int(TpmRh.PW)
_MORE_THAN_CONTINUE: Final = ~int(TpmaSession.CONTINUE_SESSION)
_SIZED: Final = tpm2b(MAX_DIGEST_SIZE)
_NOT_WITH_PASSWORD: Final = (
    TpmaSession.AUDIT_EXCLUSIVE
    | TpmaSession.AUDIT_RESET
    | TpmaSession.DECRYPT
    | TpmaSession.ENCRYPT
    | TpmaSession.AUDIT
)
_AUDIT_DETAIL: Final = TpmaSession.AUDIT_EXCLUSIVE | TpmaSession.AUDIT_RESET


def read_sessions(
    reader: Reader, command: Command, store: SessionStore
) -> list[SessionUse]:
    """The authorization area, from its length field on; the reader is left after it.

    Each fault in a session carries the session's number.
    """
    size = UINT32(reader)
    area_end = reader.offset + size
    if size < MIN_SESSION_SIZE or area_end > reader.end:
        raise Refusal(TpmRc.SIZE)
    if not command.allows_sessions:
        raise Refusal(TpmRc.AUTH_CONTEXT)
    password = _lone_password(reader.raw, reader.offset, area_end)
    if password is not None:
        reader.offset = area_end
        return [password]
    area = Reader(reader.raw, reader.offset, area_end, reader.digest_sizes)
    uses: list[SessionUse] = []
    while area.offset < area_end:
        uses.append(_numbered(area, command, uses, store))
    reader.offset = area_end
    return uses


def _lone_password(raw: bytes, start: int, end: int) -> SessionUse | None:
    """The whole area at once, if it is one password and nothing is wrong with it.

    Nearly every command carries that. None leaves all refusals to `_read_session`.
    """
    handle, nonce_size, attributes, size = _PASSWORD.unpack_from(raw, start)
    if handle != _PW or nonce_size or attributes & _MORE_THAN_CONTINUE:
        return None
    if size > MAX_DIGEST_SIZE or end - start != MIN_SESSION_SIZE + size:
        return None
    auth = raw[end - size : end]
    return SessionUse(
        handle=handle, session=None, nonce_caller=b"", attributes=attributes, auth=auth
    )


def where(index: int) -> int:
    """The part of a response code that says: session ``index``, from 0."""
    return RC_S + (index + 1) * RC_1


def _numbered(
    area: Reader,
    command: Command,
    earlier: list[SessionUse],
    store: SessionStore,
) -> SessionUse:
    index = len(earlier)
    if index == MAX_SESSION_NUM:
        raise Refusal(TpmRc.SIZE + where(index))
    try:
        use = _read_session(area, store)
        _check(use, command, earlier, store)
    except Refusal as refusal:
        if refusal.rc == TpmRc.REFERENCE_S0:  # a warning: it counts the sessions itself
            raise Refusal(refusal.rc + index) from None
        if refusal.rc == TpmRc.EXCLUSIVE:  # of format zero: it has no place
            raise
        raise Refusal(refusal.rc + where(index)) from None
    return use


def _read_session(area: Reader, store: SessionStore) -> SessionUse:
    handle = UINT32(area)
    is_password = handle == TpmRh.PW
    if not is_password and not TPMI_SH_AUTH_SESSION(0, handle):
        raise Refusal(TpmRc.VALUE)
    nonce = _SIZED(area)
    attributes = UINT8(area)
    if attributes & TpmaSession.RESERVED:
        raise Refusal(TpmRc.RESERVED_BITS)
    return SessionUse(
        handle=handle,
        session=None if is_password else store.get(handle),
        nonce_caller=nonce,
        attributes=attributes,
        auth=_SIZED(area),
    )


def _check(
    use: SessionUse,
    command: Command,
    earlier: list[SessionUse],
    store: SessionStore,
) -> None:
    if use.handle == TpmRh.PW:
        if use.attributes & _NOT_WITH_PASSWORD:
            raise Refusal(TpmRc.ATTRIBUTES)
        if use.nonce_caller:
            raise Refusal(TpmRc.NONCE)
        return
    if use.session is None:
        loaded = store.is_loaded(use.handle)
        raise Refusal(TpmRc.HANDLE if loaded else TpmRc.REFERENCE_S0)
    if any(other.handle == use.handle for other in earlier):
        raise Refusal(TpmRc.HANDLE)
    _check_encryption(use, earlier, TpmaSession.DECRYPT, possible=command.decrypts)
    _check_encryption(use, earlier, TpmaSession.ENCRYPT, possible=command.encrypts)
    _check_audit(use, earlier, store)


def _check_encryption(
    use: SessionUse,
    earlier: list[SessionUse],
    attribute: TpmaSession,
    *,
    possible: bool,
) -> None:
    """Only where a parameter can be encrypted, by one session that has a cipher."""
    if not use.has(attribute):
        return
    if not possible or any(other.has(attribute) for other in earlier):
        raise Refusal(TpmRc.ATTRIBUTES)
    if use.session is not None and not use.session.can_encrypt:
        raise Refusal(TpmRc.SYMMETRIC)


def _check_audit(
    use: SessionUse, earlier: list[SessionUse], store: SessionStore
) -> None:
    """One session audits at most; policies never do."""
    audits = use.has(TpmaSession.AUDIT)
    if use.attributes & _AUDIT_DETAIL and not audits:
        raise Refusal(TpmRc.ATTRIBUTES)
    if not audits or use.session is None:
        return
    if use.session.is_policy or any(other.has(TpmaSession.AUDIT) for other in earlier):
        raise Refusal(TpmRc.ATTRIBUTES)
    starts = use.has(TpmaSession.AUDIT_RESET) or not use.session.audit_digest
    claims = use.has(TpmaSession.AUDIT_EXCLUSIVE) and not starts
    if claims and store.exclusive != use.handle:
        raise Refusal(TpmRc.EXCLUSIVE)
