"""Provisioning: a TPM gets its index and its keys before the boots (esm.md 4.1, 4.2).

What is there already is compared with what should be, all of it before anything is
made. Passwords are OPAL's: it sets new ones at every boot, and none is known here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from pefstack.firmware.pef_objects import (
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
from pefstack.firmware.tpm_prepare import (
    Provision,
    hiding_session,
    make_once,
    make_wrapping_key,
    name_of,
    pcr_value,
)
from pefstack.hw.tpm import client_calls as calls
from pefstack.hw.tpm.client import TpmError
from pefstack.hw.tpm.public import Public
from pefstack.hw.tpm.response_codes import RC_1, RC_S, TpmRc
from pefstack.images.errors import PefError

_UNIQUE_SIZE: Final = 2 + 256  # of an RSA-2048 key, with its size
_POLICY: Final = 10  # where the policy begins, behind its size
_CLOSED: Final = TpmRc.BAD_AUTH + RC_S + RC_1
_OPEN_IT: Final = (
    "firmware closes the platform hierarchy at each boot: reset the TPM, and provision "
    "it before the machine's firmware runs"
)
_KEEP: Final = "name the settings that it was made for, or take another TPM"
_REPLACE: Final = f"{_KEEP}; --replace removes the key, and what was sealed to it"


class ProvisionRefusal(PefError):
    """The TPM can't be provisioned as asked; ``mend`` is what to do."""

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(reason, mend)
        self.reason = reason
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.reason}; {self.mend}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """A TPM that is ready: public areas (TPMT_PUBLIC), and what was made just now.

    ``value``: what the PCR must hold; ``policy``: that of the storage key and of what
    is sealed to it.
    """

    storage_public: bytes
    wrapping_public: bytes
    value: bytes
    policy: bytes
    index_name: bytes
    made: tuple[str, ...]

    @property
    def storage_name(self) -> bytes:
        """The storage key's Name."""
        return name_of(self.storage_public)

    @property
    def wrapping_name(self) -> bytes:
        """The wrapping key's Name."""
        return name_of(self.wrapping_public)


def provision(link: TpmLink, how: Provision, *, again: bool = False) -> Provisioned:
    """Index, parent, storage key and wrapping key, where they are missing.

    Without ``how.value`` it is for what the PCR holds now. ``again`` removes keys that
    were made for something else. Raises `ProvisionRefusal` for other objects in the
    places and for a platform hierarchy that is closed; else `TpmError`.
    """
    value = pcr_value(link, how.pcr) if how.value is None else how.value
    if not any(value):
        reason = f"PCR {how.pcr} is all zeros: nothing was measured into it"
        raise ProvisionRefusal(reason, "give the value of a booted machine (--pcr6)")
    policy = storage_policy(how.nv_index, how.pcr, value)
    how = replace(how, value=value)
    try:
        _check_index(link, how)
        missing = _missing(link, _wanted(how, policy), again=again)
        return _made(link, how, policy, missing)
    except TpmError as refused:
        if refused.code != _CLOSED:
            raise
        raise ProvisionRefusal(f"platform hierarchy: {refused}", _OPEN_IT) from None


def _made(
    link: TpmLink, how: Provision, policy: bytes, missing: tuple[str, ...]
) -> Provisioned:
    if link.nv_read_public(how.nv_index) is None:
        missing = ("index", *missing)
    storage = make_once(link, how)
    return Provisioned(
        storage_public=storage,
        wrapping_public=_wrapping_key(link, how, storage),
        value=how.value or b"",
        policy=policy,
        index_name=nv_index_name(how.nv_index),
        made=missing,
    )


def _wanted(how: Provision, policy: bytes) -> tuple[tuple[str, int, Public], ...]:
    """Each key's name, handle and template."""
    branches = wrapping_policies(how.profile)
    return (
        ("parent", PARENT, parent_template()),
        ("storage key", STORAGE_KEY, storage_template(policy)),
        ("wrapping key", WRAPPING_KEY, wrapping_template(branches)),
    )


def _check_index(link: TpmLink, how: Provision) -> None:
    there = link.nv_read_public(how.nv_index)
    good = [nv_public(how.nv_index, written=each).to_bytes() for each in (True, False)]
    if there is not None and there not in good:
        reason = (
            f"index 0x{how.nv_index:08x}: found {there.hex()}, expected {good[0].hex()}"
        )
        raise ProvisionRefusal(reason, "it is somebody else's: name another index")


def _missing(
    link: TpmLink, wanted: tuple[tuple[str, int, Public], ...], *, again: bool
) -> tuple[str, ...]:
    """Which keys are to be made; all are looked at before the first is removed."""
    there = [(*each, link.read_public(each[1])) for each in wanted]
    other = [each for each in there if each[3] and not _is(each[3], each[2])]
    if other and (not again or other[0][1] == PARENT):
        name, handle, template, public = other[0]
        raise _other_key(name, handle, template, public or b"")
    for _, handle, _, public in other:
        link.send(calls.evict_control((handle, name_of(public or b"")), handle))
    return tuple(each[0] for each in there if each[3] is None or each in other)


def _is(public: bytes, template: Public) -> bool:
    """Whether a key was made from the template: only ``unique`` is its own."""
    return public[:-_UNIQUE_SIZE] == template.to_bytes()[:-2]


def _other_key(
    name: str, handle: int, template: Public, public: bytes
) -> ProvisionRefusal:
    """What is said: the policy, where all before it is the same."""
    place, expected = f"{name} 0x{handle:08x}", template.to_bytes()[:-2]
    found, field = public[:-_UNIQUE_SIZE], ""
    if template.auth_policy and found[:_POLICY] == expected[:_POLICY]:
        end = _POLICY + len(template.auth_policy)
        found, expected, field = found[_POLICY:end], template.auth_policy, "policy, "
    reason = f"{place}: {field}found {found.hex()}, expected {expected.hex()}"
    return ProvisionRefusal(reason, _KEEP if handle == PARENT else _REPLACE)


def _wrapping_key(link: TpmLink, how: Provision, storage: bytes) -> bytes:
    """With a password that nobody keeps: OPAL gives it another one."""
    there = link.read_public(WRAPPING_KEY)
    if there is not None:
        return there
    password = link.password(from_tpm=not how.strict)
    hiding = hiding_session(link, how, storage)
    public, hiding = make_wrapping_key(link, how, password, hiding)
    if hiding is not None:
        link.flush(hiding.handle)
    return public
