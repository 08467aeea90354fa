"""Where in a conversation a command stands, as far as a listener can tell."""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from typing import Final

from pefstack.firmware.hypervisor.relay.wire import (
    RawCommand,
    code_of,
    handle_of,
    parameters_of,
    rc_of,
    sized_values,
    take_sized,
)
from pefstack.hw.tpm.codes import TpmCc, TpmSe
from pefstack.images.errors import FormatError

_FIXED_ENTRIES: Final = (
    TpmCc.READ_PUBLIC,
    TpmCc.IMPORT,
    TpmCc.LOAD,
    TpmCc.UNSEAL,
    TpmCc.RSA_DECRYPT,
    TpmCc.FLUSH_CONTEXT,
)


class Step(Enum):
    """The steps of esm.md 4.3; the names say what a session authorizes next."""

    START_A = "start A"
    START_P = "start P"
    READ_PUBLIC = "ReadPublic"
    AUTHORIZE_IMPORT = "PolicySecret for Import"
    PCR_IMPORT = "PolicyPCR for Import"
    IMPORT = "Import"
    AUTHORIZE_LOAD = "PolicySecret for Load"
    PCR_LOAD = "PolicyPCR for Load"
    LOAD = "Load"
    AUTHORIZE_UNSEAL = "PolicySecret for Unseal"
    PCR_UNSEAL = "PolicyPCR for Unseal"
    UNSEAL = "Unseal"
    RSA_DECRYPT = "RSA_Decrypt"
    FLUSH_CONTEXT = "FlushContext"
    OTHER = "another command"


_SECRETS: Final = (Step.AUTHORIZE_IMPORT, Step.AUTHORIZE_LOAD, Step.AUTHORIZE_UNSEAL)
_PCRS: Final = (Step.PCR_IMPORT, Step.PCR_LOAD, Step.PCR_UNSEAL)
_FIXED: Final = {int(code): Step[code.name] for code in _FIXED_ENTRIES}


class Course:
    """The conversation that passes now: its step, and handles that the TPM named.

    ``attempts`` counts conversations. ``private`` is what Import answered, ``policy``
    the session that the ultravisor authorized last.
    """

    __slots__ = (
        "_stage",
        "a",
        "attempts",
        "loaded",
        "p",
        "policy",
        "private",
        "public",
        "step",
    )

    def __init__(self) -> None:
        self.step = Step.OTHER
        self.attempts = self._stage = 0
        self.a = self.p = self.loaded = self.policy = 0
        self.private = self.public = b""

    def enter(self, command: bytes) -> Step:
        """The step of the ultravisor's next command."""
        code = code_of(command)
        self.step = _FIXED.get(code, Step.OTHER)
        if code == TpmCc.START_AUTH_SESSION:
            self._enter_start(command)
        elif code == TpmCc.POLICY_SECRET:
            self.step = _SECRETS[self._stage]
        elif code == TpmCc.POLICY_PCR:
            self.policy = RawCommand.from_bytes(command).handles[0]
            self.step = _PCRS[self._stage]
        elif code == TpmCc.IMPORT:
            parameters = RawCommand.from_bytes(command).parameters
            self.public = sized_values(parameters, 2)[1]
            self._stage = 1
        elif code == TpmCc.LOAD:
            self._stage = 2
        return self.step

    def note(self, answer: bytes) -> None:
        """What the TPM answered to this step's command, changed or not."""
        if rc_of(answer):
            return
        if self.step is Step.START_A:
            self.a = handle_of(answer)
        elif self.step is Step.START_P:
            self.p = handle_of(answer)
        elif self.step is Step.LOAD:
            self.loaded = handle_of(answer)
        elif self.step is Step.IMPORT:
            with suppress(FormatError):  # a changed command may have another answer
                (self.private,) = sized_values(parameters_of(TpmCc.IMPORT, answer), 1)

    def _enter_start(self, command: bytes) -> None:
        self.step = Step.START_P
        if session_kind(command) == TpmSe.HMAC:
            self.step = Step.START_A
            self.attempts += 1
            self._stage = 0


def session_kind(command: bytes) -> int:
    """TPM_SE of a StartAuthSession."""
    parameters = RawCommand.from_bytes(command).parameters
    _, at = take_sized(parameters, 0)
    _, at = take_sized(parameters, at)
    return parameters[at]
