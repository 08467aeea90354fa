"""Measure: a TPM command for each extend that the profile names (boot-chain.md 3.2)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.log import LogWriter
from pefstack.firmware.profiles import Extend, profile_of
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.firmware.status import lose_tpm, tpm_is_lost
from pefstack.hw.board import Board
from pefstack.hw.errors import DeviceError
from pefstack.hw.tpm import client
from pefstack.hw.tpm.codes import BANK_NAME, DIGEST_SIZE, TpmAlgId
from pefstack.images.errors import FormatError
from pefstack.images.event_log import EV_SEPARATOR
from pefstack.images.event_log_build import fit, separator_digest

Digests = dict[int, bytes]


def measure(
    board: Board, stage: str, what: str, data: bytes, log: LogWriter | None = None
) -> None:
    """Extend ``data`` (at most 64 bytes) wherever the profile wants this subject.

    Each extend is announced in the journal, sent to the TPM and, from the stage on
    that has one, written into the log. A machine that goes on without its TPM measures
    nothing more.
    """
    for each in profile_of(board.spec.measure).by_subject.get((stage, what), ()):
        if tpm_is_lost(board):
            return
        digests = digests_of(each, data)
        board.journal.add(
            stage,
            "measure",
            pcr=each.pcr,
            what=what,
            text=text_of(each),
            **_readable(digests),
        )
        command = client.pcr_extend(each.pcr, digests)
        answer = tpm(board, stage, command, (what, each.pcr))
        if answer is not None and log is not None:
            log.append(each, digests)


def digests_of(extend: Extend, data: bytes) -> Digests:
    """What goes into each bank: raw bytes cut or zero-padded, never hashed again.

    Only a separator is hashed, from its event data.
    """
    if extend.event_type == EV_SEPARATOR:
        return {bank: separator_digest(bank) for bank in extend.banks}
    return {bank: fit(data, DIGEST_SIZE[bank]) for bank in extend.banks}


def _readable(digests: Digests) -> dict[str, str]:
    """For the journal: ``digest`` of the SHA-256 bank, others with the bank's name."""
    return {
        "digest"
        if bank == TpmAlgId.SHA256
        else f"digest_{BANK_NAME[bank]}": value.hex()
        for bank, value in digests.items()
    }


def text_of(extend: Extend) -> str:
    """The event as people read it."""
    if extend.event_type == EV_SEPARATOR:
        return "separator"
    return extend.text.rstrip(b"\0").decode("utf-8", "replace")


_MEND: Final = "look at the response code; a machine's TPM can be set under machine.tpm"


def tpm(
    board: Board, stage: str, command: bytes, step: tuple[str, int]
) -> bytes | None:
    """The body of the TPM's answer; ``step`` names the subject and the PCR.

    A refusal ends the boot, unless the profile has step codes: then the TPM is given
    up, the step is recorded, and the answer is None.
    """
    try:
        return client.response(board.tpm.execute(command))
    except (DeviceError, FormatError) as refused:
        steps = profile_of(board.spec.measure).table.tpm_steps
        if steps:
            code = steps.get(step, 0) if stage.startswith("sbe_") else 0
            lose_tpm(board, stage, code, str(refused))
            return None
        reason = f"the TPM refused a command: {refused}"
        raise BootFailure(stage, Refusal.TPM_REFUSED, reason, _MEND) from refused
