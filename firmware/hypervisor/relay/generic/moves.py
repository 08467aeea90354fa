"""What a scripted relay does to the TPM between two commands of the ultravisor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pefstack.firmware.hypervisor.relay.empty_auth import NEW_AUTH
from pefstack.firmware.hypervisor.relay.hands import EMPTY
from pefstack.firmware.hypervisor.relay.own_object import own_object
from pefstack.firmware.hypervisor.relay.own_policy import TO_NOBODY
from pefstack.firmware.hypervisor.relay.own_session import ALG
from pefstack.firmware.hypervisor.relay.substituted import next_use, salted
from pefstack.firmware.hypervisor.relay.ticket import policy_ticket
from pefstack.firmware.hypervisor.relay.wire import (
    RawCommand,
    code_of,
    rc_of,
)
from pefstack.hw.tpm.codes import DIGEST_SIZE, HEADER_SIZE, TpmCc, TpmRh, TpmSe
from pefstack.hw.tpm.structures import put_uint16, put_uint32

if TYPE_CHECKING:
    from pefstack.firmware.hypervisor.relay.generic.script import Scripted

Move = Callable[["Scripted", bytes], object]
"""Of the relay and the ultravisor's command that waits."""
_NOTED_CODES: Final = (TpmCc.UNSEAL, TpmCc.LOAD, TpmCc.IMPORT, TpmCc.OBJECT_CHANGE_AUTH)
_BY_PASSWORD: Final = {
    TpmCc.UNSEAL: b"",
    TpmCc.OBJECT_CHANGE_AUTH: NEW_AUTH,
    TpmCc.DUPLICATE: TO_NOBODY,
    TpmCc.NV_CHANGE_AUTH: NEW_AUTH,
    TpmCc.HIERARCHY_CHANGE_AUTH: NEW_AUTH,
    TpmCc.NV_READ: put_uint16(8) + put_uint16(0),
    TpmCc.NV_UNDEFINE_SPACE: b"",
    TpmCc.EVICT_CONTROL: put_uint32(0x81000000),
    TpmCc.CLEAR: b"",
}


def start_policy(relay: Scripted, _: bytes) -> None:
    """A policy session of its own."""
    relay.hands.start(TpmSe.POLICY)


def start_hmac(relay: Scripted, _: bytes) -> None:
    """An HMAC session of its own."""
    relay.hands.start(TpmSe.HMAC)


def flush(relay: Scripted, _: bytes) -> None:
    """Away with anything."""
    relay.hands.flush(relay.pool.handle())


def swap_p(relay: Scripted, _: bytes) -> None:
    """Its own session in the place of P, under its handle."""
    relay.hands.flush(relay.course.p)
    relay.hands.start(TpmSe.POLICY)


def policy_pcr(relay: Scripted, _: bytes) -> None:
    """PolicyPCR in any session."""
    relay.hands.policy_pcr(relay.pool.policy(), relay.known.pcr)


def policy_restart(relay: Scripted, _: bytes) -> None:
    """PolicyRestart of any session."""
    relay.hands.plain(TpmCc.POLICY_RESTART, (relay.pool.policy(),))


def policy_password(relay: Scripted, _: bytes) -> None:
    """PolicyPassword or PolicyAuthValue in any session."""
    codes = TpmCc.POLICY_PASSWORD, TpmCc.POLICY_AUTH_VALUE
    relay.hands.plain(relay.choices.of(codes), (relay.pool.policy(),))


def policy_command(relay: Scripted, _: bytes) -> None:
    """PolicyCommandCode in any session."""
    code = put_uint32(relay.choices.of(_NOTED_CODES))
    relay.hands.plain(TpmCc.POLICY_COMMAND_CODE, (relay.pool.policy(),), code)


def policy_secret(relay: Scripted, _: bytes) -> None:
    """PolicySecret in any session with a guess."""
    policy, password = relay.pool.policy(), relay.pool.password()
    relay.hands.policy_secret(relay.known.nv_index, policy, password)


def secret_again(relay: Scripted, _: bytes) -> None:
    """The ultravisor's PolicySecret for another session."""
    if found := relay.pool.exchange_of(TpmCc.POLICY_SECRET):
        parts = RawCommand.from_bytes(found.command)
        handles = (*parts.handles[:1], relay.pool.policy())
        relay.hands.send(replace(parts, handles=handles).to_bytes())


def ticket(relay: Scripted, _: bytes) -> None:
    """PolicyTicket with what PolicySecret answered once."""
    if found := relay.pool.exchange_of(TpmCc.POLICY_SECRET):
        policy_ticket(relay, found.answer, relay.pool.policy())


def use(relay: Scripted, command: bytes) -> None:
    """Import, Load or Unseal with the session that was authorized last."""
    if code_of(command) == TpmCc.IMPORT or relay.spoils.private:
        next_use(relay, command)


def unseal(relay: Scripted, _: bytes) -> None:
    """Unseal of anything with any session and HMAC."""
    item, policy, hmac = relay.pool.item(), relay.pool.policy(), relay.pool.hmac()
    relay.hands.by_policy(TpmCc.UNSEAL, (item,), policy, hmac=hmac)


def by_password(relay: Scripted, _: bytes) -> None:
    """Some command on anything, by a guessed or empty password."""
    code = relay.choices.of(tuple(_BY_PASSWORD))
    handles = [relay.pool.handle(), relay.pool.handle()]
    if code in (TpmCc.UNSEAL, TpmCc.NV_CHANGE_AUTH, TpmCc.CLEAR):
        handles = handles[:1]
    password = relay.pool.password()
    relay.hands.by_password(code, handles, _BY_PASSWORD[code], password)


def again(relay: Scripted, _: bytes) -> None:
    """Any command that passed, once more."""
    if found := relay.pool.exchange():
        relay.hands.send(found.command)


def context_save(relay: Scripted, _: bytes) -> None:
    """ContextSave of anything."""
    answer = relay.hands.plain(TpmCc.CONTEXT_SAVE, (relay.pool.handle(),))
    if not rc_of(answer):
        relay.pool.contexts.append(answer[HEADER_SIZE:])


def context_load(relay: Scripted, _: bytes) -> None:
    """ContextLoad of what it saved."""
    relay.hands.plain(TpmCc.CONTEXT_LOAD, parameters=relay.pool.context())


def extend(relay: Scripted, _: bytes) -> None:
    """PCR 6 once more: from here on it only denies."""
    digest = relay.hands.stream.random_bytes(DIGEST_SIZE[ALG])
    relay.hands.extend(relay.known.pcr, digest)


def read_public(relay: Scripted, _: bytes) -> None:
    """ReadPublic of anything."""
    relay.hands.plain(TpmCc.READ_PUBLIC, (relay.pool.handle(),))


def seal_own(relay: Scripted, _: bytes) -> None:
    """An object of its own under the slot's policy."""
    if relay.course.public:
        relay.spoils.loaded = own_object(relay)


def start_salted(relay: Scripted, command: bytes) -> None:
    """A session of its own with a salt of its own."""
    salted(relay, command)


def create(relay: Scripted, _: bytes) -> None:
    """CreatePrimary in some hierarchy, cut short."""
    hierarchy = relay.choices.of((TpmRh.OWNER, TpmRh.PLATFORM, TpmRh.NULL))
    relay.hands.by_password(TpmCc.CREATE_PRIMARY, (int(hierarchy),), EMPTY)


def noise(relay: Scripted, _: bytes) -> None:
    """Bytes that are no command, or hardly."""
    size = relay.choices.below(64)
    relay.hands.send(relay.hands.stream.random_bytes(size))


MOVES: Final[tuple[Move, ...]] = (
    read_public,
    use,
    unseal,
    start_policy,
    start_hmac,
    start_salted,
    swap_p,
    flush,
    policy_pcr,
    policy_secret,
    policy_restart,
    policy_password,
    policy_command,
    secret_again,
    ticket,
    by_password,
    again,
    context_save,
    context_load,
    seal_own,
    create,
    noise,
    extend,
)
