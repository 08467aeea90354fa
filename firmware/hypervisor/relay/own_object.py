"""D1, D2, D6: objects of the relay under the ultravisor's policy (relay.json)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.empty_auth import OWN_PASSWORD
from pefstack.firmware.hypervisor.relay.hands import EMPTY
from pefstack.firmware.hypervisor.relay.honest import Attack, Honest
from pefstack.firmware.hypervisor.relay.wire import (
    RawCommand,
    handle_of,
    parameters_of,
    rc_of,
    sized_values,
)
from pefstack.hw.tpm.codes import TpmAlgId, TpmaObject, TpmCc, TpmEcc, TpmRh
from pefstack.hw.tpm.public import TPMT_PUBLIC, EccParms, KeyedHashParms, Public
from pefstack.hw.tpm.sealing import import_body, read_key
from pefstack.hw.tpm.structures import put_sized, put_tpm2b, put_uint32, whole
from pefstack.hw.tpm.symmetric_def import Symmetric

OWN_DATA: Final = OWN_PASSWORD.ljust(40)  # as long as sealed data
_NO_CREATION_DATA: Final = EMPTY + put_uint32(0)  # outsideInfo, creationPCR
_FIXED: Final = TpmaObject.FIXED_TPM | TpmaObject.FIXED_PARENT
_AES: Final = Symmetric(alg=TpmAlgId.AES, key_bits=128, mode=TpmAlgId.CFB)
_PARENT: Final = Public(
    type=TpmAlgId.ECC,
    name_alg=TpmAlgId.SHA256,
    attributes=_FIXED
    | TpmaObject.SENSITIVE_DATA_ORIGIN
    | TpmaObject.USER_WITH_AUTH
    | TpmaObject.RESTRICTED
    | TpmaObject.DECRYPT,
    parameters=EccParms(symmetric=_AES, curve=TpmEcc.NIST_P256),
    unique=(b"", b""),
)


def own_object(relay: Honest) -> int:
    """Sealed data of its own under the slot's policy, below a parent of its own.

    The handle; 0 where the TPM refused.
    """
    hands = relay.hands
    sensitive = put_tpm2b(EMPTY + EMPTY)
    body = sensitive + put_sized(_PARENT) + _NO_CREATION_DATA
    raw = hands.by_password(TpmCc.CREATE_PRIMARY, (int(TpmRh.OWNER),), body)
    parent = handle_of(raw)
    sensitive = put_tpm2b(EMPTY + put_tpm2b(OWN_PASSWORD))
    body = sensitive + put_sized(_like(relay.course.public)) + _NO_CREATION_DATA
    raw = hands.by_password(TpmCc.CREATE, (parent,), body)
    loaded = 0
    if not rc_of(raw):
        parts = sized_values(parameters_of(TpmCc.CREATE, raw), 2)
        body = b"".join(put_tpm2b(each) for each in parts)
        loaded = handle_of(hands.by_password(TpmCc.LOAD, (parent,), body))
    hands.flush(parent)
    return loaded


def _like(slot_public: bytes) -> Public:
    """A template for sealed data with the policy of the slot's."""
    return Public(
        type=TpmAlgId.KEYEDHASH,
        name_alg=TpmAlgId.SHA256,
        attributes=_FIXED | TpmaObject.ADMIN_WITH_POLICY | TpmaObject.NO_DA,
        auth_policy=whole(TPMT_PUBLIC, slot_public).auth_policy,
        parameters=KeyedHashParms(),
    )


def _make(relay: Honest, _: bytes) -> bytes:
    relay.spoils.loaded = own_object(relay)
    return b""


def _redirected(relay: Honest, command: bytes) -> bytes:
    """Unseal of the own object; the TPM's answer is the outcome."""
    parts = replace(RawCommand.from_bytes(command), handles=(relay.spoils.loaded,))
    answer = relay.passed(parts.to_bytes())
    relay.got(answer)
    return answer


def _other_handle(relay: Honest, command: bytes) -> bytes:
    """Load's answer with the handle of the own object."""
    answer = relay.passed(command)
    return answer[:10] + put_uint32(own_object(relay)) + answer[14:]


def _own_slot(relay: Honest, body: bytes) -> bytes:
    """Sealed to the storage key, which anybody can do, under the same policy."""
    raw = relay.hands.plain(TpmCc.READ_PUBLIC, (relay.known.storage_key,))
    key = read_key(sized_values(parameters_of(TpmCc.READ_PUBLIC, raw), 1)[0])
    policy = whole(TPMT_PUBLIC, sized_values(body, 1)[0]).auth_policy
    return import_body(key, policy, OWN_DATA, relay.hands.stream)


OWN_OBJECT: Final = {
    "D1": Attack(
        what="Redirects Unseal to an object of its own under the same policy.",
        stopped_by="the Name of the object in Unseal's cpHash",
        before={Step.AUTHORIZE_UNSEAL: _make},
        instead={Step.UNSEAL: _redirected},
    ),
    "D2": Attack(
        what="Answers Load with the handle of an object of its own.",
        stopped_by="the Name of the object in Unseal's cpHash",
        instead={Step.LOAD: _other_handle},
    ),
    "D6": Attack(
        what="Replaces the slot in the operand by sealed data of its own.",
        stopped_by="nothing in the protocol: with its seed the operand's HMAC is wrong",
        slot=_own_slot,
    ),
}
