"""What a TPM keeps without power, as bytes and back (tpm.md 9).

The bytes are one table (tagged.py): a field for each thing that lasts. A new field is
one line in `_saved` and one in `_restored`; the version then goes up, and saved state
of another version is refused. The bytes hold secrets.
"""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import BANK_NAME, DIGEST_SIZE
from pefstack.hw.tpm.persistent_parts import (
    restore_attack,
    restore_hierarchies,
    restore_nv,
    restore_objects,
    save_attack,
    save_hierarchies,
    save_nv,
    save_objects,
)
from pefstack.hw.tpm.persistent_settings import (
    restore_command_audit,
    restore_commits,
    restore_pcr_group,
    save_command_audit,
    save_commits,
    save_pcr_group,
)
from pefstack.hw.tpm.saved_record import Record, bad
from pefstack.hw.tpm.state import MAX_UINT64, Internals, Orderly, Settings, TpmState
from pefstack.hw.tpm.tagged import Value, decode, encode

VERSION: Final = 3
CONTEXT_SECRET_SIZE: Final = 32
SAVED_ENTROPY_SIZE: Final = 32
_MAX_UINT32: Final = 0xFFFFFFFF
_MAX_LOCALITY: Final = 4


def save_state(inner: Internals) -> bytes:
    """What would be left if power went now."""
    return encode(_saved(inner.state) | _clock_and_entropy(inner))


def restore_state(inner: Internals, raw: bytes) -> None:
    """Take all of it over, or nothing; FormatError says what is wrong with ``raw``.

    The entropy goes on from its own seed and the saved bytes, so that it repeats
    nothing as long as the state is saved again before the first command. ValueError
    when the TPM has power, or had it before.
    """
    if inner.state.powered or inner.state.generation:
        raise ValueError("saved state is for a TPM that never had power")
    record = Record(decode(raw))
    state = _restored(record, inner.settings)
    entropy = record.octets("entropy", SAVED_ENTROPY_SIZE)
    record.check_end()
    state.powered_at = inner.clock.now
    state.touch()
    inner.state = state
    inner.entropy.stir(entropy)


def saved_banks(raw: bytes) -> tuple[int, ...]:
    """The banks that the TPM of saved state has; FormatError for what is none."""
    banks = Record(decode(raw)).table("allocated").integer_keys(len(BANK_NAME))
    for bank in banks:
        if bank not in BANK_NAME:
            raise bad("allocated", f"bank 0x{bank:04x}", "banks that there are")
    return tuple(banks)


def _saved(state: TpmState) -> dict[str, Value]:
    pcrs = state.pcrs
    return {
        "version": VERSION,
        "allocated": pcrs.allocated,
        "pending_allocation": state.pending_allocation,
        "update_counter": pcrs.update_counter,
        "orderly": int(state.orderly),
        "saved_pcrs": state.saved_pcrs,
        "startup_locality": state.startup_locality,
        "was_hcrtm": state.was_hcrtm,
        "reset_count": state.reset_count,
        "restart_count": state.restart_count,
        "established": state.established,
        "hierarchies": save_hierarchies(state.hierarchies),
        "nv": save_nv(state.nv),
        "objects": save_objects(state.objects),
        "dictionary_attack": save_attack(state.dictionary_attack),
        "context_secret": state.context_secret,
        "object_contexts": state.object_contexts,
        "clear_count": state.clear_count,
        "command_audit": save_command_audit(state.command_audit),
        "commits": save_commits(state.commits),
        "pcr_group": save_pcr_group(state.pcr_group),
        "algorithm_set": state.algorithm_set,
    }


def _clock_and_entropy(inner: Internals) -> dict[str, Value]:
    """The entropy as bytes that nobody ever got from it, and that lead not back."""
    entropy = inner.entropy.fork()
    entropy.stir(b"saved")
    on = inner.state.powered
    clock = inner.clock_value() if on else inner.state.clock_at_power_on
    return {"clock": clock, "entropy": entropy.random_bytes(SAVED_ENTROPY_SIZE)}


def _restored(record: Record, settings: Settings) -> TpmState:
    """A TPM without power."""
    record.integer("version", VERSION, VERSION)
    sizes = {bank: DIGEST_SIZE[bank] for bank in settings.banks}
    slots = settings.transient_slots
    state = TpmState(record.allocation("allocated", sizes), slots, None)
    state.hierarchies = restore_hierarchies(record.table("hierarchies"))
    state.nv = restore_nv(record.table("nv"))
    state.objects = restore_objects(record.table("objects"), slots)
    state.dictionary_attack = restore_attack(record.table("dictionary_attack"))
    state.context_secret = record.some_octets("context_secret", CONTEXT_SECRET_SIZE)
    state.object_contexts = record.integer("object_contexts", MAX_UINT64)
    state.clear_count = record.integer("clear_count", MAX_UINT64)
    state.command_audit = restore_command_audit(record.table("command_audit"))
    state.commits = restore_commits(record.table("commits"))
    state.pcr_group = restore_pcr_group(record.table("pcr_group"))
    state.algorithm_set = record.integer("algorithm_set", _MAX_UINT32)
    if record.is_there("pending_allocation"):
        state.pending_allocation = record.allocation("pending_allocation", sizes)
    state.pcrs.update_counter = record.integer("update_counter", _MAX_UINT32)
    state.orderly = Orderly(record.integer("orderly", Orderly.STATE))
    if record.is_there("saved_pcrs"):
        state.saved_pcrs = record.banks("saved_pcrs", sizes)
    if (state.orderly is Orderly.STATE) is not (state.saved_pcrs is not None):
        raise bad("saved_pcrs", "other PCRs than the last Shutdown leaves", "its own")
    state.startup_locality = record.integer("startup_locality", _MAX_LOCALITY)
    state.was_hcrtm = record.truth("was_hcrtm")
    state.reset_count = record.integer("reset_count", _MAX_UINT32)
    state.restart_count = record.integer("restart_count", _MAX_UINT32)
    state.established = record.truth("established")
    state.clock_at_power_on = record.integer("clock", MAX_UINT64)
    return state
