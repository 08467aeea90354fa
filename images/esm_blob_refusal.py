"""Why an ESM blob is refused, in the two profiles (esm.md 1.7). The names are ours."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeVar

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError, RefusedError
from pefstack.images.fdt import Fdt, libfdt_find
from pefstack.images.fdt_node import FdtNode

NAME: Final = "ESM blob"
T = TypeVar("T")


class EsmProfile(StrEnum):
    """``REAL`` takes what the real ultravisor takes; ``STRICT`` what is right."""

    REAL = "real"
    STRICT = "strict"


class BlobRefusal(StrEnum):
    """What is wrong; those of ``STRICT`` alone are listed in docs/formats."""

    TREE = "B_TREE"
    COMPATIBLE = "B_COMPATIBLE"
    LOCKBOX_NAME = "B_LOCKBOX_NAME"
    NO_LOCKBOX = "B_NO_LOCKBOX"
    LOCKBOX = "B_LOCKBOX"
    MASTER_KEY = "B_MASTER_KEY"
    ITEM = "B_ITEM"
    ALGORITHM = "B_ALGORITHM"
    IV = "B_IV"
    MAC_SIZE = "B_MAC_SIZE"
    CIPHERTEXT = "B_CIPHERTEXT"
    TAG = "B_TAG"
    DIGEST_TREE = "B_DIGEST_TREE"
    DIGEST_VALUE = "B_DIGEST_VALUE"
    KERNEL_SIZE = "B_KERNEL_SIZE"
    FILES_TREE = "B_FILES_TREE"
    NO_FILE = "B_NO_FILE"
    FILE_NAME = "B_FILE_NAME"
    BOOTARGS = "B_BOOTARGS"
    DIGEST = "B_DIGEST"


class BlobError(RefusedError[BlobRefusal]):
    """A blob that is refused; offsets count from the start of what ``field`` is in."""

    FORMAT = NAME


def refused_as(refusal: BlobRefusal, call: Callable[[], T]) -> T:
    """What ``call`` gives; a `FormatError` of a device tree becomes a `BlobError`."""
    try:
        return call()
    except FormatError as exc:
        what = exc.field, exc.offset, exc.found, exc.expected
        raise BlobError(refusal, *what) from None


def read_tree(
    refusal: BlobRefusal, raw: Buffer, profile: EsmProfile
) -> tuple[Fdt, int]:
    """A tree and its size; a name that stands twice is refused by ``STRICT``."""
    unique = profile is EsmProfile.STRICT
    return refused_as(refusal, lambda: Fdt.from_prefix(raw, unique=unique))


def find_node(fdt: Fdt, path: str, profile: EsmProfile) -> FdtNode | None:
    """By libfdt's rule in ``REAL``, else by exact names."""
    return libfdt_find(fdt, path) if profile is EsmProfile.REAL else fdt.find(path)


def check_string(refusal: BlobRefusal, node: FdtNode, name: str, expected: str) -> None:
    """Refuse a property that is missing or not exactly this string and a NUL."""
    value = node.get(name)
    if value != expected.encode() + b"\0":
        found = "none" if value is None else repr(value[:64])
        raise BlobError(refusal, f"property {name}", 0, found, repr(expected))


def check_size(refusal: BlobRefusal, field: str, value: bytes, *allowed: range) -> None:
    """Refuse bytes whose number is in none of the ranges."""
    size = len(value)
    if not any(size in each for each in allowed):
        words = (f"0x{each.start:x} to 0x{each.stop - 1:x}" for each in allowed)
        right = f"{' or '.join(words)} bytes"
        raise BlobError(refusal, field, 0, f"0x{size:x} bytes", right)
