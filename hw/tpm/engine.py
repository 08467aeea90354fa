"""The TPM: power, commands, copies (tpm.md 1 and 9)."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final, NoReturn

from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.journal import Journal
from pefstack.hw.tpm import hash_sequence
from pefstack.hw.tpm.absent import FLOATING
from pefstack.hw.tpm.codes import (
    DIGEST_SIZE,
    HEADER_SIZE,
    LOCALITY_COUNT,
    MAX_LOADED_OBJECTS,
    TpmAlgId,
    TpmSt,
)
from pefstack.hw.tpm.execution import execute
from pefstack.hw.tpm.key_maker import KeyMaker
from pefstack.hw.tpm.pcr import ALL_PCRS
from pefstack.hw.tpm.response_codes import Refusal
from pefstack.hw.tpm.state import CLOCK_UPDATE, Internals, Settings, TpmState

_HEADER: Final = Struct(">HII")
MAX_TRANSIENT_SLOTS: Final = 256
# the register TPM_DID_VID: IBM, device 1, as the emulated TPMs of QEMU say
_DID_VID: Final = (0x0001_1014).to_bytes(4, "little")
_DEFAULT_BANKS: Final = (TpmAlgId.SHA1, TpmAlgId.SHA256, TpmAlgId.SHA384)


class Tpm:
    """A TPM 2.0 that is state and nothing else; meets `TpmInterface`.

    ``banks`` are the implemented PCR banks, ``allocated`` those of them that have PCRs
    at first (boot-chain.md 3.2). It starts without power. ``keys`` makes its keys.
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
        keys: KeyMaker | None = None,
    ) -> None:
        settings = _settings(tuple(banks), transient_slots)
        allocation = _allocation(settings, frozenset(allocated))
        state = TpmState(allocation, transient_slots, entropy)
        keys = KeyMaker() if keys is None else keys
        self._inner = Internals(settings, state, entropy, clock, journal, keys)

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

    @property
    def powered(self) -> bool:
        """Whether there is power."""
        return self._inner.state.powered

    def read_id(self) -> bytes:
        """TPM_DID_VID; without power nobody drives the bus."""
        return _DID_VID if self._inner.state.powered else FLOATING

    def request_locality(self, locality: int) -> bool:
        """Granted at once: there is one user at a time."""
        return self._inner.state.powered and 0 <= locality < LOCALITY_COUNT

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """Answer one command; whatever the bytes, the answer is a response.

        A refused command changes nothing, and its response is ten bytes.
        """
        try:
            return execute(self._inner, command, locality)
        except Refusal as refusal:
            return _HEADER.pack(TpmSt.NO_SESSIONS, HEADER_SIZE, refusal.rc)
        finally:
            self._inner.state.objects.borrowed = 0

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
        from pefstack.hw.tpm import persistence  # few machines keep their TPM

        return persistence.save_state(self._inner)

    def restore_state(self, raw: bytes) -> None:
        """Take over saved state, before power comes first; FormatError on damage."""
        from pefstack.hw.tpm import persistence

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
            old.keys,
        )
        return copy

    def __reduce__(self) -> NoReturn:
        """No pickle: it would carry the secrets away."""
        raise TypeError("a TPM holds secrets; keep it in a state file instead")

    def __repr__(self) -> str:
        state = self._inner.state
        return f"Tpm(powered={state.powered}, started={state.started})"


def _settings(banks: tuple[int, ...], slots: int) -> Settings:
    if not MAX_LOADED_OBJECTS <= slots <= MAX_TRANSIENT_SLOTS:
        raise ValueError(f"not 3 to 256 transient slots: {slots}")
    if not banks or len(set(banks)) != len(banks) or not set(banks) <= set(DIGEST_SIZE):
        raise ValueError(f"not a list of different PCR banks: {banks}")
    return Settings(
        digest_sizes={int(alg): size for alg, size in sorted(DIGEST_SIZE.items())},
        banks=tuple(int(alg) for alg in sorted(banks)),
        transient_slots=slots,
    )


def _allocation(settings: Settings, allocated: frozenset[int]) -> dict[int, int]:
    if not allocated or not allocated <= set(settings.banks):
        raise ValueError(f"not some of the implemented banks: {sorted(allocated)}")
    return {alg: ALL_PCRS if alg in allocated else 0 for alg in settings.banks}
