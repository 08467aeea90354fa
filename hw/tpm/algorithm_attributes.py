"""TPMA_ALGORITHM of every algorithm of this TPM (Part 2, 8.2; as swtpm answers)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmaAlgorithm, TpmAlgId

_HASH: Final = TpmaAlgorithm.HASH
_SYMMETRIC: Final = TpmaAlgorithm.SYMMETRIC
_KEY: Final = TpmaAlgorithm.ASYMMETRIC | TpmaAlgorithm.OBJECT
_SIGNS: Final = TpmaAlgorithm.ASYMMETRIC | TpmaAlgorithm.SIGNING
_ENCRYPTS: Final = TpmaAlgorithm.ASYMMETRIC | TpmaAlgorithm.ENCRYPTING
_EXCHANGES: Final = TpmaAlgorithm.ASYMMETRIC | TpmaAlgorithm.METHOD
_DERIVES: Final = TpmaAlgorithm.HASH | TpmaAlgorithm.METHOD
_MODE: Final = TpmaAlgorithm.SYMMETRIC | TpmaAlgorithm.ENCRYPTING

ALGORITHM_ATTRIBUTES: Final[dict[int, int]] = {
    TpmAlgId.RSA: _KEY,
    TpmAlgId.HMAC: _HASH | TpmaAlgorithm.SIGNING,
    TpmAlgId.AES: _SYMMETRIC,
    TpmAlgId.MGF1: _DERIVES,
    TpmAlgId.KEYEDHASH: (
        _HASH | TpmaAlgorithm.OBJECT | TpmaAlgorithm.SIGNING | TpmaAlgorithm.ENCRYPTING
    ),
    TpmAlgId.XOR: _HASH | _SYMMETRIC,
    **dict.fromkeys(DIGEST_SIZE, int(_HASH)),
    TpmAlgId.RSASSA: _SIGNS,
    TpmAlgId.RSAES: _ENCRYPTS,
    TpmAlgId.RSAPSS: _SIGNS,
    TpmAlgId.OAEP: _ENCRYPTS,
    TpmAlgId.ECDSA: _SIGNS,
    TpmAlgId.ECDH: _EXCHANGES,
    TpmAlgId.ECDAA: _SIGNS,
    TpmAlgId.ECSCHNORR: _SIGNS,
    TpmAlgId.ECMQV: _EXCHANGES,
    TpmAlgId.KDF1_SP800_56A: _DERIVES,
    TpmAlgId.KDF2: _DERIVES,
    TpmAlgId.KDF1_SP800_108: _DERIVES,
    TpmAlgId.ECC: _KEY,
    TpmAlgId.SYMCIPHER: TpmaAlgorithm.OBJECT,
    TpmAlgId.CTR: _MODE,
    TpmAlgId.OFB: _MODE,
    TpmAlgId.CBC: _MODE,
    TpmAlgId.CFB: _MODE,
    TpmAlgId.ECB: _MODE,
}
