"""EncryptDecrypt, EncryptDecrypt2 (Part 3, "Symmetric Primitives")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pefstack.hw.tpm.buffers import TPM2B_IV, TPM2B_MAX_BUFFER
from pefstack.hw.tpm.codes import TpmAlgId, TpmaObject, TpmCc
from pefstack.hw.tpm.command import Command, Handle, Parameter
from pefstack.hw.tpm.handles import TPMI_DH_OBJECT
from pefstack.hw.tpm.interface_types import TPMI_ALG_CIPHER_MODE_OR_NULL
from pefstack.hw.tpm.object_keys import has
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.public import SymCipherParms
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import TPMI_YES_NO, put_tpm2b

_KEY: Final = RC_1
_BLOCK_SIZE: Final = 16
_WHOLE_BLOCKS: Final = (TpmAlgId.CBC, TpmAlgId.ECB)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Which parameter is which: the two commands differ in nothing else."""

    mode: int
    iv: int
    data: int


def encrypt_decrypt(
    inner: Internals, key: Any, decrypt: int, mode: int, iv: bytes, data: bytes
) -> tuple[bytes, bytes]:
    """The data, and the IV with which the next part goes on."""
    places = _Places(mode=2, iv=3, data=4)
    return _crypt(key, bool(decrypt), mode, iv, data, places)


def encrypt_decrypt_2(
    inner: Internals, key: Any, data: bytes, decrypt: int, mode: int, iv: bytes
) -> tuple[bytes, bytes]:
    """The same with the data first, so that a session can encrypt them."""
    places = _Places(mode=3, iv=4, data=1)
    return _crypt(key, bool(decrypt), mode, iv, data, places)


def _crypt(
    key: Any, decrypt: bool, asked: int, iv: bytes, data: bytes, places: _Places
) -> tuple[bytes, bytes]:
    from pefstack.hw.tpm.crypto.symmetric import crypt

    secret, own = _cipher_key(key, decrypt=decrypt)
    mode = asked if own == TpmAlgId.NULL else own
    if mode == TpmAlgId.NULL or asked not in (mode, TpmAlgId.NULL):
        raise Refusal(TpmRc.MODE + _parameter(places.mode))
    if len(iv) != (0 if mode == TpmAlgId.ECB else _BLOCK_SIZE):
        raise Refusal(TpmRc.SIZE + _parameter(places.iv))
    if mode in _WHOLE_BLOCKS and len(data) % _BLOCK_SIZE:
        raise Refusal(TpmRc.SIZE + _parameter(places.data))
    return crypt(mode, secret, iv, data, decrypt=decrypt)


def _cipher_key(entity: Any, *, decrypt: bool) -> tuple[bytes, int]:
    """Key and mode of an unrestricted cipher that may be used in this direction."""
    if not isinstance(entity, TpmObject) or entity.sensitive is None:
        raise Refusal(TpmRc.KEY + _KEY)
    parameters = entity.public.parameters
    if not isinstance(parameters, SymCipherParms):
        raise Refusal(TpmRc.KEY + _KEY)
    wanted = TpmaObject.DECRYPT if decrypt else TpmaObject.SIGN  # which is "encrypt"
    if has(entity, TpmaObject.RESTRICTED) or not has(entity, wanted):
        raise Refusal(TpmRc.ATTRIBUTES + _KEY)
    return entity.sensitive.sensitive, parameters.symmetric.mode


def _parameter(number: int) -> int:
    return RC_P + number * RC_1


_KEY_HANDLE: Final = Handle(name="keyHandle", type=TPMI_DH_OBJECT)
_DECRYPT: Final = Parameter(name="decrypt", unmarshal=TPMI_YES_NO)
_MODE: Final = Parameter(name="mode", unmarshal=TPMI_ALG_CIPHER_MODE_OR_NULL)
_IV: Final = Parameter(name="ivIn", unmarshal=TPM2B_IV)
_DATA: Final = Parameter(name="inData", unmarshal=TPM2B_MAX_BUFFER)
ENCRYPT_DECRYPT: Final = Command(
    code=TpmCc.ENCRYPT_DECRYPT,
    action=encrypt_decrypt,
    handles=(_KEY_HANDLE,),
    parameters=(_DECRYPT, _MODE, _IV, _DATA),
    results=(put_tpm2b, put_tpm2b),
    encrypts=True,
)
ENCRYPT_DECRYPT_2: Final = Command(
    code=TpmCc.ENCRYPT_DECRYPT_2,
    action=encrypt_decrypt_2,
    handles=(_KEY_HANDLE,),
    parameters=(_DATA, _DECRYPT, _MODE, _IV),
    results=(put_tpm2b, put_tpm2b),
    decrypts=True,
    encrypts=True,
)
COMMANDS: Final = (ENCRYPT_DECRYPT, ENCRYPT_DECRYPT_2)
