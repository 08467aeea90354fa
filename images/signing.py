"""Make containers: key sets, signers, deterministic signing (boot-chain.md 1.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP521R1,
    EllipticCurvePrivateKey,
)
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pefstack.images import p521
from pefstack.images.codec import Buffer
from pefstack.images.container import (
    FLAG_HOSTBOOT,
    HEADER_SIZE,
    NAME,
    ContainerHeader,
    HardwareHeader,
    PrefixHeader,
    SoftwareHeader,
    component_id,
)
from pefstack.images.errors import FormatError

HW_KEY_NAMES: Final = ("hw_key_a", "hw_key_b", "hw_key_c")
_KEY_FORM: Final = (
    "a P-521 key with a named curve and no password; "
    "`openssl ec -param_enc named_curve` converts one"
)
SW_KEY_NAMES: Final = ("sw_key_p", "sw_key_q", "sw_key_r")


class Signer(Protocol):
    """One key, wherever it is kept: a file, a token, somebody else's machine."""

    @property
    def public_key(self) -> bytes:
        """x and y, 132 bytes."""

    def sign(self, message: bytes) -> bytes:
        """r and s over SHA-512 of the message, 132 bytes."""


class FileSigner:
    """A private key held in memory; signs deterministically (RFC 6979)."""

    __slots__ = ("_key", "public_key")

    def __init__(self, key: p521.PrivateKey) -> None:
        self._key = key
        self.public_key = p521.public_bytes(key)

    @classmethod
    def from_pem(cls, name: str, pem: bytes) -> FileSigner:
        """A P-521 key in PEM form; ``name`` is for the error text."""
        try:
            key = load_pem_private_key(pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            raise FormatError("private key", name, 0, str(exc), _KEY_FORM) from None
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(
            key.curve, SECP521R1
        ):
            raise FormatError("private key", name, 0, "another kind", "a P-521 key")
        return cls(key)

    @classmethod
    def from_seed(cls, name: str, seed: str) -> FileSigner:
        """The test key that follows from name and seed; who knows both has it."""
        secret = hashlib.shake_256(f"pefstack key {name} {seed}".encode()).digest(80)
        return cls(p521.derive_key(secret))

    def sign(self, message: bytes) -> bytes:
        """r and s, 132 bytes; the same for the same message."""
        return p521.sign(self._key, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """Three hardware keys and up to three software keys."""

    hardware: tuple[Signer, Signer, Signer]
    software: tuple[Signer, ...]

    @property
    def hw_key_hash(self) -> bytes:
        """SHA-512 of the three public hardware keys, the root of trust."""
        return hashlib.sha512(
            b"".join(each.public_key for each in self.hardware)
        ).digest()


def seeded_key_set(seed: str) -> KeySet:
    """The test key set that follows from a seed."""
    a, b, c = (FileSigner.from_seed(name, seed) for name in HW_KEY_NAMES)
    software = tuple(FileSigner.from_seed(name, seed) for name in SW_KEY_NAMES)
    return KeySet(hardware=(a, b, c), software=software)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningOptions:
    """What the header says beside keys, sizes and hashes."""

    label: str
    sw_key_count: int = 1
    code_start_offset: int = 0
    security_version: int = 0
    hw_flags: int = FLAG_HOSTBOOT
    sw_flags: int = 0
    target_hrmor: int = 0
    stack_pointer: int = 0


def sign_header(
    payload: Buffer, keys: KeySet, options: SigningOptions, unprotected_size: int = 0
) -> bytes:
    """The signed 4096-byte header of a container with this protected payload.

    ``unprotected_size`` bytes will follow the payload and count in the container size.
    Raises `FormatError` for a value that does not fit, and for a number of software
    keys that no verifier takes or that the key set does not have.
    """
    _check_count(options.sw_key_count, len(keys.software))
    signers = keys.software[: options.sw_key_count]
    prefix = _prefix(signers, options)
    software = SoftwareHeader(
        code_start_offset=options.code_start_offset,
        component_id=component_id(options.label),
        flags=options.sw_flags,
        security_version=options.security_version,
        payload_size=len(payload),
        payload_hash=hashlib.sha512(payload).digest(),
    )
    hardware = HardwareHeader(
        container_size=HEADER_SIZE + len(payload) + unprotected_size,
        target_hrmor=options.target_hrmor,
        stack_pointer=options.stack_pointer,
        hw_keys=tuple(each.public_key for each in keys.hardware),
    )
    return ContainerHeader(
        hardware=hardware,
        prefix=prefix,
        hw_signatures=_signatures(keys.hardware, prefix.to_bytes()),
        sw_keys=tuple(each.public_key for each in signers),
        software=software,
        sw_signatures=_signatures(signers, software.to_bytes()),
    ).to_bytes()


def _check_count(count: int, there: int) -> None:
    most = min(there, len(SW_KEY_NAMES))
    if not 1 <= count <= most:
        raise FormatError(NAME, "sw_key_count", 450, f"{count}", f"1 to {most}")


def _prefix(signers: Sequence[Signer], options: SigningOptions) -> PrefixHeader:
    keys = b"".join(each.public_key for each in signers)
    return PrefixHeader(
        flags=options.hw_flags,
        sw_key_count=len(signers),
        payload_size=len(keys),
        payload_hash=hashlib.sha512(keys).digest(),
    )


def _signatures(signers: Sequence[Signer], message: bytes) -> tuple[bytes, ...]:
    return tuple(each.sign(message) for each in signers)
