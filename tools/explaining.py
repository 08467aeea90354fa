"""What a number or a word of a failed boot says: every reading that it can have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pefstack.firmware.stage import Refusal
from pefstack.firmware.status import StatusByte
from pefstack.firmware.tpm_steps import STEPS
from pefstack.hw.chip import SCRATCH_11
from pefstack.hw.tpm.response_codes import describe
from pefstack.hw.tpm_step import TpmStep
from pefstack.images.container_verify import ROM_ORDER, SBE_ORDER, Check
from pefstack.images.rejection import (
    CONTEXT_ROM_VERIFY,
    ERROR_EVENT,
    LOG_GOOD,
    Rejection,
    VerificationError,
)
from pefstack.tools.refusal_words import REFUSALS

CAN_EXPLAIN: Final = (
    "a 64-bit log word (0xffffffffffff8172), a status byte of the SBE (0x61), a TPM "
    "step code (0x0d), scratch register 11 (16 or 8 hex digits), a TPM response code "
    "(0x184), a refusal (component-id, E_NO_SLOT)"
)
_NUMBER: Final = re.compile("(?:0[xX])?([0-9a-fA-F]{1,16})")
_REGISTER: Final = f"scratch register 11 (SCOM 0x{SCRATCH_11:x})"
_LOG: Final = "low byte of the log word"
_FAILED: Final = ERROR_EVENT | CONTEXT_ROM_VERIFY
_MAX_RESPONSE: Final = 0xFFF
_TPM_WENT_ON: Final = "the machine gave its TPM up; look at what it answered there"

# check functions that are not called like their code
_OTHER_NAMES: Final = {
    "magic": Rejection.MAGIC_NUMBER,
    "hw_signatures": Rejection.HW_SIGNATURE,
    "sw_signatures": Rejection.SW_SIGNATURE,
}
# steps that are more, or less, than the extend of one subject
_STEP_WORDS: Final = {
    TpmStep.READ_ID: "read the TPM's vendor and device id",
    TpmStep.LOCALITY: "take a locality of the TPM",
    TpmStep.STARTUP: "TPM2_Startup",
    TpmStep.DETECT: "TPM2_GetCapability: which banks are allocated",
    TpmStep.ALLOCATE: "TPM2_PCR_Allocate: SHA-256 alone",
    TpmStep.POISON: "poison the TPM: random values into PCR0 to 7",
    TpmStep.SECONDARY_READ: "read the measurement registers of a secondary chip",
    TpmStep.SECONDARY_VERIFICATION: "extend of PCR0, secondary chip's sb-verification",
    TpmStep.SECONDARY_FIRMWARE: "extend of PCR0, secondary chip's sbe-firmware",
    TpmStep.SECONDARY_STATE: "extend of PCR1, secondary chip's keys, state, switches",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One thing that a word can mean, and where it stands when it means that.

    ``order`` is the number of the check among those of the ROM code and of the SBE.
    """

    kind: str
    name: str
    where: str
    says: str
    order: dict[str, int] = field(default_factory=dict)
    mend: str = ""


def readings(word: str) -> tuple[Reading, ...]:
    """Every reading of a hexadecimal number or of a refusal's name; none if unknown."""
    if number := _NUMBER.fullmatch(word):
        digits = number[1]
        value, width = int(digits, 16), len(digits)
        return (
            *_log_word(value, width),
            *_byte(value, width),
            *_scratch(value, width),
            *_response(value, width),
        )
    return (*_refusal(word.lower()), *_esm_refusal(word))


def order_of(rejection: Rejection) -> dict[str, int]:
    """Who makes this check, and as which of its checks, from 1."""
    orders = {"ROM": ROM_ORDER, "SBE": SBE_ORDER}
    return {
        who: number
        for who, order in orders.items()
        for number, check in enumerate(order, start=1)
        if _code_of(check) is rejection
    }


def _code_of(check: Check) -> Rejection:
    name: str = check.__name__
    return _OTHER_NAMES.get(name) or Rejection[name.upper()]


def _log_word(value: int, width: int) -> Iterator[Reading]:
    """The whole word; of a rejection also its last four digits, as people cut it."""
    if value == LOG_GOOD:
        where = "log word of the ROM code"
        says = "every check passed, the container is good"
        yield Reading(kind="log word", name="COMPLETED", where=where, says=says)
    code = value & 0xFF
    cut = width == 4 and value == _FAILED & 0xFF00 | code
    if (cut or value == _FAILED | code) and _is_rejection(code):
        yield _rejection("log word", Rejection(code), _LOG)


def _is_rejection(code: int) -> bool:
    return code in Rejection.__members__.values()


def _rejection(kind: str, code: Rejection, where: str) -> Reading:
    words = VerificationError(code, "", "")
    return Reading(
        kind=kind,
        name=code.name,
        where=where,
        says=f"rejected for the {words.what}",
        order=order_of(code),
        mend=words.mend,
    )


def _byte(value: int, width: int) -> Iterator[Reading]:
    if width > 2:
        return
    if _is_rejection(value) or not value:
        where = f"{_REGISTER}, byte 2 (HBBL) or 3 (SBE_FW)"
        if value and "SBE" not in order_of(Rejection(value)):
            where = f"{_LOG}; the SBE does not check this"
        elif value:
            where += f"; {_LOG}"
        yield _status(value, where, "status byte")
    if value in _steps() or not value:
        yield _step(value, f"{_REGISTER}, byte {StatusByte.TPM:d}", "TPM step code")


def _status(value: int, where: str, kind: str) -> Reading:
    """A status byte of the SBE; one that is unknown says so."""
    if _is_rejection(value):
        return _rejection(kind, Rejection(value), where)
    says = f"0x{value:02x}, no code that is known here" if value else "good"
    name = "" if value else "GOOD"
    return Reading(kind=kind, name=name, where=where, says=says)


def _step(value: int, where: str, kind: str) -> Reading:
    if not value:
        says = "no step of the TPM failed"
        return Reading(kind=kind, name="GOOD", where=where, says=says)
    name, says = _steps().get(value, ("", f"0x{value:02x}, no known step"))
    mend = _TPM_WENT_ON if name else ""
    return Reading(kind=kind, name=name, where=where, says=says, mend=mend)


def _steps() -> dict[int, tuple[str, str]]:
    """Step code -> its name, and what failed."""
    words: dict[int, tuple[str, str]] = {}
    for (_, what, pcr), step in STEPS.items():
        says = _STEP_WORDS.get(step, f"extend of PCR{pcr}, {what}")
        words.setdefault(step, (step.label, f"failed: {says}"))
    return words


def _scratch(value: int, width: int) -> Iterator[Reading]:
    """The register, or its high word, if something in it is known."""
    if width not in (8, 16) or (width == 16 and value & 0xFFFFFFFF):
        return
    word = (value >> 32 if width == 16 else value).to_bytes(4, "big")
    known = word[StatusByte.TPM] in _steps() or any(map(_is_rejection, word[2:]))
    if not known and any(word):
        return
    for byte in StatusByte:
        where = f"{_REGISTER}, byte {byte:d} ({byte.name})"
        read = _step if byte is StatusByte.TPM else _status
        yield read(word[byte], where, "scratch register 11")


def _response(value: int, width: int) -> Iterator[Reading]:
    """A response code has 12 bits; it stands in four bytes."""
    if value > _MAX_RESPONSE or (width > 4 and width != 8):
        return
    name, _, place = describe(value).partition(", ")
    if name.startswith("TPM_RC_"):
        where = "response code of a TPM command"
        says = f"about {place}" if place else "about the command as a whole"
        says = says if value else "the command succeeded"
        yield Reading(kind="TPM response code", name=name, where=where, says=says)


def _refusal(word: str) -> Iterator[Reading]:
    if word in {str(each) for each in Refusal}:
        words = REFUSALS[Refusal(word)]
        yield Reading(
            kind="refusal",
            name=word,
            where=f"stages: {words.stages}",
            says=words.meaning,
            mend=words.mend,
        )


def _esm_refusal(word: str) -> Iterator[Reading]:
    from pefstack.firmware.ultravisor.mend import mend  # names of images and firmware
    from pefstack.tools.esm_words import words_of

    words = words_of(word)
    if words is not None:
        name, steps, says = words
        where = "UV_ESMB_GET_FILE" if steps == "GET_FILE" else f"steps: {steps}"
        kind = "refusal of UV_ESM"
        yield Reading(kind=kind, name=name, where=where, says=says, mend=mend(name))
