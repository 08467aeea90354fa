"""What a relay is, and what it knows without any attack (esm.md 4.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from pefstack.firmware.pef_objects import NV_INDEX, STORAGE_KEY, WRAPPING_KEY


class Carrier(Protocol):
    """What a relay passes commands on to: a TPM, or one more relay."""

    def execute(self, command: bytes) -> bytes:
        """Answer one command."""
        ...


class Relay(Protocol):
    """Between ultravisor and TPM, which every byte passes (H_SVM_TPM_COMM)."""

    @property
    def view(self) -> list[bytes]:
        """Everything that it has seen, sent and worked out, in order: for oracles."""
        ...

    def execute(self, command: bytes) -> bytes:
        """What the ultravisor gets as the answer to its command; may be anything."""
        ...

    def operand_slot(self, body: bytes) -> bytes:
        """What stands in the operand as the body of a kind-1 slot when the guest calls.

        ``body``: TPM2B of public area, duplicate and seed.
        """
        ...

    def storage_key(self, public: bytes) -> bytes:
        """What a broken OPAL hands over as the storage key's TPMT_PUBLIC."""
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """A command and its answer, as one side saw them."""

    command: bytes
    answer: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the hypervisor has besides a TPM and the traffic.

    ``extends``: what the boot extended into ``pcr``, SHA-256, from the event log.
    ``passwords``: the index's at earlier boots, learnt somehow. ``recorded``: traffic
    of earlier runs. ``reset_tpm``: on a board that can reset the TPM alone.
    """

    storage_key: int = STORAGE_KEY
    wrapping_key: int = WRAPPING_KEY
    nv_index: int = NV_INDEX
    pcr: int = 6
    extends: tuple[bytes, ...] = ()
    passwords: tuple[bytes, ...] = field(default=(), repr=False)
    recorded: tuple[Exchange, ...] = ()
    reset_tpm: Callable[[], None] | None = field(default=None, repr=False)


NOTHING_MORE = Known()
