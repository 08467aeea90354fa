"""Errors of the image layer: the input's fault, never ours."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

R = TypeVar("R", bound=StrEnum)


class PefError(Exception):
    """Base of everything that is somebody else's fault and can be explained."""


class FormatError(PefError):
    """Bytes do not follow the format.

    Offsets are in bytes from the start of the bytes that were given. ``expected`` and
    ``found`` are ready for reading: hexadecimal where people compare with a dump.
    """

    def __init__(
        self, format_name: str, field: str, offset: int, found: str, expected: str
    ) -> None:
        super().__init__(format_name, field, offset, found, expected)
        self.format_name = format_name
        self.field = field
        self.offset = offset
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"{self.format_name}: {self.field}, at 0x{self.offset:x}: "
            f"found {self.found}, expected {self.expected}"
        )


class RefusedError(FormatError, Generic[R]):
    """A `FormatError` that bears the name of the check that failed."""

    FORMAT: ClassVar[str]

    def __init__(
        self, refusal: R, field: str, offset: int, found: str, expected: str
    ) -> None:
        super().__init__(self.FORMAT, field, offset, found, expected)
        self.args = (refusal, field, offset, found, expected)
        self.refusal = refusal

    def __str__(self) -> str:
        return f"{super().__str__()} ({self.refusal})"
