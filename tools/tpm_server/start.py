"""A TPM of its own for `pef tpm serve`: made from its seed, its file, real time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.tpm import client
from pefstack.hw.tpm.codes import BANK_NAME, MAX_LOADED_OBJECTS
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.persistence import saved_banks
from pefstack.tools.tpm_server.service import SilentJournal, TpmService
from pefstack.tools.tpm_server.state_file import StateFile

SEED_SIZE: Final = 32
BANKS: Final = tuple(BANK_NAME)  # all that there are (tpm.md 4)


def start_service(
    seed: str | None,
    state_path: Path | None,
    *,
    startup_clear: bool,
    transient_slots: int = MAX_LOADED_OBJECTS,
) -> TpmService:
    """A TPM with power, as it was left when there is a state file.

    Without ``seed`` it is another one each time, or goes on at random. Raises
    `FormatError` for a damaged file, `UsageError` for one that cannot be used.
    """
    state = None if state_path is None else StateFile(state_path)
    try:
        clock = Clock()
        tpm = _tpm(seed, clock, state, transient_slots)
        service = TpmService(tpm, clock, state=state)
    except BaseException:
        if state is not None:
            state.close()
        raise
    service.power_on()
    if startup_clear:
        service.execute(client.startup(), 0)
    return service


def _tpm(
    seed: str | None, clock: Clock, state: StateFile | None, transient_slots: int
) -> Tpm:
    """With saved state it has the banks of the TPM that was saved."""
    entropy = Entropy(os.urandom(SEED_SIZE).hex() if seed is None else seed, "tpm")
    saved = None if state is None else state.load()
    banks = BANKS if saved is None else saved_banks(saved)
    tpm = Tpm(
        entropy,
        clock,
        SilentJournal(),
        banks=banks,
        allocated=banks,
        transient_slots=transient_slots,
    )
    if saved is not None:
        tpm.restore_state(saved)
    return tpm
