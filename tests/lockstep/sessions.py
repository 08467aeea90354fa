"""Authorization areas and their answers, computed by a client of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from lockstep.values import Each, number, two_b, u8, u32
from lockstep.world import HMAC, Session
from tpm_client_kit import hash_of, kdfa, mac

PW: Final = 0x40000009
CONTINUE, DECRYPT, ENCRYPT, AUDIT = 1, 0x20, 0x40, 0x80


@dataclass
class Use:
    """One session in one command; ``auth`` of what it authorizes, None for nothing."""

    session: Session | None
    attributes: int = CONTINUE
    nonce: bytes = b""
    auth: bytes | None = None
    names: Each = ()
    plain: bytes = b""  # the password

    def value(self, side: int, more: tuple[bytes, ...] = ()) -> bytes:
        """The authValue's part in keys; ``more``: another one than was sent."""
        session = self.session
        if session is None or self.auth is None:
            return b""
        auth = more[0] if more else self.auth
        if session.kind != HMAC:
            return auth if session.needs_auth else b""
        if session.bound is not None:
            names, bound_auth = session.bound
            if names[side] == self.names[side] and bound_auth == self.auth:
                return b""
        return auth


def area(
    code: int, names: bytes, uses: list[Use], params: bytes, side: int
) -> tuple[bytes, bytes]:
    """The sessions for one TPM, and the parameters as they are sent."""
    params = _hidden(uses, params, side)
    further = _further(uses, side)
    raw = b""
    for index, use in enumerate(uses):
        raw += _one(code, names, use, params, side, b"" if index else further)
    return raw, params


def _one(
    code: int, names: bytes, use: Use, params: bytes, side: int, further: bytes
) -> bytes:
    session = use.session
    if session is None:
        return u32(PW) + two_b(use.nonce) + u8(use.attributes) + two_b(use.plain)
    value = use.plain
    key = session.keys[side] + use.value(side)
    if not session.needs_password and (key or session.kind == HMAC):
        cp_hash = hash_of(session.alg, u32(code), names, params)
        nonces = use.nonce + session.nonces[side] + further
        value = mac(session.alg, key, cp_hash, nonces, u8(use.attributes))
    head = u32(session.handle) + two_b(use.nonce)
    return head + u8(use.attributes) + two_b(value)


def _further(uses: list[Use], side: int) -> bytes:
    seen, raw = [uses[0].session] if uses else [], b""
    for attribute in (DECRYPT, ENCRYPT):
        for use in uses:
            if use.attributes & attribute and use.session not in seen and use.session:
                seen.append(use.session)
                raw += use.session.nonces[side]
    return raw


def _hidden(uses: list[Use], params: bytes, side: int) -> bytes:
    for use in uses:
        if use.session is not None and use.attributes & DECRYPT:
            end = 2 + number(params[:2])
            nonces = use.nonce, use.session.nonces[side]
            hidden = crypt(use, side, params[2:end], nonces, decrypt=False)
            return params[:2] + hidden + params[end:]
    return params


def crypt(
    use: Use, side: int, data: bytes, nonces: tuple[bytes, bytes], *, decrypt: bool
) -> bytes:
    """The first parameter, hidden or shown; ``nonces``: the newer, the older."""
    session = use.session
    if session is None:
        return data
    key, symmetric = session.keys[side] + (use.auth or b""), session.symmetric
    if symmetric[:2] == b"\0\x0a":
        return _xored(session, key, data, nonces)
    if len(symmetric) < 6 or symmetric[:2] != b"\0\x06":
        return data
    size = number(symmetric[2:4])
    if size not in (128, 256):
        return data
    made = kdfa(session.alg, key, b"CFB", *nonces, size + 128)
    cipher = Cipher(AES(made[: size // 8]), CFB(made[size // 8 :]))
    way = cipher.decryptor() if decrypt else cipher.encryptor()
    return way.update(data) + way.finalize()


def _xored(
    session: Session, key: bytes, data: bytes, nonces: tuple[bytes, bytes]
) -> bytes:
    if not data:
        return data
    mask = kdfa(session.alg, key, b"XOR", *nonces, 8 * len(data))
    return bytes(one ^ other for one, other in zip(data, mask, strict=True))


def session_key(
    alg: int, auth: bytes, salt: bytes, nonce_tpm: bytes, nonce_caller: bytes
) -> bytes:
    """Of a session that is bound, or salted."""
    size = len(hash_of(alg))
    return kdfa(alg, auth + salt, b"ATH", nonce_tpm, nonce_caller, 8 * size)


@dataclass
class Answered:
    """One session of a response, as one TPM gave it."""

    nonce: bytes
    attributes: int
    hmac: bytes


def read_answers(raw: bytes, count: int) -> list[Answered]:
    """The sessions of a response; ValueError when it is not exactly they."""
    found = []
    for _ in range(count):
        size = number(raw[:2])
        nonce, raw = raw[2 : 2 + size], raw[2 + size :]
        attributes, size = raw[0], number(raw[1:3])
        found.append(Answered(nonce, attributes, raw[3 : 3 + size]))
        raw = raw[3 + size :]
    if raw:
        raise ValueError(f"0x{len(raw):x} bytes after the last session")
    return found


def hmac_fits(
    code: int, use: Use, got: Answered, body: bytes, side: int, auth: bytes
) -> bool:
    """Whether a response's HMAC is right with this authValue."""
    session = use.session
    if session is None or session.needs_password:
        return got.hmac == b""
    key = session.keys[side] + use.value(side, (auth,))
    if not key and session.kind != HMAC:
        return got.hmac == b""
    rp_hash = hash_of(session.alg, bytes(4), u32(code), body)
    flags = u8(got.attributes)
    return got.hmac == mac(session.alg, key, rp_hash, got.nonce + use.nonce + flags)
