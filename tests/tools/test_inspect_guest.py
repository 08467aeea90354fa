"""pef inspect: initramfs images, vmlinux, zImage."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from elf_kit import ESM, FLAT, Made, Part, kernel
from pefstack.images.cpio import CpioEntry, write_archive
from pefstack.images.initramfs import OPERAND_MAGIC, blob_archive
from pefstack.tools.cli.app import main
from pefstack.tools.inspection.inspect_file import Inspection, inspect_bytes
from pefstack.tools.inspection.region import Region


def inspected(raw: bytes, name: str) -> Inspection:
    """The regions cover the file from its first byte to its last."""
    found, at = inspect_bytes(raw), 0
    for region in found.regions:
        assert region.offset == at, region
        at += region.size
    assert at == found.size == len(raw)
    assert found.format == name
    return found


def only(found: Inspection, name: str) -> Region:
    (region,) = (each for each in found.regions if each.name == name)
    return region


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_an_initramfs_with_a_blob(name: str) -> None:
    raw = (ESM / f"esmb-initrd-{name}.img").read_bytes()
    found = inspected(raw, "cpio")
    blob = only(found, "ESM blob")
    assert blob.offset == 608
    assert blob.value == "ESM blob, version 1 (device tree)"
    rest = only(found, "initramfs")
    assert rest.offset == len(raw) - rest.size
    digest = hashlib.sha512(raw[rest.offset :]).hexdigest()
    kinds = {"a": "not empty", "b": "xz", "c": "gzip"}
    assert rest.value == f"{kinds[name]}; SHA-512 {digest}"
    assert only(found, "padding").value == "zero"


def test_a_blob_behind_other_bytes_of_its_file() -> None:
    found = inspected((ESM / "cases" / "cpio-inner4.initrd").read_bytes(), "cpio")
    assert (only(found, "data").size, only(found, "ESM blob").offset) == (8, 0x260)


def test_an_operand() -> None:
    found = inspected(blob_archive("x", OPERAND_MAGIC + bytes(40)), "cpio")
    assert only(found, "ESM blob").value == "ESM operand, version 2"
    assert found.regions[-1].name == "padding"


def test_an_initramfs_without_a_blob() -> None:
    raw = (ESM / "in" / "initrd-a.cpio").read_bytes()
    found = inspected(raw, "cpio")
    none = only(found, "no ESM blob")
    assert (none.offset, none.size) == (0x2F0, 0)
    assert none.value.startswith("initramfs: name, at 0x1c6: found b'etc/id")
    assert only(found, "initramfs").value == "zero"
    headers = [each.value for each in found.regions if each.name == "header"]
    assert headers[3:] == ["etc/id, mode 0100644, 0x5 bytes", headers[4]]


def test_a_blob_in_an_archive_that_is_not_padded() -> None:
    raw = write_archive([CpioEntry(name="opt/ibm/pef/x", data=b"ESMO")], padding=4)
    none = only(inspected(raw, "cpio"), "no ESM blob")
    assert none.value.startswith("initramfs: archive size")


def test_vmlinux() -> None:
    found = inspected(kernel().to_bytes(), "ELF")
    digest = hashlib.sha512(FLAT).hexdigest()
    words = f"flat image 0x{len(FLAT):x} bytes, SHA-512 {digest}"
    assert only(found, "header").value == f"ELF64, little-endian, machine 21; {words}"
    text = only(found, ".text")
    assert (text.offset, text.size) == (0x1000, 0x20)
    assert only(found, "program headers").value == "2"


def test_an_elf_file_without_a_flat_image() -> None:
    value = only(inspected(Made([]).to_bytes(), "ELF"), "header").value
    assert "; no flat image: ELF: sections, at 0x0: found none" in value


@pytest.mark.parametrize(
    ("name", "compression", "blob"),
    [
        ("le-gz", "gzip", "ESM blob, version 1 (device tree)"),
        ("le-xz-noblob", "xz", None),
        ("be-none", "none", "a 32-bit wrapper does not look at it"),
    ],
)
def test_zimages(name: str, compression: str, blob: str | None) -> None:
    raw = (ESM / "zimage" / f"zImage-{name}.elf").read_bytes()
    found = inspected(raw, "ELF")
    assert only(found, "header").value.endswith("; zImage")
    digest = hashlib.sha512((ESM / "in" / "vmlinux-a.bin").read_bytes()).hexdigest()
    kernel = only(found, ".kernel:vmlinux.strip").value
    assert kernel.startswith(f"{compression}; unpacks to 0x1")
    assert kernel.endswith(f"flat image 0x208 bytes, SHA-512 {digest}")
    assert only(found, "__builtin_cmdline").value == "empty"
    blobs = [each.value for each in found.regions if each.name == ".kernel:esm_blob"]
    assert blobs == ([blob] if blob else [])


def test_a_zimage_with_broken_parts() -> None:
    parts = [
        Part(".kernel:vmlinux.strip", 0x400, b"1234"),
        Part(".kernel:esm_blob", 0x410, b"5678"),
        Part("__builtin_cmdline", 0x420, b"quiet\0"),
    ]
    found = inspected(Made(parts).to_bytes(), "ELF")
    text = only(found, ".kernel:vmlinux.strip").value
    assert text.startswith("none; broken: compression: magic")
    assert only(found, ".kernel:esm_blob").value == "neither ESM blob nor operand"
    assert only(found, "__builtin_cmdline").value == "b'quiet'"


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "initramfs"
    file.write_bytes(blob_archive("x", OPERAND_MAGIC))
    assert main(["inspect", str(file), "--json"]) == 0
    regions = json.loads(capsys.readouterr().out)["regions"]
    assert "ESM blob" in [each["name"] for each in regions]
    file.write_bytes(file.read_bytes()[:130])
    assert main(["inspect", str(file)]) == 3
    assert "cpio: " in capsys.readouterr().err
