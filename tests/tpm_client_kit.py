"""Sessions as a client keeps them: HMACs and encryption computed here, on their own."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from pefstack.hw.tpm.engine import Tpm
from tpm_kit import NULL, command, rc_of

NAME: Final = {0x0004: "sha1", 0x000B: "sha256", 0x000C: "sha384", 0x000D: "sha512"}
HMAC, POLICY, TRIAL = 0, 1, 3
NO_CIPHER: Final = b"\0\x10"
AES_128_CFB: Final = bytes.fromhex("000600800043")


def hash_of(alg: int, *parts: bytes) -> bytes:
    return hashlib.new(NAME[alg], b"".join(parts)).digest()


def mac(alg: int, key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), NAME[alg]).digest()


def kdfa(alg: int, key: bytes, label: bytes, u: bytes, v: bytes, bits: int) -> bytes:
    out, number = b"", 0
    while len(out) * 8 < bits:
        number += 1
        counted = number.to_bytes(4, "big") + label + b"\0" + u + v
        out += mac(alg, key, counted, bits.to_bytes(4, "big"))
    return out[: bits // 8]


def two_b(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


@dataclass
class ClientSession:
    """One session from outside; ``entity_auth`` is of the entity it authorizes."""

    handle: int
    alg: int
    key: bytes
    nonce_tpm: bytes
    nonce_caller: bytes = bytes(range(16))
    attributes: int = 1
    entity_auth: bytes = b""
    takes_auth: bool = True
    plain: bytes | None = None
    seen: list[bytes] = field(default_factory=list)

    def auth(self, cp_hash: bytes, further: bytes = b"") -> bytes:
        """Its place in the authorization area."""
        value = self.plain
        if value is None:
            value = self.mac(cp_hash, self.nonce_caller, self.nonce_tpm, further)
        head = self.handle.to_bytes(4, "big") + two_b(self.nonce_caller)
        return head + bytes((self.attributes,)) + two_b(value)

    def mac(self, p_hash: bytes, newer: bytes, older: bytes, further: bytes) -> bytes:
        key = self.key + (self.entity_auth if self.takes_auth else b"")
        if not key:
            return b""
        flags = bytes((self.attributes,))
        return mac(self.alg, key, p_hash, newer, older, further, flags)

    def crypt(self, data: bytes, newer: bytes, older: bytes, *, decrypt: bool) -> bytes:
        made = kdfa(self.alg, self.key + self.entity_auth, b"CFB", newer, older, 256)
        cipher = Cipher(AES(made[:16]), CFB(made[16:32]))
        way = cipher.decryptor() if decrypt else cipher.encryptor()
        return way.update(data) + way.finalize()


def start(
    tpm: Tpm,
    kind: int = HMAC,
    *,
    alg: int = 0x000B,
    bind: int = NULL,
    bind_auth: bytes = b"",
    symmetric: bytes = NO_CIPHER,
) -> ClientSession:
    """StartAuthSession without salt."""
    nonce = bytes(range(100, 116))
    params = two_b(nonce) + two_b(b"") + bytes((kind,)) + symmetric
    params += alg.to_bytes(2, "big")
    answer = tpm.execute(command(0x176, params, handles=(NULL, bind)))
    assert rc_of(answer) == 0, hex(rc_of(answer))
    handle, nonce_tpm = int.from_bytes(answer[10:14], "big"), answer[16:]
    bits = len(hash_of(alg)) * 8
    key = b""
    if bind != NULL:
        key = kdfa(alg, bind_auth, b"ATH", nonce_tpm, nonce, bits)
    return ClientSession(handle, alg, key, nonce_tpm, nonce)


def send(
    tpm: Tpm,
    code: int,
    params: bytes,
    handles: dict[int, bytes],
    *sessions: ClientSession,
    count: int = 0,
) -> bytes:
    """A command with sessions; ``handles`` with their Names. The response parameters.

    With an error code the answer is the whole response. The response's HMACs must be
    right; ``count`` is the number of response handles.
    """
    further = b"".join(
        each.nonce_tpm for each in sessions[1:] if each.attributes & 0x60
    )
    names = b"".join(handles.values())
    area = b""
    for number, each in enumerate(sessions):
        cp_hash = hash_of(each.alg, code.to_bytes(4, "big"), names, params)
        area += each.auth(cp_hash, b"" if number else further)
    answer = tpm.execute(command(code, params, handles=handles, area=area))
    if rc_of(answer):
        return answer
    at = 10 + 4 * count
    size = int.from_bytes(answer[at : at + 4], "big")
    body, rest = answer[at + 4 : at + 4 + size], answer[at + 4 + size :]
    for each in sessions:
        rest = _check(each, code, body, rest)
    assert not rest
    return answer[10:at] + body


def _check(session: ClientSession, code: int, body: bytes, rest: bytes) -> bytes:
    size = int.from_bytes(rest[:2], "big")
    nonce, rest = rest[2 : 2 + size], rest[2 + size :]
    attributes, rest = rest[0], rest[1:]
    size = int.from_bytes(rest[:2], "big")
    value, rest = rest[2 : 2 + size], rest[2 + size :]
    if session.plain is None:
        rp_hash = hash_of(session.alg, bytes(4), code.to_bytes(4, "big"), body)
        assert value == session.mac(rp_hash, nonce, session.nonce_caller, b"")
        assert attributes == session.attributes
        session.seen.append(session.nonce_tpm)
        assert nonce not in session.seen
        session.nonce_tpm = nonce
    return rest
