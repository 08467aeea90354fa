"""AES in the five modes of the TPM, and the XOR obfuscation (tpm.md 3).

The cipher is loaded when it is first used: a boot without sessions never needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pefstack.hw.tpm.crypto.kdf import kdfa

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.ciphers.modes import (
        ECB as _Ecb,
    )
    from cryptography.hazmat.primitives.ciphers.modes import (
        ModeWithInitializationVector,
        ModeWithNonce,
    )

    _Mode = _Ecb | ModeWithInitializationVector | ModeWithNonce

BLOCK_SIZE: Final = 16  # bytes of an AES block, and of its IV
CTR, OFB, CBC, CFB, ECB = 0x0040, 0x0041, 0x0042, 0x0043, 0x0044  # TPM_ALG_ID
ZERO_IV: Final = bytes(BLOCK_SIZE)


def cfb_encrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    """AES-CFB with a feedback of a whole block; any length of data.

    ValueError when the key has not 16, 24 or 32 bytes or the IV not 16.
    """
    return _run(CFB, key, iv, data, decrypt=False)


def cfb_decrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    """The inverse of `cfb_encrypt`."""
    return _run(CFB, key, iv, data, decrypt=True)


def xor_mask(
    alg: int, key: bytes, nonce_newer: bytes, nonce_older: bytes, data: bytes
) -> bytes:
    """``data`` XOR KDFa(key, "XOR", nonces, its length); its own inverse."""
    mask = kdfa(alg, key, b"XOR", nonce_newer, nonce_older, 8 * len(data))
    return xor(data, mask)


def xor(first: bytes, second: bytes) -> bytes:
    """The exclusive or of two strings of one length, else ValueError."""
    if len(first) != len(second):
        raise ValueError(f"{len(first)} bytes do not fit {len(second)} bytes")
    both = int.from_bytes(first, "big") ^ int.from_bytes(second, "big")
    return both.to_bytes(len(first), "big")


def crypt(
    mode_alg: int, key: bytes, iv: bytes, data: bytes, *, decrypt: bool
) -> tuple[bytes, bytes]:
    """What EncryptDecrypt does: the data, and the IV with which to go on (Part 3, 15).

    ECB has no IV: it is empty on both sides. CBC and ECB want whole blocks.
    ValueError for an unknown mode and for a key, IV or data of a wrong length.
    """
    size = len(data)
    if mode_alg in (CBC, ECB) and size % BLOCK_SIZE:
        raise ValueError(f"{size} bytes are not whole blocks of 16")
    whole = data + bytes(-size % BLOCK_SIZE)
    result = _run(mode_alg, key, iv, whole, decrypt=decrypt)
    return result[:size], _next_iv(mode_alg, iv, data, whole, result, decrypt=decrypt)


def _next_iv(
    mode_alg: int, iv: bytes, data: bytes, whole: bytes, result: bytes, *, decrypt: bool
) -> bytes:
    """CTR counts blocks begun; OFB and CFB hand on what would come next.

    After half a block that is the rest of the key stream, as swtpm answers (measured).
    """
    if mode_alg == CTR:
        counter = int.from_bytes(iv, "big") + len(whole) // BLOCK_SIZE
        return (counter % (1 << 8 * BLOCK_SIZE)).to_bytes(BLOCK_SIZE, "big")
    if not data or mode_alg == ECB:
        return iv
    if mode_alg == OFB:
        return xor(whole, result)[-BLOCK_SIZE:]
    cipher_text = data + result[len(data) :] if decrypt else result
    return cipher_text[-BLOCK_SIZE:]


def _run(mode_alg: int, key: bytes, iv: bytes, data: bytes, *, decrypt: bool) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES

    cipher = Cipher(AES(key), _mode(mode_alg, iv))
    context = cipher.decryptor() if decrypt else cipher.encryptor()
    return context.update(data) + context.finalize()


def _mode(mode_alg: int, iv: bytes) -> _Mode:
    """The mode object; CFB and OFB live among the old ones of the package."""
    from cryptography.hazmat.decrepit.ciphers import modes as old
    from cryptography.hazmat.primitives.ciphers import modes

    if len(iv) != (0 if mode_alg == ECB else BLOCK_SIZE):
        raise ValueError(f"an IV of {len(iv)} bytes")
    if mode_alg == ECB:
        return modes.ECB()  # noqa: S305
    with_iv: dict[int, Callable[[bytes], _Mode]] = {
        CTR: modes.CTR,
        OFB: old.OFB,
        CBC: modes.CBC,
        CFB: old.CFB,
    }
    if mode_alg not in with_iv:
        raise ValueError(f"no cipher mode 0x{mode_alg:04x}")
    return with_iv[mode_alg](iv)
