"""The device tree that OPAL makes from HDAT, and its place in memory.

Nodes and names are those of skiboot (boot-chain.md 4.2), as far as a reader needs them
for secure and trusted boot. The buses of the TPM: I2C on POWER9; SPI on POWER10, whose
nodes no public firmware makes and which are named here (project decision).
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware.hdat import Hdat
from pefstack.firmware.memory_map import (
    CVC_ADDRESS,
    CVC_SIZE,
    DEVICE_TREE_ADDRESS,
    DEVICE_TREE_SIZE,
    HDAT_ADDRESS,
    HDAT_SIZE,
    PAYLOAD_ADDRESS,
)
from pefstack.hw.board import Board
from pefstack.images import iplparams, tpmrel
from pefstack.images.fdt import Fdt, FdtNode
from pefstack.images.fdt_node import Property
from pefstack.images.tpmrel import NodeTpm

XSCOM_BASE: Final = 0x6_03FC_0000_0000
XSCOM_SIZE: Final = 0x8_0000_0000
CVC_PHANDLE: Final = 1
_CHIP_SHIFT: Final = 42
_NUVOTON: Final[tuple[int, tuple[str, ...]]] = (
    0x57,
    ("nuvoton,npct650", "nuvoton,npct601"),
)
_TIS: Final[tuple[int, tuple[str, ...]]] = (0, ("tcg,tpm_tis-spi",))
_SERVICE_NAMES: Final = {
    tpmrel.SERVICE_SHA512: "ibm,cvc-sha512",
    tpmrel.SERVICE_VERIFY: "ibm,cvc-verify",
}
# what an operating system leaves alone: name, start, end
_RESERVED: Final = (
    ("ibm,secure-crypt-algo-code", CVC_ADDRESS, CVC_ADDRESS + CVC_SIZE),
    ("ibm,firmware-code", PAYLOAD_ADDRESS, DEVICE_TREE_ADDRESS),
    ("ibm,firmware-heap", DEVICE_TREE_ADDRESS, HDAT_ADDRESS),
    ("ibm,firmware-data", HDAT_ADDRESS, HDAT_ADDRESS + HDAT_SIZE),
)


def device_tree(hdat: Hdat, memory_size: int, *, first_disabled: bool = False) -> Fdt:
    """The whole tree of a machine with ``memory_size`` bytes from address 0.

    ``first_disabled``: the first TPM was given up meanwhile; its log stays.
    """
    names = (hdat.system.sys_family, hdat.system.sys_type)
    readable = [each.split(b"\0")[0].decode("ascii", "replace") for each in names]
    root = FdtNode(
        properties=(
            *_cells_of_children(2, 2),
            ("compatible", texts("ibm,powernv", *readable)),
            ("model", texts("pefstack")),
        ),
        children=(
            _node("chosen"),
            _memory(memory_size),
            _reserved_memory(),
            _secure_boot(hdat),
            *_chips(hdat, first_disabled=first_disabled),
        ),
    )
    ranges = tuple((start, end - start) for _, start, end in _RESERVED)
    return Fdt(root=root, reserve_map=ranges)


def put_tree(board: Board, tree: Fdt) -> int:
    """Write the flattened tree to its place; its size in bytes."""
    raw = tree.to_bytes()
    board.memory.write(DEVICE_TREE_ADDRESS, raw)
    return len(raw)


def read_tree(board: Board) -> bytes:
    """The flattened tree in memory; nothing as long as there is none.

    Raises `FormatError` when something else was written over it.
    """
    raw = board.memory.read(DEVICE_TREE_ADDRESS, DEVICE_TREE_SIZE)
    if not any(raw[:64]):
        return b""
    _, size = Fdt.from_prefix(raw)
    return raw[:size]


def log_place(tree: Fdt) -> range | None:
    """Where the event log of the first TPM is that has one."""
    for _, node in tree.nodes():
        if node.get("linux,sml-base") is not None:
            base = node.u64("linux,sml-base")
            return range(base, base + node.u32("linux,sml-size"))
    return None


def texts(*words: str) -> bytes:
    """A list of strings, a NUL behind each."""
    return b"".join(each.encode("ascii", "replace") + b"\0" for each in words)


def cells(*numbers: int) -> bytes:
    """32-bit numbers."""
    return b"".join(each.to_bytes(4, "big") for each in numbers)


def _wide(*numbers: int) -> bytes:
    return b"".join(each.to_bytes(8, "big") for each in numbers)


def _node(
    name: str, *properties: Property, children: tuple[FdtNode, ...] = ()
) -> FdtNode:
    return FdtNode(name=name, properties=properties, children=children)


def _cells_of_children(address: int, size: int) -> tuple[Property, ...]:
    return ("#address-cells", cells(address)), ("#size-cells", cells(size))


def _memory(size: int) -> FdtNode:
    return _node(
        "memory@0",
        ("device_type", texts("memory")),
        ("reg", _wide(0, size)),
        ("ibm,chip-id", cells(0)),
    )


def _reserved_memory() -> FdtNode:
    children = []
    for name, start, end in _RESERVED:
        region: list[Property] = [("reg", _wide(start, end - start))]
        if start == CVC_ADDRESS:
            region.append(("phandle", cells(CVC_PHANDLE)))
        children.append(_node(f"{name}@{start:x}", *region))
    return _node(
        "reserved-memory",
        *_cells_of_children(2, 2),
        ("ranges", b""),
        children=tuple(children),
    )


def _secure_boot(hdat: Hdat) -> FdtNode:
    system = hdat.system
    setting = system.sys_sec_setting
    properties: list[Property] = [
        ("compatible", texts("ibm,secureboot", "ibm,secureboot-v2"))
    ]
    if setting & iplparams.SIGNATURE_CHECKING:
        properties.append(("secure-enabled", b""))
    if setting & iplparams.HASHES_EXTENDED:
        properties.append(("trusted-enabled", b""))
    properties += [
        ("hw-key-hash", system.hw_key_hash[: system.hw_key_hash_size]),
        ("hw-key-hash-size", cells(system.hw_key_hash_size)),
    ]
    return _node("ibm,secureboot", *properties, children=(_verification_code(hdat),))


def _verification_code(hdat: Hdat) -> FdtNode:
    """The services that OPAL may call, but for types that skiboot does not know."""
    children = {
        each.offset: _node(
            f"ibm,cvc-service@{each.offset:x}",
            ("compatible", texts(_SERVICE_NAMES[each.type])),
            ("reg", cells(each.offset)),
            ("version", cells(each.version)),
        )
        for each in hdat.services
        if each.type in _SERVICE_NAMES
    }
    return _node(
        "ibm,cvc",
        *_cells_of_children(1, 0),
        ("compatible", texts("ibm,container-verification-code")),
        ("memory-region", cells(CVC_PHANDLE)),
        children=tuple(children.values()),
    )


def _chips(hdat: Hdat, *, first_disabled: bool) -> tuple[FdtNode, ...]:
    """The SCOM bus of each chip that has a TPM, the master chip's first."""
    pairs = zip(hdat.tpms, hdat.log_places, strict=True)
    bus = _i2c if hdat.power9 else _spi
    device = _NUVOTON if hdat.power9 else _TIS
    generation = "power9" if hdat.power9 else "power10"
    nodes = []
    for number, (tpm, place) in enumerate(pairs):
        base = XSCOM_BASE + (number << _CHIP_SHIFT)
        there = tpm.status != tpmrel.STATUS_ABSENT
        given_up = first_disabled and number == 0
        chip = _tpm(device, tpm, place, given_up=given_up)
        node = _node(
            f"xscom@{base:x}",
            *_cells_of_children(1, 1),
            ("compatible", texts("ibm,xscom", f"ibm,{generation}-xscom")),
            ("reg", _wide(base, XSCOM_SIZE)),
            ("ibm,chip-id", cells(number)),
            children=(bus(number, chip),) if there else (),
        )
        nodes.append(node)
    return tuple(nodes)


def _i2c(number: int, chip: FdtNode) -> FdtNode:
    port = _node(
        "i2c-bus@0",
        *_cells_of_children(1, 0),
        ("compatible", texts("ibm,opal-i2c", "ibm,power9-i2c-port")),
        ("reg", cells(0)),
        ("ibm,opal-id", cells(number)),
        ("bus-frequency", cells(400_000)),
        children=(chip,),
    )
    return _node(
        "i2cm@a2000",
        *_cells_of_children(1, 0),
        ("compatible", texts("ibm,power8-i2cm", "ibm,power9-i2cm")),
        ("reg", cells(0xA2000, 0x1000)),
        children=(port,),
    )


def _spi(_: int, chip: FdtNode) -> FdtNode:
    return _node(
        "pib_spic@c0080",
        *_cells_of_children(1, 0),
        ("compatible", texts("ibm,power10-pib_spic")),
        ("reg", cells(0xC0080, 0x20)),
        ("spic_num#", cells(4)),
        children=(chip,),
    )


def _tpm(
    device: tuple[int, tuple[str, ...]], tpm: NodeTpm, place: range, *, given_up: bool
) -> FdtNode:
    """A TPM; one that is not functional gives no log."""
    address, compatible = device
    functional = tpm.status == tpmrel.STATUS_FUNCTIONAL
    properties: list[Property] = [
        ("reg", cells(address)),
        ("compatible", texts(*compatible)),
        ("label", texts("tpm")),
    ]
    if functional and place:
        properties += [
            ("linux,sml-base", _wide(place.start)),
            ("linux,sml-size", cells(len(place))),
        ]
    okay = functional and not given_up
    properties.append(("status", texts("okay" if okay else "disabled")))
    return _node(f"tpm@{address:x}", *properties)
