"""AES in the modes of the TPM and the XOR obfuscation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.tpm.crypto import symmetric
from pefstack.hw.tpm.crypto.symmetric import (
    CBC,
    CFB,
    CTR,
    ECB,
    OFB,
    cfb_decrypt,
    cfb_encrypt,
    crypt,
    xor_mask,
)
from tpm_kit import SHA256, vector

ROWS = vector("swtpm_crypto.json")["encrypt_decrypt"]
NIST_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
NIST_IV = bytes(range(16))
NIST_PLAIN = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
)
# SP 800-38A, F.3.13: two blocks of CFB128-AES128
NIST_CFB = bytes.fromhex(
    "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b"
)


def test_cfb_of_sp_800_38a() -> None:
    assert cfb_encrypt(NIST_KEY, NIST_IV, NIST_PLAIN) == NIST_CFB
    assert cfb_decrypt(NIST_KEY, NIST_IV, NIST_CFB) == NIST_PLAIN


def test_cfb_cuts_the_last_block_short() -> None:
    assert cfb_encrypt(NIST_KEY, NIST_IV, NIST_PLAIN[:21]) == NIST_CFB[:21]
    assert cfb_decrypt(NIST_KEY, NIST_IV, NIST_CFB[:21]) == NIST_PLAIN[:21]
    assert cfb_encrypt(NIST_KEY, NIST_IV, b"") == b""


@pytest.mark.parametrize("row", ROWS)
def test_data_and_next_iv_of_the_reference(row: dict[str, str | int]) -> None:
    """80 answers of EncryptDecrypt2: every mode, whole, half and no blocks."""
    key, iv, data = (bytes.fromhex(str(row[name])) for name in ("key", "iv", "data"))
    mode, decrypt = int(row["mode"]), bool(row["decrypt"])
    if row["rc"] == "0x1d5":  # TPM_RC_SIZE
        with pytest.raises(ValueError, match="not whole blocks"):
            crypt(mode, key, iv, data, decrypt=decrypt)
        return
    out, iv_out = crypt(mode, key, iv, data, decrypt=decrypt)
    assert (out.hex(), iv_out.hex()) == (row["out"], row["iv_out"])


@given(
    mode=st.sampled_from([CTR, OFB, CBC, CFB, ECB]),
    key=st.sampled_from([bytes(16), bytes(24), bytes(32)]),
    blocks=st.integers(0, 4),
    cut=st.integers(0, 4),
    decrypt=st.booleans(),
)
def test_going_on_with_the_next_iv(
    mode: int, key: bytes, blocks: int, cut: int, decrypt: bool
) -> None:
    """Two calls, the second with ivOut of the first, give what one call gives."""
    iv = b"" if mode == ECB else NIST_IV
    data = (NIST_PLAIN * 2)[: 16 * blocks]
    middle = 16 * min(cut, blocks)
    whole, last = crypt(mode, key, iv, data, decrypt=decrypt)
    first, between = crypt(mode, key, iv, data[:middle], decrypt=decrypt)
    second, end = crypt(mode, key, between, data[middle:], decrypt=decrypt)
    assert (first + second, end) == (whole, last)
    assert crypt(mode, key, iv, whole, decrypt=not decrypt) == (data, last)


def test_counter_wraps_around() -> None:
    _, iv_out = crypt(CTR, NIST_KEY, b"\xff" * 16, bytes(17), decrypt=False)
    assert iv_out == bytes(15) + b"\1"


@pytest.mark.parametrize(
    ("mode", "key_size", "iv_size", "message"),
    [
        (CFB, 16, 15, "IV of 15 bytes"),
        (CFB, 16, 17, "IV of 17 bytes"),
        (CFB, 16, 0, "IV of 0 bytes"),
        (ECB, 16, 16, "IV of 16 bytes"),
        (CFB, 17, 16, "key size"),
        (CFB, 0, 16, "key size"),
        (0x0010, 16, 16, "mode 0x0010"),
        (0x0045, 16, 16, "mode 0x0045"),
    ],
)
def test_what_does_not_fit(
    mode: int, key_size: int, iv_size: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        crypt(mode, bytes(key_size), bytes(iv_size), bytes(16), decrypt=False)


def test_xor_is_its_own_inverse_and_leaves_no_byte() -> None:
    data = bytes(70)
    masked = xor_mask(SHA256, b"key", b"newer", b"older", data)
    assert len(masked) == 70
    assert masked.count(0) < 6
    assert xor_mask(SHA256, b"key", b"newer", b"older", masked) == data
    assert xor_mask(SHA256, b"key", b"older", b"newer", data) != masked
    assert xor_mask(SHA256, b"key", b"newer", b"older", b"") == b""


def test_xor_of_two_lengths() -> None:
    with pytest.raises(ValueError, match="2 bytes do not fit 1 bytes"):
        symmetric.xor(b"ab", b"a")
    assert symmetric.xor(b"\0\x0f", b"\0\xff") == b"\0\xf0"
