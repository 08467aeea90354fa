"""ESM blob: an encrypted item, digests or attachment (esm.md 1.2, 1.3).

The package `cryptography` is loaded when the first item is opened or sealed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.images.esm_blob_refusal import (
    BlobError,
    BlobRefusal,
    EsmProfile,
    check_size,
    check_string,
)
from pefstack.images.fdt_node import FdtNode

ALGORITHM: Final = "AES256-GCM"
IV_SIZE: Final = 16
MAC_SIZE: Final = 16
KEY_SIZE: Final = 32
MAX_SIZE: Final = 0xFFFF  # the real code keeps the length in 16 bits
COMMENT: Final = "untrusted-comment"

_IV_SIZES: Final = {
    EsmProfile.REAL: (range(8, 129),),  # what the package can do
    EsmProfile.STRICT: (range(12, 13), range(16, 17)),
}
_MAC_SIZES: Final = {EsmProfile.REAL: range(4, 17), EsmProfile.STRICT: range(16, 17)}
_KEY_SIZES: Final = {
    EsmProfile.REAL: (range(16, 17), range(24, 25), range(32, 33)),
    EsmProfile.STRICT: (range(32, 33),),
}
_MEMBERS: Final = ("algorithm", "iv", "mac", "ciphertext")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """AES-GCM without additional data; ``comment`` has no NUL, and nobody checks it.

    Nothing binds an item to its place: under one key it can be moved to another.
    """

    iv: bytes
    mac: bytes
    ciphertext: bytes
    comment: bytes = b""

    @classmethod
    def from_node(cls, node: FdtNode, profile: EsmProfile) -> Item:
        """The item of a node; `BlobError` B_ITEM, B_ALGORITHM, B_IV, B_MAC_SIZE or
        B_CIPHERTEXT."""
        values = {name: node.get(name) for name in _MEMBERS}
        if missing := [name for name, value in values.items() if value is None]:
            field = f"{node.name} {missing[0]}"
            raise BlobError(BlobRefusal.ITEM, field, 0, "none", "a property")
        if profile is EsmProfile.STRICT:
            check_string(BlobRefusal.ALGORITHM, node, "algorithm", ALGORITHM)
        _, iv, mac, ciphertext = (value or b"" for value in values.values())
        check_size(BlobRefusal.IV, f"{node.name} iv", iv, *_IV_SIZES[profile])
        check_size(BlobRefusal.MAC_SIZE, f"{node.name} mac", mac, _MAC_SIZES[profile])
        room = range(MAX_SIZE + 1)
        field = f"{node.name} ciphertext"
        check_size(BlobRefusal.CIPHERTEXT, field, ciphertext, room)
        comment = (node.get(COMMENT) or b"").removesuffix(b"\0")
        return cls(iv=iv, mac=mac, ciphertext=ciphertext, comment=comment)

    def to_node(self, name: str) -> FdtNode:
        """Its node; properties in the order of IBM's tool."""
        return FdtNode(
            name=name,
            properties=(
                ("mac", self.mac),
                ("iv", self.iv),
                ("ciphertext", self.ciphertext),
                (COMMENT, self.comment + b"\0"),
                ("algorithm", ALGORITHM.encode() + b"\0"),
            ),
        )

    def open(self, key: bytes, profile: EsmProfile = EsmProfile.STRICT) -> bytes:
        """The content; `BlobError` B_MASTER_KEY, or B_TAG when anything was changed."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        check_key(key, profile)
        mode = modes.GCM(self.iv, self.mac, min_tag_length=len(self.mac))
        context = Cipher(algorithms.AES(key), mode).decryptor()
        content = context.update(self.ciphertext)
        try:
            return content + context.finalize()
        except InvalidTag:
            right = "the tag under the master key"
            raise BlobError(BlobRefusal.TAG, "mac", 0, self.mac.hex(), right) from None


def check_key(key: bytes, profile: EsmProfile) -> None:
    """`BlobError` B_MASTER_KEY unless the master key has a size of the profile."""
    check_size(BlobRefusal.MASTER_KEY, "master key", key, *_KEY_SIZES[profile])


def seal_item(key: bytes, iv: bytes, content: bytes, comment: str = "") -> Item:
    """An item of 32 bytes of key and 16 of IV, which must be new for every item.

    Raises `BlobError`: B_MASTER_KEY, B_IV, B_CIPHERTEXT, and B_ITEM for a comment with
    a NUL or of two lines.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    check_key(key, EsmProfile.STRICT)
    check_size(BlobRefusal.IV, "iv", iv, range(IV_SIZE, IV_SIZE + 1))
    check_size(BlobRefusal.CIPHERTEXT, "content", content, range(MAX_SIZE + 1))
    context = Cipher(algorithms.AES(key), modes.GCM(iv)).encryptor()
    ciphertext = context.update(content) + context.finalize()
    text = comment_bytes(comment)
    return Item(iv=iv, mac=context.tag, ciphertext=ciphertext, comment=text)


def comment_bytes(comment: str) -> bytes:
    """UTF-8 of one line; `BlobError` B_ITEM for more, or for a NUL."""
    raw = comment.encode("utf-8", "replace")
    if set(raw) & {0, 10}:
        raise BlobError(BlobRefusal.ITEM, COMMENT, 0, repr(comment), "one line of text")
    return raw
