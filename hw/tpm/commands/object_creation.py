"""Create, CreatePrimary, CreateLoaded (Part 3, "Object Commands", "Hierarchy …")."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.buffers import TPM2B_DATA, TPM2B_TEMPLATE
from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.command import Command, Handle, Parameter
from pefstack.hw.tpm.creation_data import (
    CreationData,
    creation_data,
    creation_ticket,
)
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.derivation import check_derived, create_derived, read_template
from pefstack.hw.tpm.handles import (
    TPMI_DH_OBJECT,
    TPMI_DH_PARENT,
    TPMI_RH_HIERARCHY,
)
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.key_creation import (
    adjusted_auth,
    check_sizes,
    create_parts,
    given_secret,
)
from pefstack.hw.tpm.loading import child_of
from pefstack.hw.tpm.names import object_name
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.primary_keys import create_primary_parts
from pefstack.hw.tpm.private_area import to_private
from pefstack.hw.tpm.public import TPM2B_PUBLIC, Public
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc, at
from pefstack.hw.tpm.sensitive import TPM2B_SENSITIVE_CREATE, SensitiveCreate
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import (
    TPML_PCR_SELECTION,
    PcrSelect,
    put_sized,
    put_structure,
    put_tpm2b,
    put_uint32,
)
from pefstack.hw.tpm.template_checks import check_creation
from pefstack.hw.tpm.ticket import Ticket

_PARENT: Final = RC_1
_SENSITIVE: Final = RC_P + RC_1
_PUBLIC: Final = RC_P + 2 * RC_1


def create(
    inner: Internals,
    parent: Any,
    in_sensitive: SensitiveCreate,
    in_public: Public,
    outside_info: bytes,
    creation_pcr: list[PcrSelect],
) -> tuple[bytes, Public, CreationData, bytes, Ticket]:
    """A new child: its private area for Load, and how it was made."""
    if not isinstance(parent, TpmObject) or not parent.is_parent:
        raise Refusal(TpmRc.TYPE + _PARENT)
    inner.state.objects.check_room()
    _check(parent, in_public, in_sensitive)
    public, sensitive = create_parts(inner.keys, inner.entropy, in_public, in_sensitive)
    name = object_name(public)
    private = to_private(inner.entropy, parent, name, sensitive)
    how = _how_created(inner, parent, public, outside_info, creation_pcr)
    return private, public, *how


def create_primary(
    inner: Internals,
    hierarchy: Hierarchy,
    in_sensitive: SensitiveCreate,
    in_public: Public,
    outside_info: bytes,
    creation_pcr: list[PcrSelect],
) -> tuple[int, Public, CreationData, bytes, Ticket, bytes]:
    """The key that follows from the hierarchy's seed and the template, loaded."""
    inner.state.objects.check_room()
    _check(None, in_public, in_sensitive)
    public, sensitive = create_primary_parts(
        inner.keys, hierarchy, in_public, in_sensitive
    )
    loaded = child_of(hierarchy, public, sensitive)
    handle = inner.state.objects.load(loaded)
    how = _how_created(inner, hierarchy, public, outside_info, creation_pcr)
    return handle, public, *how, loaded.name


def create_loaded(
    inner: Internals, parent: Any, in_sensitive: SensitiveCreate, in_public: bytes
) -> tuple[int, bytes, Public, bytes]:
    """A primary, an ordinary or a derived object, loaded at once.

    Only an ordinary child has a private area.
    """
    derives = isinstance(parent, TpmObject) and parent.is_derivation_parent
    is_parent = isinstance(parent, TpmObject) and parent.is_parent
    if not (derives or is_parent or isinstance(parent, Hierarchy)):
        raise Refusal(TpmRc.TYPE + _PARENT)
    inner.state.objects.check_room()
    template = at(_PUBLIC, read_template, in_public, derives=derives)
    at(_SENSITIVE, adjusted_auth, in_sensitive.user_auth, template.name_alg)
    private = b""
    if derives:
        check_derived(parent, template, in_sensitive)
        public, sensitive = create_derived(inner.keys, parent, template, in_sensitive)
    elif is_parent:
        _check(parent, template, in_sensitive)
        public, sensitive = create_parts(
            inner.keys, inner.entropy, template, in_sensitive
        )
        private = to_private(inner.entropy, parent, object_name(public), sensitive)
    else:
        _check(None, template, in_sensitive)
        public, sensitive = create_primary_parts(
            inner.keys, parent, template, in_sensitive
        )
    loaded = child_of(parent, public, sensitive)
    return inner.state.objects.load(loaded), private, public, loaded.name


def _check(parent: TpmObject | None, public: Public, given: SensitiveCreate) -> None:
    at(_PUBLIC, check_creation, parent, public, len(given.data))
    at(_SENSITIVE, adjusted_auth, given.user_auth, public.name_alg)
    check_sizes(public, given_secret(public, given))


def _how_created(
    inner: Internals,
    parent: Any,
    public: Public,
    outside_info: bytes,
    creation_pcr: list[PcrSelect],
) -> tuple[CreationData, bytes, Ticket]:
    """creationData, creationHash, creationTicket."""
    alg = public.name_alg
    data = creation_data(inner, parent, alg, outside_info, creation_pcr)
    hashed = digest(alg, data.to_bytes())
    is_object = isinstance(parent, TpmObject)
    hierarchy = parent.hierarchy if is_object else parent.handle
    return data, hashed, creation_ticket(inner, hierarchy, object_name(public), hashed)


_CREATING: Final = (
    Parameter(name="inSensitive", unmarshal=TPM2B_SENSITIVE_CREATE),
    Parameter(name="inPublic", unmarshal=TPM2B_PUBLIC),
    Parameter(name="outsideInfo", unmarshal=TPM2B_DATA),
    Parameter(name="creationPCR", unmarshal=TPML_PCR_SELECTION),
)
CREATE: Final = Command(
    code=TpmCc.CREATE,
    action=create,
    handles=(Handle(name="parentHandle", type=TPMI_DH_OBJECT),),
    parameters=_CREATING,
    results=(put_tpm2b, put_sized, put_sized, put_tpm2b, put_structure),
    decrypts=True,
    encrypts=True,
)
CREATE_PRIMARY: Final = Command(
    code=TpmCc.CREATE_PRIMARY,
    action=create_primary,
    handles=(Handle(name="primaryHandle", type=TPMI_RH_HIERARCHY),),
    parameters=_CREATING,
    results=(put_uint32, put_sized, put_sized, put_tpm2b, put_structure, put_tpm2b),
    gives_handle=True,
    decrypts=True,
    encrypts=True,
)
CREATE_LOADED: Final = Command(
    code=TpmCc.CREATE_LOADED,
    action=create_loaded,
    handles=(Handle(name="parentHandle", type=TPMI_DH_PARENT),),
    parameters=(
        Parameter(name="inSensitive", unmarshal=TPM2B_SENSITIVE_CREATE),
        Parameter(name="inPublic", unmarshal=TPM2B_TEMPLATE),
    ),
    results=(put_uint32, put_tpm2b, put_sized, put_tpm2b),
    gives_handle=True,
    decrypts=True,
    encrypts=True,
)
COMMANDS: Final = (
    CREATE,
    CREATE_PRIMARY,
    CREATE_LOADED,
)
