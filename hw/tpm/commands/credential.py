"""MakeCredential, ActivateCredential (Part 3, "Object Commands")."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from pefstack.hw.tpm.buffers import (
    TPM2B_DIGEST,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_NAME,
)
from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId, TpmCc
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.crypto.protection import (
    make_credential as wrapped,
)
from pefstack.hw.tpm.crypto.protection import (
    open_credential,
)
from pefstack.hw.tpm.handles import TPMI_DH_OBJECT
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc, at
from pefstack.hw.tpm.secret_sharing import make_secret, open_secret
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_tpm2b
from pefstack.hw.tpm.wrapped import opened

LABEL: Final = "IDENTITY"
_KEY: Final = 2 * RC_1
_FIRST: Final = RC_P + RC_1
_SECRET: Final = RC_P + 2 * RC_1
_ASYMMETRIC: Final = (TpmAlgId.RSA, TpmAlgId.ECC)


def make_credential(
    inner: Internals, key: Any, credential: bytes, object_name: bytes
) -> tuple[bytes, bytes]:
    """credentialBlob and secret, for who holds the key and an object of this Name."""
    if not _identifies(key):
        raise Refusal(TpmRc.TYPE + RC_1)
    alg, bits = key.public.name_alg, key.public.symmetric.key_bits
    if len(credential) > DIGEST_SIZE.get(alg, 0):
        raise Refusal(TpmRc.SIZE + _FIRST)
    seed, hidden = at(RC_1, make_secret, inner.entropy, key, LABEL)
    return wrapped(alg, bits, seed, object_name, credential), hidden


def activate_credential(
    inner: Internals, activated: Any, key: Any, blob: bytes, secret: bytes
) -> tuple[bytes]:
    """The credential, if it was made for this key and for this object's Name."""
    if not _identifies(key):
        raise Refusal(TpmRc.TYPE + _KEY)
    seed = at(_SECRET, open_secret, key, LABEL, secret)
    alg, bits = key.public.name_alg, key.public.symmetric.key_bits
    unwrap = partial(open_credential, alg, bits, seed, activated.name)
    return (at(_FIRST, opened, unwrap, blob),)


def _identifies(key: Any) -> bool:
    """An asymmetric storage key, as endorsement keys are."""
    is_object = isinstance(key, TpmObject)
    return is_object and key.public.is_storage and key.public.type in _ASYMMETRIC


MAKE_CREDENTIAL: Final = Command(
    code=TpmCc.MAKE_CREDENTIAL,
    action=make_credential,
    handles=(Handle(name="handle", type=TPMI_DH_OBJECT, role=AuthRole.NONE),),
    parameters=(
        Parameter(name="credential", unmarshal=TPM2B_DIGEST),
        Parameter(name="objectName", unmarshal=TPM2B_NAME),
    ),
    results=(put_tpm2b, put_tpm2b),
    decrypts=True,
    encrypts=True,
)
ACTIVATE_CREDENTIAL: Final = Command(
    code=TpmCc.ACTIVATE_CREDENTIAL,
    action=activate_credential,
    handles=(
        Handle(name="activateHandle", type=TPMI_DH_OBJECT, role=AuthRole.ADMIN),
        Handle(name="keyHandle", type=TPMI_DH_OBJECT),
    ),
    parameters=(
        Parameter(name="credentialBlob", unmarshal=TPM2B_ID_OBJECT),
        Parameter(name="secret", unmarshal=TPM2B_ENCRYPTED_SECRET),
    ),
    results=(put_tpm2b,),
    decrypts=True,
    encrypts=True,
)
COMMANDS: Final = (
    MAKE_CREDENTIAL,
    ACTIVATE_CREDENTIAL,
)
