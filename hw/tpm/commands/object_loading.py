"""Load, LoadExternal, ReadPublic, Unseal, ObjectChangeAuth (Part 3, "Object …")."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from pefstack.hw.tpm.buffers import TPM2B_AUTH, TPM2B_PRIVATE
from pefstack.hw.tpm.codes import TpmAlgId, TpmaObject, TpmCc, TpmRh
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.handles import TPMI_DH_OBJECT
from pefstack.hw.tpm.interface_types import TPMI_RH_HIERARCHY
from pefstack.hw.tpm.key_creation import adjusted_auth
from pefstack.hw.tpm.loading import check_object, child_of
from pefstack.hw.tpm.names import object_name, qualified_name
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.private_area import from_private, to_private
from pefstack.hw.tpm.public import TPM2B_PUBLIC, TPM2B_PUBLIC_OR_NULL, Public
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc, at
from pefstack.hw.tpm.sensitive import TPM2B_SENSITIVE, Sensitive
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_sized, put_tpm2b, put_uint32

_HANDLE: Final = RC_1
_PARENT: Final = 2 * RC_1
_PRIVATE: Final = RC_P + RC_1
_PUBLIC: Final = RC_P + 2 * RC_1
_HIERARCHY: Final = RC_P + 3 * RC_1
_NOT_EXTERNAL: Final = (
    TpmaObject.FIXED_TPM | TpmaObject.FIXED_PARENT | TpmaObject.RESTRICTED
)
_NOT_DATA: Final = TpmaObject.DECRYPT | TpmaObject.SIGN | TpmaObject.RESTRICTED


def load(
    inner: Internals, parent: Any, in_private: bytes, in_public: Public
) -> tuple[int, bytes]:
    """A child that Create or Import made for this parent: its handle and Name."""
    inner.state.objects.check_room()
    if not in_private:
        raise Refusal(TpmRc.SIZE + _PRIVATE)
    if not isinstance(parent, TpmObject) or not parent.is_parent:
        raise Refusal(TpmRc.TYPE + _HANDLE)
    sensitive = at(_PRIVATE, from_private, parent, object_name(in_public), in_private)
    check_object(
        parent, in_public, sensitive, public_place=_PUBLIC, sensitive_place=_PRIVATE
    )
    loaded = child_of(parent, in_public, sensitive)
    return inner.state.objects.load(loaded), loaded.name


def load_external(
    inner: Internals, in_private: Sensitive | None, in_public: Public, hierarchy: int
) -> tuple[int, bytes]:
    """A key of nobody's: public, or with its secret in the null hierarchy alone."""
    inner.state.objects.check_room()
    owner = inner.state.hierarchies[hierarchy]
    if not owner.enabled or (in_private is not None and hierarchy != TpmRh.NULL):
        raise Refusal(TpmRc.HIERARCHY + _HIERARCHY)
    if in_private is not None and in_public.has(_NOT_EXTERNAL):
        raise Refusal(TpmRc.ATTRIBUTES + _PUBLIC)
    check_object(
        None, in_public, in_private, public_place=_PUBLIC, sensitive_place=_PRIVATE
    )
    if in_private is not None:
        auth = adjusted_auth(in_private.auth_value, in_public.name_alg)
        in_private = replace(in_private, auth_value=auth)
    loaded = replace(child_of(owner, in_public, in_private), external=True)
    loaded = replace(loaded, qualified_name=loaded.name)  # it has no ancestors
    return inner.state.objects.load(loaded), loaded.name


def read_public(inner: Internals, loaded: Any) -> tuple[Public, bytes, bytes]:
    """Public area, Name, qualified name; a sequence has none of them."""
    if not isinstance(loaded, TpmObject):
        raise Refusal(TpmRc.SEQUENCE)
    return loaded.public, loaded.name, loaded.qualified_name


def unseal(inner: Internals, item: Any) -> tuple[bytes]:
    """The data of a sealed object."""
    if not isinstance(item, TpmObject) or item.sensitive is None:
        raise Refusal(TpmRc.TYPE + _HANDLE)
    if item.public.type != TpmAlgId.KEYEDHASH:
        raise Refusal(TpmRc.TYPE + _HANDLE)
    if item.public.has(_NOT_DATA):
        raise Refusal(TpmRc.ATTRIBUTES + _HANDLE)
    return (item.sensitive.sensitive,)


def object_change_auth(
    inner: Internals, loaded: Any, parent: Any, new_auth: bytes
) -> tuple[bytes]:
    """A private area with another authValue; the loaded object keeps its own."""
    if not isinstance(loaded, TpmObject) or loaded.sensitive is None:
        raise Refusal(TpmRc.TYPE + _HANDLE)
    auth = at(_PRIVATE, adjusted_auth, new_auth, loaded.public.name_alg)
    if not isinstance(parent, TpmObject) or not parent.is_parent:
        raise Refusal(TpmRc.TYPE + _PARENT)
    own_name = qualified_name(parent.qualified_name, loaded.name)
    if not own_name or own_name != loaded.qualified_name:
        raise Refusal(TpmRc.TYPE + _PARENT)
    sensitive = replace(loaded.sensitive, auth_value=auth)
    return (to_private(inner.entropy, parent, loaded.name, sensitive),)


LOAD: Final = Command(
    code=TpmCc.LOAD,
    action=load,
    handles=(Handle(name="parentHandle", type=TPMI_DH_OBJECT),),
    parameters=(
        Parameter(name="inPrivate", unmarshal=TPM2B_PRIVATE),
        Parameter(name="inPublic", unmarshal=TPM2B_PUBLIC),
    ),
    results=(put_uint32, put_tpm2b),
    gives_handle=True,
    decrypts=True,
    encrypts=True,
)
LOAD_EXTERNAL: Final = Command(
    code=TpmCc.LOAD_EXTERNAL,
    action=load_external,
    parameters=(
        Parameter(name="inPrivate", unmarshal=TPM2B_SENSITIVE),
        Parameter(name="inPublic", unmarshal=TPM2B_PUBLIC_OR_NULL),
        Parameter(name="hierarchy", unmarshal=TPMI_RH_HIERARCHY),
    ),
    results=(put_uint32, put_tpm2b),
    gives_handle=True,
    decrypts=True,
    encrypts=True,
)
READ_PUBLIC: Final = Command(
    code=TpmCc.READ_PUBLIC,
    action=read_public,
    handles=(Handle(name="objectHandle", type=TPMI_DH_OBJECT, role=AuthRole.NONE),),
    results=(put_sized, put_tpm2b, put_tpm2b),
    encrypts=True,
)
UNSEAL: Final = Command(
    code=TpmCc.UNSEAL,
    action=unseal,
    handles=(Handle(name="itemHandle", type=TPMI_DH_OBJECT),),
    results=(put_tpm2b,),
    encrypts=True,
)
OBJECT_CHANGE_AUTH: Final = Command(
    code=TpmCc.OBJECT_CHANGE_AUTH,
    action=object_change_auth,
    handles=(
        Handle(name="objectHandle", type=TPMI_DH_OBJECT, role=AuthRole.ADMIN),
        Handle(name="parentHandle", type=TPMI_DH_OBJECT, role=AuthRole.NONE),
    ),
    parameters=(Parameter(name="newAuth", unmarshal=TPM2B_AUTH),),
    results=(put_tpm2b,),
    decrypts=True,
    encrypts=True,
)
COMMANDS: Final = (
    LOAD,
    LOAD_EXTERNAL,
    READ_PUBLIC,
    UNSEAL,
    OBJECT_CHANGE_AUTH,
)
