"""Frozen dataclasses <-> tables of a machine file: kebab-case keys, nothing unknown."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pefstack.images.errors import PefError

T = TypeVar("T")


class SettingError(PefError):
    """A setting that does not exist, is missing, or has an impossible value."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(key, problem)
        self.key = key
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}"


def from_mapping(cls: Callable[..., T], table: object, key: str) -> T:
    """The value that a table describes; ``key`` names the table in errors.

    Every key must be a field in kebab-case and every field without a default must be
    there, with the field's type; bytes are written in hex. Raises `SettingError`.
    """
    if not isinstance(table, Mapping):
        raise SettingError(key, f"found {table!r}, expected a table")
    known = {each.name.replace("_", "-"): each for each in _fields(cls)}
    if unknown := sorted(set(table) - set(known)):
        there = ", ".join(known)
        raise SettingError(
            f"{key}.{unknown[0]}", f"no such setting; there are: {there}"
        )
    hints: dict[str, Any] = _hints(cls)
    values = {
        known[name].name: _value(hints[known[name].name], value, f"{key}.{name}")
        for name, value in table.items()
    }
    for name, each in known.items():
        if each.name not in values and _needed(each):
            raise SettingError(f"{key}.{name}", "is missing")
    return _made(cls, values, key)


def to_mapping(value: object) -> dict[str, Any]:
    """The table that describes a value; what has its default is left out."""
    table: dict[str, Any] = {}
    for each in _fields(type(value)):
        item = getattr(value, each.name)
        if _needed(each) or item != _default(each):
            table[each.name.replace("_", "-")] = _plain(item)
    return table


def _made(cls: Callable[..., T], values: dict[str, Any], key: str) -> T:
    """The value; what it says itself about a field gets the name of the table."""
    try:
        return cls(**values)
    except SettingError as wrong:
        raise SettingError(f"{key}.{wrong.key}", wrong.problem) from None


def check_range(key: str, value: int, most: int, least: int = 0) -> None:
    """For a value type's own checks; ``key`` is the field's name in kebab-case."""
    if not least <= value <= most:
        found, limits = f"0x{value:x}", f"0x{least:x} to 0x{most:x}"
        raise SettingError(key, f"found {found}, expected {limits}")


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _fields(cls: Any) -> tuple[Field[Any], ...]:
    return fields(cls)


def _needed(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _default(each: Field[Any]) -> object:
    if each.default_factory is not MISSING:
        return each.default_factory()
    return each.default


def _plain(item: object) -> object:
    if isinstance(item, bytes):
        return item.hex()
    if isinstance(item, tuple):
        return [_plain(each) for each in item]
    if isinstance(item, dict):
        return {name: _plain(each) for name, each in item.items()}
    return to_mapping(item) if is_dataclass(item) else item


def _value(hint: Any, value: object, key: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):  # only `X | None`
        return _value(get_args(hint)[0], value, key)
    if origin is tuple:
        return tuple(
            _value(get_args(hint)[0], each, f"{key}[{number}]")
            for number, each in enumerate(_need(list, value, key))
        )
    if origin is dict:
        entries = _need(dict, value, key).items()
        return {n: _value(get_args(hint)[1], each, f"{key}.{n}") for n, each in entries}
    if isinstance(hint, type) and is_dataclass(hint):
        return from_mapping(hint, value, key)
    return _hex(value, key) if hint is bytes else _need(hint, value, key)


def _hex(value: object, key: str) -> bytes:
    try:
        return bytes.fromhex(_need(str, value, key))
    except ValueError:
        raise SettingError(key, f"found {value!r}, expected hex digits") from None


def _need(kind: type[T], value: object, key: str) -> T:
    good = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not good:
        raise SettingError(key, f"found {value!r}, expected {_KINDS[kind]}")
    return value  # type: ignore[return-value]


_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    str: "a text",
    list: "a list",
    dict: "a table",
}
