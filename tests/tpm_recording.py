"""A recorded dialogue with another TPM: commands and responses taken apart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from tpm_client_kit import two_b
from tpm_kit import VECTORS, vector

Pieces = tuple[bytes, ...]


@dataclass(frozen=True)
class Auth:
    """One session of a command or a response (its handle is 0 there)."""

    handle: int
    nonce: bytes
    attributes: int
    hmac: bytes

    def to_bytes(self) -> bytes:
        head = self.handle.to_bytes(4, "big") if self.handle else b""
        return head + two_b(self.nonce) + bytes((self.attributes,)) + two_b(self.hmac)


@dataclass(frozen=True)
class Frame:
    """A command or a response; ``code`` is a command code or a response code."""

    code: int
    handles: tuple[int, ...]
    params: bytes
    auths: tuple[Auth, ...]
    is_command: bool

    def to_bytes(self) -> bytes:
        handles = b"".join(each.to_bytes(4, "big") for each in self.handles)
        area = b"".join(each.to_bytes() for each in self.auths)
        if not self.auths:
            body = handles + self.params
        elif self.is_command:
            body = handles + len(area).to_bytes(4, "big") + area + self.params
        else:
            body = handles + len(self.params).to_bytes(4, "big") + self.params + area
        tag = b"\x80\x02" if self.auths else b"\x80\x01"
        head = (10 + len(body)).to_bytes(4, "big") + self.code.to_bytes(4, "big")
        return tag + head + body


@dataclass(frozen=True)
class Row:
    """A command, its response, and the name of the command."""

    number: int
    name: str
    command: Frame
    response: Frame


def rows() -> list[Row]:
    """The recording."""
    lines = (VECTORS / "pef_flow_commands.jsonl").read_text().splitlines()
    return [_row(json.loads(line)) for line in lines]


def _row(line: dict[str, Any]) -> Row:
    raw, answer = bytes.fromhex(line["cmd"]), bytes.fromhex(line["rsp"])
    command = command_frame(raw)
    return Row(line["n"], line["name"], command, response_frame(command.code, answer))


def _attributes() -> dict[int, int]:
    """TPMA_CC by command code, as the other TPM says."""
    known = vector("swtpm_capabilities.json")["commands"]
    return {int(each["code"], 16): int(each["attributes"], 16) for each in known}


_TPMA_CC: Final = _attributes()


def command_frame(raw: bytes) -> Frame:
    code = int.from_bytes(raw[6:10], "big")
    count = _TPMA_CC[code] >> 25 & 7
    handles, rest = _handles(raw[10:], count)
    auths: tuple[Auth, ...] = ()
    if raw[:2] == b"\x80\x02":
        size = int.from_bytes(rest[:4], "big")
        auths, rest = _auths(rest[4 : 4 + size], True), rest[4 + size :]
    frame = Frame(code, handles, rest, auths, True)
    assert frame.to_bytes() == raw
    return frame


def response_frame(code: int, raw: bytes) -> Frame:
    rc = int.from_bytes(raw[6:10], "big")
    count = (_TPMA_CC[code] >> 28 & 1) if rc == 0 else 0
    handles, rest = _handles(raw[10:], count)
    auths: tuple[Auth, ...] = ()
    if raw[:2] == b"\x80\x02":
        size = int.from_bytes(rest[:4], "big")
        auths, rest = _auths(rest[4 + size :], False), rest[4 : 4 + size]
    frame = Frame(rc, handles, rest, auths, False)
    assert frame.to_bytes() == raw
    return frame


def _handles(raw: bytes, count: int) -> tuple[tuple[int, ...], bytes]:
    found = [int.from_bytes(raw[at : at + 4], "big") for at in range(0, 4 * count, 4)]
    return tuple(found), raw[4 * count :]


def _auths(raw: bytes, with_handle: bool) -> tuple[Auth, ...]:
    found = []
    while raw:
        handle = int.from_bytes(raw[:4], "big") if with_handle else 0
        raw = raw[4:] if with_handle else raw
        nonce, raw = first(raw)
        attributes, raw = raw[0], raw[1:]
        value, raw = first(raw)
        found.append(Auth(handle, nonce, attributes, value))
    return tuple(found)


def first(raw: bytes) -> Pieces:
    """A TPM2B, and what follows."""
    end = 2 + int.from_bytes(raw[:2], "big")
    assert len(raw) >= end
    return raw[2:end], raw[end:]


def sized(raw: bytes, count: int) -> list[bytes]:
    """So many TPM2B, and what follows."""
    found = []
    for _ in range(count):
        one, raw = first(raw)
        found.append(one)
    return [*found, raw]
