"""Startup, Shutdown, SelfTest, GetTestResult (Part 3, "Start-up", "Testing")."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import TpmCc, TpmSu
from pefstack.hw.tpm.command import Command, Parameter
from pefstack.hw.tpm.commits import Commits
from pefstack.hw.tpm.pcr import HCRTM_PCR
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.state import CLOCK_UPDATE, Internals, Orderly, TpmState
from pefstack.hw.tpm.structures import TPM_SU, TPMI_YES_NO, put_tpm2b, put_uint32

STARTUP_LOCALITIES: Final = (0, 3)
CONTEXT_SECRET_SIZE: Final = 32
_MAX_UINT32: Final = 0xFFFFFFFF

# How Startup goes on: (what the last Shutdown left, type of Startup)
_EFFECT: Final[dict[tuple[int, int], str]] = {
    (Orderly.NONE, TpmSu.CLEAR): "reset",
    (Orderly.CLEAR, TpmSu.CLEAR): "reset",
    (Orderly.STATE, TpmSu.CLEAR): "restart",
    (Orderly.STATE, TpmSu.STATE): "resume",
}


def startup(inner: Internals, startup_type: int) -> tuple[()]:
    """TPM Reset, TPM Restart or TPM Resume; only at locality 0 or 3."""
    state, locality = inner.state, inner.locality
    if locality not in STARTUP_LOCALITIES:
        raise Refusal(TpmRc.LOCALITY)
    effect = _EFFECT.get((state.orderly, startup_type))
    if effect is None:
        raise Refusal(TpmRc.VALUE + RC_P + RC_1)
    if effect == "resume" and state.was_hcrtm is not (state.hcrtm is not None):
        raise Refusal(TpmRc.VALUE + RC_P + RC_1)
    if effect == "resume" and locality != state.startup_locality:
        raise Refusal(TpmRc.LOCALITY)
    _count(state, effect)
    _start_pcrs(state, effect, locality)
    is_orderly = state.orderly is not Orderly.NONE
    if effect == "reset":
        _forget(inner)
    if effect != "resume":
        _restart(inner, is_reset=effect == "reset", is_orderly=is_orderly)
    state.objects.flush_all()
    state.sessions.keep_saved()
    _start_clock(inner)
    state.dictionary_attack.startup(inner.clock_value(), is_orderly=is_orderly)
    state.note_change()
    state.started = True
    state.startup_locality = locality
    name = TpmSu(startup_type).name.lower()
    inner.journal.add("tpm", "startup", type=name, effect=effect, locality=locality)
    return ()


def _count(state: TpmState, effect: str) -> None:
    state.touch()
    if effect == "reset":
        state.reset_count = state.reset_count + 1 & _MAX_UINT32
        state.restart_count = 0
    else:
        state.restart_count = state.restart_count + 1 & _MAX_UINT32


def _forget(inner: Internals) -> None:
    """TPM Reset: no session and no saved context of before is any good."""
    state = inner.state
    state.context_secret = inner.entropy.random_bytes(CONTEXT_SECRET_SIZE)
    state.sessions.end_all()
    state.saved_sequences.clear()
    state.object_contexts = 0
    state.command_audit.restart()
    state.commits = Commits()


def _restart(inner: Internals, *, is_reset: bool, is_orderly: bool) -> None:
    """TPM Reset and Restart: what Startup(CLEAR) sets back."""
    state = inner.state
    state.clear_count += 1
    state.hierarchies.restart(inner.entropy, is_reset=is_reset)
    state.nv.startup(is_reset=is_reset, is_orderly=is_orderly)
    state.pcr_group.auth_value = b""


def _start_pcrs(state: TpmState, effect: str, locality: int) -> None:
    if effect == "reset":
        state.pcrs.update_counter = 0
        if state.pending_allocation is not None:
            state.pcrs.allocated = state.pending_allocation
            state.pending_allocation = None
    saved = state.saved_pcrs if effect == "resume" else None
    state.pcrs.start(saved, locality)
    if saved is None:
        for alg, value in (state.hcrtm or {}).items():
            state.pcrs.values[alg][HCRTM_PCR] = value
    state.was_hcrtm, state.hcrtm = state.hcrtm is not None, None


def _start_clock(inner: Internals) -> None:
    """Clock is not safe until it has passed all it may have shown before."""
    state = inner.state
    state.was_orderly = state.orderly is not Orderly.NONE
    value = inner.clock_value()
    state.safe_from = value if state.was_orderly else _next_update(value)


def _next_update(clock: int) -> int:
    return (clock // CLOCK_UPDATE + 1) * CLOCK_UPDATE


def shutdown(inner: Internals, shutdown_type: int) -> tuple[()]:
    """Keep what the type says for the next Startup; not STATE after PCR_Allocate."""
    state = inner.state
    if shutdown_type == TpmSu.STATE and state.pending_allocation is not None:
        raise Refusal(TpmRc.TYPE + RC_P + RC_1)
    if shutdown_type == TpmSu.STATE:
        state.orderly, state.saved_pcrs = Orderly.STATE, state.pcrs.saved()
    else:
        state.orderly, state.saved_pcrs = Orderly.CLEAR, None
    state.touch()
    name = TpmSu(shutdown_type).name.lower()
    inner.journal.add("tpm", "shutdown", type=name)
    return ()


def self_test(inner: Internals, full_test: int) -> tuple[()]:
    """Nothing in this TPM is left untested."""
    return ()


def get_test_result(inner: Internals) -> tuple[bytes, int]:
    """outData (the maker's own; empty) and testResult."""
    return b"", TpmRc.SUCCESS


STARTUP: Final = Command(
    code=TpmCc.STARTUP,
    action=startup,
    parameters=(Parameter(name="startupType", unmarshal=TPM_SU),),
    writes_nv=True,
    allows_sessions=False,
)
SHUTDOWN: Final = Command(
    code=TpmCc.SHUTDOWN,
    action=shutdown,
    parameters=(Parameter(name="shutdownType", unmarshal=TPM_SU),),
    writes_nv=True,
)
SELF_TEST: Final = Command(
    code=TpmCc.SELF_TEST,
    action=self_test,
    parameters=(Parameter(name="fullTest", unmarshal=TPMI_YES_NO),),
    writes_nv=True,
)
GET_TEST_RESULT: Final = Command(
    code=TpmCc.GET_TEST_RESULT,
    action=get_test_result,
    results=(put_tpm2b, put_uint32),
)
COMMANDS: Final = (
    STARTUP,
    SHUTDOWN,
    SELF_TEST,
    GET_TEST_RESULT,
)
