"""A TPM that dies: from one command on it answers with failure, until power-on."""

from __future__ import annotations

from typing import Final

from pefstack.hw.entropy import Clock
from pefstack.hw.journal import Journal
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.passing import PassingTpm


class FaultyTpm(PassingTpm[Tpm]):
    """A whole TPM that loses its power for good when the ``dies_at``-th command since
    power-on comes, from 1: that one and all later ones get TPM_RC_FAILURE."""

    def __init__(self, tpm: Tpm, dies_at: int) -> None:
        super().__init__(tpm)
        self._dies_at: Final = dies_at
        self._count = 0

    def power_on(self) -> None:
        """On; it lives again until its command comes."""
        self._tpm.power_on()
        self._count = 0

    @property
    def powered(self) -> bool:
        """Whether there is power."""
        return self._tpm.powered

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """The TPM's answer while it lives."""
        self._count += 1
        if self._count == self._dies_at:
            self._tpm.power_off()
        return self._tpm.execute(command, locality)

    def save_state(self) -> bytes:
        """Everything that lasts without power."""
        return self._tpm.save_state()

    def lasting_mark(self) -> tuple[int, int]:
        """Another value as soon as there is something new to save."""
        return self._tpm.lasting_mark()

    def fork(self, journal: Journal, *, clock: Clock | None = None) -> FaultyTpm:
        """An independent copy that has as long to live."""
        other = FaultyTpm(self._tpm.fork(journal, clock=clock), self._dies_at)
        other._count = self._count
        return other
