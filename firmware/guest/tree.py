"""The device tree that a pseries guest has when it asks for secure mode.

Names and values as QEMU's firmware and Linux's prom_init leave them, in few nodes; what
the ultravisor reads of it is in esm.md 2.1 and real-guest.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final, Literal

from pefstack.hw.guest_spec import GuestSpec
from pefstack.hw.memory import PAGE_SIZE
from pefstack.images.fdt import Fdt, FdtNode
from pefstack.images.fdt_node import Property
from pefstack.images.rtas import OS_TERM_TOKEN, RTAS_SIZE, RTAS_TEXT

_PVR_POWER9: Final = 0x004E_1202
_TIMEBASE: Final = 512_000_000
_CLOCK: Final = 1_000_000_000
_VTY: Final = 0x7100_0000
_EMPTY: Final = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeContent:
    """What of a tree differs from guest to guest; addresses are the guest's.

    ``bootargs`` without its NUL. ``rng_seed``: random bytes for the kernel, new at
    each boot; b"" leaves the property out. ``swapped_blob``: addresses of the ESM blob
    in the byte order of a little-endian boot wrapper, a defect (real-guest.md).
    """

    bootargs: bytes
    rtas_base: int
    initrd: range | None = None
    esm_blob: range | None = None
    rng_seed: bytes = field(default=b"", repr=False)
    swapped_blob: bool = False


def guest_tree(spec: GuestSpec, content: TreeContent) -> Fdt:
    """The tree of a VM; it reserves the initramfs and the RTAS area, whole pages."""
    root = FdtNode(
        properties=(
            ("#address-cells", _cells(2)),
            ("#size-cells", _cells(2)),
            ("device_type", _text("chrp")),
            ("model", _text("IBM pSeries (emulated by qemu)")),
            ("compatible", _text("qemu,pseries")),
        ),
        children=(
            _chosen(spec, content),
            _memory(spec),
            _cpus(spec),
            _rtas(spec, content),
            _vdevice(),
        ),
    )
    return Fdt(root=root, reserve_map=_reserved(content))


def _chosen(spec: GuestSpec, content: TreeContent) -> FdtNode:
    properties: list[Property] = [
        ("bootargs", content.bootargs + b"\0"),
        ("linux,stdout-path", _text(f"/vdevice/vty@{_VTY:x}")),
    ]
    if content.initrd:
        size = 8 if spec.firmware == "slof" else 4
        properties += _bounds("linux,initrd", content.initrd, size, "big")
    if content.esm_blob:
        order: Literal["little", "big"] = "little" if content.swapped_blob else "big"
        properties += _bounds("linux,esm-blob", content.esm_blob, 4, order)
    if content.rng_seed:
        properties.append(("rng-seed", content.rng_seed))
    return FdtNode(name="chosen", properties=tuple(properties))


def _memory(spec: GuestSpec) -> FdtNode:
    properties = (
        ("device_type", _text("memory")),
        ("reg", struct.pack(">QQ", 0, spec.memory)),
        ("ibm,associativity", _cells(4, 0, 0, 0, 0)),
    )
    return FdtNode(name="memory@0", properties=properties)


def _cpus(spec: GuestSpec) -> FdtNode:
    return FdtNode(
        name="cpus",
        properties=(("#address-cells", _cells(1)), ("#size-cells", _cells(0))),
        children=tuple(_cpu(number) for number in range(spec.cpus)),
    )


def _cpu(number: int) -> FdtNode:
    properties = (
        ("device_type", _text("cpu")),
        ("reg", _cells(number)),
        ("status", _text("okay")),
        ("cpu-version", _cells(_PVR_POWER9)),
        ("64-bit", _EMPTY),
        ("clock-frequency", _cells(_CLOCK)),
        ("timebase-frequency", _cells(_TIMEBASE)),
        ("d-cache-block-size", _cells(128)),
        ("i-cache-block-size", _cells(128)),
        ("ibm,ppc-interrupt-server#s", _cells(number)),
        ("ibm,ppc-interrupt-gserver#s", _cells(number, 0)),
    )
    return FdtNode(name=f"cpu@{number:x}", properties=properties)


def _rtas(spec: GuestSpec, content: TreeContent) -> FdtNode:
    properties = [
        ("rtas-version", _cells(1)),
        ("rtas-size", _cells(RTAS_SIZE)),
        ("ibm,os-term", _cells(OS_TERM_TOKEN)),
        ("ibm,extended-os-term", _EMPTY),
        ("linux,rtas-base", _cells(content.rtas_base)),
        ("linux,rtas-entry", _cells(content.rtas_base)),
    ]
    if spec.firmware == "slof":
        properties.append(("slof,rtas-size", _cells(len(RTAS_TEXT))))
    return FdtNode(name="rtas", properties=tuple(properties))


def _vdevice() -> FdtNode:
    console = FdtNode(
        name=f"vty@{_VTY:x}",
        properties=(
            ("device_type", _text("serial")),
            ("compatible", _text("hvterm1")),
            ("reg", _cells(_VTY)),
        ),
    )
    return FdtNode(
        name="vdevice",
        properties=(
            ("device_type", _text("vdevice")),
            ("compatible", _text("IBM,vdevice")),
            ("#address-cells", _cells(1)),
            ("#size-cells", _cells(0)),
        ),
        children=(console,),
    )


def _reserved(content: TreeContent) -> tuple[tuple[int, int], ...]:
    ranges = [(content.rtas_base, PAGE_SIZE)]
    if content.initrd:
        size = -(-len(content.initrd) // PAGE_SIZE) * PAGE_SIZE
        ranges.insert(0, (content.initrd.start, size))
    return tuple(ranges)


def _bounds(
    name: str, place: range, size: int, order: Literal["little", "big"]
) -> list[Property]:
    ends = (("start", place.start), ("end", place.stop))
    return [(f"{name}-{end}", at.to_bytes(size, order)) for end, at in ends]


def _cells(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def _text(text: str) -> bytes:
    return text.encode() + b"\0"
