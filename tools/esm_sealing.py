"""Make slots and lockboxes: what a customer does off line, for keys from files.

What slots need is loaded when the first one is made: lockboxes need none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pefstack.hw.tpm.crypto.stream import Stream
from pefstack.images.esm_blob_refusal import EsmProfile
from pefstack.images.esm_item import check_key, comment_bytes
from pefstack.images.esm_lockbox import Lockbox, fingerprint_of_pem
from pefstack.tools.errors import UsageError

if TYPE_CHECKING:
    from pefstack.hw.tpm.public import Public
    from pefstack.images.esm_operand_keys import SealedData
    from pefstack.images.esm_operand_slot import Slot

MAX_PEM_SIZE: Final = 0x4000
KEY_BITS: Final = 2048
_EXPONENT: Final = 65537


def import_slot(
    storage_public: bytes, policy: bytes, sealed: SealedData, stream: Stream
) -> Slot:
    """A slot that this machine's TPM imports (esm.md 5.2, kind 1).

    ``storage_public`` is the storage key's TPMT_PUBLIC; ``policy`` the digest of
    PolicySecret of the index and PolicyPCR of the expected PCR6, computed by the
    customer. A storage key that has another policy is refused: nothing sealed so
    would open. Raises `UsageError` for this and for other keys.
    """
    from pefstack.hw.tpm import sealing
    from pefstack.images.esm_operand_slot import KIND_TPM_IMPORT, Slot

    key = _key(storage_public)
    if key.auth_policy != policy:
        found, right = key.auth_policy.hex() or "none", policy.hex()
        text = f"storage key: policy {found}, expected {right}"
        raise UsageError(f"{text}; check the index number and PCR6")
    try:
        body = sealing.import_body(key, policy, sealed.to_bytes(), stream)
    except ValueError as exc:
        raise UsageError(f"storage key: {exc}") from None
    return Slot(kind=KIND_TPM_IMPORT, machine_id=sealing.machine_id(key), body=body)


def lockbox_slot(wrapping_public: bytes, sealed: SealedData, stream: Stream) -> Slot:
    """A slot for a machine's wrapping key (esm.md 5.2, kind 2); no PCR protects it."""
    from pefstack.hw.tpm import sealing
    from pefstack.images.esm_operand_slot import KIND_LOCKBOX, Slot

    key = _key(wrapping_public)
    body = sealing.lockbox_body(key, sealed.to_bytes(), stream)
    return Slot(kind=KIND_LOCKBOX, machine_id=sealing.machine_id(key), body=body)


def make_lockbox(
    name: str, public_pem: bytes, master_key: bytes, stream: Stream, comment: str = ""
) -> Lockbox:
    """A lockbox of an ESM blob for an RSA-2048 key; the file's bytes are its name.

    Raises `UsageError` for other keys, `BlobError` for the master key or comment.
    """
    check_key(master_key, EsmProfile.STRICT)
    return Lockbox(
        name=name,
        fingerprint=fingerprint_of_pem(public_pem),
        encrypted_symkey=_encrypted(public_pem, master_key, stream),
        comment=comment_bytes(comment),
    )


def public_pem(public_area: bytes) -> bytes:
    """The PEM file (SubjectPublicKeyInfo) of a TPMT_PUBLIC, as OpenSSL writes it.

    Its bytes are what a lockbox's fingerprint is of. Raises `UsageError` for no key.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    modulus = int.from_bytes(_key(public_area).to_bytes()[-KEY_BITS // 8 :], "big")
    key = RSAPublicNumbers(_EXPONENT, modulus).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _encrypted(pem: bytes, message: bytes, stream: Stream) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from pefstack.hw.tpm.codes import TpmAlgId
    from pefstack.hw.tpm.crypto.rsa import oaep_encrypt

    if len(pem) > MAX_PEM_SIZE:
        raise UsageError(
            f"public key: 0x{len(pem):x} bytes, at most 0x{MAX_PEM_SIZE:x}"
        )
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError("public key: not a PEM file of a public key") from None
    if not isinstance(key, RSAPublicKey) or key.key_size != KEY_BITS:
        raise UsageError(f"public key: not an RSA key of {KEY_BITS} bits")
    numbers = key.public_numbers()
    alg = TpmAlgId.SHA256
    return oaep_encrypt(numbers.n, numbers.e, alg, b"", message, stream)


def _key(public_area: bytes) -> Public:
    from pefstack.hw.tpm import sealing

    try:
        return sealing.read_key(public_area)
    except ValueError as exc:
        raise UsageError(f"key of the machine: {exc}") from None
