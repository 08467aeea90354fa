"""TPM_PT_VAR: what the TPM says of its present state (Part 2, 6.13, 8.6 and 8.7)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import (
    MAX_ACTIVE_SESSIONS,
    MAX_LOADED_SESSIONS,
    TpmaPermanent,
    TpmaStartupClear,
    TpmEcc,
    TpmNt,
    TpmPt,
    TpmRh,
)
from pefstack.hw.tpm.nv import NV_OVERHEAD, NV_SPACE, NvStore
from pefstack.hw.tpm.objects import MAX_PERSISTENT
from pefstack.hw.tpm.state import Internals

_COUNTER_SIZE: Final = 8
_MAX_UINT32: Final = 0xFFFFFFFF


def present_properties(inner: Internals) -> dict[int, int]:
    """Every variable property with its value of now, in rising order."""
    state = inner.state
    return {
        TpmPt.PERMANENT: _permanent(inner),
        TpmPt.STARTUP_CLEAR: _startup_clear(inner),
        **_occupancy(inner),
        TpmPt.ALGORITHM_SET: state.algorithm_set,
        TpmPt.LOADED_CURVES: len(TpmEcc),
        **_lockout(inner),
        TpmPt.NV_WRITE_RECOVERY: 0,
        TpmPt.AUDIT_COUNTER_0: state.command_audit.counter >> 32,
        TpmPt.AUDIT_COUNTER_1: state.command_audit.counter & _MAX_UINT32,
    }


def _permanent(inner: Internals) -> int:
    hierarchies, attack = inner.state.hierarchies, inner.state.dictionary_attack
    flags = {
        TpmaPermanent.OWNER_AUTH_SET: bool(hierarchies[TpmRh.OWNER].auth_value),
        TpmaPermanent.ENDORSEMENT_AUTH_SET: bool(
            hierarchies[TpmRh.ENDORSEMENT].auth_value
        ),
        TpmaPermanent.LOCKOUT_AUTH_SET: bool(hierarchies[TpmRh.LOCKOUT].auth_value),
        TpmaPermanent.DISABLE_CLEAR: hierarchies.disable_clear,
        TpmaPermanent.IN_LOCKOUT: attack.tries(inner.clock_value()) >= attack.max_tries,
        TpmaPermanent.TPM_GENERATED_EPS: True,
    }
    return sum(bit for bit, is_set in flags.items() if is_set)


def _startup_clear(inner: Internals) -> int:
    hierarchies = inner.state.hierarchies
    flags = {
        TpmaStartupClear.PH_ENABLE: hierarchies[TpmRh.PLATFORM].enabled,
        TpmaStartupClear.SH_ENABLE: hierarchies[TpmRh.OWNER].enabled,
        TpmaStartupClear.EH_ENABLE: hierarchies[TpmRh.ENDORSEMENT].enabled,
        TpmaStartupClear.PH_ENABLE_NV: hierarchies.platform_nv_enabled,
        TpmaStartupClear.ORDERLY: inner.state.was_orderly,
    }
    return sum(bit for bit, is_set in flags.items() if is_set)


def _occupancy(inner: Internals) -> dict[int, int]:
    """How much there is of everything, and how much more there can be."""
    state = inner.state
    loaded, saved = len(state.sessions.loaded), len(state.sessions.saved)
    free_slots = inner.settings.transient_slots - len(state.objects.transient)
    kept = len(state.objects.persistent)
    return {
        TpmPt.HR_NV_INDEX: len(state.nv.by_handle),
        TpmPt.HR_LOADED: loaded,
        TpmPt.HR_LOADED_AVAIL: MAX_LOADED_SESSIONS - loaded,
        TpmPt.HR_ACTIVE: loaded + saved,
        TpmPt.HR_ACTIVE_AVAIL: MAX_ACTIVE_SESSIONS - loaded - saved,
        TpmPt.HR_TRANSIENT_AVAIL: free_slots,
        TpmPt.HR_PERSISTENT: kept,
        TpmPt.HR_PERSISTENT_AVAIL: MAX_PERSISTENT - kept,
        TpmPt.NV_COUNTERS: _counters(state.nv),
        TpmPt.NV_COUNTERS_AVAIL: _room_for_counters(state.nv),
    }


def _counters(nv: NvStore) -> int:
    return sum(each.type == TpmNt.COUNTER for each in nv.by_handle.values())


def _room_for_counters(nv: NvStore) -> int:
    used = sum(NV_OVERHEAD + each.public.data_size for each in nv.by_handle.values())
    return (NV_SPACE - used) // (NV_OVERHEAD + _COUNTER_SIZE)


def _lockout(inner: Internals) -> dict[int, int]:
    attack = inner.state.dictionary_attack
    return {
        TpmPt.LOCKOUT_COUNTER: attack.tries(inner.clock_value()),
        TpmPt.MAX_AUTH_FAIL: attack.max_tries,
        TpmPt.LOCKOUT_INTERVAL: attack.recovery_time,
        TpmPt.LOCKOUT_RECOVERY: attack.lockout_recovery,
    }
