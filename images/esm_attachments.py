"""ESM blob: attachments, in a device tree inside the blob (esm.md 1.2, 3.5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pefstack.images.esm_blob_refusal import (
    BlobError,
    BlobRefusal,
    EsmProfile,
    check_size,
    check_string,
    find_node,
    read_tree,
)
from pefstack.images.esm_item import COMMENT, Item
from pefstack.images.fdt import Fdt
from pefstack.images.fdt_node import FdtNode

COMPATIBLE: Final = "ibm,esm-file"
MAX_TREE_SIZE: Final = 0x10000
_NAMES: Final = ("compatible", "algorithm", COMMENT, "ciphertext", "iv", "mac")
_NAME: Final = re.compile(r"[A-Za-z][0-9A-Za-z,._+-]{0,30}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A named item; nothing binds the content to the name."""

    name: str
    item: Item


def read_attachments(files_fdt: bytes, profile: EsmProfile) -> tuple[Attachment, ...]:
    """All of them, in the order of the tree; none for no tree.

    Raises `BlobError` B_FILES_TREE, B_COMPATIBLE, and what an item is refused for.
    """
    if not files_fdt:
        return ()
    fdt = _tree(files_fdt, profile)
    node = find_node(fdt, "/files", profile)
    if node is None:
        raise BlobError(BlobRefusal.FILES_TREE, "/files", 0, "none", "a node")
    return tuple(
        Attachment(name=each.name, item=Item.from_node(each, profile))
        for each in node.children
    )


def find_attachment(files_fdt: bytes, name: str, profile: EsmProfile) -> Item:
    """The item of this name; of the others nothing is looked at but the tree.

    Raises `BlobError` B_NO_FILE, or as `read_attachments`.
    """
    fdt = _tree(files_fdt, profile) if files_fdt else None
    node = find_node(fdt, f"/files/{name}", profile) if fdt and name else None
    if node is None or "/" in name:
        found = f"no {name!r}"
        raise BlobError(BlobRefusal.NO_FILE, "/files", 0, found, "an attachment")
    return Item.from_node(node, profile)


def write_attachments(attachments: tuple[Attachment, ...]) -> bytes:
    """The tree, none for no attachment; `BlobError` B_FILE_NAME, B_FILES_TREE."""
    if not attachments:
        return b""
    for each in attachments:
        if _NAME.fullmatch(each.name) is None:
            right = f"a name like {_NAME.pattern}"
            raise BlobError(BlobRefusal.FILE_NAME, "name", 0, repr(each.name), right)
    nodes = tuple(each.item.to_node(each.name) for each in attachments)
    root = FdtNode(
        properties=(("compatible", COMPATIBLE.encode() + b"\0"),),
        children=(FdtNode(name="files", children=nodes),),
    )
    raw = Fdt(root=root).to_bytes(_NAMES)
    read_attachments(raw, EsmProfile.STRICT)
    return raw


def _tree(files_fdt: bytes, profile: EsmProfile) -> Fdt:
    fdt, _ = read_tree(BlobRefusal.FILES_TREE, files_fdt, profile)
    if profile is EsmProfile.STRICT:
        room = range(MAX_TREE_SIZE + 1)
        check_size(BlobRefusal.FILES_TREE, "files-fdt", files_fdt, room)
        check_string(BlobRefusal.COMPATIBLE, fdt.root, "compatible", COMPATIBLE)
    return fdt
