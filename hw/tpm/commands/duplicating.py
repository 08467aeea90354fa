"""Duplicate, Rewrap, Import (Part 3, "Duplication Commands")."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.buffers import (
    TPM2B_DATA,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_NAME,
    TPM2B_PRIVATE,
)
from pefstack.hw.tpm.codes import TpmAlgId, TpmaObject, TpmCc
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.duplication import (
    LABEL,
    check_inner_key,
    unwrapped_inside,
    unwrapped_outside,
    wrapped_inside,
    wrapped_outside,
)
from pefstack.hw.tpm.handles import TPMI_DH_OBJECT, TPMI_DH_OBJECT_OR_NULL
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.loading import check_object
from pefstack.hw.tpm.names import object_name
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.private_area import to_private
from pefstack.hw.tpm.public import TPM2B_PUBLIC, Public
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc, at
from pefstack.hw.tpm.secret_sharing import make_secret, open_secret
from pefstack.hw.tpm.sensitive import Sensitive
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_tpm2b
from pefstack.hw.tpm.symmetric_def import TPMT_SYM_DEF_OBJECT, Symmetric

_FIRST: Final = RC_1
_SECOND: Final = 2 * RC_1
_P1, _P2, _P3, _P4 = (RC_P + n * RC_1 for n in range(1, 5))
_ASYMMETRIC: Final = (TpmAlgId.RSA, TpmAlgId.ECC)
_FIXED: Final = TpmaObject.FIXED_TPM | TpmaObject.FIXED_PARENT


def duplicate(
    inner: Internals,
    loaded: Any,
    new_parent: Any,
    encryption_key: bytes,
    symmetric: Symmetric,
) -> tuple[bytes, bytes, bytes]:
    """encryptionKeyOut (one that the TPM made, else empty), duplicate, outSymSeed."""
    sensitive = _check_duplicable(loaded)
    outside = _check_new_parent(new_parent)
    public, name = loaded.public, loaded.name
    _check_inner_wrap(public, outside, encryption_key, symmetric)
    own_key = b""
    if symmetric.alg != TpmAlgId.NULL and not encryption_key:
        own_key = inner.entropy.random_bytes(symmetric.key_bits // 8)
    blob = wrapped_inside(public, name, sensitive, encryption_key or own_key)
    if outside is None:
        return own_key, blob, b""
    seed, hidden = _made(inner, outside)
    inner.journal.add("tpm", "duplicate", name=name.hex(), parent=outside.name.hex())
    return own_key, wrapped_outside(outside, name, seed, blob), hidden


def _check_duplicable(loaded: Any) -> Sensitive:
    """Neither fixed nor nameless, and whole."""
    if not isinstance(loaded, TpmObject) or loaded.sensitive is None:
        raise Refusal(TpmRc.TYPE + _FIRST)
    if loaded.public.has(TpmaObject.FIXED_PARENT):
        raise Refusal(TpmRc.ATTRIBUTES + _FIRST)
    if loaded.public.name_alg == TpmAlgId.NULL:
        raise Refusal(TpmRc.TYPE + _FIRST)
    return loaded.sensitive


def _check_new_parent(new_parent: Any) -> TpmObject | None:
    """A storage key, the public part of it is enough; None for TPM_RH_NULL."""
    if isinstance(new_parent, Hierarchy):
        return None
    if not isinstance(new_parent, TpmObject) or not _takes_secrets(new_parent):
        raise Refusal(TpmRc.TYPE + _SECOND)
    return new_parent


def _takes_secrets(parent: TpmObject) -> bool:
    """A storage key with a public part that a secret can be hidden for."""
    return parent.public.is_storage and parent.public.type in _ASYMMETRIC


def _check_inner_wrap(
    public: Public, outside: TpmObject | None, key: bytes, symmetric: Symmetric
) -> None:
    if public.has(TpmaObject.ENCRYPTED_DUPLICATION):
        if symmetric.alg == TpmAlgId.NULL:
            raise Refusal(TpmRc.SYMMETRIC + _P2)
        if outside is None:
            raise Refusal(TpmRc.HIERARCHY + _SECOND)
    if key or symmetric.alg == TpmAlgId.NULL:
        at(_P1, check_inner_key, symmetric, key)


def rewrap(
    inner: Internals,
    old_parent: Any,
    new_parent: Any,
    in_duplicate: bytes,
    name: bytes,
    in_sym_seed: bytes,
) -> tuple[bytes, bytes]:
    """Another outer wrap around a duplicate: outDuplicate, outSymSeed."""
    if isinstance(old_parent, Hierarchy) is bool(in_sym_seed):
        raise Refusal(TpmRc.HANDLE + _FIRST)
    blob = in_duplicate
    if not isinstance(old_parent, Hierarchy):
        blob = _without_old(old_parent, in_duplicate, name, in_sym_seed)
    if isinstance(new_parent, Hierarchy):
        return blob, b""
    outside = _check_new_parent(new_parent)
    if outside is None:
        return blob, b""
    seed, hidden = _made(inner, outside)
    return wrapped_outside(outside, name, seed, blob), hidden


def _without_old(
    old_parent: Any, in_duplicate: bytes, name: bytes, in_sym_seed: bytes
) -> bytes:
    if not isinstance(old_parent, TpmObject) or not _takes_secrets(old_parent):
        raise Refusal(TpmRc.TYPE + _FIRST)
    try:
        seed = open_secret(old_parent, LABEL, in_sym_seed)
    except Refusal:
        raise Refusal(TpmRc.VALUE + _P3) from None
    opened: bytes = at(_P1, unwrapped_outside, old_parent, name, seed, in_duplicate)
    return opened


def import_(
    inner: Internals,
    parent: Any,
    encryption_key: bytes,
    public: Public,
    in_duplicate: bytes,
    in_sym_seed: bytes,
    symmetric: Symmetric,
) -> tuple[bytes]:
    """The private area of a duplicate, for Load below its new parent."""
    if public.has(_FIXED):
        raise Refusal(TpmRc.ATTRIBUTES + _P2)
    if not isinstance(parent, TpmObject) or not parent.is_parent:
        raise Refusal(TpmRc.TYPE + _FIRST)
    at(_P1, check_inner_key, symmetric, encryption_key)
    encrypted = public.has(TpmaObject.ENCRYPTED_DUPLICATION)
    if encrypted and not encryption_key:
        raise Refusal(TpmRc.ATTRIBUTES + _P1)
    if encrypted and not in_sym_seed:
        raise Refusal(TpmRc.ATTRIBUTES + _P4)
    name = object_name(public)
    blob = in_duplicate
    if in_sym_seed:
        if not _takes_secrets(parent):
            raise Refusal(TpmRc.TYPE + _FIRST)
        seed = at(_P4, open_secret, parent, LABEL, in_sym_seed)
        blob = at(_P3, unwrapped_outside, parent, name, seed, blob)
    sensitive = at(_P3, unwrapped_inside, public, name, blob, encryption_key)
    if parent.public.has(TpmaObject.FIXED_TPM):  # then Load checks no more
        check_object(None, public, sensitive, public_place=_P2, sensitive_place=_P3)
    return (to_private(inner.entropy, parent, name, sensitive),)


def _made(inner: Internals, outside: TpmObject) -> tuple[bytes, bytes]:
    made: tuple[bytes, bytes] = at(_SECOND, make_secret, inner.entropy, outside, LABEL)
    return made


DUPLICATE: Final = Command(
    code=TpmCc.DUPLICATE,
    action=duplicate,
    handles=(
        Handle(name="objectHandle", type=TPMI_DH_OBJECT, role=AuthRole.DUP),
        Handle(name="newParentHandle", type=TPMI_DH_OBJECT_OR_NULL, role=AuthRole.NONE),
    ),
    parameters=(
        Parameter(name="encryptionKeyIn", unmarshal=TPM2B_DATA),
        Parameter(name="symmetricAlg", unmarshal=TPMT_SYM_DEF_OBJECT),
    ),
    results=(put_tpm2b, put_tpm2b, put_tpm2b),
    decrypts=True,
    encrypts=True,
)
REWRAP: Final = Command(
    code=TpmCc.REWRAP,
    action=rewrap,
    handles=(
        Handle(name="oldParent", type=TPMI_DH_OBJECT_OR_NULL),
        Handle(name="newParent", type=TPMI_DH_OBJECT_OR_NULL, role=AuthRole.NONE),
    ),
    parameters=(
        Parameter(name="inDuplicate", unmarshal=TPM2B_PRIVATE),
        Parameter(name="name", unmarshal=TPM2B_NAME),
        Parameter(name="inSymSeed", unmarshal=TPM2B_ENCRYPTED_SECRET),
    ),
    results=(put_tpm2b, put_tpm2b),
    decrypts=True,
    encrypts=True,
)
IMPORT: Final = Command(
    code=TpmCc.IMPORT,
    action=import_,
    handles=(Handle(name="parentHandle", type=TPMI_DH_OBJECT),),
    parameters=(
        Parameter(name="encryptionKey", unmarshal=TPM2B_DATA),
        Parameter(name="objectPublic", unmarshal=TPM2B_PUBLIC),
        Parameter(name="duplicate", unmarshal=TPM2B_PRIVATE),
        Parameter(name="inSymSeed", unmarshal=TPM2B_ENCRYPTED_SECRET),
        Parameter(name="symmetricAlg", unmarshal=TPMT_SYM_DEF_OBJECT),
    ),
    results=(put_tpm2b,),
    decrypts=True,
    encrypts=True,
)
COMMANDS: Final = (
    DUPLICATE,
    REWRAP,
    IMPORT,
)
