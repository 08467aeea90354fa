"""One TPM behind every port of a server: real time, power, and what lasts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Final

from pefstack.hw.entropy import Clock
from pefstack.hw.journal import Journal
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.faulty import FaultyTpm
from pefstack.tools.tpm_server.state_file import StateFile

FAILURE: Final = bytes.fromhex("80010000000a00000101")

Sizes = tuple[int, int, int, int]
"""Size and code of the largest command, size of the largest response, its code."""


class SilentJournal(Journal):
    """Takes no note: a server may run for months."""

    keeps: ClassVar[bool] = False

    def add(self, source: str, kind: str, **detail: str | int) -> None:
        """Nothing."""


def milliseconds() -> int:
    """Of the system's clock that only goes forward."""
    return time.monotonic_ns() // 1_000_000


class TpmService:
    """A TPM that takes one request after the other from whoever comes.

    It is a fork of the given TPM and goes on alone, its clock with real time. With a
    ``state`` file, whatever a request changed for good is in the file before the
    request is answered.
    """

    def __init__(
        self,
        tpm: Tpm | FaultyTpm,
        clock: Clock,
        *,
        state: StateFile | None = None,
        now: Callable[[], int] = milliseconds,
    ) -> None:
        self.locality = 0  # of the data port of swtpm
        self._clock: Final = clock.fork()
        self._tpm = tpm.fork(SilentJournal(), clock=self._clock)
        self._now: Final = now
        self._start: Final = clock.now - now()
        self._state: Final = state
        self._saved: tuple[int, int] | None = None
        self._failed = False
        self._volatile: Tpm | FaultyTpm | None = None
        self._sizes: Sizes = (0, 0, 0, 0)
        self._save()

    @property
    def powered(self) -> bool:
        """Whether there is power."""
        return self._tpm.powered

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """Answer one command; whatever the bytes, the answer is a response."""
        self._tick()
        if self._failed:
            return FAILURE
        answer = self._tpm.execute(command, locality)
        self._save()
        return answer

    def power_on(self) -> None:
        """_TPM_Init; nothing happens when there is power."""
        self._tick()
        self._tpm.power_on()

    def power_off(self) -> None:
        """Take power away; nothing happens when there is none."""
        if not self.powered:
            return
        self._tick()
        if self._volatile is not None and self._is_older(self._volatile):
            self._volatile = None
        self._tpm.power_off()
        self._failed = False
        self._save()

    def reset(self) -> None:
        """Power off and on; what has no power gets none."""
        if self.powered:
            self.power_off()
            self.power_on()

    def init(self, *, forget: bool) -> None:
        """A power cycle, or back to the stored volatile state, as swtpm does.

        ``forget``: stored state is used once.
        """
        self.power_off()
        if self._volatile is None:
            self.power_on()
            return
        self._tpm = self._volatile.fork(SilentJournal(), clock=self._clock)
        self._volatile = None if forget else self._volatile
        self._save()

    def store_volatile(self) -> None:
        """Keep all of the present moment for the next `init` of this process.

        It counts only until something changes that lasts: NV is never set back.
        """
        self._volatile = self._tpm.fork(SilentJournal(), clock=self._clock)

    def fail(self) -> None:
        """Failure mode: every command is answered with TPM_RC_FAILURE."""
        self._failed = True

    def hash_start(self) -> None:
        """_TPM_Hash_Start."""
        self._tpm.hash_start()
        self._save()

    def hash_data(self, data: bytes) -> None:
        """_TPM_Hash_Data."""
        self._tpm.hash_data(data)

    def hash_end(self) -> None:
        """_TPM_Hash_End."""
        self._tpm.hash_end()
        self._save()

    def established(self) -> bool:
        """The establishment bit."""
        return self._tpm.established()

    def reset_established(self, locality: int) -> bool:
        """Clear the establishment bit; False below locality 3."""
        done = self._tpm.reset_established(locality)
        self._save()
        return done

    def note_sizes(self, command: bytes, response: bytes) -> None:
        """For the simulator's statistics."""
        code = int.from_bytes(command[6:10], "big")
        size, by, response_size, response_by = self._sizes
        if len(command) > size:
            size, by = len(command), code
        if len(response) > response_size:
            response_size, response_by = len(response), code
        self._sizes = size, by, response_size, response_by

    def take_sizes(self) -> Sizes:
        """The statistics since they were last taken."""
        sizes, self._sizes = self._sizes, (0, 0, 0, 0)
        return sizes

    def close(self) -> None:
        """The server ends: Clock is saved, the file is free for others."""
        self._tick()
        if self._state is not None:
            self._saved = None
            try:
                self._save()
            finally:
                self._state.close()

    def _tick(self) -> None:
        now = self._start + self._now()
        if now > self._clock.now:
            self._clock.now = now

    def _is_older(self, stored: Tpm | FaultyTpm) -> bool:
        return stored.lasting_mark()[0] != self._tpm.lasting_mark()[0]

    def _save(self) -> None:
        """Write what lasts, unless it is in the file already."""
        if self._state is None:
            return
        mark = self._tpm.lasting_mark()
        if mark != self._saved:
            self._state.store(self._tpm.save_state())
            self._saved = mark
