"""An ESM blob in its file, in front of an initramfs, or in a zImage."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pefstack.images.cpio import PlacedEntry, entries_of
from pefstack.images.errors import FormatError
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.initramfs import (
    FOLDER,
    OPERAND_MAGIC,
    BlobPlace,
    blob_archive,
    find_blob,
)
from pefstack.tools.errors import UsageError
from pefstack.tools.esm_place import BARE, IN_ZIMAGE, find_esm
from pefstack.tools.files import map_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobFile:
    """The blob, and the file that it was read from, of a form of `esm_place`."""

    path: Path
    form: str
    blob: EsmBlob
    raw: memoryview = field(repr=False)

    def with_blob(self, blob: EsmBlob) -> bytes:
        """The file with another blob; `UsageError` where it cannot be put back."""
        new = blob.to_bytes()
        if self.form == BARE:
            return new
        if self.form == IN_ZIMAGE:
            raise UsageError(
                f"{self.path}: a zImage is read only; change the blob's file"
            )
        return in_front(new, blob_name(self.path, self.raw), self.raw)


def read_blob_file(path: Path) -> BlobFile:
    """The blob of a file, finished or not; `FormatError` for a broken one.

    Raises `UsageError` for an operand, too.
    """
    raw = map_bytes(path)
    place = find_esm(raw)
    part = place.bytes_of(raw)
    if bytes(part[: len(OPERAND_MAGIC)]) == OPERAND_MAGIC:
        mend = "`pef esm list` shows it"
        raise UsageError(f"{path}: an operand (v2), expected an ESM blob (v1); {mend}")
    if place.form == BARE:
        blob = EsmBlob.from_bytes(part, unfinished=True)
    else:
        blob, _ = EsmBlob.from_prefix(part)
    return BlobFile(path=path, form=place.form, blob=blob, raw=raw)


def in_front(blob: bytes, name: str, initramfs: memoryview | bytes) -> bytes:
    """The initramfs with the archive of the blob in front; an old one goes.

    Raises `FormatError` for a name that is not one path part, `UsageError` if the old
    archive has other files, which would be lost.
    """
    place = _place(initramfs)
    if place is not None:
        _only_file(place, initramfs)
    rest = place.rest_of(initramfs) if place else initramfs
    return b"".join((blob_archive(name, blob), rest))


def has_blob(initramfs: memoryview | bytes) -> bool:
    """Whether a blob or operand is in front of it already."""
    return _place(initramfs) is not None


def blob_name(path: Path, initramfs: memoryview | bytes) -> str:
    """The name of the blob's file in its folder."""
    place = _place(initramfs)
    if place is None:
        raise UsageError(f"{path}: no blob in front of it")
    return _only_file(place, initramfs).entry.name.removeprefix(f"{FOLDER}/")


def _place(initramfs: memoryview | bytes) -> BlobPlace | None:
    try:
        place = find_blob(initramfs)
    except FormatError:
        return None
    return place if place.archive_size else None


def _only_file(place: BlobPlace, initramfs: memoryview | bytes) -> PlacedEntry:
    """The file that is all of the archive; what else is in it could not be kept."""
    archive = memoryview(initramfs)[: place.archive_size]
    files = [each for each in entries_of(archive) if len(each.entry.data)]
    if len(files) != 1 or files[0].data_offset != place.offset:
        names = ", ".join(each.entry.name for each in files)
        raise UsageError(f"the blob's archive has more in it than the blob: {names}")
    return files[0]
