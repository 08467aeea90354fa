"""From a recorded TPM to ours: bytes that are exchanged, HMACs that are made again.

What only the other TPM could know (keys, blobs, signatures) is exchanged for what ours
has in its place; HMACs over such bytes are computed here. Before that, each HMAC of the
recording is found with the same formula: a wrong formula ends the replay.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from dataclasses import dataclass, field, replace

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from pefstack.hw.entropy import Entropy
from tpm_client_kit import hash_of, kdfa, mac, two_b
from tpm_kit import PW, SHA256
from tpm_recording import Auth, Frame, Pieces, Row, first


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
        if auth.handle == PW:
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
            if asked.handle != PW:
                flags = auth.attributes
                old, new = _rp_hash(code, theirs.params), _rp_hash(code, params)
                assert _mac(key, old, auth.nonce, asked.nonce, flags) == auth.hmac
                nonce = self.exchange.ours(auth.nonce)
                value = _mac(key, new, nonce, asked.nonce, flags)
                auth = replace(auth, nonce=nonce, hmac=value)
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


def oaep(label: bytes) -> padding.OAEP:
    sha256 = hashes.SHA256()
    return padding.OAEP(padding.MGF1(sha256), sha256, label)


def credential(seed: bytes, name: bytes, secret: bytes) -> bytes:
    """TPMS_ID_OBJECT (Part 1, "Credential Protection")."""
    key = kdfa(SHA256, seed, b"STORAGE", name, b"", 128)
    encryptor = Cipher(AES(key), CFB(bytes(16))).encryptor()
    hidden = encryptor.update(two_b(secret)) + encryptor.finalize()
    integrity = kdfa(SHA256, seed, b"INTEGRITY", b"", b"", 256)
    return two_b(mac(SHA256, integrity, hidden, name)) + hidden


def nonces(row: Row) -> list[bytes]:
    """Those of the recorded answer; Create draws more than a nonce."""
    if row.response.code or row.name == "Create":
        return []
    if row.name == "StartAuthSession":
        return [first(row.response.params)[0]]
    return [each.nonce for each in row.response.auths if each.nonce]
