"""ESM blob, the format of the real machines: a flattened device tree (esm.md 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.esm_attachments import find_attachment, read_attachments
from pefstack.images.esm_blob_refusal import (
    BlobError,
    BlobRefusal,
    EsmProfile,
    check_string,
    find_node,
    read_tree,
    refused_as,
)
from pefstack.images.esm_digests import COMPATIBLE, EsmDigests
from pefstack.images.esm_item import COMMENT, Item, check_key
from pefstack.images.esm_lockbox import Lockbox
from pefstack.images.fdt import Fdt
from pefstack.images.fdt_node import FdtNode

MAX_LOCKBOX_COUNT: Final = 1024
# the strings block of IBM's tool
_NAMES: Final = (
    *("compatible", COMMENT, "encrypted-symkey", "algorithm", "hash"),
    *("ciphertext", "iv", "mac", "files-fdt"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EsmBlob:
    """Lockboxes in the order of the tree, newest first; ``digests`` is encrypted.

    ``files_fdt`` is the nested tree of the attachments, or empty. A blob without
    digests is not finished: no guest starts with it.
    """

    lockboxes: tuple[Lockbox, ...]
    digests: Item | None
    files_fdt: bytes = b""

    @classmethod
    def from_prefix(
        cls,
        raw: Buffer,
        profile: EsmProfile = EsmProfile.STRICT,
        *,
        unfinished: bool = False,
    ) -> tuple[EsmBlob, int]:
        """The blob at the start of ``raw``, and its size.

        Raises `BlobError`: B_TREE, and for the digests what an item is refused for;
        that there are none only unless ``unfinished``. ``STRICT`` also refuses
        B_COMPATIBLE, B_LOCKBOX_NAME, and broken attachments.
        """
        fdt, size = read_tree(BlobRefusal.TREE, raw, profile)
        if profile is EsmProfile.STRICT:
            check_string(BlobRefusal.COMPATIBLE, fdt.root, "compatible", COMPATIBLE)
        files = find_node(fdt, "/file", profile)
        blob = cls(
            lockboxes=_lockboxes(fdt, profile),
            digests=_digests(fdt, profile, unfinished),
            files_fdt=(files.get("files-fdt") if files else None) or b"",
        )
        if profile is EsmProfile.STRICT:
            read_attachments(blob.files_fdt, profile)
        return blob, size

    @classmethod
    def from_bytes(
        cls,
        raw: Buffer,
        profile: EsmProfile = EsmProfile.STRICT,
        *,
        unfinished: bool = False,
    ) -> EsmBlob:
        """A blob and nothing behind it; errors as `from_prefix`."""
        blob, size = cls.from_prefix(raw, profile, unfinished=unfinished)
        if rest := len(raw) - size:
            found = f"0x{rest:x} bytes"
            raise BlobError(BlobRefusal.TREE, "end", size, found, "no more bytes")
        return blob

    def to_bytes(self) -> bytes:
        """The bytes that IBM's tool writes; `BlobError` for what ``STRICT`` refuses."""
        files = (("files-fdt", self.files_fdt),) if self.files_fdt else ()
        digests = (self.digests.to_node("digests-fdt"),) if self.digests else ()
        root = FdtNode(
            properties=(("compatible", COMPATIBLE.encode() + b"\0"),),
            children=(
                FdtNode(
                    name="lockboxes",
                    children=tuple(each.to_node() for each in self.lockboxes),
                ),
                FdtNode(name="digest", children=digests),
                FdtNode(name="file", properties=files),
            ),
        )
        raw = refused_as(BlobRefusal.TREE, lambda: Fdt(root=root).to_bytes(_NAMES))
        EsmBlob.from_bytes(raw, unfinished=self.digests is None)
        return raw

    def open_digests(
        self, master_key: bytes, profile: EsmProfile = EsmProfile.STRICT
    ) -> EsmDigests:
        """The digests; `BlobError` of `Item.open` and of `EsmDigests.from_bytes`."""
        if self.digests is None:
            raise _no_digests()
        return EsmDigests.from_bytes(self.digests.open(master_key, profile), profile)

    def open_file(
        self, name: str, master_key: bytes, profile: EsmProfile = EsmProfile.STRICT
    ) -> bytes:
        """An attachment; `BlobError` B_NO_FILE, and of its item."""
        check_key(master_key, profile)
        return find_attachment(self.files_fdt, name, profile).open(master_key, profile)


def _lockboxes(fdt: Fdt, profile: EsmProfile) -> tuple[Lockbox, ...]:
    node = find_node(fdt, "/lockboxes", profile)
    children = node.children if node else ()
    if len(children) > MAX_LOCKBOX_COUNT:
        found, right = f"0x{len(children):x}", f"at most 0x{MAX_LOCKBOX_COUNT:x}"
        raise BlobError(BlobRefusal.TREE, "lockboxes", 0, found, right)
    names = (each.name for each in children if "@" in each.name)
    if profile is EsmProfile.STRICT and (name := next(names, None)):
        right = "a name without a unit address"
        raise BlobError(BlobRefusal.LOCKBOX_NAME, "lockbox", 0, repr(name), right)
    return tuple(Lockbox.from_node(each) for each in children)


def _digests(fdt: Fdt, profile: EsmProfile, unfinished: bool) -> Item | None:
    node = find_node(fdt, "/digest/digests-fdt", profile)
    if node is None:
        if unfinished:
            return None
        raise _no_digests()
    return Item.from_node(node, profile)


def _no_digests() -> BlobError:
    return BlobError(BlobRefusal.ITEM, "/digest/digests-fdt", 0, "none", "a node")
