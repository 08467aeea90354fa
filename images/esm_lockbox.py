"""ESM blob: lockboxes, and which of them is a machine's (esm.md 1.2, 1.3, 1.7)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.esm_blob_refusal import (
    BlobError,
    BlobRefusal,
    EsmProfile,
    check_size,
)
from pefstack.images.esm_item import COMMENT
from pefstack.images.fdt_node import FdtNode

ORIGIN: Final = "origin-lockbox"
FIRST: Final = "lockbox-1"
FINGERPRINT_ALGORITHM: Final = b"SHA256\0"
SYMKEY_SIZE: Final = 256  # RSA-2048

_NUMBERED: Final = re.compile(r"lockbox-([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lockbox:
    """The master key for one RSA key; ``fingerprint`` is empty where there is none.

    ``encrypted_symkey`` is RSAES-OAEP with SHA-256 and an empty label, 256 bytes.
    """

    name: str
    fingerprint: bytes
    encrypted_symkey: bytes
    comment: bytes = b""

    @classmethod
    def from_node(cls, node: FdtNode) -> Lockbox:
        """Whatever is there; what is missing is found when the lockbox is chosen."""
        print_node = node.child("pubkey-fingerprint")
        digest = None
        if print_node and print_node.get("algorithm") == FINGERPRINT_ALGORITHM:
            digest = print_node.get("hash")
        return cls(
            name=node.name,
            fingerprint=digest or b"",
            encrypted_symkey=node.get("encrypted-symkey") or b"",
            comment=(node.get(COMMENT) or b"").removesuffix(b"\0"),
        )

    def to_node(self) -> FdtNode:
        """Its node, in the order of IBM's tool."""
        properties = (
            ("encrypted-symkey", self.encrypted_symkey),
            (COMMENT, self.comment + b"\0"),
        )
        return FdtNode(
            name=self.name,
            properties=properties,
            children=(_fingerprint_node(self.fingerprint),) if self.fingerprint else (),
        )


def _fingerprint_node(fingerprint: bytes) -> FdtNode:
    return FdtNode(
        name="pubkey-fingerprint",
        properties=(("hash", fingerprint), ("algorithm", FINGERPRINT_ALGORITHM)),
    )


def fingerprint_of_pem(pem: Buffer) -> bytes:
    """SHA-256 of the bytes of a public key's PEM file, the final newline included.

    The same key in another spelling has another fingerprint: IBM's rule.
    """
    return sha256(pem).digest()


def fingerprint_of_key(modulus: int, exponent: int = 65537) -> bytes:
    """That of the PEM file that OpenSSL writes for an RSA key; ValueError for none."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = RSAPublicNumbers(exponent, modulus).public_key()
    form = PublicFormat.SubjectPublicKeyInfo
    return fingerprint_of_pem(key.public_bytes(Encoding.PEM, form))


def choose_lockbox(
    lockboxes: Sequence[Lockbox], fingerprint: bytes, profile: EsmProfile
) -> Lockbox:
    """The lockbox that a machine with this wrapping key opens.

    ``REAL``: the first that libfdt finds as ``lockbox-1``. ``STRICT``: the first with
    the key's fingerprint, and ``lockbox-1`` only if there is none. Raises `BlobError`
    B_NO_LOCKBOX, or B_LOCKBOX if what it holds is not 256 bytes.
    """
    strict = profile is EsmProfile.STRICT
    mine = [each for each in lockboxes if strict and each.fingerprint == fingerprint]
    mine += [each for each in lockboxes if each.name.partition("@")[0] == FIRST]
    if not mine:
        names = ", ".join(each.name for each in lockboxes) or "no lockbox"
        right = f"{FIRST}, or one for key {fingerprint.hex()}" if strict else FIRST
        raise BlobError(BlobRefusal.NO_LOCKBOX, "lockboxes", 0, names, right)
    chosen = mine[0]
    size, field = range(SYMKEY_SIZE, SYMKEY_SIZE + 1), f"{chosen.name} encrypted-symkey"
    check_size(BlobRefusal.LOCKBOX, field, chosen.encrypted_symkey, size)
    return chosen


def next_name(lockboxes: Sequence[Lockbox]) -> str:
    """The name of the next lockbox: one more than the highest number."""
    found = (_NUMBERED.fullmatch(each.name) for each in lockboxes)
    return f"lockbox-{max((int(each[1]) for each in found if each), default=0) + 1}"
