"""Contents and keys: from files, or from a seed."""

from __future__ import annotations

import hashlib
import lzma
from pathlib import Path

from pefstack.images.hash_page_table import ENTRY_SIZE
from pefstack.images.signing import (
    HW_KEY_NAMES,
    SW_KEY_NAMES,
    FileSigner,
    KeySet,
    seeded_key_set,
)
from pefstack.tools.builders.content_spec import ContentSpec
from pefstack.tools.builders.spec import KeysSpec
from pefstack.tools.errors import UsageError
from pefstack.tools.files import read_bytes


def content(spec: ContentSpec, label: str) -> bytes:
    """The bytes of a content; filler is different for each label and seed."""
    raw = _plain(spec, label)
    return _compressed(raw) if spec.xz else raw


def _plain(spec: ContentSpec, label: str) -> bytes:
    if spec.file:
        return read_bytes(Path(spec.file))
    if spec.text:
        return spec.text.encode()
    seed = f"pefstack fill {label} {spec.seed}".encode()
    return hashlib.shake_128(seed).digest(spec.fill)


def _compressed(raw: bytes) -> bytes:
    """An .xz file as firmware reads it: one block of LZMA2, and CRC32.

    xz-embedded, which Hostboot and skiboot use, knows no other check but none.
    """
    return lzma.compress(raw, lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, preset=6)


def page_salt(spec: ContentSpec | None, label: str) -> bytes:
    """What begins a hash page table: real ones have 32 random bytes there.

    Different for each label and seed. HBI's follows from HBB instead.
    """
    seed = "" if spec is None else spec.seed
    text = f"pefstack salt {label} {seed}".encode()
    return hashlib.shake_128(text).digest(ENTRY_SIZE)


def key_set(spec: KeysSpec) -> KeySet:
    """The keys of a folder (``hw_key_a.key`` … ``sw_key_r.key``), or of a seed."""
    if spec.seed:
        return seeded_key_set(spec.seed)
    folder = Path(spec.file)
    a, b, c = (_signer(folder / f"{name}.key") for name in HW_KEY_NAMES)
    there = [folder / f"{name}.key" for name in SW_KEY_NAMES]
    software = tuple(_signer(path) for path in there if path.is_file())
    if not software:
        raise UsageError(f"{folder}: no software key; expected sw_key_p.key")
    return KeySet(hardware=(a, b, c), software=software)


def _signer(path: Path) -> FileSigner:
    return FileSigner.from_pem(path.name, read_bytes(path))
