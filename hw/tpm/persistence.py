"""What a TPM keeps without power, as bytes and back (tpm.md 9).

The bytes are one table (tagged.py): a field for each thing that lasts. A new field is
one line in `_saved` and one in `_restored`; the version then goes up, and saved state
of another version is refused. The bytes hold secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pefstack.hw.tpm.pcr import ALL_PCRS, SAVED_MASK, Bank
from pefstack.hw.tpm.state import MAX_UINT64, Internals, Orderly, TpmState
from pefstack.hw.tpm.tagged import NAME, Value, decode, encode
from pefstack.images.errors import FormatError

T = TypeVar("T")

VERSION: Final = 1
SAVED_ENTROPY_SIZE: Final = 32
_SAVED_COUNT: Final = SAVED_MASK.bit_length()
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
    record = _Record(decode(raw))
    state = _restored(record, inner.settings.digest_sizes)
    entropy = record.octets("entropy", SAVED_ENTROPY_SIZE)
    record.check_end()
    state.powered_at = inner.clock.now
    state.touch()
    inner.state = state
    inner.entropy.stir(entropy)


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
    }


def _clock_and_entropy(inner: Internals) -> dict[str, Value]:
    """The entropy as bytes that nobody ever got from it, and that lead not back."""
    entropy = inner.entropy.fork()
    entropy.stir(b"saved")
    on = inner.state.powered
    clock = inner.clock_value() if on else inner.state.clock_at_power_on
    return {"clock": clock, "entropy": entropy.random_bytes(SAVED_ENTROPY_SIZE)}


def _restored(record: _Record, sizes: Mapping[int, int]) -> TpmState:
    """A TPM without power; ``sizes`` are the digest sizes of its banks."""
    record.integer("version", VERSION, VERSION)
    state = TpmState(record.allocation("allocated", sizes))
    if record.is_there("pending_allocation"):
        state.pending_allocation = record.allocation("pending_allocation", sizes)
    state.pcrs.update_counter = record.integer("update_counter", _MAX_UINT32)
    state.orderly = Orderly(record.integer("orderly", Orderly.STATE))
    if record.is_there("saved_pcrs"):
        state.saved_pcrs = record.banks("saved_pcrs", sizes)
    if (state.orderly is Orderly.STATE) is not (state.saved_pcrs is not None):
        raise _bad("saved_pcrs", "other PCRs than the last Shutdown leaves", "its own")
    state.startup_locality = record.integer("startup_locality", _MAX_LOCALITY)
    state.was_hcrtm = record.truth("was_hcrtm")
    state.reset_count = record.integer("reset_count", _MAX_UINT32)
    state.restart_count = record.integer("restart_count", _MAX_UINT32)
    state.established = record.truth("established")
    state.clock_at_power_on = record.integer("clock", MAX_UINT64)
    return state


class _Record:
    """A decoded table; each field is taken once, and checked."""

    def __init__(self, value: Value) -> None:
        self._fields: Final = dict(_as(value, dict, "the whole"))

    def is_there(self, name: str) -> bool:
        """False, and taken, when the field is none."""
        if self._fields.get(name, 0) is None:
            del self._fields[name]
            return False
        return True

    def integer(self, name: str, maximum: int, minimum: int = 0) -> int:
        """An integer in its range."""
        return _ranged(self._take(name, int), name, maximum, minimum)

    def truth(self, name: str) -> bool:
        """True or false."""
        return self._take(name, bool)

    def octets(self, name: str, size: int) -> bytes:
        """So many bytes."""
        return _sized(self._take(name, bytes), name, size)

    def allocation(self, name: str, sizes: Mapping[int, int]) -> dict[int, int]:
        """For each implemented bank the mask of its PCRs."""
        table = self._by_bank(name, sizes)
        for mask in table.values():
            _ranged(_as(mask, int, name), name, ALL_PCRS, 0)
        return table

    def banks(self, name: str, sizes: Mapping[int, int]) -> dict[int, Bank]:
        """For each implemented bank the PCRs that Shutdown(STATE) keeps."""
        table = self._by_bank(name, sizes)
        for alg, values in table.items():
            if len(_as(values, list, name)) != _SAVED_COUNT:
                raise _bad(name, f"0x{len(values):x} PCRs", f"0x{_SAVED_COUNT:x}")
            for value in values:
                _sized(_as(value, bytes, name), name, sizes[alg])
        return table

    def check_end(self) -> None:
        """No field is left."""
        if self._fields:
            raise _bad("end", f"also {sorted(map(str, self._fields))}", "no more")

    def _by_bank(self, name: str, sizes: Mapping[int, int]) -> dict[int, Any]:
        table = self._take(name, dict)
        if table.keys() != sizes.keys():
            found, expected = ([_name(each) for each in t] for t in (table, sizes))
            raise _bad(name, f"banks {found}", f"{expected}, as this TPM has")
        return {alg: table[alg] for alg in sizes}

    def _take(self, name: str, kind: type[T]) -> T:
        if name not in self._fields:
            raise _bad(name, "nothing", "a field")
        return _as(self._fields.pop(name), kind, name)


def _as(value: Value, kind: type[T], name: str) -> T:
    if type(value) is not kind:  # a bool is no integer here
        raise _bad(name, type(value).__name__, kind.__name__)
    return value


def _ranged(value: int, name: str, maximum: int, minimum: int) -> int:
    if not minimum <= value <= maximum:
        raise _bad(name, f"0x{value:x}", f"0x{minimum:x} to 0x{maximum:x}")
    return value


def _sized(value: bytes, name: str, size: int) -> bytes:
    if len(value) != size:
        raise _bad(name, f"0x{len(value):x} bytes", f"0x{size:x}")
    return value


def _name(alg: object) -> str:
    return f"0x{alg:04x}" if isinstance(alg, int) else str(alg)


def _bad(field: str, found: str, expected: str) -> FormatError:
    return FormatError(NAME, field, 0, found, expected)
