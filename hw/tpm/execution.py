"""One order of checks for every command (tpm.md 1, Part 1 "Command Processing")."""

from __future__ import annotations

from operator import attrgetter
from struct import Struct
from typing import Any, Final

from pefstack.hw.tpm.authorization import authorize
from pefstack.hw.tpm.codes import (
    HEADER_SIZE,
    LOCALITY_COUNT,
    MAX_COMMAND_SIZE,
    TpmaSession,
    TpmCc,
    TpmSt,
)
from pefstack.hw.tpm.command import Command
from pefstack.hw.tpm.commands.table import CODES, COMMANDS
from pefstack.hw.tpm.entities import resolve
from pefstack.hw.tpm.invocation import Invocation
from pefstack.hw.tpm.response_codes import RC_1, RC_FMT1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.session_area import read_sessions
from pefstack.hw.tpm.session_use import PASSWORD_RESPONSE, SessionUse
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import UINT32, Reader, put_uint32

_HEADER: Final = Struct(">HII")
_session: Final = attrgetter("session")
# plain numbers, which each command asks for: members of enumerations take longer
_NO_SESSIONS: Final = int(TpmSt.NO_SESSIONS)
_SESSIONS: Final = int(TpmSt.SESSIONS)
_STARTUP: Final = int(TpmCc.STARTUP)
_SUCCESS: Final = int(TpmRc.SUCCESS)
_TAGS: Final = frozenset((_NO_SESSIONS, _SESSIONS))
_REFERENCES: Final = frozenset((int(TpmRc.REFERENCE_H0),))


def execute(inner: Internals, raw: bytes, locality: int) -> bytes:
    """The response to a command; raises `Refusal` with the whole response code."""
    state = inner.state
    if not state.powered:
        raise Refusal(TpmRc.FAILURE)
    state.hash_sequence = None  # any command ends it (Part 4, ExecuteCommand)
    if not 0 <= locality < LOCALITY_COUNT:
        raise Refusal(TpmRc.LOCALITY)
    tag, command = _parse_header(raw)
    if state.started is (command.code == _STARTUP):
        raise Refusal(TpmRc.INITIALIZE)
    inner.locality = locality
    reader = Reader(raw, HEADER_SIZE, len(raw), inner.settings.digest_sizes)
    call = _read_handles(inner, reader, command)
    uses = _authorized(inner, reader, call, tag)
    parameters = _read_parameters(reader, command)
    inner.handles, inner.uses = call.handles, uses or []
    results = command.action(inner, *call.entities, *parameters)
    return _response(inner, call, results, uses)


def _parse_header(raw: bytes) -> tuple[int, Command]:
    """Tag, size, code, in this order (Part 1, "Command Header Validation")."""
    if len(raw) < HEADER_SIZE:
        raise Refusal(TpmRc.COMMAND_SIZE)
    tag, size, code = _HEADER.unpack_from(raw)
    if tag not in _TAGS:  # as the reference answers; not TPM_RC_BAD_TAG of TPM 1.2
        raise Refusal(TpmRc.VALUE)
    if size != len(raw) or size > MAX_COMMAND_SIZE:
        raise Refusal(TpmRc.COMMAND_SIZE)
    if code not in CODES:
        raise Refusal(TpmRc.COMMAND_CODE)
    return tag, COMMANDS[code]


def _read_handles(inner: Internals, reader: Reader, command: Command) -> Invocation:
    """All handles by their types first, then what each stands for."""
    handles: list[int] = []
    entities: list[Any] = []
    slots = inner.settings.transient_slots
    for number, declared in enumerate(command.handles, 1):
        if reader.offset + 4 > reader.end:
            raise Refusal(TpmRc.INSUFFICIENT + number * RC_1)
        handle = UINT32(reader)
        if not declared.type(slots, handle):
            raise Refusal(TpmRc.VALUE + number * RC_1)
        handles.append(handle)
    try:
        for handle in handles:
            entities.append(resolve(inner, handle))
    except Refusal as refusal:
        raise Refusal(_placed(refusal.rc, len(entities))) from None
    return Invocation(command, handles, entities)


def _placed(rc: int, index: int) -> int:
    """A response code with the part that says: handle ``index``, from 0."""
    if rc in _REFERENCES:  # a warning that counts the handles itself
        return rc + index
    return rc + (index + 1) * RC_1 if rc & RC_FMT1 else rc


def _authorized(
    inner: Internals, reader: Reader, call: Invocation, tag: int
) -> list[SessionUse] | None:
    """The sessions, all of them found good; None when the tag says there are none."""
    if tag == _SESSIONS:
        uses = read_sessions(reader, call.command, inner.state.sessions)
        call.parameters = reader.raw[reader.offset : reader.end]
        call.has_keys = any(map(_session, uses))
        authorize(inner, call, uses)
        if call.has_keys:
            from pefstack.hw.tpm.session_hmac import decrypt_first

            decrypt_first(reader, call, uses)
        return uses
    if call.command.auth_count:
        raise Refusal(TpmRc.AUTH_MISSING)
    call.parameters = reader.raw[reader.offset : reader.end]
    return None


def _read_parameters(reader: Reader, command: Command) -> list[Any]:
    parameters: list[Any] = []
    try:
        for declared in command.parameters:
            parameters.append(declared.unmarshal(reader))
    except Refusal as refusal:
        number = len(parameters) + 1
        raise Refusal(refusal.rc + RC_P + number * RC_1) from None
    if reader.offset != reader.end:
        raise Refusal(TpmRc.SIZE)
    return parameters


def _response(
    inner: Internals,
    call: Invocation,
    results: tuple[Any, ...],
    uses: list[SessionUse] | None,
) -> bytes:
    """A command with sessions is answered with sessions (Part 1, "Response")."""
    inner.state.objects.borrowed = 0
    handle, body = _marshalled(call.command, results)
    tag = _NO_SESSIONS
    if inner.state.sessions.exclusive is not None:
        _end_exclusive(inner, call.command, uses)
    if call.command.code in inner.state.command_audit.codes:
        _audit(inner, call, body)
    if uses is not None:
        tag = _SESSIONS
        body, area = _session_area(inner, call, uses, body)
        body = put_uint32(len(body)) + body + area
    size = HEADER_SIZE + len(handle) + len(body)
    return _HEADER.pack(tag, size, _SUCCESS) + handle + body


def _marshalled(command: Command, results: tuple[Any, ...]) -> tuple[bytes, bytes]:
    """The handle that a command gives, if it gives one, and the other results."""
    if not command.results:
        return b"", b""
    parts = [put(each) for put, each in zip(command.results, results, strict=True)]
    handle = parts.pop(0) if command.gives_handle else b""
    return handle, b"".join(parts)


def _session_area(
    inner: Internals, call: Invocation, uses: list[SessionUse], body: bytes
) -> tuple[bytes, bytes]:
    """The parameters as they are sent, and the authorization area behind them."""
    if not call.has_keys:
        return body, PASSWORD_RESPONSE * len(uses)
    from pefstack.hw.tpm.session_response import answer_sessions

    return answer_sessions(inner, call, uses, body)


def _audit(inner: Internals, call: Invocation, results: bytes) -> None:
    """The command audit, over the results before they are encrypted."""
    audit = inner.state.command_audit
    alg = audit.alg
    if audit.extend(call.cp_hash(alg), call.rp_hash(alg, results)):
        inner.state.note_change()


def _end_exclusive(
    inner: Internals, command: Command, uses: list[SessionUse] | None
) -> None:
    """A command without an audit session ends the exclusive one."""
    store = inner.state.sessions
    if not command.allows_sessions:
        return
    if not any(use.has(TpmaSession.AUDIT) for use in uses or ()):
        store.exclusive = None
