"""What a customer does to an ESM blob: a new blob for each change, nothing in place."""

from __future__ import annotations

from dataclasses import replace

from pefstack.hw.tpm.crypto.stream import Stream
from pefstack.images.esm_attachments import (
    Attachment,
    read_attachments,
    write_attachments,
)
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_blob_refusal import EsmProfile
from pefstack.images.esm_digests import EsmDigests
from pefstack.images.esm_item import IV_SIZE, KEY_SIZE, Item, seal_item
from pefstack.images.esm_lockbox import ORIGIN, next_name
from pefstack.tools.errors import UsageError, asked_for
from pefstack.tools.esm.keys import PublicKey
from pefstack.tools.esm_sealing import make_lockbox


def new_blob(
    owner: PublicKey, stream: Stream, comment: str = ""
) -> tuple[EsmBlob, bytes]:
    """A blob with the owner's lockbox and nothing else, and its master key."""
    key = stream.random_bytes(KEY_SIZE)
    box = asked_for(lambda: make_lockbox(ORIGIN, owner.pem, key, stream, comment))
    return EsmBlob(lockboxes=(box,), digests=None), key


def authorize(
    blob: EsmBlob, key: PublicKey, master_key: bytes, stream: Stream, comment: str = ""
) -> EsmBlob:
    """With a lockbox more; `UsageError` for a key that has one."""
    if taken := next((each for each in blob.lockboxes if key.owns(each)), None):
        raise UsageError(f"this key is authorized already, by {taken.name}")
    name = next_name(blob.lockboxes)
    box = asked_for(lambda: make_lockbox(name, key.pem, master_key, stream, comment))
    return replace(blob, lockboxes=(box, *blob.lockboxes))


def revoke(blob: EsmBlob, key: PublicKey, *, last: bool = False) -> EsmBlob:
    """Without the key's lockboxes.

    The master key stays what it is: copies of the blob made before open as they did.
    Raises `UsageError` for a key without lockbox, the owner's, and, unless ``last``,
    the last one of a machine.
    """
    names = [each.name for each in blob.lockboxes if key.owns(each)]
    if not names:
        raise UsageError("this key is not authorized: it has no lockbox")
    if ORIGIN in names:
        raise UsageError(
            "this is the owner's key, without which nothing can be changed"
        )
    left = tuple(each for each in blob.lockboxes if not key.owns(each))
    if not last and all(each.name == ORIGIN for each in left):
        raise UsageError(f"{names[0]} is the last lockbox of a machine")
    return replace(blob, lockboxes=left)


def put_digests(
    blob: EsmBlob,
    digests: EsmDigests,
    master_key: bytes,
    stream: Stream,
    comment: str = "",
) -> EsmBlob:
    """With these digests, whatever there were."""
    content = digests.to_bytes()
    return replace(blob, digests=_sealed(content, master_key, stream, comment))


def attach(
    blob: EsmBlob,
    attachment: tuple[str, bytes],
    master_key: bytes,
    stream: Stream,
    comment: str = "",
) -> EsmBlob:
    """With an attachment (name, content) more, in front of the others.

    Raises `UsageError` for a name in use or none that a blob can have, and for more
    than 64 KiB in all.
    """
    name, content = attachment
    there = read_attachments(blob.files_fdt, EsmProfile.STRICT)
    if name in {each.name for each in there}:
        raise UsageError(f"{name}: the blob has an attachment of this name")
    item = _sealed(content, master_key, stream, comment)
    files = (Attachment(name=name, item=item), *there)
    return replace(blob, files_fdt=asked_for(lambda: write_attachments(files)))


def detach(blob: EsmBlob, name: str) -> EsmBlob:
    """Without an attachment; `UsageError` if there is none of this name."""
    there = _attachments_with(blob, name)
    left = tuple(each for each in there if each.name != name)
    return replace(blob, files_fdt=write_attachments(left))


def open_attachment(blob: EsmBlob, name: str, master_key: bytes) -> bytes:
    """Its content; `UsageError` as `detach`, `BlobError` B_TAG if it was changed."""
    _attachments_with(blob, name)
    return blob.open_file(name, master_key)


def _attachments_with(blob: EsmBlob, name: str) -> tuple[Attachment, ...]:
    there = read_attachments(blob.files_fdt, EsmProfile.STRICT)
    if name not in (names := [each.name for each in there]):
        known = ", ".join(names) or "none"
        raise UsageError(f"{name}: not attached; there are: {known}")
    return there


def _sealed(content: bytes, master_key: bytes, stream: Stream, comment: str) -> Item:
    iv = stream.random_bytes(IV_SIZE)
    return asked_for(lambda: seal_item(master_key, iv, content, comment))
