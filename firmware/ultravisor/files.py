"""UV_ESMB_GET_FILE: what a guest reads of its secrets (esm.md 3.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pefstack.firmware.ultravisor.codes import UvStatus
from pefstack.hw.cpu import WORD_MASK
from pefstack.images.errors import FormatError
from pefstack.images.esm_attachments import find_attachment
from pefstack.images.esm_blob_refusal import BlobError, BlobRefusal, EsmProfile

NAME_SIZE: Final = 64
PART_SIZE: Final = 64
MAX_FILE_SIZE: Final = 0xFFFF  # and offsets below 65 536
NOT_FOUND: Final = -1  # FDT_ERR_NOTFOUND
_WORD: Final = 8


@dataclass(slots=True, kw_only=True)
class ServedFiles:
    """The secrets of one SVM; nothing of them prints.

    Of an operand: ``secrets`` by name. Of a blob: its nested tree and the master key.
    ``read`` has, for each name, the process that reads it and how far it came.
    """

    profile: EsmProfile
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    files_fdt: bytes = field(default=b"", repr=False)
    master_key: bytes = field(default=b"", repr=False)
    read: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)

    def content(self, name: str) -> bytes:
        """The whole file; FormatError when there is none, or it does not open."""
        if name in self.secrets:
            return self.secrets[name]
        item = find_attachment(self.files_fdt, name, self.profile)
        return item.open(self.master_key, self.profile)

    def fork(self) -> ServedFiles:
        """The same files, read as far."""
        return replace(self, read=dict(self.read))


def get_file(files: ServedFiles, pid: int, gpr: Sequence[int]) -> tuple[int, ...]:
    """Up to 64 bytes: r3 is their count, r4 to r11 hold them; or r3 is a refusal.

    r4 is the offset, r5 to r12 the name. A name belongs to the process that asked for
    it first, and each byte is given once.
    """
    offset, name = gpr[4], _text(gpr[5:13])
    if offset > MAX_FILE_SIZE:
        return (UvStatus.PARAMETER,)
    try:
        content = files.content(name)
    except BlobError as wrong:
        missing = wrong.refusal is BlobRefusal.NO_FILE
        return (NOT_FOUND if missing else UvStatus.PARAMETER,)
    except FormatError:
        return (UvStatus.PARAMETER,)
    owner, given = files.read.get(name, (pid, 0))
    if owner != pid or offset < given:
        return (UvStatus.PARAMETER,)
    part = content[offset : offset + PART_SIZE]
    files.read[name] = pid, max(given, offset + len(part))
    return (len(part), *_packed(part))


def name_words(name: str) -> tuple[int, ...]:
    """A name as it stands in r5 to r12; ValueError if it is too long."""
    raw = name.encode("latin-1")
    if len(raw) > NAME_SIZE:
        raise ValueError(f"{len(raw)} bytes, at most {NAME_SIZE}")
    return _packed(raw)


def part_bytes(count: int, words: Sequence[int]) -> bytes:
    """The bytes that r4 to r11 hold."""
    raw = b"".join((word & WORD_MASK).to_bytes(_WORD, "big") for word in words)
    return raw[:count]


def _packed(raw: bytes) -> tuple[int, ...]:
    full = raw.ljust(PART_SIZE, b"\0")
    starts = range(0, PART_SIZE, _WORD)
    return tuple(int.from_bytes(full[at : at + _WORD], "big") for at in starts)


def _text(words: Sequence[int]) -> str:
    raw = b"".join((word & WORD_MASK).to_bytes(_WORD, "big") for word in words)
    return raw.partition(b"\0")[0].decode("latin-1")
