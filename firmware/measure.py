"""Measure: a TPM command for each extend that the profile names (boot-chain.md 3.2)."""

from __future__ import annotations

from pefstack.firmware.log import LogWriter
from pefstack.firmware.profiles import Extend, profile_of
from pefstack.firmware.status import tpm_is_lost
from pefstack.firmware.tpm_access import tpm
from pefstack.hw.board import Board
from pefstack.hw.tpm import client
from pefstack.hw.tpm.codes import BANK_NAME, DIGEST_SIZE, TpmAlgId
from pefstack.images.event_log import EV_SEPARATOR
from pefstack.images.event_log_build import fit, separator_digest

Digests = dict[int, bytes]


def measure(
    board: Board,
    stage: str,
    what: str,
    data: bytes,
    log: LogWriter | None = None,
    chip: int = 0,
) -> None:
    """Extend ``data`` (at most 64 bytes) wherever the profile wants this subject.

    Each extend is announced in the journal, sent to the TPM and, from the stage on
    that has one, written into the log. A machine that goes on without its TPM measures
    nothing more; code on a secondary chip measures into registers alone. ``chip`` is
    whose value it is.
    """
    if board.number:
        return
    for each in profile_of(board.spec.measure).by_subject.get((stage, what), ()):
        if tpm_is_lost(board):
            return
        if chip:
            each = each.of_chip(chip)
        digests = digests_of(each, data)
        board.journal.add(
            stage,
            "measure",
            pcr=each.pcr,
            what=what,
            text=text_of(each),
            **readable(digests),
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


def readable(digests: Digests) -> dict[str, str]:
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
