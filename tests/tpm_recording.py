"""A recorded dialogue with another TPM, replayed on ours.

What only that TPM could know (keys, blobs, signatures) is exchanged for what ours has
in its place; HMACs and Names over such bytes are computed again here. Before that, each
HMAC of the recording is found with the same formula: a wrong formula ends the replay.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pefstack.hw.entropy import Entropy
from tpm_client_kit import hash_of, mac, two_b
from tpm_kit import SHA256, VECTORS, vector

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


class GivenNonces(Entropy):
    """Randomness, but for the nonces of the recording while there are any."""

    __slots__ = ("nonces",)

    def __init__(self) -> None:
        super().__init__("recorded", "tpm")
        self.nonces: list[bytes] = []

    def random_bytes(self, count: int) -> bytes:
        if self.nonces and len(self.nonces[0]) == count:
            return self.nonces.pop(0)
        return super().random_bytes(count)


@dataclass
class Exchange:
    """What the other TPM had, and what ours has for it, each by a name.

    ``masked`` cannot be compared; what is not masked was computed from it.
    """

    pairs: dict[bytes, tuple[bytes, str, bool]] = field(default_factory=dict)

    def learn(self, theirs: bytes, ours: bytes, name: str, masked: bool = True) -> None:
        assert len(theirs) >= 8, name
        self.pairs[theirs] = ours, name, masked

    def ours(self, theirs: bytes, counts: Counter[str] | None = None) -> bytes:
        """The bytes with everything exchanged; ``counts``: bytes by name of mask."""
        for old, (new, name, masked) in self.pairs.items():
            found = theirs.count(old)
            theirs = theirs.replace(old, new)
            if counts is not None and found:
                counts[name if masked else f"{name} (computed)"] += found * len(new)
        return theirs


@dataclass
class Proofs:
    """The HMACs of a recording: by which password, and over which Names."""

    exchange: Exchange
    passwords: tuple[bytes, ...]
    names: dict[int, list[bytes]] = field(default_factory=dict)  # by handle's kind
    nonces: dict[int, Pieces] = field(default_factory=dict)  # theirs and ours

    def know(self, handle: int, name: bytes) -> None:
        """An entity of that kind may have this Name."""
        known = self.names.setdefault(_kind(handle), [])
        if name not in known:
            known.insert(0, name)

    def command(self, theirs: Frame, params: bytes) -> tuple[Frame, list[bytes]]:
        """The command for our TPM, and the key of each session."""
        auths, keys = [], []
        for each in theirs.auths:
            made, key = self._auth(theirs, each, params)
            auths.append(made)
            keys.append(key)
        return replace(theirs, params=params, auths=tuple(auths)), keys

    def _auth(self, theirs: Frame, auth: Auth, params: bytes) -> tuple[Auth, bytes]:
        if auth.handle == 0x40000009:
            return auth, b""
        old, new = self.nonces[auth.handle]
        for names in itertools.product(*map(self._candidates, theirs.handles)):
            p_hash = _cp_hash(theirs.code, names, theirs.params)
            for key in self.passwords:
                if _mac(key, p_hash, auth.nonce, old, auth.attributes) == auth.hmac:
                    own = tuple(self.exchange.ours(each) for each in names)
                    p_hash = _cp_hash(theirs.code, own, params)
                    value = _mac(key, p_hash, auth.nonce, new, auth.attributes)
                    return replace(auth, hmac=value), key
        raise AssertionError(f"no password gives {auth.hmac.hex()}")

    def _candidates(self, handle: int) -> list[bytes]:
        if handle >> 24 in (0x00, 0x40, 0x02, 0x03):
            return [handle.to_bytes(4, "big")]
        return self.names.get(_kind(handle), [])

    def response(
        self, code: int, sent: Frame, keys: list[bytes], theirs: Frame, params: bytes
    ) -> tuple[Auth, ...]:
        """The sessions of our TPM's response, with the nonces of the recording."""
        found = []
        for auth, key, asked in zip(theirs.auths, keys, sent.auths, strict=True):
            if asked.handle != 0x40000009:
                values = [
                    _mac(key, _rp_hash(code, p), auth.nonce, asked.nonce, auth.attributes)
                    for p in (theirs.params, params)
                ]
                assert values[0] == auth.hmac
                auth = replace(auth, hmac=values[1])
            found.append(auth)
        return tuple(found)


def _kind(handle: int) -> int:
    """Transient and persistent objects are of one kind."""
    return 0x80 if handle >> 31 else handle >> 24


def _cp_hash(code: int, names: Pieces, params: bytes) -> bytes:
    return hash_of(SHA256, code.to_bytes(4, "big"), *names, params)


def _rp_hash(code: int, params: bytes) -> bytes:
    return hash_of(SHA256, bytes(4), code.to_bytes(4, "big"), params)


def _mac(key: bytes, p_hash: bytes, newer: bytes, older: bytes, flags: int) -> bytes:
    return mac(SHA256, key, p_hash, newer, older, bytes((flags,)))


def name_of(public: bytes) -> bytes:
    """A Name with SHA-256."""
    return b"\0\x0b" + hashlib.sha256(public).digest()
