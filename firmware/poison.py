"""Poison a TPM: no PCR of a boot policy has a value that anybody could expect (3.3)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.measure import readable
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.status import tpm_is_lost
from pefstack.firmware.tpm_access import give_up, tpm
from pefstack.hw.board import Board
from pefstack.hw.tpm import client
from pefstack.hw.tpm.codes import DIGEST_SIZE
from pefstack.images.errors import FormatError
from pefstack.images.event_log_build import fit

RANDOM_SIZE: Final = 32
POISONED_PCRS: Final = tuple(range(8))


def poison(board: Board, stage: str) -> None:
    """Extend 32 random bytes of the TPM's own into PCR 0 to 7; the log says nothing.

    A boot policy's PCR that is none of these gets them too (project decision). Where
    poisoning fails the TPM is given up, so that nobody takes it for a good one.
    """
    if tpm_is_lost(board):
        return
    board.poisoned.add(board.tpm_name)
    value = _random(board, stage)
    if value is None:
        return
    profile = profile_of(board.spec.measure)
    digests = {b: fit(value, DIGEST_SIZE[b]) for b in profile.table.banks}
    board.journal.add(stage, "poison", tpm=board.tpm_name, **readable(digests))
    for pcr in dict.fromkeys((*POISONED_PCRS, profile.policy_pcr)):
        command = client.pcr_extend(pcr, digests)
        if tpm(board, stage, command, ("poison", pcr)) is None:
            return


def _random(board: Board, stage: str) -> bytes | None:
    """The TPM's random bytes; a short answer could be expected by somebody."""
    body = tpm(board, stage, client.get_random(RANDOM_SIZE), ("poison", 0))
    if body is None:
        return None
    try:
        value = client.random_bytes(body)
    except FormatError as broken:
        give_up(board, stage, ("poison", 0), f"GetRandom: {broken}")
        return None
    if len(value) != RANDOM_SIZE:
        found, expected = f"0x{len(value):x} bytes", f"0x{RANDOM_SIZE:x}"
        reason = f"GetRandom: found {found}, expected {expected}"
        give_up(board, stage, ("poison", 0), reason)
        return None
    return value
