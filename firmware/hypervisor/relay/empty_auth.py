"""A: the empty authValues of keys, objects and hierarchies (relay.json A4 to A11)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.honest import Attack, Honest
from pefstack.firmware.hypervisor.relay.own_policy import TO_NOBODY
from pefstack.firmware.hypervisor.relay.wire import RawCommand
from pefstack.hw.tpm.codes import TpmCc, TpmRh
from pefstack.hw.tpm.structures import put_tpm2b

OWN_PASSWORD: Final = b"of the relay"
NEW_AUTH: Final = put_tpm2b(OWN_PASSWORD)


def _unseal(relay: Honest, _: bytes) -> bytes:
    return relay.hands.by_password(TpmCc.UNSEAL, (relay.course.loaded,))


def _import(relay: Honest, command: bytes) -> bytes:
    parameters = RawCommand.from_bytes(command).parameters
    return relay.hands.by_password(TpmCc.IMPORT, (relay.known.storage_key,), parameters)


def _change_object(relay: Honest, _: bytes) -> bytes:
    handles = relay.course.loaded, relay.known.storage_key
    return relay.hands.by_password(TpmCc.OBJECT_CHANGE_AUTH, handles, NEW_AUTH)


def _duplicate(relay: Honest, _: bytes) -> bytes:
    handles = relay.course.loaded, int(TpmRh.NULL)
    return relay.hands.by_password(TpmCc.DUPLICATE, handles, TO_NOBODY)


def _change_storage_key(relay: Honest, _: bytes) -> bytes:
    handles = relay.known.storage_key, int(TpmRh.PLATFORM)
    return relay.hands.by_password(TpmCc.OBJECT_CHANGE_AUTH, handles, NEW_AUTH)


def _undefine(relay: Honest, _: bytes) -> bytes:
    handles = int(TpmRh.PLATFORM), relay.known.nv_index
    return relay.hands.by_password(TpmCc.NV_UNDEFINE_SPACE, handles)


EMPTY_AUTH: Final = {
    "A4": Attack(
        what="Unseals the loaded object with its empty authValue.",
        stopped_by="userWithAuth clear in the object",
        before={Step.AUTHORIZE_UNSEAL: _unseal},
    ),
    "A6": Attack(
        what="Imports the slot with the storage key's empty authValue.",
        stopped_by="userWithAuth clear in the storage key",
        before={Step.IMPORT: _import},
    ),
    "A7": Attack(
        what="Changes the authValue of the loaded object with its empty one.",
        stopped_by="adminWithPolicy set in the object",
        before={Step.AUTHORIZE_UNSEAL: _change_object},
    ),
    "A9": Attack(
        what="Duplicates the loaded object with its empty authValue.",
        stopped_by="the role DUP, which no authValue plays",
        before={Step.AUTHORIZE_UNSEAL: _duplicate},
    ),
    "A10": Attack(
        what="Changes the authValue of the storage key with its empty one.",
        stopped_by="ObjectChangeAuth is not for primary keys",
        before={Step.START_A: _change_storage_key},
    ),
    "A11": Attack(
        what="Deletes the index, to define it again with a password of its own.",
        stopped_by="OPAL has locked the platform hierarchy",
        before={Step.START_A: _undefine},
    ),
}
