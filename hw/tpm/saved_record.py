"""A decoded table of saved state: each field is taken once, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId
from pefstack.hw.tpm.pcr import ALL_PCRS, SAVED_MASK, Bank
from pefstack.hw.tpm.tagged import NAME, Value
from pefstack.images.errors import FormatError

T = TypeVar("T")

_SAVED_COUNT: Final = SAVED_MASK.bit_length()


class Record:
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

    def some_octets(self, name: str, most: int) -> bytes:
        """Bytes, at most so many."""
        value = self._take(name, bytes)
        _ranged(len(value), name, most, 0)
        return value

    def policy(self) -> tuple[int, bytes]:
        """policy_alg, and auth_policy of its size; TPM_ALG_NULL and nothing."""
        alg = self.integer("policy_alg", 0xFFFF)
        if alg != TpmAlgId.NULL and alg not in DIGEST_SIZE:
            raise bad("policy_alg", f"0x{alg:04x}", "a hash")
        return alg, self.octets("auth_policy", DIGEST_SIZE.get(alg, 0))

    def integers(self, name: str, most: int, maximum: int) -> list[int]:
        """A list of integers in one range, at most so many."""
        values = self._take(name, list)
        _ranged(len(values), name, most, 0)
        return [_ranged(_as(each, int, name), name, maximum, 0) for each in values]

    def table(self, name: str | int) -> Record:
        """A table inside."""
        return Record(self._take(name, dict))

    def tables(self, name: str, most: int) -> list[Record]:
        """A list of tables inside, at most so many."""
        values = self._take(name, list)
        _ranged(len(values), name, most, 0)
        return [Record(each) for each in values]

    def integer_keys(self, most: int) -> list[int]:
        """The keys of a table by number, at most so many."""
        _ranged(len(self._fields), "keys", most, 0)
        return [_as(key, int, "key") for key in self._fields]

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
                raise bad(name, f"0x{len(values):x} PCRs", f"0x{_SAVED_COUNT:x}")
            for value in values:
                _sized(_as(value, bytes, name), name, sizes[alg])
        return table

    def check_end(self) -> None:
        """No field is left."""
        if self._fields:
            raise bad("end", f"also {sorted(map(str, self._fields))}", "no more")

    def _by_bank(self, name: str, sizes: Mapping[int, int]) -> dict[int, Any]:
        table = self._take(name, dict)
        if table.keys() != sizes.keys():
            found, expected = ([_name(each) for each in t] for t in (table, sizes))
            raise bad(name, f"banks {found}", f"{expected}, as this TPM has")
        return {alg: table[alg] for alg in sizes}

    def _take(self, name: str | int, kind: type[T]) -> T:
        if name not in self._fields:
            raise bad(str(name), "nothing", "a field")
        return _as(self._fields.pop(name), kind, str(name))


def _as(value: Value, kind: type[T], name: str) -> T:
    if type(value) is not kind:  # a bool is no integer here
        raise bad(name, type(value).__name__, kind.__name__)
    return value


def _ranged(value: int, name: str, maximum: int, minimum: int) -> int:
    if not minimum <= value <= maximum:
        raise bad(name, f"0x{value:x}", f"0x{minimum:x} to 0x{maximum:x}")
    return value


def _sized(value: bytes, name: str, size: int) -> bytes:
    if len(value) != size:
        raise bad(name, f"0x{len(value):x} bytes", f"0x{size:x}")
    return value


def _name(alg: object) -> str:
    return f"0x{alg:04x}" if isinstance(alg, int) else str(alg)


def bad(field: str, found: str, expected: str) -> FormatError:
    """What is wrong with the saved state."""
    return FormatError(NAME, field, 0, found, expected)
