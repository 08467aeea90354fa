"""A machine to boot, look into, fork and break: the public API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Final

from pefstack.firmware.boot import STAGES, power_on, step
from pefstack.firmware.device_tree import log_place, read_tree
from pefstack.firmware.journal_view import boots
from pefstack.firmware.log import HOSTBOOT_LOG, read_log
from pefstack.firmware.stage import Stage, stage_name
from pefstack.hw.board import Board
from pefstack.hw.journal import Journal
from pefstack.hw.mapping import SettingError
from pefstack.hw.tpm import client
from pefstack.hw.tpm.foreign import ForeignTpm
from pefstack.hw.wiring import ALGORITHM_BY_NAME
from pefstack.images.event_log import end_offset
from pefstack.images.fdt import Fdt
from pefstack.tools import image_cache
from pefstack.tools.errors import UsageError
from pefstack.tools.machine_file import find, load

if TYPE_CHECKING:
    from pefstack.tools.partitions import Partitions

PCR_COUNT: Final = 24


class Machine:
    """One emulated machine: switched off at first, a value that can be forked.

    ``machine`` is the name of a built-in machine, a machine file, or the folder of a
    built machine; ``settings`` are texts like ``machine.chip.smd=true``. Images are
    built once and kept. ``tpm`` is the address of another TPM to run on, as
    ``swtpm:localhost:2321``; such a machine can't be forked. Without ``guest`` the
    chain ends with OPAL. Raises `UsageError`.
    """

    def __init__(
        self,
        machine: str | PathLike[str] = "demo",
        *,
        settings: Sequence[str] = (),
        tpm: str | None = None,
        guest: bool = True,
    ) -> None:
        path = find(fspath(machine))
        built = image_cache.open_machine(path, load(path, settings))
        self.name = built.name
        self.about = built.about
        try:
            spec = built.spec if guest else replace(built.spec, guest=None)
            self.board: Board = spec.build(
                built.name,
                built.flash,
                built.seeprom,
                built.measurement_seeprom,
                built.guest,
                built.tpm_state,
            )
        except SettingError as wrong:
            raise UsageError(f"{path}: {wrong}") from wrong
        if tpm is not None:
            self.board.tpm = _foreign(tpm)
        self._next: Stage | None = None
        self._on = False

    @property
    def stage(self) -> str | None:
        """The stage that runs next; None after the last, a shutdown or a refusal."""
        if not self._on:
            return STAGES[0]
        return None if self._next is None else stage_name(self._next)

    @property
    def journal(self) -> Journal:
        """Everything that happened on this machine."""
        return self.board.journal

    @property
    def flash(self) -> Partitions:
        """The flash by partition name: ``machine.flash["HBB"]``."""
        from pefstack.tools.partitions import Partitions  # a boot reads for itself

        return Partitions(self.board)

    @property
    def event_log(self) -> bytes:
        """The TPM event log that firmware left in memory, without the unused rest.

        It is where the device tree says. Without a tree, and where the tree names none
        because the TPM was given up, it is what Hostboot has in its own buffer.
        """
        tree = self.device_tree
        place = log_place(Fdt.from_bytes(tree)) if tree else None
        log = read_log(self.board, place or HOSTBOOT_LOG)
        return log[: end_offset(log)] if any(log[:4096]) else b""

    @property
    def device_tree(self) -> bytes:
        """The flattened device tree that OPAL made in this boot; empty before.

        Raises `FormatError` when something was written over it in memory.
        """
        made = any(event.kind == "device-tree" for event in boots(self.journal)[-1])
        return read_tree(self.board) if made else b""

    def step(self) -> str | None:
        """Run one stage; the name of the next, None after the last.

        Raises `BootFailure` when the stage refuses; the machine then stays as it is.
        """
        if not self._on:
            self._next, self._on = power_on(self.board), True
        if self._next is not None:
            stage, self._next = self._next, None
            self._next = step(self.board, stage)
        return self.stage

    def run(self, until: str = STAGES[-1]) -> Machine:
        """Run every stage up to and including ``until``; answers with itself.

        Raises `BootFailure` when a stage refuses, `UsageError` for an unknown stage.
        """
        if until not in STAGES:
            raise UsageError(f"no stage {until!r}; there are: {', '.join(STAGES)}")
        last = STAGES.index(until)
        while self.stage is not None and STAGES.index(self.stage) <= last:
            self.step()
        return self

    def power_cycle(self) -> Machine:
        """Take the power away; the next `step` is a cold start. Answers with itself.

        Flash, SEEPROMs and fuses survive, and what the TPM keeps in NV; memory,
        registers and PCRs do not. The jumper, ``board.chip.jumper``, is sampled anew.
        """
        self.board.power_off()
        return self._switched_off()

    def memory_preserving_ipl(self) -> Machine:
        """Start over with the memory as it is: secure mode is not decided again.

        The next `step` is the first of this IPL; raises `UsageError` when the machine
        was never switched on. Answers with itself.
        """
        if not self._on:
            raise UsageError("a memory-preserving IPL needs a machine that is on")
        self.board.reset_preserving_memory()
        return self._switched_off()

    def _switched_off(self) -> Machine:
        self._next, self._on = None, False
        return self

    def pcr(self, index: int, bank: str = "sha256") -> bytes:
        """The value of a PCR, as the TPM reads it out; its bank must be allocated."""
        return self.pcrs((index,), bank)[index]

    def pcrs(
        self, indices: Sequence[int] = tuple(range(PCR_COUNT)), bank: str = "sha256"
    ) -> dict[int, bytes]:
        """PCR values by number, at most eight for each question to the TPM."""
        if bank not in ALGORITHM_BY_NAME or not set(indices) <= set(range(PCR_COUNT)):
            raise UsageError(f"no PCRs {list(indices)} in a bank {bank!r}")
        algorithm = ALGORITHM_BY_NAME[bank]
        values: dict[int, bytes] = {}
        rising = sorted(set(indices))  # the order in which a TPM answers
        for at in range(0, len(rising), 8):
            asked = rising[at : at + 8]
            command = client.pcr_read({algorithm: asked})
            answer = client.response(self.board.tpm.execute(command))
            digests = client.pcr_values(answer).digests
            if len(digests) != len(asked):
                raise UsageError(f"bank {bank} is not allocated in this TPM")
            values |= dict(zip(asked, digests, strict=True))
        return values

    def fork(self) -> Machine:
        """The same machine at the same moment, with a future of its own."""
        other = object.__new__(Machine)
        other.name, other.about = self.name, self.about
        other.board = self.board.fork()
        other._next, other._on = self._next, self._on
        return other

    def __repr__(self) -> str:
        return f"<Machine {self.name}, next {self.stage}>"


def _foreign(address: str) -> ForeignTpm:
    # loaded here: a machine with the model needs no sockets
    from pefstack.tools.tpm_backends.address import open_tpm

    return open_tpm(address)
