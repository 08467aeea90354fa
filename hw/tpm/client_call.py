"""A command with the Names of its handles, and what comes back (Part 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import TYPE_CHECKING, Final

from pefstack.hw.tpm import client
from pefstack.hw.tpm.codes import HEADER_SIZE, MAX_COMMAND_SIZE, TpmSt
from pefstack.hw.tpm.structures import put_uint32
from pefstack.images.errors import FormatError

if TYPE_CHECKING:
    from pefstack.hw.tpm.client_session import ClientSession

_HEADER: Final = Struct(">HII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command before its sessions; ``handles`` are pairs of handle and Name.

    ``parameters`` may hold a secret, to be encrypted by a session.
    """

    code: int
    handles: tuple[tuple[int, bytes], ...] = ()
    parameters: bytes = field(default=b"", repr=False)
    gives_handle: bool = False

    @property
    def handle_bytes(self) -> bytes:
        """The handle area."""
        return b"".join(put_uint32(handle) for handle, _ in self.handles)

    def header(self, tag: int, body_size: int) -> bytes:
        """The first ten bytes; ValueError above the size that a TPM takes."""
        size = HEADER_SIZE + body_size
        if size > MAX_COMMAND_SIZE:
            raise ValueError(f"a command of 0x{size:x} bytes")
        return _HEADER.pack(tag, size, self.code)

    def to_bytes(self) -> bytes:
        """The command without a session."""
        body = self.handle_bytes + self.parameters
        return self.header(TpmSt.NO_SESSIONS, len(body)) + body


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A proven answer: handle, parameters in clear, the sessions as they are now."""

    handle: int = 0
    body: bytes = field(default=b"", repr=False)
    sessions: tuple[ClientSession, ...] = ()


def plain_answer(call: Call, raw: bytes) -> Answer:
    """An answer without sessions, which nothing proves; errors as `client.response`."""
    body = client.response(raw)
    if not call.gives_handle:
        return Answer(body=body)
    if len(body) < 4:
        raise malformed("handle", HEADER_SIZE, f"0x{len(body):x} bytes", "4 bytes")
    return Answer(handle=int.from_bytes(body[:4], "big"), body=body[4:])


def take_sized(body: bytes, offset: int, most: int = 0xFFFF) -> tuple[bytes, int]:
    """The TPM2B at ``offset``, and where it ends."""
    start = offset + 2
    size = int.from_bytes(body[offset:start], "big")
    if start + size > len(body) or size > most:
        room = min(max(len(body) - start, 0), most)
        raise malformed("TPM2B", offset, f"0x{size:x}", f"at most 0x{room:x}")
    return body[start : start + size], start + size


def check_end(body: bytes, end: int) -> None:
    """FormatError unless the bytes end there."""
    if len(body) != end:
        raise malformed("end", end, f"0x{len(body):x} bytes", f"0x{end:x} bytes")


def malformed(field: str, offset: int, found: str, expected: str) -> FormatError:
    """What is wrong with a response."""
    return FormatError("TPM response", field, offset, found, expected)
