"""Commands and answers taken apart, changed and put together again (Part 1, 18)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from pefstack.hw.tpm.codes import HEADER_SIZE, TpmCc, TpmRh, TpmSt
from pefstack.hw.tpm.response_codes import TpmRc
from pefstack.hw.tpm.structures import put_tpm2b, put_uint8, put_uint32
from pefstack.images.errors import FormatError

_HEADER: Final = Struct(">HII")
SUCCESS: Final = _HEADER.pack(TpmSt.NO_SESSIONS, HEADER_SIZE, 0)
FAILED: Final = _HEADER.pack(TpmSt.NO_SESSIONS, HEADER_SIZE, TpmRc.FAILURE)
HANDLES: Final = {  # of the commands that an ultravisor sends
    TpmCc.START_AUTH_SESSION: 2,
    TpmCc.READ_PUBLIC: 1,
    TpmCc.POLICY_SECRET: 2,
    TpmCc.POLICY_PCR: 1,
    TpmCc.POLICY_COMMAND_CODE: 1,
    TpmCc.POLICY_AUTH_VALUE: 1,
    TpmCc.POLICY_OR: 1,
    TpmCc.IMPORT: 1,
    TpmCc.LOAD: 1,
    TpmCc.UNSEAL: 1,
    TpmCc.RSA_DECRYPT: 1,
    TpmCc.FLUSH_CONTEXT: 0,
}
GIVE_HANDLES: Final = (TpmCc.START_AUTH_SESSION, TpmCc.LOAD, TpmCc.CREATE_PRIMARY)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUse:
    """A session in an authorization area; without more the empty password."""

    handle: int = TpmRh.PW
    nonce: bytes = b""
    attributes: int = 0
    hmac: bytes = b""

    def to_bytes(self) -> bytes:
        """Its place in the area."""
        head = put_uint32(self.handle) + put_tpm2b(self.nonce)
        return head + put_uint8(self.attributes) + put_tpm2b(self.hmac)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCommand:
    """A command's parts, whatever they say."""

    code: int
    handles: tuple[int, ...] = ()
    uses: tuple[SessionUse, ...] = ()
    parameters: bytes = b""

    def to_bytes(self) -> bytes:
        """The command; with sessions where there are uses."""
        body = b"".join(put_uint32(handle) for handle in self.handles)
        area = b"".join(use.to_bytes() for use in self.uses)
        body += (put_uint32(len(area)) if area else b"") + area + self.parameters
        tag = TpmSt.SESSIONS if area else TpmSt.NO_SESSIONS
        return _HEADER.pack(tag, HEADER_SIZE + len(body), self.code) + body

    @classmethod
    def from_bytes(cls, raw: bytes) -> RawCommand:
        """FormatError for what no ultravisor sends."""
        code = code_of(raw)
        if code not in HANDLES:
            found, known = f"0x{code:x}", "one of a conversation"
            raise FormatError("TPM command", "commandCode", 6, found, known)
        at = HEADER_SIZE + 4 * HANDLES[TpmCc(code)]
        handles = tuple(number(raw, each) for each in range(HEADER_SIZE, at, 4))
        if raw[:2] != TpmSt.SESSIONS.to_bytes(2, "big"):
            return cls(code=code, handles=handles, parameters=raw[at:])
        end = at + 4 + number(raw, at)
        uses = _uses(raw[at + 4 : end])
        return cls(code=code, handles=handles, uses=uses, parameters=raw[end:])


def number(raw: bytes, at: int) -> int:
    """The UINT32 at an offset; 0 behind the end."""
    return int.from_bytes(raw[at : at + 4], "big")


def code_of(command: bytes) -> int:
    """The command code."""
    return number(command, 6)


def rc_of(answer: bytes) -> int:
    """The response code."""
    return number(answer, 6)


def handle_of(answer: bytes) -> int:
    """The handle that an answer names, 0 where it names none."""
    return number(answer, HEADER_SIZE) if not rc_of(answer) else 0


def parameters_of(code: int, answer: bytes) -> bytes:
    """The parameters of a good answer, as they stand; else empty."""
    return _parts(code, answer)[0]


def sessions_of(code: int, answer: bytes) -> bytes:
    """The sessions behind the parameters of a good answer; empty without any."""
    return _parts(code, answer)[1]


def _parts(code: int, answer: bytes) -> tuple[bytes, bytes]:
    if rc_of(answer) or len(answer) < HEADER_SIZE:
        return b"", b""
    at = HEADER_SIZE + (4 if code in GIVE_HANDLES else 0)
    if answer[:2] != TpmSt.SESSIONS.to_bytes(2, "big"):
        return answer[at:], b""
    start, end = at + 4, at + 4 + number(answer, at)
    return answer[start:end], answer[end:]


def take_sized(body: bytes, offset: int) -> tuple[bytes, int]:
    """The TPM2B at an offset, and where it ends; FormatError when cut short."""
    start = offset + 2
    size = int.from_bytes(body[offset:start], "big")
    if start + size > len(body):
        room = f"at most 0x{max(len(body) - start, 0):x}"
        raise FormatError("TPM2B", "size", offset, f"0x{size:x}", room)
    return body[start : start + size], start + size


def sized_values(body: bytes, count: int) -> tuple[bytes, ...]:
    """The contents of the first TPM2B; FormatError when there are fewer."""
    found, at = [], 0
    for _ in range(count):
        value, at = take_sized(body, at)
        found.append(value)
    return tuple(found)


def _uses(area: bytes) -> tuple[SessionUse, ...]:
    found, at = [], 0
    while at < len(area):
        nonce, end = take_sized(area, at + 4)
        hmac, after = take_sized(area, end + 1)
        flags = area[end]
        handle = number(area, at)
        use = SessionUse(handle=handle, nonce=nonce, attributes=flags, hmac=hmac)
        found.append(use)
        at = after
    return tuple(found)
