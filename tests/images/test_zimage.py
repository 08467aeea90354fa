"""zImages: parts by name, what each class of wrapper uses, limits."""

from __future__ import annotations

import gzip
import lzma

import pytest

from elf_kit import ESM, FLAT, NOBITS, Made, Part, kernel
from pefstack.images.elf import Elf
from pefstack.images.errors import FormatError
from pefstack.images.flat_image import flat_image
from pefstack.images.initramfs import BLOB_MAGIC
from pefstack.images.zimage import Zimage, is_zimage

KERNEL = ".kernel:vmlinux.strip"
FOREIGN = [
    ("zImage-le-gz", "gzip", True),
    ("zImage-le-xz-noblob", "xz", False),
    ("zImage-be-none", "none", False),
]


@pytest.mark.parametrize(("name", "compression", "has_blob"), FOREIGN)
def test_foreign_zimages(name: str, compression: str, has_blob: bool) -> None:
    zimage = Zimage.from_bytes((ESM / "zimage" / f"{name}.elf").read_bytes())
    assert zimage.compression == compression
    flat = (ESM / "in" / "vmlinux-a.bin").read_bytes()
    assert flat_image(zimage.vmlinux()) == flat
    assert zimage.initrd is not None
    assert bytes(zimage.initrd) == (ESM / "in" / "initrd-a.cpio").read_bytes()
    assert zimage.cmdline is None
    blob = (ESM / "blob-a.dtb").read_bytes() if has_blob else None
    assert (zimage.esm_blob and bytes(zimage.esm_blob)) == blob


def test_a_32_bit_wrapper_does_not_look_at_its_blob() -> None:
    raw = (ESM / "zimage" / "zImage-be-none.elf").read_bytes()
    section = Elf.from_bytes(raw).named(".kernel:esm_blob")
    assert section is not None
    assert raw[section.sh_offset :][:4] == BLOB_MAGIC
    assert Zimage.from_bytes(raw).esm_blob is None


def made(*more: Part, packed: bytes | None = None, **changes: object) -> Made:
    packed = gzip.compress(kernel().to_bytes()) if packed is None else packed
    parts = [Part(KERNEL, 0x1000, packed), *more]
    wrapper = Made(parts, type=3)
    for name, value in changes.items():
        setattr(wrapper, name, value)
    return wrapper


def read(*more: Part, packed: bytes | None = None, **changes: object) -> Zimage:
    return Zimage.from_bytes(made(*more, packed=packed, **changes).to_bytes())


def test_parts() -> None:
    zimage = read(
        Part(".kernel:initrd", 0x8000, b"initrd"),
        Part(".kernel:esm_blob", 0x9000, b"blob"),
        Part("__builtin_cmdline", 0x9800, b"root=/dev/vda\0\0rest"),
    )
    assert flat_image(zimage.vmlinux()) == FLAT
    assert bytes(zimage.initrd or b"") == b"initrd"
    assert bytes(zimage.esm_blob or b"") == b"blob"
    assert zimage.cmdline == b"root=/dev/vda"


def test_parts_that_are_empty_are_none() -> None:
    names = (".kernel:initrd", ".kernel:esm_blob", "__builtin_cmdline")
    zimage = read(*[Part(name, 0x8000, b"") for name in names])
    assert (zimage.initrd, zimage.esm_blob, zimage.cmdline) == (None, None, None)
    assert read(Part(names[2], 0x8000, bytes(9))).cmdline is None


@pytest.mark.parametrize(
    "packed",
    [
        kernel().to_bytes(),
        gzip.compress(kernel().to_bytes()),
        lzma.compress(kernel().to_bytes()),
        gzip.compress(kernel().to_bytes()) + bytes(40),
    ],
    ids=["plain", "gzip", "xz", "gzip-and-more"],
)
def test_kernels_however_they_are_packed(packed: bytes) -> None:
    assert flat_image(read(packed=packed).vmlinux()) == FLAT


def refused(zimage: Made) -> tuple[str, str]:
    with pytest.raises(FormatError) as caught:
        Zimage.from_bytes(zimage.to_bytes())
    return caught.value.format_name, caught.value.field


def test_refused() -> None:
    assert refused(made(Part(KERNEL, 0x8000, b"1"))) == ("ELF", "section name")
    twice = [Part(".kernel:esm_blob", 0x8000 + n, b"1") for n in range(2)]
    assert refused(made(*twice)) == ("ELF", "section name")
    assert refused(kernel()) == ("zImage", "section")
    assert refused(made(packed=b"")) == ("zImage", "section")
    assert refused(made(type=1)) == ("zImage", "e_type")
    assert refused(made(machine=62)) == ("zImage", "e_machine")
    bss = Part(".kernel:initrd", 0x8000, b"", type=NOBITS, size=9)
    assert refused(made(bss)) == ("zImage", "section")
    unloaded = Part(".kernel:initrd", 0x8000, b"initrd", flags=0)
    assert refused(made(unloaded)) == ("zImage", "section")


def test_a_kernel_is_unpacked_up_to_its_limit() -> None:
    size = len(kernel().to_bytes())
    assert flat_image(read().vmlinux(limit=size)) == FLAT
    with pytest.raises(FormatError) as caught:
        read().vmlinux(limit=size - 1)
    assert caught.value.field == "gzip content"
    bomb = read(packed=gzip.compress(bytes(0x1000000)))
    with pytest.raises(FormatError, match="gzip content"):
        bomb.vmlinux(limit=0x1000)


@pytest.mark.parametrize(
    "packed", [b"1234", gzip.compress(b"no kernel")], ids=["short", "gzip"]
)
def test_no_kernel(packed: bytes) -> None:
    with pytest.raises(FormatError):
        read(packed=packed).vmlinux()


def test_which_files_are_zimages() -> None:
    assert is_zimage(Elf.from_bytes(made().to_bytes()))
    assert not is_zimage(Elf.from_bytes(kernel().to_bytes()))
