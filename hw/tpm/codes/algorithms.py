"""TPM_ALG_ID and TPM_ECC_CURVE: algorithms by number (Part 2, 6.3 and 6.4)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class TpmAlgId(IntEnum):
    """TPM_ALG_ID: the algorithms this TPM knows, and NULL."""

    RSA = 0x0001
    SHA1 = 0x0004
    HMAC = 0x0005
    AES = 0x0006
    MGF1 = 0x0007
    KEYEDHASH = 0x0008
    XOR = 0x000A
    SHA256 = 0x000B
    SHA384 = 0x000C
    SHA512 = 0x000D
    NULL = 0x0010
    RSASSA = 0x0014
    RSAES = 0x0015
    RSAPSS = 0x0016
    OAEP = 0x0017
    ECDSA = 0x0018
    ECDH = 0x0019
    ECDAA = 0x001A
    ECSCHNORR = 0x001C
    ECMQV = 0x001D
    KDF1_SP800_56A = 0x0020
    KDF2 = 0x0021
    KDF1_SP800_108 = 0x0022
    ECC = 0x0023
    SYMCIPHER = 0x0025
    CTR = 0x0040
    OFB = 0x0041
    CBC = 0x0042
    CFB = 0x0043
    ECB = 0x0044


class TpmEcc(IntEnum):
    """TPM_ECC_CURVE: the curves this TPM implements."""

    NIST_P256 = 0x0003
    NIST_P384 = 0x0004
    NIST_P521 = 0x0005
    BN_P256 = 0x0010


DIGEST_SIZE: Final[dict[int, int]] = {
    TpmAlgId.SHA1: 20,
    TpmAlgId.SHA256: 32,
    TpmAlgId.SHA384: 48,
    TpmAlgId.SHA512: 64,
}
BANK_NAME: Final[dict[int, str]] = {
    int(alg): TpmAlgId(alg).name.lower() for alg in DIGEST_SIZE
}
RSA_KEY_BITS: Final = (1024, 2048, 3072)
AES_KEY_BITS: Final = (128, 256)  # as the reference; 192 is optional
ECC_KEY_BITS: Final[dict[int, int]] = {
    TpmEcc.NIST_P256: 256,
    TpmEcc.NIST_P384: 384,
    TpmEcc.NIST_P521: 521,
    TpmEcc.BN_P256: 256,
}
