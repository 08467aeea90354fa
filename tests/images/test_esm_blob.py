"""ESM blobs: every refusal in both profiles, sealing, and hostile bytes."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from esm_kit import BLOBS, blob_bytes
from pefstack.images.esm_attachments import Attachment, write_attachments
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_blob_refusal import BlobError, BlobRefusal, EsmProfile
from pefstack.images.esm_digests import EsmDigests, command_line
from pefstack.images.esm_item import Item, seal_item
from pefstack.images.esm_lockbox import Lockbox, choose_lockbox, next_name
from pefstack.images.fdt import Fdt
from pefstack.images.fdt_node import FdtNode

REAL, STRICT = EsmProfile.REAL, EsmProfile.STRICT
RAW: Final = blob_bytes("b")
KEY: Final = bytes.fromhex(BLOBS["b"]["master_key"])
BLOB: Final = EsmBlob.from_bytes(RAW)
SEALED: Final = BLOB.digests or Item(iv=b"", mac=b"", ciphertext=b"")
TREE: Final = Fdt.from_bytes(RAW)
DIGESTS: Final = BLOB.open_digests(KEY)
IV: Final = bytes(range(16))
Changed = dict[str, bytes | None]


def changed(path: str, properties: Changed, tree: Fdt = TREE) -> bytes:
    """The tree with properties of one node changed, added or (None) taken out."""
    parts = [each for each in path.split("/") if each]
    return Fdt(root=_changed(tree.root, parts, properties)).to_bytes()


def _changed(node: FdtNode, parts: list[str], properties: Changed) -> FdtNode:
    if not parts:
        kept = {**dict(node.properties), **properties}
        left = tuple((key, value) for key, value in kept.items() if value is not None)
        return replace(node, properties=left)
    children = tuple(
        _changed(each, parts[1:], properties) if each.name == parts[0] else each
        for each in node.children
    )
    return replace(node, children=children)


def refusal(raw: bytes, profile: EsmProfile, key: bytes = KEY) -> str:
    """Of the blob or its digests."""
    try:
        EsmBlob.from_bytes(raw, profile).open_digests(key, profile)
    except BlobError as error:
        return error.refusal.value
    return "OK"


ITEM = "/digest/digests-fdt"
MATRIX = [
    ("/", {"compatible": b"ibm,esm"}, "OK", "B_COMPATIBLE"),
    ("/", {"compatible": None}, "OK", "B_COMPATIBLE"),
    ("/", {"more": b"x"}, "OK", "OK"),
    (ITEM, {"algorithm": b"AES256-GCM"}, "OK", "B_ALGORITHM"),
    (ITEM, {"algorithm": None}, "B_ITEM", "B_ITEM"),
    (ITEM, {"iv": None}, "B_ITEM", "B_ITEM"),
    (ITEM, {"iv": b""}, "B_IV", "B_IV"),
    (ITEM, {"iv": bytes(7)}, "B_IV", "B_IV"),
    (ITEM, {"iv": bytes(8)}, "B_TAG", "B_IV"),
    (ITEM, {"iv": bytes(129)}, "B_IV", "B_IV"),
    (ITEM, {"iv": bytes(16)}, "B_TAG", "B_TAG"),
    (ITEM, {"mac": None}, "B_ITEM", "B_ITEM"),
    (ITEM, {"mac": bytes(3)}, "B_MAC_SIZE", "B_MAC_SIZE"),
    (ITEM, {"mac": bytes(4)}, "B_TAG", "B_MAC_SIZE"),
    (ITEM, {"mac": bytes(16)}, "B_TAG", "B_TAG"),
    (ITEM, {"mac": bytes(17)}, "B_MAC_SIZE", "B_MAC_SIZE"),
    (ITEM, {"ciphertext": None}, "B_ITEM", "B_ITEM"),
    (ITEM, {"ciphertext": b""}, "B_TAG", "B_TAG"),
    (ITEM, {"ciphertext": bytes(65536)}, "B_CIPHERTEXT", "B_CIPHERTEXT"),
    (ITEM, {"untrusted-comment": b"\xff"}, "OK", "OK"),
    ("/file", {"files-fdt": None}, "OK", "OK"),
    ("/file", {"files-fdt": b"junk"}, "OK", "B_FILES_TREE"),
]


@pytest.mark.parametrize(("path", "properties", "real", "strict"), MATRIX)
def test_refusals(path: str, properties: Changed, real: str, strict: str) -> None:
    raw = changed(path, properties)
    assert (refusal(raw, REAL), refusal(raw, STRICT)) == (real, strict)


@pytest.mark.parametrize("size", [0, 15, 16, 24, 31, 32, 33])
def test_sizes_of_a_master_key(size: int) -> None:
    real = "B_TAG" if size in (16, 24, 32) else "B_MASTER_KEY"
    assert refusal(RAW, REAL, bytes(size)) == real
    strict = "B_TAG" if size == 32 else "B_MASTER_KEY"
    assert refusal(RAW, STRICT, bytes(size)) == strict


def sealed(digests: bytes) -> EsmBlob:
    return replace(BLOB, digests=seal_item(KEY, IV, digests))


PLAIN = Fdt.from_bytes(DIGESTS.to_bytes())
DIGEST_MATRIX = [
    ("/", {"compatible": b"ibm,esm-file\0"}, "OK", "B_COMPATIBLE"),
    ("/digests", {"algorithm": b"SHA256\0"}, "OK", "B_DIGEST_VALUE"),
    ("/digests", {"kernel": bytes(63)}, "B_DIGEST_VALUE", "B_DIGEST_VALUE"),
    ("/digests", {"kernel": bytes(65)}, "OK", "B_DIGEST_VALUE"),
    ("/digests", {"rtas": None}, "B_DIGEST_VALUE", "B_DIGEST_VALUE"),
    ("/digests", {"kernel-size": bytes(4)}, "B_KERNEL_SIZE", "B_KERNEL_SIZE"),
    ("/digests", {"kernel-size": b"\0\0\1"}, "B_DIGEST_VALUE", "B_DIGEST_VALUE"),
    ("/digests", {"kernel-size": b"\0\0\0\1\0"}, "OK", "B_DIGEST_VALUE"),
    ("/digests", {"more": bytes(3587)}, "OK", "B_DIGEST_TREE"),
]


@pytest.mark.parametrize(("path", "properties", "real", "strict"), DIGEST_MATRIX)
def test_refusals_of_the_digest_tree(
    path: str, properties: Changed, real: str, strict: str
) -> None:
    raw = sealed(changed(path, properties, PLAIN)).to_bytes()
    assert (refusal(raw, REAL), refusal(raw, STRICT)) == (real, strict)


@pytest.mark.parametrize("content", [b"", b"\xd0\x0d\xfe\xed", bytes(509)])
def test_a_digest_tree_that_is_none(content: bytes) -> None:
    """The real code crashes here (vector dig-garbage)."""
    raw = sealed(content).to_bytes()
    assert refusal(raw, REAL) == refusal(raw, STRICT) == "B_DIGEST_TREE"


def test_a_digest_tree_without_digests() -> None:
    raw = sealed(Fdt(root=FdtNode()).to_bytes()).to_bytes()
    assert refusal(raw, REAL) == refusal(raw, STRICT) == "B_DIGEST_TREE"


def twice(path: str) -> bytes:
    """The first child of a node stands twice."""
    node = TREE.node(path)
    doubled = replace(node, children=(node.children[0], *node.children))
    children = tuple(doubled if each is node else each for each in TREE.root.children)
    return Fdt(root=replace(TREE.root, children=children)).to_bytes()


@pytest.mark.parametrize("path", ["/lockboxes", "/digest"])
def test_a_node_that_stands_twice(path: str) -> None:
    assert (refusal(twice(path), REAL), refusal(twice(path), STRICT)) == (
        "OK",
        "B_TREE",
    )


def boxes(*names: str) -> tuple[Lockbox, ...]:
    """Each with a fingerprint of its own name."""
    return tuple(
        Lockbox(name=name, fingerprint=name.encode(), encrypted_symkey=bytes(256))
        for name in names
    )


@pytest.mark.parametrize(
    ("names", "mine", "real", "strict"),
    [
        (("lockbox-2", "lockbox-1"), "lockbox-2", "lockbox-1", "lockbox-2"),
        (("lockbox-2", "lockbox-1"), "other", "lockbox-1", "lockbox-1"),
        (("lockbox-2",), "lockbox-2", None, "lockbox-2"),
        (("lockbox-10", "origin-lockbox"), "other", None, None),
        (("lockbox-1@0", "lockbox-1"), "other", "lockbox-1@0", "lockbox-1@0"),
        ((), "other", None, None),
    ],
)
def test_which_lockbox_is_chosen(
    names: tuple[str, ...], mine: str, real: str | None, strict: str | None
) -> None:
    for profile, expected in ((REAL, real), (STRICT, strict)):
        if expected is None:
            with pytest.raises(BlobError, match="B_NO_LOCKBOX"):
                choose_lockbox(boxes(*names), mine.encode(), profile)
        else:
            chosen = choose_lockbox(boxes(*names), mine.encode(), profile)
            assert chosen.name == expected


@pytest.mark.parametrize("size", [0, 255, 257, 512])
def test_a_lockbox_of_another_size(size: int) -> None:
    box = replace(boxes("lockbox-1")[0], encrypted_symkey=bytes(size))
    for profile in EsmProfile:
        with pytest.raises(BlobError, match="B_LOCKBOX"):
            choose_lockbox((box,), b"", profile)


def test_a_lockbox_with_a_unit_address() -> None:
    raw = replace_lockboxes("lockbox-1@0", "origin-lockbox")
    assert EsmBlob.from_bytes(raw, REAL).lockboxes[0].name == "lockbox-1@0"
    with pytest.raises(BlobError, match="B_LOCKBOX_NAME"):
        EsmBlob.from_bytes(raw)


def replace_lockboxes(*names: str) -> bytes:
    node = FdtNode(
        name="lockboxes", children=tuple(each.to_node() for each in boxes(*names))
    )
    children = (node, *TREE.root.children[1:])
    return Fdt(root=replace(TREE.root, children=children)).to_bytes()


def test_a_fingerprint_of_another_hash_is_none() -> None:
    path = "/lockboxes/lockbox-2/pubkey-fingerprint"
    blob = EsmBlob.from_bytes(changed(path, {"algorithm": b"SHA512\0"}))
    assert blob.lockboxes[0].fingerprint == b""


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), "lockbox-1"),
        (("origin-lockbox",), "lockbox-1"),
        (("lockbox-1", "lockbox-7", "lockbox-3"), "lockbox-8"),
        (("lockbox-0", "lockbox-01", "lockbox-9@1"), "lockbox-1"),
    ],
)
def test_the_next_lockbox(names: tuple[str, ...], expected: str) -> None:
    assert next_name(boxes(*names)) == expected


def test_items_are_those_of_another_implementation() -> None:
    item = seal_item(KEY, IV, b"content", "comment")
    assert item.ciphertext + item.mac == AESGCM(KEY).encrypt(IV, b"content", None)
    assert item.open(KEY) == b"content"
    assert item.comment == b"comment"


def test_items_that_are_not_sealed() -> None:
    for key, iv, content, comment, word in (
        (KEY[1:], IV, b"", "", "B_MASTER_KEY"),
        (KEY, IV[4:], b"", "", "B_IV"),
        (KEY, IV, bytes(65536), "", "B_CIPHERTEXT"),
        (KEY, IV, b"", "a\nb", "B_ITEM"),
        (KEY, IV, b"", "a\0b", "B_ITEM"),
    ):
        with pytest.raises(BlobError, match=word):
            seal_item(key, iv, content, comment)


def test_attachments() -> None:
    files = (
        Attachment(name="rootd", item=seal_item(KEY, IV, b"passphrase")),
        Attachment(name="b.2", item=seal_item(KEY, IV[::-1], b"", "empty")),
    )
    blob = EsmBlob.from_bytes(
        replace(BLOB, files_fdt=write_attachments(files)).to_bytes()
    )
    for profile in EsmProfile:
        assert blob.open_file("rootd", KEY, profile) == b"passphrase"
        assert blob.open_file("b.2", KEY, profile) == b""
        for name in ("root", "", "rootd/", "../files/rootd", "rootd@1"):
            with pytest.raises(BlobError, match="B_NO_FILE"):
                blob.open_file(name, KEY, profile)
        with pytest.raises(BlobError, match="B_TAG"):
            blob.open_file("rootd", bytes(32), profile)
    assert write_attachments(()) == b""
    with pytest.raises(BlobError, match="B_NO_FILE"):
        replace(BLOB, files_fdt=b"").open_file("rootd", KEY)


@pytest.mark.parametrize("name", ["", "1a", "a" * 32, "a/b", "a b", "ü"])
def test_names_of_attachments(name: str) -> None:
    with pytest.raises(BlobError, match="B_FILE_NAME"):
        write_attachments((Attachment(name=name, item=SEALED),))


def test_the_tree_of_attachments_is_checked() -> None:
    inner = Fdt.from_bytes(BLOB.files_fdt)
    for raw, word in (
        (changed("/", {"compatible": b"ibm,esm\0"}, inner), "B_COMPATIBLE"),
        (changed("/files/rootd", {"mac": bytes(12)}, inner), "B_MAC_SIZE"),
        (changed("/files", {"more": bytes(65536)}, inner), "B_FILES_TREE"),
        (BLOB.files_fdt[:-1], "B_FILES_TREE"),
        (Fdt(root=replace(inner.root, children=())).to_bytes(), "B_FILES_TREE"),
    ):
        blob = changed("/file", {"files-fdt": raw})
        assert refusal(blob, STRICT) == word
        assert refusal(blob, REAL) == "OK"


@pytest.mark.parametrize(
    ("bootargs", "real", "strict"),
    [
        (b"a b\0", b"a b", b"a b"),
        (b"\0", b"", b""),
        (b"", None, None),
        (b"abc", b"ab", None),
        (b"a\0b\0", b"a\0b", None),
        (b"a\0\0", b"a\0", None),
    ],
)
def test_command_line(
    bootargs: bytes, real: bytes | None, strict: bytes | None
) -> None:
    for profile, expected in ((REAL, real), (STRICT, strict)):
        if expected is None:
            with pytest.raises(BlobError, match="B_BOOTARGS"):
                command_line(bootargs, profile)
        else:
            assert command_line(bootargs, profile) == expected


def test_guest_is_compared_part_by_part() -> None:
    digests = EsmDigests(
        kernel_size=1, kernel=b"k" * 64, initrd=b"i" * 64, bootargs=b"b" * 64
    )
    guest = {"kernel": b"k" * 64, "initrd": b"i" * 64, "bootargs": b"b" * 64}
    guest["rtas"] = digests.rtas
    digests.check_guest(guest)
    assert digests.differing({}) == ("rtas", "kernel", "initrd", "bootargs")
    for part, value in guest.items():
        wrong = guest | {part: value[:-1] + b"!"}
        assert digests.differing(wrong) == (part,)
        with pytest.raises(BlobError, match=f"another {part}.*B_DIGEST"):
            digests.check_guest(wrong)


@pytest.mark.parametrize("size", [0, -1, 1 << 32])
def test_kernel_sizes_that_are_not_written(size: int) -> None:
    with pytest.raises(BlobError, match="B_KERNEL_SIZE"):
        replace(DIGESTS, kernel_size=size).to_bytes()


def test_every_refusal_is_provoked() -> None:
    """The list of this file's tests is complete: each name stands in one."""
    text = Path(__file__).read_text()
    missing = [each for each in BlobRefusal if not re.search(f"\\b{each}\\b", text)]
    assert missing == []


def test_error_survives_pickling() -> None:
    with pytest.raises(BlobError) as caught:
        EsmBlob.from_bytes(RAW + b"\0")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.refusal) == (str(caught.value), BlobRefusal.TREE)


def test_cut_short() -> None:
    for end in range(0, len(RAW), 61):
        for profile in EsmProfile:
            assert refusal(RAW[:end], profile) == "B_TREE"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(RAW) - 1), st.integers(0, 255))),
    st.sampled_from(EsmProfile),
)
def test_noise(changes: list[tuple[int, int]], profile: EsmProfile) -> None:
    raw = bytearray(RAW)
    for at, value in changes:
        raw[at] = value
    known = {"OK", *(each.value for each in BlobRefusal)}
    assert refusal(bytes(raw), profile) in known


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=40), max_size=4),
    st.binary(min_size=32, max_size=32),
    st.text("abc ü", max_size=20),
)
def test_round_trip(contents: list[bytes], key: bytes, comment: str) -> None:
    files = tuple(
        Attachment(name=f"f{index}", item=seal_item(key, IV, content, comment))
        for index, content in enumerate(contents)
    )
    blob = EsmBlob(
        lockboxes=boxes("lockbox-1", "origin-lockbox"),
        digests=seal_item(key, IV, DIGESTS.to_bytes(), comment),
        files_fdt=write_attachments(files),
    )
    for profile in EsmProfile:
        again = EsmBlob.from_bytes(blob.to_bytes(), profile)
        assert again == blob
        assert again.open_digests(key, profile) == DIGESTS
        for index, content in enumerate(contents):
            assert again.open_file(f"f{index}", key, profile) == content
