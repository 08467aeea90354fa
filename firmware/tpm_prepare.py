"""OPAL prepares the TPM: keys, index, new passwords, platform closed (esm.md 4.1, 4.2).

Keys and index are made once, at provisioning or at the first boot without them; each
boot changes the passwords and closes the platform hierarchy, which the TPM opens again
when it is reset. Profile ``real`` is OPAL as published. ``strict`` hides passwords on
the bus, draws them in the processor, and binds their change to platform authority.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.firmware.pef_objects import (
    DEBUG_PCR,
    NV_INDEX,
    NV_SIZE,
    PARENT,
    STORAGE_KEY,
    WRAPPING_KEY,
    nv_index_name,
    nv_public,
    parent_template,
    storage_policy,
    storage_template,
    wrapping_policies,
    wrapping_template,
)
from pefstack.firmware.tpm_link import TpmLink
from pefstack.hw.tpm import client
from pefstack.hw.tpm import client_calls as calls
from pefstack.hw.tpm.client_call import malformed, take_sized
from pefstack.hw.tpm.client_calls import PLATFORM, Entity
from pefstack.hw.tpm.client_salt import rsa_2048
from pefstack.hw.tpm.client_session import EMPTY_PASSWORD, ClientSession, Password
from pefstack.hw.tpm.codes import TpmAlgId, TpmCc
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.images.uv_tpm import UvTpm

AUTHORITY_SIZE: Final = 32
_SHA256: Final = TpmAlgId.SHA256


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """How a machine's TPM is prepared; ``pcr`` is that of the boot policy.

    ``value``: what the PCR must hold when the storage key is used, None: what it holds
    now.
    """

    profile: str = "real"
    nv_index: int = NV_INDEX
    pcr: int = 6
    value: bytes | None = None

    @property
    def strict(self) -> bool:
        """Whether passwords are hidden from the bus."""
        return self.profile == "strict"


def prepare(link: TpmLink, how: Provision) -> UvTpm:
    """All of it, once a boot, before any other code can reach the TPM.

    `TpmError` and FormatError when the TPM refuses or holds other objects.
    """
    storage = make_once(link, how)
    nv_password = link.password(from_tpm=not how.strict)
    key_password = link.password(from_tpm=not how.strict)
    hiding = hiding_session(link, how, storage)
    hiding = _change_nv(link, how, nv_password, hiding)
    wrapping, hiding = _renew_wrapping_key(link, how, key_password, hiding)
    close_platform(link, hiding)
    branches = wrapping_policies(how.profile)
    return UvTpm(
        wrapping_key_handle=WRAPPING_KEY,
        wrapping_key_password=key_password,
        wrapping_key_name=name_of(wrapping),
        wrapping_key_policy_a=branches[0],
        wrapping_key_policy_b=branches[1],
        storage_key_handle=STORAGE_KEY,
        storage_key_public=storage,
        storage_key_name=name_of(storage),
        nv_index=how.nv_index,
        nv_password=nv_password,
    )


def make_once(link: TpmLink, how: Provision) -> bytes:
    """Index and primary keys, where they are missing; the storage key's public area."""
    _make_index(link, how)
    if link.read_public(PARENT) is None:
        _make_primary(link, parent_template().to_bytes(), PARENT)
    there = link.read_public(STORAGE_KEY)
    if there is not None:
        return there
    value = pcr_value(link, how.pcr) if how.value is None else how.value
    template = storage_template(storage_policy(how.nv_index, how.pcr, value))
    return _make_primary(link, template.to_bytes(), STORAGE_KEY)


def name_of(public: bytes) -> bytes:
    """The Name of an object whose nameAlg is SHA-256."""
    return _SHA256.to_bytes(2, "big") + digest(_SHA256, public)


def _make_index(link: TpmLink, how: Provision) -> None:
    """Defined, and written once: WRITTEN is part of its Name."""
    there = link.nv_read_public(how.nv_index)
    if there == nv_public(how.nv_index).to_bytes():
        return
    fresh = nv_public(how.nv_index, written=False).to_bytes()
    if there is None:
        link.send(calls.nv_define_space(b"", fresh))
    elif there != fresh:
        text = f"found {there.hex()}"
        raise malformed("nvPublic", 12, text, nv_public(how.nv_index).to_bytes().hex())
    index = how.nv_index, name_of(fresh)
    link.send(calls.nv_write(index, bytes(NV_SIZE)), Password())


def _make_primary(link: TpmLink, template: bytes, persistent: int) -> bytes:
    made = link.send(calls.create_primary(PLATFORM, template))
    public, _ = take_sized(made.body, 0)
    _persist(link, made.handle, public, persistent)
    return public


def _persist(link: TpmLink, handle: int, public: bytes, persistent: int) -> None:
    link.send(calls.evict_control((handle, name_of(public)), persistent))
    link.flush(handle)


def pcr_value(link: TpmLink, pcr: int) -> bytes:
    """What a PCR of the SHA-256 bank holds; FormatError where there is no bank."""
    raw = link.tpm.execute(client.pcr_read({_SHA256: (pcr,)}))
    digests = client.pcr_values(client.response(raw)).digests
    if len(digests) != 1:
        raise malformed("pcrValues", 20, f"0x{len(digests):x}", "one of SHA-256")
    return digests[0]


def hiding_session(
    link: TpmLink, how: Provision, storage: bytes
) -> ClientSession | None:
    """Strict: a session that hides what is sent. It helps against who only listens."""
    if not how.strict:
        return None
    key = rsa_2048(storage, name_of(storage), "storage key")
    return link.secretive(STORAGE_KEY, key)


def _change_nv(
    link: TpmLink, how: Provision, password: bytes, hiding: ClientSession | None
) -> ClientSession | None:
    """Under platform authority; the policy session itself cannot hide it: its key has
    the old authValue, which nobody knows any more."""
    session = link.policy_session()
    link.plain(calls.policy_command_code(session.handle, TpmCc.NV_CHANGE_AUTH))
    link.send(calls.policy_secret(PLATFORM, session.handle), EMPTY_PASSWORD)
    index = how.nv_index, nv_index_name(how.nv_index)
    call = calls.nv_change_auth(index, password)
    _, hiding = link.send_secretly(call, link.use(session), hiding)
    link.flush(session.handle)
    return hiding


def _renew_wrapping_key(
    link: TpmLink, how: Provision, password: bytes, hiding: ClientSession | None
) -> tuple[bytes, ClientSession | None]:
    """The public area of the key that now has this password."""
    public = link.read_public(WRAPPING_KEY)
    if public is None:
        return make_wrapping_key(link, how, password, hiding)
    parent = PARENT, name_of(_public_of_parent(link))
    private, hiding = _change_key(link, how, (password, public), parent, hiding)
    _load_for_good(link, parent, private, public)
    return public, hiding


def make_wrapping_key(
    link: TpmLink, how: Provision, password: bytes, hiding: ClientSession | None
) -> tuple[bytes, ClientSession | None]:
    """The public area of a new wrapping key that has this password."""
    parent = PARENT, name_of(_public_of_parent(link))
    template = wrapping_template(wrapping_policies(how.profile)).to_bytes()
    call = calls.create(parent, password, template)
    made, hiding = link.send_secretly(call, EMPTY_PASSWORD, hiding)
    private, end = take_sized(made.body, 0)
    public, _ = take_sized(made.body, end)
    _load_for_good(link, parent, private, public)
    return public, hiding


def _load_for_good(
    link: TpmLink, parent: Entity, private: bytes, public: bytes
) -> None:
    loaded = link.send(calls.load(parent, private, public))
    _persist(link, loaded.handle, public, WRAPPING_KEY)


def _public_of_parent(link: TpmLink) -> bytes:
    public = link.read_public(PARENT)
    if public is None:
        raise malformed("outPublic", 10, "none", "the wrapping key's parent")
    return public


def _change_key(
    link: TpmLink,
    how: Provision,
    new: tuple[bytes, bytes],
    parent: Entity,
    hiding: ClientSession | None,
) -> tuple[bytes, ClientSession | None]:
    """By branch B; the old key goes. ``new``: password, and the key's public area."""
    key = WRAPPING_KEY, name_of(new[1])
    session = link.policy_session()
    link.plain(calls.policy_command_code(session.handle, TpmCc.OBJECT_CHANGE_AUTH))
    if how.strict:
        link.send(calls.policy_secret(PLATFORM, session.handle), EMPTY_PASSWORD)
    else:
        link.plain(calls.policy_pcr(session.handle, {_SHA256: (DEBUG_PCR,)}))
    link.plain(calls.policy_or(session.handle, wrapping_policies(how.profile)))
    call = calls.object_change_auth(key, parent, new[0])
    made, hiding = link.send_secretly(call, link.use(session), hiding)
    link.flush(session.handle)
    link.send(calls.evict_control(key, WRAPPING_KEY))
    return take_sized(made.body, 0)[0], hiding


def close_platform(link: TpmLink, hiding: ClientSession | None = None) -> None:
    """With an authValue that nobody keeps; the last thing that is hidden."""
    authority = link.random.random_bytes(AUTHORITY_SIZE)
    call = calls.hierarchy_change_auth(PLATFORM, authority)
    link.send_secretly(call, EMPTY_PASSWORD, hiding)
    if hiding is not None:
        link.flush(hiding.handle)
