"""Sessions as a client keeps them: pure values, no answer used unproven (tpm.md 3).

All sessions are of SHA-256 and AES-128-CFB. The formulas are those of the TPM's own
side, `crypto.protection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from typing import Final

from pefstack.hw.tpm import client
from pefstack.hw.tpm.client_call import (
    Answer,
    Call,
    check_end,
    malformed,
    take_sized,
)
from pefstack.hw.tpm.codes import (
    HANDLE_TYPE_SHIFT,
    MAX_DIGEST_SIZE,
    TpmAlgId,
    TpmaSession,
    TpmCc,
    TpmHt,
    TpmRh,
    TpmSe,
    TpmSt,
)
from pefstack.hw.tpm.crypto import hashes, sessions
from pefstack.hw.tpm.structures import put_tpm2b, put_uint8, put_uint32
from pefstack.hw.tpm.symmetric_def import Symmetric

NONCE_SIZE: Final = 32
CONTINUE: Final = TpmaSession.CONTINUE_SESSION
_ALG: Final = TpmAlgId.SHA256
_AES_BITS: Final = 128
_AES: Final = Symmetric(alg=TpmAlgId.AES, key_bits=_AES_BITS, mode=TpmAlgId.CFB)
_TYPE: Final = {TpmSe.HMAC: TpmHt.HMAC_SESSION, TpmSe.POLICY: TpmHt.POLICY_SESSION}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSession:
    """A session between two commands; ``nonce_tpm`` is its newest.

    ``auth_value`` is that of the entity it authorizes: ``hmac_auth`` says whether it is
    in the key of the HMAC (not for the entity that it is bound to; for a policy only
    after PolicyAuthValue). It is always in the key of the encryption.
    """

    handle: int
    nonce_tpm: bytes
    session_key: bytes = field(repr=False)
    auth_value: bytes = field(default=b"", repr=False)
    hmac_auth: bool = False

    @property
    def hmac_key(self) -> bytes:
        """What the HMACs are computed with; empty: there is none."""
        return self.session_key + (self.auth_value if self.hmac_auth else b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A session in one command: a fresh nonce, and TPMA_SESSION."""

    session: ClientSession
    nonce_caller: bytes
    attributes: int = CONTINUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """An authorization by a password in clear; for an authValue that is empty."""

    value: bytes = field(default=b"", repr=False)


Authorization = Use | Password
EMPTY_PASSWORD: Final = Password()


def start_call(
    kind: TpmSe,
    nonce_caller: bytes,
    *,
    tpm_key: int = TpmRh.NULL,
    bind: int = TpmRh.NULL,
    encrypted_salt: bytes = b"",
) -> Call:
    """StartAuthSession; without a ``tpm_key`` there is no salt."""
    body = put_tpm2b(nonce_caller) + put_tpm2b(encrypted_salt) + put_uint8(kind)
    body += _AES.to_bytes() + _ALG.to_bytes(2, "big")
    handles = ((tpm_key, b""), (bind, b""))
    return Call(
        code=TpmCc.START_AUTH_SESSION,
        handles=handles,
        parameters=body,
        gives_handle=True,
    )


def started(
    kind: TpmSe, raw: bytes, nonce_caller: bytes, salt: bytes, bind_auth: bytes = b""
) -> ClientSession:
    """The session that an answer to StartAuthSession begins.

    Nothing proves that answer: only the first HMAC under the session does. FormatError
    for a handle of another type, or a nonce that is not of 32 bytes.
    """
    body = client.response(raw)
    handle = int.from_bytes(body[:4], "big")
    if len(body) < 4 or handle >> HANDLE_TYPE_SHIFT != _TYPE[kind]:
        expected = f"0x{_TYPE[kind]:02x}000000 and above"
        raise malformed("sessionHandle", 10, f"0x{handle:08x}", expected)
    nonce, end = take_sized(body, 4, MAX_DIGEST_SIZE)
    check_end(body, end)
    if len(nonce) != NONCE_SIZE:
        raise malformed("nonceTPM", 14, f"0x{len(nonce):x} bytes", "0x20 bytes")
    key = sessions.session_key(_ALG, bind_auth, salt, nonce, nonce_caller)
    return ClientSession(handle=handle, nonce_tpm=nonce, session_key=key)


def command_bytes(call: Call, uses: Sequence[Authorization]) -> bytes:
    """The command with its authorizations, in the order of the handles they are for."""
    parameters = _encrypted(call.parameters, uses)
    names = b"".join(name for _, name in call.handles)
    cp_hash = hashes.cp_hash(_ALG, call.code, names, parameters)
    area = b"".join(_area(uses, number, cp_hash) for number in range(len(uses)))
    body = call.handle_bytes + put_uint32(len(area)) + area + parameters
    return call.header(TpmSt.SESSIONS, len(body)) + body


def answer(call: Call, raw: bytes, uses: Sequence[Authorization]) -> Answer:
    """The answer, once every HMAC and attribute in it is right; then decrypted.

    `TpmError` for a response code, FormatError for whatever else is wrong.
    """
    tag = client.response_tag(raw)
    start = 14 if call.gives_handle else 10
    if tag != TpmSt.SESSIONS or start + 4 > len(raw):
        raise malformed("tag", 0, f"0x{tag:04x}", "0x8002 and parameters")
    size = int.from_bytes(raw[start : start + 4], "big")
    body, rest = raw[start + 4 : start + 4 + size], raw[start + 4 + size :]
    if len(body) != size:
        raise malformed("parameterSize", start, f"0x{size:x}", "to end in the response")
    rp_hash = hashes.rp_hash(_ALG, call.code, body)
    sessions, nonces = [], []
    for use in uses:
        nonce, rest = _checked(use, rp_hash, rest)
        nonces.append(nonce)
        if isinstance(use, Use):
            sessions.append(replace(use.session, nonce_tpm=nonce))
    check_end(rest, 0)
    return Answer(
        handle=call_handle(raw) if call.gives_handle else 0,
        body=_decrypted(body, uses, nonces),
        sessions=tuple(sessions),
    )


def call_handle(raw: bytes) -> int:
    """The handle that an answer names, proven or not; 0 where there is none."""
    return int.from_bytes(raw[10:14], "big") if raw[6:10] == bytes(4) else 0


def _area(uses: Sequence[Authorization], number: int, cp_hash: bytes) -> bytes:
    use = uses[number]
    if isinstance(use, Password):
        head = put_uint32(TpmRh.PW) + put_tpm2b(b"") + put_uint8(0)
        return head + put_tpm2b(use.value)
    further = _further_nonces(uses) if number == 0 else (b"", b"")
    mac = _mac(use, cp_hash, use.nonce_caller, use.session.nonce_tpm, further)
    head = put_uint32(use.session.handle) + put_tpm2b(use.nonce_caller)
    return head + put_uint8(use.attributes) + put_tpm2b(mac)


def _mac(
    use: Use,
    p_hash: bytes,
    newer: bytes,
    older: bytes,
    further: tuple[bytes, bytes] = (b"", b""),
) -> bytes:
    """Empty for a session without any key."""
    key = use.session.hmac_key
    if not key:
        return b""
    return sessions.session_hmac(
        _ALG,
        key,
        p_hash,
        newer,
        older,
        use.attributes,
        nonce_decrypt=further[0],
        nonce_encrypt=further[1],
    )


def _further_nonces(uses: Sequence[Authorization]) -> tuple[bytes, bytes]:
    """nonceTPM of the decrypt and the encrypt session, where they are another one."""
    decrypt = _with(uses[1:], TpmaSession.DECRYPT)
    encrypt = _with(uses[1:], TpmaSession.ENCRYPT)
    if decrypt is encrypt:
        encrypt = None
    nonces = [each.session.nonce_tpm if each else b"" for each in (decrypt, encrypt)]
    return nonces[0], nonces[1]


def _with(uses: Sequence[Authorization], attribute: int) -> Use | None:
    for use in uses:
        if isinstance(use, Use) and use.attributes & attribute:
            return use
    return None


def _encrypted(parameters: bytes, uses: Sequence[Authorization]) -> bytes:
    """With the first parameter, a TPM2B, encrypted where a session says so."""
    use = _with(uses, TpmaSession.DECRYPT)
    if use is None:
        return parameters
    data, end = take_sized(parameters, 0)
    key = use.session.session_key + use.session.auth_value
    nonces = use.nonce_caller, use.session.nonce_tpm
    hidden = sessions.encrypt_parameter(_ALG, _AES_BITS, key, *nonces, data)
    return put_tpm2b(hidden) + parameters[end:]


def _decrypted(
    body: bytes, uses: Sequence[Authorization], nonces: Sequence[bytes]
) -> bytes:
    use = _with(uses, TpmaSession.ENCRYPT)
    if use is None:
        return body
    data, end = take_sized(body, 0)
    key = use.session.session_key + use.session.auth_value
    both = nonces[list(uses).index(use)], use.nonce_caller
    clear = sessions.decrypt_parameter(_ALG, _AES_BITS, key, *both, data)
    return put_tpm2b(clear) + body[end:]


def _checked(use: Authorization, rp_hash: bytes, rest: bytes) -> tuple[bytes, bytes]:
    """The session's new nonceTPM, and the bytes behind its part of the answer."""
    nonce, at = take_sized(rest, 0, MAX_DIGEST_SIZE)
    attributes = rest[at : at + 1]
    mac, end = take_sized(rest, at + 1, MAX_DIGEST_SIZE)
    if isinstance(use, Password):
        return nonce, rest[end:]
    if attributes != bytes((use.attributes,)):
        expected = f"0x{use.attributes:02x}"
        raise malformed("sessionAttributes", at, f"0x{attributes.hex()}", expected)
    if len(nonce) != NONCE_SIZE:
        raise malformed("nonceTPM", 0, f"0x{len(nonce):x} bytes", "0x20 bytes")
    if not compare_digest(mac, _mac(use, rp_hash, nonce, use.nonce_caller)):
        raise malformed("hmac", at + 1, "another one", "that of the session")
    return nonce, rest[end:]
