"""What the tests of TPM objects share: templates and commands made by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.objects import TpmObject
from tpm_client_kit import POLICY, start
from tpm_kit import (
    EMPTY_PASSWORD,
    NULL,
    SHA256,
    command,
    rc_of,
    session,
    whole_state,
)

OWNER, LOCKOUT, ENDORSEMENT, PLATFORM = 0x40000001, 0x4000000A, 0x4000000B, 0x4000000C
RSA, KEYEDHASH, ECC, SYMCIPHER = 0x0001, 0x0008, 0x0023, 0x0025
FIXED_TPM, ST_CLEAR, FIXED_PARENT, ORIGIN = 1 << 1, 1 << 2, 1 << 4, 1 << 5
USER, ADMIN, NO_DA, ENCRYPTED = 1 << 6, 1 << 7, 1 << 10, 1 << 11
RESTRICTED, DECRYPT, SIGN = 1 << 16, 1 << 17, 1 << 18
FIXED: Final = FIXED_TPM | FIXED_PARENT
STORAGE: Final = RESTRICTED | DECRYPT | ORIGIN | USER | NO_DA
NO_SYM: Final = b"\0\x10"
AES_128_CFB: Final = bytes.fromhex("0006 0080 0043")
NO_SCHEME: Final = b"\0\x10"
RSASSA_SHA256: Final = bytes.fromhex("0014 000b")
ECDSA_SHA256: Final = bytes.fromhex("0018 000b")
HMAC_SHA256: Final = bytes.fromhex("0005 000b")
XOR_SHA256_108: Final = bytes.fromhex("000a 000b 0022")


class AnyTpm(Protocol):
    """Ours, or another behind a socket."""

    def execute(self, command: bytes) -> bytes:
        """The response to a command."""
        ...


def two_b(value: bytes = b"") -> bytes:
    """TPM2B."""
    return len(value).to_bytes(2, "big") + value


def public(
    kind: int,
    attributes: int,
    parameters: bytes,
    unique: bytes = b"\0\0",
    *,
    policy: bytes = b"",
    name_alg: int = SHA256,
) -> bytes:
    """TPMT_PUBLIC."""
    head = kind.to_bytes(2, "big") + name_alg.to_bytes(2, "big")
    return head + attributes.to_bytes(4, "big") + two_b(policy) + parameters + unique


def rsa(
    attributes: int = STORAGE | FIXED,
    symmetric: bytes = AES_128_CFB,
    scheme: bytes = NO_SCHEME,
    *,
    bits: int = 1024,
    exponent: int = 0,
    **more: Any,
) -> bytes:
    """An RSA template; without more words a storage key."""
    numbers = bits.to_bytes(2, "big") + exponent.to_bytes(4, "big")
    return public(RSA, attributes, symmetric + scheme + numbers, **more)


def ecc(
    attributes: int = STORAGE | FIXED,
    symmetric: bytes = AES_128_CFB,
    scheme: bytes = NO_SCHEME,
    *,
    curve: int = 3,
    kdf: bytes = NO_SCHEME,
    unique: bytes = bytes(4),
    **more: Any,
) -> bytes:
    """An ECC template; without more words a storage key on NIST P-256."""
    parameters = symmetric + scheme + curve.to_bytes(2, "big") + kdf
    return public(ECC, attributes, parameters, unique, **more)


def keyed_hash(
    attributes: int = FIXED | USER | NO_DA, scheme: bytes = NO_SCHEME, **more: Any
) -> bytes:
    """A KEYEDHASH template; without more words for sealed data."""
    return public(KEYEDHASH, attributes, scheme, **more)


def cipher(
    attributes: int = FIXED | ORIGIN | USER | NO_DA | DECRYPT,
    symmetric: bytes = AES_128_CFB,
    **more: Any,
) -> bytes:
    """A SYMCIPHER template."""
    return public(SYMCIPHER, attributes, symmetric, **more)


@dataclass(frozen=True)
class Answer:
    """A response taken apart: response code, handle where there is one, parameters."""

    rc: int
    handle: int
    parameters: bytes

    def sized(self, count: int) -> list[bytes]:
        """The first ``count`` TPM2B of the parameters, and the rest."""
        rest, found = self.parameters, []
        for _ in range(count):
            size = int.from_bytes(rest[:2], "big")
            found.append(rest[2 : 2 + size])
            rest = rest[2 + size :]
        return [*found, rest]


def send(
    tpm: AnyTpm,
    code: int,
    params: bytes = b"",
    *handles: int,
    auths: int = 1,
    area: bytes | None = None,
    gives_handle: bool = False,
) -> Answer:
    """Send a command with ``auths`` empty passwords, or with an area, or with none."""
    if area is None and auths:
        area = EMPTY_PASSWORD * auths
    raw = tpm.execute(command(code, params, handles=handles, area=area))
    rc, body, handle = rc_of(raw), raw[10:], 0
    if rc:
        return Answer(rc, 0, b"")
    if gives_handle:
        handle, body = int.from_bytes(body[:4], "big"), body[4:]
    if area is not None:
        body = body[4 : 4 + int.from_bytes(body[:4], "big")]
    return Answer(rc, handle, body)


def creating(
    template: bytes, auth: bytes = b"", data: bytes = b"", *, pcrs: bytes = bytes(4)
) -> bytes:
    """The parameters of Create and CreatePrimary."""
    sensitive = two_b(two_b(auth) + two_b(data))
    return sensitive + two_b(template) + two_b(b"outside") + pcrs


def create_primary(
    tpm: AnyTpm,
    template: bytes | None = None,
    hierarchy: int = OWNER,
    *,
    auth: bytes = b"",
    data: bytes = b"",
) -> Answer:
    """CreatePrimary; without a template of a small RSA storage key."""
    params = creating(rsa() if template is None else template, auth, data)
    return send(tpm, 0x131, params, hierarchy, gives_handle=True)


def create(
    tpm: AnyTpm,
    parent: int,
    template: bytes,
    *,
    auth: bytes = b"",
    data: bytes = b"",
    parent_auth: bytes = b"",
) -> Answer:
    """Create."""
    area = session(auth=parent_auth)
    return send(tpm, 0x153, creating(template, auth, data), parent, area=area)


def load(tpm: AnyTpm, parent: int, private: bytes, public_: bytes) -> Answer:
    """Load."""
    params = two_b(private) + two_b(public_)
    return send(tpm, 0x157, params, parent, gives_handle=True)


def made(tpm: AnyTpm, parent: int, template: bytes, **more: bytes) -> int:
    """Create and Load: the handle."""
    answer = create(tpm, parent, template, **more)
    assert answer.rc == 0, hex(answer.rc)
    private, public_, _ = answer.sized(2)
    loaded = load(tpm, parent, private, public_)
    assert loaded.rc == 0, hex(loaded.rc)
    return loaded.handle


def create_loaded(
    tpm: AnyTpm, parent: int, template: bytes, auth: bytes = b"", data: bytes = b""
) -> Answer:
    """CreateLoaded."""
    params = two_b(two_b(auth) + two_b(data)) + two_b(template)
    return send(tpm, 0x191, params, parent, gives_handle=True)


def load_external(
    tpm: AnyTpm, public_: bytes, sensitive: bytes = b"", hierarchy: int = NULL
) -> Answer:
    """LoadExternal; ``sensitive`` is a TPMT_SENSITIVE or empty."""
    params = two_b(sensitive) + two_b(public_) + hierarchy.to_bytes(4, "big")
    return send(tpm, 0x167, params, auths=0, gives_handle=True)


def flush(tpm: AnyTpm, handle: int) -> int:
    """FlushContext: the response code."""
    return send(tpm, 0x165, handle.to_bytes(4, "big"), auths=0).rc


def sensitive(
    kind: int, secret: bytes, *, auth: bytes = b"", seed: bytes = b""
) -> bytes:
    """TPMT_SENSITIVE."""
    return kind.to_bytes(2, "big") + two_b(auth) + two_b(seed) + two_b(secret)


def refused(tpm: Tpm, answer_of: Callable[[], Answer]) -> int:
    """The response code of a command that is refused, and so changes nothing.

    That a guess may follow is noted even so (Part 1, "Dictionary Attack Protection").
    """
    before = whole_state(tpm)
    rc = answer_of().rc
    assert rc
    after = whole_state(tpm)
    for state in (before, after):
        del state["state"]["dictionary_attack"]["used"]
    assert after == before
    return rc


def loaded_at(tpm: Tpm, handle: int) -> TpmObject:
    """The object in a slot, from inside."""
    loaded = tpm._inner.state.objects.transient[handle]
    assert isinstance(loaded, TpmObject)
    return loaded


def name_of(public_: bytes) -> bytes:
    """The Name of an object with nameAlg SHA-256."""
    return b"\0\x0b" + hashlib.sha256(public_).digest()


def persist(tpm: AnyTpm, loaded: int, handle: int, auth: int = OWNER) -> int:
    """EvictControl: the response code."""
    return send(tpm, 0x120, handle.to_bytes(4, "big"), auth, loaded).rc


def policy_session(tpm: Tpm, code: int) -> tuple[int, bytes]:
    """A policy session as PolicyCommandCode(code) leaves it, and the policy."""
    policy = hashlib.sha256(
        bytes(32) + (0x16C).to_bytes(4, "big") + code.to_bytes(4, "big")
    )
    started = start(tpm, POLICY)
    session_ = tpm._inner.state.sessions.get(started.handle)
    assert session_ is not None and session_.policy is not None
    session_.policy.digest, session_.policy.command_code = policy.digest(), code
    return started.handle, policy.digest()
