"""The ultravisor: the record of each VM, and the door for ultra-calls (esm.md 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pefstack.firmware.ultravisor.calls import Caller, answer
from pefstack.firmware.ultravisor.codes import HStatus
from pefstack.firmware.ultravisor.effects import Effect, Reason
from pefstack.firmware.ultravisor.esm_state import EsmState
from pefstack.firmware.ultravisor.svm import Svm
from pefstack.firmware.ultravisor.tpm_client import POLICY_PCR
from pefstack.hw.board import Board
from pefstack.hw.chip import Chip
from pefstack.hw.cpu import signed
from pefstack.hw.entropy import Entropy
from pefstack.hw.memory import Memory
from pefstack.hw.secure_memory import SECURE_BIT, SecureMemory
from pefstack.images.esm_blob_refusal import EsmProfile
from pefstack.images.uv_tpm import UvTpm

Hypercalls = Callable[[int, int, Sequence[int]], tuple[int, ...]]


def _nobody(_lpid: int, _number: int, _args: Sequence[int]) -> tuple[int, ...]:
    return (HStatus.FUNCTION,)


@dataclass(slots=True, kw_only=True)
class Ultravisor:
    """Everything that runs with MSR S = 1 and HV = 1; secrets do not print.

    ``machine``: what OPAL handed over, None where the TPM was not prepared. ``pcr`` is
    that of the boot policy.
    ``hypervisor`` answers the hypercalls; it is not trusted. ``calls``: UV_ESM calls
    that are not at their end, by logical partition; ``asked``: the question that the
    state of a call asks, so that it is not worked out again. ``reasons``: why calls
    were refused, for the owner of the ultravisor. ``entropy`` is the processor's.
    """

    secure: SecureMemory = field(repr=False)
    memory: Memory = field(repr=False)
    chip: Chip = field(repr=False)
    entropy: Entropy = field(repr=False)
    profile: EsmProfile = EsmProfile.STRICT
    machine: UvTpm | None = field(default=None, repr=False)
    pcr: int = POLICY_PCR
    hypervisor: Hypercalls = field(default=_nobody, repr=False)
    svms: dict[int, Svm] = field(default_factory=dict)
    calls: dict[int, EsmState] = field(default_factory=dict, repr=False)
    asked: dict[int, tuple[EsmState, Effect]] = field(default_factory=dict, repr=False)
    pates: dict[int, tuple[int, int]] = field(default_factory=dict)
    sprs: dict[int, int] = field(default_factory=dict)
    reasons: list[tuple[int, Reason]] = field(default_factory=list)

    def ultracall(self, caller: Caller, gpr: Sequence[int]) -> tuple[int, ...]:
        """Any ultra-call but UV_ESM, which has steps: r3 (signed), then r4 and on."""
        return answer(self, caller, gpr)

    def hypercall(self, lpid: int, number: int, *args: int) -> tuple[int, ...]:
        """Ask the hypervisor on a VM's behalf: r3 signed, r4 and on. Believe nothing.

        An answer without r3 counts as H_HARDWARE.
        """
        first, *others = self.hypervisor(lpid, number, args) or (HStatus.HARDWARE,)
        return signed(first), *others

    def real_memory(self, address: int) -> SecureMemory | Memory:
        """What holds a real address."""
        return self.secure if address & SECURE_BIT else self.memory

    def note(self, lpid: int, reason: Reason) -> None:
        """Into the log that only the ultravisor's owner sees."""
        self.reasons.append((lpid, reason))

    def fork(self, board: Board) -> Ultravisor:
        """The same at the same moment, on another board; it still needs a hypervisor.

        Calls go on where they stand: their states are values.
        """
        return replace(
            self,
            secure=board.secure,
            memory=board.memory,
            chip=board.chip,
            entropy=board.entropy,
            hypervisor=_nobody,
            svms={lpid: svm.fork() for lpid, svm in self.svms.items()},
            calls=dict(self.calls),
            asked=dict(self.asked),
            pates=dict(self.pates),
            sprs=dict(self.sprs),
            reasons=list(self.reasons),
        )
