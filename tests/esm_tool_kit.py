"""What the tests of `pef esm` share: keys, guests and randomness of the vectors."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from esm_kit import BLOBS, VECTORS, blob_bytes
from pefstack.images.esm_attachments import read_attachments
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_blob_refusal import EsmProfile
from pefstack.images.esm_lockbox import Lockbox
from pefstack.tools.cli.app import main

KEYS: Final = VECTORS / "keys"
INPUTS: Final = VECTORS / "in"
LINES: Final = {
    "a": "init=/bin/sh svm=1",
    "b": "  root=/dev/vda1   svm=on\tconsole=hvc0 ",
    "c": "",
}
INITRDS: Final = {
    "a": "initrd-a.cpio",
    "b": "initrd-b.cpio.xz",
    "c": "initrd-c.cpio.gz",
}


def public(name: str) -> Path:
    return KEYS / f"{name}.pub.pem"


def secret(name: str) -> Path:
    return KEYS / f"{name}.sec.pem"


def guest(name: str) -> list[str]:
    """The options of `digest` for a guest of the vectors."""
    kernel, initrd = INPUTS / f"vmlinux-{name}.elf", INPUTS / INITRDS[name]
    return [f"-a={LINES[name]}", "-i", str(initrd), "-k", str(kernel)]


def pef_esm(*words: str | Path) -> int:
    """`pef esm WORDS` in this process; its exit code, also of wrong use."""
    try:
        return main(["esm", *map(str, words)])
    except SystemExit as left:
        assert isinstance(left.code, int)
        return left.code


def good(*words: str | Path) -> None:
    assert pef_esm(*words) == 0


class ScriptedStream:
    """Gives what it was told, in this order, and in these sizes."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self.parts = list(parts)

    def random_bytes(self, count: int) -> bytes:
        part = self.parts.pop(0)
        assert len(part) == count
        return part


def randomness_of(name: str) -> list[bytes]:
    """What IBM's tool drew for a blob: master key, seeds of OAEP, IVs."""
    blob, expected = EsmBlob.from_bytes(blob_bytes(name)), BLOBS[name]
    boxes = [(box, expected["lockboxes"][box.name]) for box in blob.lockboxes]
    seeds = [oaep_seed(box, given) for box, given in reversed(boxes)]
    files = read_attachments(blob.files_fdt, EsmProfile.STRICT)
    assert blob.digests is not None
    ivs = [blob.digests.iv, *(each.item.iv for each in reversed(files))]
    return [bytes.fromhex(expected["master_key"]), *seeds, *ivs]


def oaep_seed(box: Lockbox, given: dict[str, Any]) -> bytes:
    """The 32 random bytes of a lockbox, by plain arithmetic with its secret key."""
    key = load_pem_private_key((VECTORS / given["opens_with"]).read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    numbers = key.private_numbers()
    cipher = int.from_bytes(box.encrypted_symkey, "big")
    block = pow(cipher, numbers.d, numbers.public_numbers.n).to_bytes(256, "big")
    masked, data = block[1:33], block[33:]
    counts = range(-(-len(masked) // 32))
    mask = b"".join(sha256(data + n.to_bytes(4, "big")).digest() for n in counts)
    return bytes(a ^ b for a, b in zip(masked, mask, strict=True))


def without_leftovers(raw: bytes) -> bytes:
    """A tree of IBM's tool with zeros for padding, and so of a tree within.

    libfdt moves blocks to make room and leaves there what stood at the place.
    """
    clean, names = bytearray(raw), struct.unpack_from(">I", raw, 12)[0]
    at, end = struct.unpack_from(">I", raw, 8)[0], names
    while at < end:
        (tag,), at = struct.unpack_from(">I", raw, at), at + 4
        if tag == 1:
            at = padded(clean, at, raw.index(b"\0", at) + 1)
        elif tag == 3:
            size, start = struct.unpack_from(">I", raw, at)[0], at + 8
            value = raw[start : start + size]
            if value.startswith(b"\xd0\x0d\xfe\xed"):
                clean[start : start + size] = without_leftovers(value)
            at = padded(clean, start, start + size)
    return bytes(clean)


def padded(clean: bytearray, start: int, stop: int) -> int:
    end = start + -(-(stop - start) // 4) * 4
    clean[stop:end] = bytes(end - stop)
    return end


def ibms_blob(name: str) -> bytes:
    """A blob of IBM's tool without leftovers, those in its digest tree neither."""
    raw, key = blob_bytes(name), bytes.fromhex(BLOBS[name]["master_key"])
    item = EsmBlob.from_bytes(raw).digests
    assert item is not None
    cipher, old = AESGCM(key), item.ciphertext + item.mac
    tree = without_leftovers(cipher.decrypt(item.iv, old, None))
    new = cipher.encrypt(item.iv, tree, None)
    for before, after in ((old[:-16], new[:-16]), (old[-16:], new[-16:])):
        assert raw.count(before) == 1
        raw = raw.replace(before, after)
    return without_leftovers(raw)
