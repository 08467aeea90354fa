"""The TPM: one order of checks for every command (tpm.md 1, Part 1)."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Any, Final

from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.journal import Journal
from pefstack.hw.tpm import hash_sequence, persistence
from pefstack.hw.tpm.absent import FLOATING
from pefstack.hw.tpm.codes import (
    DIGEST_SIZE,
    HEADER_SIZE,
    LOCALITY_COUNT,
    MAX_COMMAND_SIZE,
    MAX_LOADED_OBJECTS,
    TpmAlgId,
    TpmCc,
    TpmSt,
)
from pefstack.hw.tpm.command import Command
from pefstack.hw.tpm.commands.table import COMMAND_ATTRIBUTES, COMMANDS
from pefstack.hw.tpm.pcr import ALL_PCRS
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.sessions import (
    Session,
    check_authorizations,
    read_sessions,
    session_responses,
)
from pefstack.hw.tpm.state import CLOCK_UPDATE, Internals, Settings, TpmState
from pefstack.hw.tpm.structures import UINT32, Reader, put_uint32

_HEADER: Final = Struct(">HII")
_TAGS: Final = frozenset((int(TpmSt.NO_SESSIONS), int(TpmSt.SESSIONS)))
# the register TPM_DID_VID: IBM, device 1, as the emulated TPMs of QEMU say
_DID_VID: Final = (0x0001_1014).to_bytes(4, "little")
MAX_TRANSIENT_SLOTS: Final = 256
_DEFAULT_BANKS: Final = (TpmAlgId.SHA1, TpmAlgId.SHA256, TpmAlgId.SHA384)


class Tpm:
    """A TPM 2.0 that is state and nothing else; meets `TpmInterface`.

    ``banks`` are the implemented PCR banks, ``allocated`` those of them that have PCRs
    at first (boot-chain.md 3.2). It starts without power.
    """

    __slots__ = ("_inner",)

    def __init__(
        self,
        entropy: Entropy,
        clock: Clock,
        journal: Journal,
        *,
        banks: Iterable[int] = _DEFAULT_BANKS,
        allocated: Iterable[int] = (TpmAlgId.SHA256,),
        transient_slots: int = MAX_LOADED_OBJECTS,
    ) -> None:
        settings = _settings(tuple(banks), transient_slots)
        state = TpmState(_allocation(settings, frozenset(allocated)))
        self._inner = Internals(settings, state, entropy, clock, journal)

    def power_on(self) -> None:
        """_TPM_Init; nothing happens when there is power."""
        state = self._inner.state
        if not state.powered:
            state.powered = True
            state.powered_at = self._inner.clock.now

    def power_off(self) -> None:
        """Take power away; nothing happens when there is none."""
        state = self._inner.state
        if state.powered:
            state.clock_at_power_on = self._inner.clock_value()
            state.powered = state.started = False
            state.hash_sequence = state.hcrtm = None
            state.touch()  # Clock

    def read_id(self) -> bytes:
        """TPM_DID_VID; without power nobody drives the bus."""
        return _DID_VID if self._inner.state.powered else FLOATING

    def request_locality(self, locality: int) -> bool:
        """Granted at once: there is one user at a time."""
        return self._inner.state.powered and 0 <= locality < LOCALITY_COUNT

    @property
    def powered(self) -> bool:
        """Whether there is power."""
        return self._inner.state.powered

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """Answer one command; whatever the bytes, the answer is a response.

        A refused command changes nothing, and its response is ten bytes.
        """
        try:
            return _execute(self._inner, command, locality)
        except Refusal as refusal:
            return _HEADER.pack(TpmSt.NO_SESSIONS, HEADER_SIZE, refusal.rc)

    def hash_start(self) -> None:
        """_TPM_Hash_Start; the establishment bit is set."""
        hash_sequence.hash_start(self._inner)

    def hash_data(self, data: bytes) -> None:
        """_TPM_Hash_Data; nothing happens when no sequence was begun."""
        hash_sequence.hash_data(self._inner, data)

    def hash_end(self) -> None:
        """_TPM_Hash_End: PCR 0 before Startup (H-CRTM), PCR 17 after it (DRTM)."""
        hash_sequence.hash_end(self._inner)

    def established(self) -> bool:
        """The establishment bit; it outlasts power."""
        return self._inner.state.established

    def reset_established(self, locality: int) -> bool:
        """Clear the establishment bit; False, and no change, below locality 3."""
        return hash_sequence.reset_established(self._inner, locality)

    def save_state(self) -> bytes:
        """Everything that lasts without power; holds secrets (persistence.py)."""
        return persistence.save_state(self._inner)

    def restore_state(self, raw: bytes) -> None:
        """Take over saved state, before power comes first; FormatError on damage."""
        persistence.restore_state(self._inner, raw)

    def lasting_mark(self) -> tuple[int, int]:
        """Another value than before as soon as there is something new to save."""
        inner = self._inner
        return inner.state.generation, inner.clock_value() // CLOCK_UPDATE

    def fork(self, journal: Journal, *, clock: Clock | None = None) -> Tpm:
        """An independent copy that writes to ``journal`` and has its own entropy.

        A board gives the forked ``clock`` of its own; without one the TPM forks its.
        """
        old = self._inner
        copy = Tpm.__new__(Tpm)
        copy._inner = Internals(
            old.settings,
            old.state.fork(),
            old.entropy.fork(),
            old.clock.fork() if clock is None else clock,
            journal,
        )
        return copy

    def __repr__(self) -> str:
        state = self._inner.state
        return f"Tpm(powered={state.powered}, started={state.started})"


def _execute(inner: Internals, raw: bytes, locality: int) -> bytes:
    state = inner.state
    if not state.powered:
        raise Refusal(TpmRc.FAILURE)
    state.hash_sequence = None  # any command ends it (Part 4, ExecuteCommand)
    if not 0 <= locality < LOCALITY_COUNT:
        raise Refusal(TpmRc.LOCALITY)
    tag, command = _parse_header(raw)
    if state.started is (command.code == TpmCc.STARTUP):
        raise Refusal(TpmRc.INITIALIZE)
    reader = Reader(raw, HEADER_SIZE, len(raw), inner.settings.digest_sizes)
    arguments = _read_handles(reader, command)
    sessions = _authorize(reader, command, tag)
    _read_parameters(reader, command, arguments)
    inner.locality = locality
    return _response(command, command.action(inner, *arguments), sessions)


def _authorize(reader: Reader, command: Command, tag: int) -> list[Session] | None:
    """The sessions, all of them found good; None when the tag says there are none."""
    if tag == TpmSt.SESSIONS:
        sessions = read_sessions(reader, command)
        check_authorizations(command, sessions)
        return sessions
    if command.auth_count:
        raise Refusal(TpmRc.AUTH_MISSING)
    return None


def _response(
    command: Command, results: tuple[Any, ...], sessions: list[Session] | None
) -> bytes:
    """A command with sessions is answered with sessions (Part 1, "Response")."""
    body = b""
    if results:
        pairs = zip(command.results, results, strict=True)
        body = b"".join([put(each) for put, each in pairs])
    tag = TpmSt.NO_SESSIONS
    if sessions is not None:
        tag = TpmSt.SESSIONS
        body = put_uint32(len(body)) + body + session_responses(sessions)
    return _HEADER.pack(tag, HEADER_SIZE + len(body), TpmRc.SUCCESS) + body


def _parse_header(raw: bytes) -> tuple[int, Command]:
    """Tag, size, code, in this order (Part 1, "Command Header Validation")."""
    if len(raw) < HEADER_SIZE:
        raise Refusal(TpmRc.COMMAND_SIZE)
    tag, size, code = _HEADER.unpack_from(raw)
    if tag not in _TAGS:  # as the reference answers; not TPM_RC_BAD_TAG of TPM 1.2
        raise Refusal(TpmRc.VALUE)
    if size != len(raw) or size > MAX_COMMAND_SIZE:
        raise Refusal(TpmRc.COMMAND_SIZE)
    command = COMMANDS.get(code)
    if command is None:
        raise Refusal(TpmRc.COMMAND_CODE)
    return tag, command


def _read_handles(reader: Reader, command: Command) -> list[Any]:
    handles: list[Any] = []
    for number, declared in enumerate(command.handles, 1):
        if reader.offset + 4 > reader.end:
            raise Refusal(TpmRc.INSUFFICIENT + number * RC_1)
        handle = UINT32(reader)
        if handle not in declared.values:
            raise Refusal(TpmRc.VALUE + number * RC_1)
        handles.append(handle)
    return handles


def _read_parameters(reader: Reader, command: Command, arguments: list[Any]) -> None:
    """Append the parameters to the handles in ``arguments``."""
    try:
        for declared in command.parameters:
            arguments.append(declared.unmarshal(reader))
    except Refusal as refusal:
        number = len(arguments) - len(command.handles) + 1
        raise Refusal(refusal.rc + RC_P + number * RC_1) from None
    if reader.offset != reader.end:
        raise Refusal(TpmRc.SIZE)


def _settings(banks: tuple[int, ...], transient_slots: int) -> Settings:
    if not MAX_LOADED_OBJECTS <= transient_slots <= MAX_TRANSIENT_SLOTS:
        raise ValueError(f"not 3 to 256 transient slots: {transient_slots}")
    if not banks or len(set(banks)) != len(banks) or not set(banks) <= set(DIGEST_SIZE):
        raise ValueError(f"not a list of different PCR banks: {banks}")
    sizes = {int(alg): DIGEST_SIZE[alg] for alg in sorted(banks)}
    return Settings(
        digest_sizes=sizes,
        command_attributes=COMMAND_ATTRIBUTES,
        transient_slots=transient_slots,
    )


def _allocation(settings: Settings, allocated: frozenset[int]) -> dict[int, int]:
    if not allocated or not allocated <= set(settings.digest_sizes):
        raise ValueError(f"not some of the implemented banks: {sorted(allocated)}")
    return {alg: ALL_PCRS if alg in allocated else 0 for alg in settings.digest_sizes}
