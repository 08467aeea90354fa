"""An ESM blob: the regions of its device tree, with what is encrypted named so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError
from pefstack.images.esm_attachments import read_attachments
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_blob_refusal import BlobError, EsmProfile
from pefstack.images.fdt import Fdt
from pefstack.tools.inspection.device_tree import device_tree_regions
from pefstack.tools.inspection.region import Region

_WORD: Final = 12  # tag, size and name of a property
_ENCRYPTED: Final = {
    "encrypted-symkey": "master key, under RSA-OAEP",
    "ciphertext": "under AES-256-GCM",
}


def is_esm_blob(raw: Buffer) -> bool:
    """Whether a device tree has lockboxes; `FormatError` if it is broken."""
    tree, _ = Fdt.from_prefix(raw, unique=False)
    return tree.find("/lockboxes") is not None


def esm_blob_regions(raw: Buffer) -> Iterator[Region]:
    """In the order of the file; `FormatError` if the tree is broken."""
    for region in device_tree_regions(raw):
        if region.name == "header":
            text = f"{region.value}; profile strict: {_verdict(raw)}"
            yield replace(region, value=text)
        elif word := _ENCRYPTED.get(region.name):
            size = len(region.value) // 2
            yield replace(region, value=f"0x{size:x} bytes, {word}")
        elif region.name == "files-fdt":
            start = region.offset + _WORD
            files = bytes(raw[start : region.offset + region.size])
            yield replace(region, value=_attachments(files))
        else:
            yield region


def _verdict(raw: Buffer) -> str:
    try:
        EsmBlob.from_prefix(raw, EsmProfile.STRICT)
    except BlobError as error:
        return str(error)
    return "nothing is wrong without a key"


def _attachments(files_fdt: bytes) -> str:
    try:
        found = read_attachments(files_fdt, EsmProfile.REAL)
    except FormatError as error:
        return str(error)
    words = (f"{each.name} 0x{len(each.item.ciphertext):x} bytes" for each in found)
    return f"attachments: {', '.join(words) or 'none'}"
