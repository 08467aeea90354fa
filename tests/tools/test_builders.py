"""Images from a description: what stands where, and what cannot be built."""

from __future__ import annotations

import hashlib
import lzma
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pefstack import FormatError, Machine, UsageError
from pefstack.hw.flip import FlipSpec, flipped
from pefstack.images import ecc
from pefstack.images.ffs import FfsTable
from pefstack.tools.builders.content import content, key_set
from pefstack.tools.builders.content_spec import ContentSpec
from pefstack.tools.builders.machine import BuiltImages, build_images
from pefstack.tools.builders.spec import ImageSpec, KeysSpec
from pefstack.tools.built import build_folder
from pefstack.tools.machine_file import BUILT_IN, load

SMALL = BUILT_IN / "small.toml"
KEYS = BUILT_IN / "keys" / "imprint"
PART = "image.flash.partition"


def built(*settings: str) -> BuiltImages:
    document = load(SMALL, settings)
    machine: dict[str, Any] = document["machine"]
    return build_images(ImageSpec.from_mapping(document["image"]), machine)


def test_filler_follows_from_label_and_seed() -> None:
    spec = ContentSpec(fill=100)
    assert len(content(spec, "HBB")) == 100
    assert content(spec, "HBB") == content(spec, "HBB")
    assert content(spec, "HBB") != content(spec, "HBI")
    assert content(spec, "HBB") != content(ContentSpec(fill=100, seed="x"), "HBB")
    assert content(spec, "HBB") == content(ContentSpec(fill=200), "HBB")[:100]


def test_content_of_a_text_and_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0\xff")
    assert content(ContentSpec(text="é"), "X") == b"\xc3\xa9"
    assert content(ContentSpec(file=str(tmp_path / "a")), "X") == b"\0\xff"
    with pytest.raises(UsageError, match="none: No such file"):
        content(ContentSpec(file=str(tmp_path / "none")), "X")


def test_what_is_compressed_is_what_firmware_can_read() -> None:
    """One stream with CRC32 and one LZMA2 block, the same at every build."""
    made = content(ContentSpec(text="OPAL" * 1000, xz=True), "PAYLOAD")
    assert made[:8] == b"\xfd7zXZ\0\0\x01"  # magic, stream flags: CRC32
    assert made[-2:] == b"YZ"
    # block header: one filter, no sizes; LZMA2 with a dictionary of 8 MiB
    assert made[12:17] == bytes([0x02, 0x00, 0x21, 0x01, 0x16])
    reader = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    assert reader.decompress(made) == b"OPAL" * 1000
    assert (reader.eof, reader.unused_data) == (True, b"")
    assert made == content(ContentSpec(text="OPAL" * 1000, xz=True), "PAYLOAD")
    assert len(made) < 100


def test_bits_are_counted_from_the_lowest() -> None:
    flips = (FlipSpec(offset=1, bit=7), FlipSpec(offset=0))
    assert flipped(b"\0\0\0", flips, "X") == b"\x01\x80\0"


def test_published_keys_have_the_published_hash() -> None:
    keys = key_set(KeysSpec(file=str(KEYS)))
    assert keys.hw_key_hash.hex().startswith("40d487ff7380ed6ad54775d5795fea0d")
    assert len(keys.software) == 3


def test_keys_of_a_seed_are_keys_of_nobody_else() -> None:
    one, same, other = (key_set(KeysSpec(seed=seed)) for seed in ("a", "a", "b"))
    assert one.hw_key_hash == same.hw_key_hash
    assert one.hw_key_hash != other.hw_key_hash


def test_a_folder_without_software_keys(tmp_path: Path) -> None:
    for name in "abc":
        shutil.copy(KEYS / f"hw_key_{name}.key", tmp_path)
    with pytest.raises(UsageError, match=r"no software key; expected sw_key_p\.key"):
        key_set(KeysSpec(file=str(tmp_path)))


def test_a_key_that_is_none_is_malformed_input(tmp_path: Path) -> None:
    shutil.copytree(KEYS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "hw_key_b.key").write_text("no key")
    with pytest.raises(FormatError) as wrong:
        key_set(KeysSpec(file=str(tmp_path)))
    assert (wrong.value.format_name, wrong.value.field) == (
        "private key",
        "hw_key_b.key",
    )


def test_the_flash_holds_two_tables_and_what_was_described() -> None:
    images = built()
    flash, end = bytes(images.flash), 0x100000
    table, _ = FfsTable.from_prefix(flash[:0x1000], flash_size=end)
    assert flash[end - 0x9000 : end - 0x8000] == flash[:0x1000]
    names = ["part", "NVRAM", "SECBOOT", "HBB", "HBI", "PAYLOAD"]
    assert [entry.name for entry in table.entries] == names
    assert table.extent("HBB") == (0x10000, 0x12000)
    assert flash[0xE0000:0xE1000] == b"\xff" * 0x1000
    assert flash[0x90000:0x90004] == bytes.fromhex("17082011")  # without ECC


def test_a_partition_is_filled_and_behind_ecc_to_its_end() -> None:
    raw = bytes(built().flash)[0x10000:0x22000]
    found = ecc.decode(raw)
    assert (found.corrected, found.uncorrectable) == ((), ())
    payload = content(ContentSpec(fill=0x8000), "HBB")
    assert found.data[:4] == bytes.fromhex("17082011")
    assert found.data[0x1000:0x9000] == payload
    assert found.data[33 + 1052 : 97 + 1052] == hashlib.sha512(payload).digest()
    assert set(found.data[0x9000:]) == {0xFF}


def test_fuses_hold_the_hash_of_the_keys_unless_they_are_said() -> None:
    assert built().spec.fuses.hw_key_hash.hex().startswith("40d487ff")
    said = built(f"machine.fuses.hw-key-hash={'ab' * 64}")
    assert said.spec.fuses.hw_key_hash == b"\xab" * 64


def test_a_flip_changes_one_bit_of_the_container() -> None:
    plain = Machine("small").flash["HBB"].data
    changed = Machine("tampered-hbb").flash["HBB"].data
    differing = int.from_bytes(plain, "big") ^ int.from_bytes(changed, "big")
    assert differing == 1 << (8 * (len(plain) - 1 - 0x1800) + 3)


IMPOSSIBLE = [
    (f"{PART}.HBB.base=0x30000", "image.flash.partition: FFS table: HBI", "0x30"),
    (f"{PART}.HBB.base=0xfff0000", "image.flash.partition: FFS table: HBB", "0xfff0"),
    (f"{PART}.PAYLOAD.base=0xc0000", "PAYLOAD.base", "on the second table at 0xf7000"),
    (f"{PART}.HBB.flags=RZ", "HBB.flags", "found 'Z', expected some of PRBFVCG"),
    (f"{PART}.HBB.content.fill=0x10000", "HBB.content", "found 0x11000 bytes"),
    (f"{PART}.HBB.flip=[{{offset=0x9000}}]", "HBB.flip", "less than 0x9000"),
    ("image.seeprom.hbbl.flip=[{offset=0x1800}]", "hbbl.flip", "less than 0x1800"),
    (f"{PART}.HBB.color=1", "image.flash.partition.HBB.color", "no such setting"),
    ("image=5", "image", "found 5, expected a table"),
    ("machine=5", "machine", "found 5, expected a table"),
]


@pytest.mark.parametrize(("setting", "key", "problem"), IMPOSSIBLE)
def test_what_cannot_be_built_is_named_with_file_and_key(
    tmp_path: Path, setting: str, key: str, problem: str
) -> None:
    with pytest.raises(UsageError) as wrong:
        build_folder(SMALL, load(SMALL, [setting]), tmp_path / "out")
    assert str(wrong.value).startswith(f"{SMALL}: {key}")
    assert problem in str(wrong.value)
    assert not (tmp_path / "out").exists()


def test_more_software_keys_than_there_are(tmp_path: Path) -> None:
    for path in KEYS.glob("*.key"):
        if not re.search("sw_key_[qr]", path.name):
            shutil.copy(path, tmp_path)
    document = load(SMALL, [f"image.keys.file={tmp_path}"])
    with pytest.raises(UsageError, match="found 1 keys, expected 3") as wrong:
        build_folder(SMALL, document, tmp_path / "out")
    assert str(wrong.value).startswith(f"{SMALL}: HBI.container.sw-keys")
