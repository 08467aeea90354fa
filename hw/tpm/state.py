"""All the state of the TPM, and what a command's action may touch (tpm.md 9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final

from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.journal import Journal
from pefstack.hw.tpm.command_audit import CommandAudit
from pefstack.hw.tpm.commits import Commits
from pefstack.hw.tpm.dictionary_attack import DictionaryAttack
from pefstack.hw.tpm.hierarchies import Hierarchies
from pefstack.hw.tpm.key_maker import KeyMaker
from pefstack.hw.tpm.nv import NvStore
from pefstack.hw.tpm.objects import ObjectStore, Sequence
from pefstack.hw.tpm.pcr import Bank, PcrBanks
from pefstack.hw.tpm.pcr_group import PcrGroup
from pefstack.hw.tpm.session_store import SessionStore
from pefstack.hw.tpm.session_use import SessionUse

CLOCK_UPDATE: Final = 4096  # milliseconds between two writes of Clock to NV
MAX_UINT64: Final = (1 << 64) - 1


_FORKED: Final = (
    "command_audit",
    "commits",
    "hierarchies",
    "nv",
    "objects",
    "pcr_group",
    "pcrs",
    "sessions",
)


class Orderly(IntEnum):
    """What the last Shutdown left, if nothing has changed since."""

    NONE = 0
    CLEAR = 1
    STATE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one kind of TPM can do; the same for its whole life."""

    digest_sizes: Mapping[int, int]  # the implemented hashes
    banks: tuple[int, ...]  # those of them that have a PCR bank
    transient_slots: int


class TpmState:
    """Everything that commands and power change, except the entropy."""

    __slots__ = (
        "algorithm_set",
        "clear_count",
        "clock_at_power_on",
        "command_audit",
        "commits",
        "context_secret",
        "dictionary_attack",
        "established",
        "generation",
        "hash_sequence",
        "hcrtm",
        "hierarchies",
        "nv",
        "object_contexts",
        "objects",
        "orderly",
        "pcr_group",
        "pcrs",
        "pending_allocation",
        "powered",
        "powered_at",
        "reset_count",
        "restart_count",
        "safe_from",
        "saved_pcrs",
        "saved_sequences",
        "sessions",
        "started",
        "startup_locality",
        "was_hcrtm",
        "was_orderly",
    )

    def __init__(
        self, allocated: Mapping[int, int], slots: int, entropy: Entropy | None
    ) -> None:
        self.hierarchies = Hierarchies(entropy)
        self.objects = ObjectStore(slots)
        self.sessions = SessionStore()
        self.nv = NvStore()
        self.dictionary_attack = DictionaryAttack()
        self.command_audit = CommandAudit()
        self.commits = Commits()
        self.pcr_group = PcrGroup()
        self.algorithm_set = 0
        self.context_secret = b""  # of this TPM Reset; protects contexts
        self.object_contexts = 0  # saved since the TPM Reset
        self.saved_sequences: dict[int, Sequence] = {}
        self.clear_count = 0  # of TPM Resets and Restarts
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

    def note_change(self) -> None:
        """Something that outlives a loss of power has changed."""
        self.touch()
        self.change_saved()

    def fork(self) -> TpmState:
        """An independent copy; what is never changed is shared."""
        copy = TpmState.__new__(TpmState)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        for name in _FORKED:
            setattr(copy, name, getattr(self, name).fork())
        copy.dictionary_attack = replace(self.dictionary_attack)
        copy.saved_sequences = {
            number: each.fork() for number, each in self.saved_sequences.items()
        }
        if self.hash_sequence is not None:
            running = self.hash_sequence.items()
            copy.hash_sequence = {alg: each.copy() for alg, each in running}
        return copy


class Internals:
    """One TPM from the inside."""

    __slots__ = (
        "clock",
        "entropy",
        "handles",
        "journal",
        "keys",
        "locality",
        "settings",
        "state",
        "uses",
    )

    def __init__(
        self,
        settings: Settings,
        state: TpmState,
        entropy: Entropy,
        clock: Clock,
        journal: Journal,
        keys: KeyMaker,
    ) -> None:
        self.settings = settings
        self.state = state
        self.entropy = entropy
        self.clock = clock
        self.journal = journal
        self.keys = keys
        self.locality = 0  # of the command being executed, as the next two
        self.handles: list[int] = []
        self.uses: list[SessionUse] = []

    def time(self) -> int:
        """Milliseconds since power came on."""
        return self.clock.now - self.state.powered_at

    def clock_value(self) -> int:
        """Milliseconds the TPM has had power in all its life."""
        return self.state.clock_at_power_on + self.time() & MAX_UINT64

    def set_clock(self, value: int) -> None:
        """Clock goes on from ``value``, and is safe."""
        self.state.clock_at_power_on = value - self.time() & MAX_UINT64
        self.state.safe_from = value
