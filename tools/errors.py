"""Errors of the tool layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pefstack.images.errors import FormatError, PefError

T = TypeVar("T")


class UsageError(PefError):
    """The command line or a machine file is wrong; the message says where and how."""


def asked_for(make: Callable[[], T]) -> T:
    """What ``make`` makes of good input: a `FormatError` there is wrong use."""
    try:
        return make()
    except FormatError as exc:
        raise UsageError(str(exc)) from None
