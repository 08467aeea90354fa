"""All the state of the TPM, and what a command's action may touch (tpm.md 9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.journal import Journal
from pefstack.hw.tpm.codes import MAX_LOADED_OBJECTS
from pefstack.hw.tpm.pcr import Bank, PcrBanks

CLOCK_UPDATE: Final = 4096  # milliseconds between two writes of Clock to NV
MAX_UINT64: Final = (1 << 64) - 1


class Orderly(IntEnum):
    """What the last Shutdown left, if nothing has changed since."""

    NONE = 0
    CLEAR = 1
    STATE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one kind of TPM can do; the same for its whole life."""

    digest_sizes: Mapping[int, int]  # the implemented hashes, each with a PCR bank
    command_attributes: tuple[int, ...]  # TPMA_CC in rising order of the code
    transient_slots: int = MAX_LOADED_OBJECTS  # objects that can be loaded at a time


class TpmState:
    """Everything that commands and power change, except the entropy."""

    __slots__ = (
        "clock_at_power_on",
        "established",
        "generation",
        "hash_sequence",
        "hcrtm",
        "orderly",
        "pcrs",
        "pending_allocation",
        "powered",
        "powered_at",
        "reset_count",
        "restart_count",
        "safe_from",
        "saved_pcrs",
        "started",
        "startup_locality",
        "was_hcrtm",
        "was_orderly",
    )

    def __init__(self, allocated: Mapping[int, int]) -> None:
        self.powered = False
        self.started = False
        self.pcrs = PcrBanks(allocated)
        self.pending_allocation: dict[int, int] | None = None
        self.orderly = Orderly.CLEAR
        self.was_orderly = True  # at the last Startup
        self.saved_pcrs: dict[int, Bank] | None = None
        self.startup_locality = 0
        self.reset_count = 0
        self.restart_count = 0
        self.clock_at_power_on = 0
        self.powered_at = 0
        self.safe_from = 0
        self.generation = 0  # counts the changes of what lasts without power
        self.established = False
        self.hash_sequence: dict[int, Any] | None = None  # a running hash a bank
        self.hcrtm: dict[int, bytes] | None = None  # PCR 0 for the next Startup
        self.was_hcrtm = False  # at the last Startup

    def touch(self) -> None:
        """Something that lasts without power has changed (persistence.py)."""
        self.generation += 1

    def change_saved(self) -> None:
        """Something that Shutdown saved has changed: what it saved counts no more."""
        if self.orderly is not Orderly.NONE:
            self.orderly = Orderly.NONE
            self.saved_pcrs = None
            self.touch()

    def fork(self) -> TpmState:
        """An independent copy; saved PCRs are never changed, so they are shared."""
        copy = TpmState.__new__(TpmState)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.pcrs = self.pcrs.fork()
        if self.hash_sequence is not None:
            running = self.hash_sequence.items()
            copy.hash_sequence = {alg: each.copy() for alg, each in running}
        return copy


class Internals:
    """One TPM from the inside."""

    __slots__ = ("clock", "entropy", "journal", "locality", "settings", "state")

    def __init__(
        self,
        settings: Settings,
        state: TpmState,
        entropy: Entropy,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self.settings = settings
        self.state = state
        self.entropy = entropy
        self.clock = clock
        self.journal = journal
        self.locality = 0  # of the command being executed

    def time(self) -> int:
        """Milliseconds since power came on."""
        return self.clock.now - self.state.powered_at

    def clock_value(self) -> int:
        """Milliseconds the TPM has had power in all its life."""
        return self.state.clock_at_power_on + self.time() & MAX_UINT64
