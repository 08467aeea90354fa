"""TPM structures out of files and messages: what does not fit is a FormatError."""

from __future__ import annotations

from typing import TypeVar

from pefstack.hw.tpm.codes import DIGEST_SIZE
from pefstack.hw.tpm.response_codes import Refusal, describe
from pefstack.hw.tpm.structures import Reader, Unmarshal
from pefstack.images.errors import FormatError

T = TypeVar("T")


def decode(name: str, unmarshal: Unmarshal[T], raw: bytes) -> T:
    """The structure ``name`` that ``raw`` is from end to end; FormatError if it is not.

    The error says at which offset a TPM would refuse it, and with what.
    """
    reader = Reader(raw, 0, len(raw), DIGEST_SIZE)
    try:
        value = unmarshal(reader)
    except Refusal as refusal:
        found = f"what a TPM refuses with {describe(refusal.rc)}"
        raise FormatError(name, "structure", reader.offset, found, name) from None
    if left := len(raw) - reader.offset:
        found = f"0x{left:x} bytes left over"
        raise FormatError(name, "end", reader.offset, found, "no more bytes")
    return value
