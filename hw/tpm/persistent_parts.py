"""Hierarchies, NV indexes, persistent objects, guesses: as saved values and back.

Everything that comes back is read by the unmarshallers of commands, so damage that a
checksum missed is refused field by field. The values hold secrets.
"""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.codes import MAX_DIGEST_SIZE, TpmRh
from pefstack.hw.tpm.decode import decode as decode_structure
from pefstack.hw.tpm.dictionary_attack import DictionaryAttack
from pefstack.hw.tpm.hierarchies import (
    PROOF_SIZE,
    SEED_SIZE,
    WITH_SEED,
    Hierarchies,
    Hierarchy,
)
from pefstack.hw.tpm.names import nv_name, object_name
from pefstack.hw.tpm.nv import NvIndex, NvStore
from pefstack.hw.tpm.nv_public import TPMS_NV_PUBLIC
from pefstack.hw.tpm.objects import MAX_PERSISTENT, ObjectStore, TpmObject
from pefstack.hw.tpm.public import TPMT_PUBLIC
from pefstack.hw.tpm.saved_record import Record, bad
from pefstack.hw.tpm.sensitive import TPMT_SENSITIVE
from pefstack.hw.tpm.tagged import NAME, Value

_MAX_UINT32: Final = 0xFFFF_FFFF
_MAX_UINT64: Final = (1 << 64) - 1
_MAX_INDEXES: Final = 1024
_TIMES: Final = ("heals_from", "lockout_from")
_COUNTS: Final = ("failed_tries", "max_tries", "recovery_time", "lockout_recovery")
_FLAGS: Final = ("lockout_blocked", "used")


def save_hierarchies(hierarchies: Hierarchies) -> Value:
    """Seeds, proofs, authValues, policies; what Startup(CLEAR) sets is not saved."""
    return {
        "disable_clear": hierarchies.disable_clear,
        "each": {
            each.handle: {
                "seed": each.seed,
                "proof": each.proof,
                "auth_value": each.auth_value,
                "policy_alg": each.policy_alg,
                "auth_policy": each.auth_policy,
                "enabled": each.enabled,
            }
            for each in hierarchies
        },
    }


def restore_hierarchies(record: Record) -> Hierarchies:
    """The hierarchies of `save_hierarchies`."""
    hierarchies = Hierarchies(None)
    hierarchies.disable_clear = record.truth("disable_clear")
    each = record.table("each")
    for hierarchy in hierarchies:
        _restore_hierarchy(hierarchy, each.table(hierarchy.handle))
    each.check_end()
    record.check_end()
    return hierarchies


def _restore_hierarchy(hierarchy: Hierarchy, record: Record) -> None:
    has_seed = hierarchy.handle in WITH_SEED
    hierarchy.seed = record.octets("seed", SEED_SIZE if has_seed else 0)
    hierarchy.proof = record.octets("proof", PROOF_SIZE if has_seed else 0)
    hierarchy.auth_value = record.some_octets("auth_value", MAX_DIGEST_SIZE)
    hierarchy.policy_alg, hierarchy.auth_policy = record.policy()
    hierarchy.enabled = record.truth("enabled")
    record.check_end()


def save_nv(nv: NvStore) -> Value:
    """Every index: public area, authValue, content."""
    return {
        "highest_count": nv.highest_count,
        "each": [
            {
                "public": index.public.to_bytes(),
                "auth_value": index.auth_value,
                "data": index.data,
            }
            for index in nv.by_handle.values()
        ],
    }


def restore_nv(record: Record) -> NvStore:
    """The indexes of `save_nv`, their Names computed again."""
    nv = NvStore()
    nv.highest_count = record.integer("highest_count", _MAX_UINT64)
    for each in record.tables("each", _MAX_INDEXES):
        raw = each.some_octets("public", _MAX_UINT32)
        public = decode_structure(NAME, TPMS_NV_PUBLIC, raw)
        index = NvIndex(
            public=public,
            auth_value=each.some_octets("auth_value", MAX_DIGEST_SIZE),
            data=each.octets("data", public.data_size),
            name=nv_name(public),
        )
        each.check_end()
        if index.handle in nv.by_handle:
            raise bad("nv", f"0x{index.handle:08x} twice", "each index once")
        nv.put(index)
    record.check_end()
    return nv


def save_objects(objects: ObjectStore) -> Value:
    """Persistent objects by handle; what is transient goes with the power."""
    return {handle: _object(each) for handle, each in objects.persistent.items()}


def _object(each: TpmObject) -> dict[str, Any]:
    sensitive = each.sensitive
    return {
        "public": each.public.to_bytes(),
        "sensitive": None if sensitive is None else sensitive.to_bytes(),
        "qualified_name": each.qualified_name,
        "hierarchy": each.hierarchy,
    }


def restore_objects(record: Record, slot_count: int) -> ObjectStore:
    """The objects of `save_objects`, their Names computed again."""
    objects = ObjectStore(slot_count)
    for handle in record.integer_keys(MAX_PERSISTENT):
        objects.persistent[handle] = _restored_object(record.table(handle))
    record.check_end()
    return objects


def _restored_object(record: Record) -> TpmObject:
    raw = record.some_octets("public", _MAX_UINT32)
    public = decode_structure(NAME, TPMT_PUBLIC, raw)
    secret = None
    if record.is_there("sensitive"):
        raw = record.some_octets("sensitive", _MAX_UINT32)
        secret = decode_structure(NAME, TPMT_SENSITIVE, raw)
    hierarchy = record.integer("hierarchy", _MAX_UINT32)
    if hierarchy not in tuple(map(int, WITH_SEED[:3])):
        raise bad("hierarchy", f"0x{hierarchy:08x}", f"0x{TpmRh.OWNER:08x} or so")
    restored = TpmObject(
        public=public,
        sensitive=secret,
        name=object_name(public),
        qualified_name=record.some_octets("qualified_name", 2 + MAX_DIGEST_SIZE),
        hierarchy=hierarchy,
    )
    record.check_end()
    return restored


def save_attack(attack: DictionaryAttack) -> Value:
    """The counter of guesses, and its parameters."""
    return {name: getattr(attack, name) for name in (*_TIMES, *_COUNTS, *_FLAGS)}


def restore_attack(record: Record) -> DictionaryAttack:
    """The counter of `save_attack`."""
    attack = DictionaryAttack()
    for name in _TIMES:
        setattr(attack, name, record.integer(name, _MAX_UINT64))
    for name in _COUNTS:
        setattr(attack, name, record.integer(name, _MAX_UINT32))
    for name in _FLAGS:
        setattr(attack, name, record.truth(name))
    record.check_end()
    return attack
