"""HDAT in memory, the device tree made from it, and OPAL deciding by it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pefstack import BootFailure, FormatError, Machine, Refusal
from pefstack.firmware import hand_over
from pefstack.firmware.invariants import broken_invariants
from pefstack.firmware.log import strlen_defect
from pefstack.hw.board import Board
from pefstack.images import tpmrel
from pefstack.images.event_log import EventLog
from pefstack.images.event_log_build import header
from pefstack.images.event_log_header import SHA1, SHA256
from pefstack.images.event_log_replay import replay
from pefstack.images.fdt import Fdt, FdtNode
from pefstack.images.iplparams import IplParameters
from pefstack.images.tpmrel import NodeTpm, TpmRel
from pefstack.tools.log_check import log_differences

VECTORS = Path(__file__).parents[1] / "vectors" / "boot-chain" / "eventlog"
REAL = (VECTORS / "op920-witherspoon-tpmrel.hdif").read_bytes()
IPL, TPMS = 0x3120_0000, 0x3120_1000
ENTRY = TPMS + 0x50
LOG = TPMS + 0x70
SETTING = IPL + 0x30 + 128
I2C = "/xscom@603fc00000000/i2cm@a2000/i2c-bus@0/tpm@57"
SPI = "/xscom@603fc00000000/pib_spic@c0080/tpm@0"


def structure(machine: Machine, address: int) -> bytes:
    (size,) = struct.unpack(">I", machine.board.memory.read(address + 12, 4))
    return machine.board.memory.read(address, size)


def handed_over(machine: Machine) -> TpmRel:
    machine.run(until="hostboot_ext")
    return TpmRel.from_bytes(structure(machine, TPMS))


def tree_of(machine: Machine) -> Fdt:
    return Fdt.from_bytes(machine.run().device_tree)


def test_power9_hands_over_as_a_real_machine_did() -> None:
    """All bytes but the log and the ids of two I2C devices that are not modelled."""
    p9 = Machine("p9")
    ours = bytearray(structure(p9.run(until="hostboot_ext"), TPMS))
    assert len(ours) == len(REAL)
    ours[0x70:0x10070] = REAL[0x70:0x10070]
    assert ours[0x10070:0x10078] == b"\xff" * 8
    ours[0x10070:0x10078] = REAL[0x10070:0x10078]
    assert bytes(ours) == REAL


def test_power10_has_its_own_versions(small: Machine) -> None:
    found = handed_over(small)
    assert found.version == 0x30
    assert found.tpms[0].localities == bytes(4)
    parameters = IplParameters.from_bytes(structure(small, IPL))
    assert parameters.version == 0x80
    assert parameters.system.effective_pvr == 0x0080_0200


@pytest.mark.parametrize(
    ("settings", "setting", "config"),
    [
        ([], 0xC000, 0x8000),
        (["machine.chip.smd=true"], 0x4000, 0x8000),
        (["machine.tpm.required=false"], 0xC000, 0),
        (
            [
                "machine.measure.profile=p10",
                "machine.tpm.dies-at=3",
                "machine.tpm.required=false",
            ],
            0x8000,
            0,
        ),
    ],
)
def test_security_settings_in_the_ipl_parameters(
    settings: list[str], setting: int, config: int
) -> None:
    machine = Machine("small", settings=settings).run(until="hostboot_ext")
    raw = structure(machine, IPL)[0x30:]
    fuses = machine.board.fuses
    assert struct.unpack_from(">4H", raw, 128) == (setting, config, 1, 64)
    assert raw[136:200] == fuses.hw_key_hash


def test_the_log_moves_from_7_kib_into_64(small: Machine) -> None:
    found = handed_over(small)
    log = small.event_log
    assert found.tpms[0].srtm_log == log.ljust(0x10000, b"\0")
    small.board.memory.write(0x2F00_0000, bytes(7168))  # nobody needs it any more
    small.run()
    assert small.event_log.startswith(log)
    assert log_differences(small.event_log, small.pcrs()) == {}


@pytest.mark.parametrize("name", ["small", "demo", "p10", "p9"])
def test_the_handed_over_log_accounts_for_all_pcrs(name: str) -> None:
    machine = Machine(name).run()
    assert log_differences(machine.event_log, machine.pcrs()) == {}


def test_the_tree_of_power9() -> None:
    tree = tree_of(Machine("p9"))
    node = tree.node(I2C)
    assert node.strings("compatible") == ("nuvoton,npct650", "nuvoton,npct601")
    assert (node.u32("reg"), node.string("label")) == (0x57, "tpm")
    assert node.u64("linux,sml-base") == LOG
    assert node.u32("linux,sml-size") == 0x10000
    assert node.string("status") == "okay"
    assert tree.root.strings("compatible")[0] == "ibm,powernv"


def test_the_tree_of_power10(small: Machine) -> None:
    tree = tree_of(small)
    node = tree.node(SPI)
    assert node.strings("compatible") == ("tcg,tpm_tis-spi",)
    assert node.u64("linux,sml-base") == LOG
    assert tree.find(I2C) is None


def test_the_secure_boot_node(small: Machine) -> None:
    tree = tree_of(small)
    node = tree.node("/ibm,secureboot")
    assert node.strings("compatible") == ("ibm,secureboot", "ibm,secureboot-v2")
    assert (node.get("secure-enabled"), node.get("trusted-enabled")) == (b"", b"")
    assert node.u32("hw-key-hash-size") == 64
    assert node.value("hw-key-hash") == small.board.fuses.hw_key_hash
    code = node.child("ibm,cvc")
    assert code is not None
    services = [
        (each.name, each.string("compatible"), each.u32("reg"), each.u32("version"))
        for each in code.children
    ]
    assert services == [
        ("ibm,cvc-service@40", "ibm,cvc-sha512", 0x40, 1),
        ("ibm,cvc-service@50", "ibm,cvc-verify", 0x50, 1),
    ]
    region = code.u32("memory-region")
    reserved = tree.node("/reserved-memory").children
    (place,) = [each for each in reserved if each.get("phandle")]
    assert place.u32("phandle") == region
    assert place.name.startswith("ibm,secure-crypt-algo-code@")


def test_memory_and_what_is_reserved(small: Machine) -> None:
    tree = tree_of(small)
    assert tree.node("/memory@0").cells("reg", 8) == (0, small.board.memory.size)
    regions = [each.cells("reg", 8) for each in tree.node("/reserved-memory").children]
    assert tree.reserve_map == tuple(regions)
    kept = [range(start, start + size) for start, size in regions]
    for address in (LOG, LOG + 0xFFFF, IPL, 0x3000_0000, 0x3060_0000):
        assert any(address in each for each in kept)


def test_there_is_no_tree_before_opal(small: Machine) -> None:
    assert small.device_tree == b""
    assert small.run(until="hostboot_ext").device_tree == b""
    assert small.run().device_tree[:4] == b"\xd0\x0d\xfe\xed"


def test_the_jumper_shows_in_the_tree() -> None:
    tree = tree_of(Machine("small", settings=["machine.chip.smd=true"]))
    node = tree.node("/ibm,secureboot")
    assert node.get("secure-enabled") is None
    assert node.get("trusted-enabled") == b""


def test_a_tpm_that_was_given_up_gives_no_log() -> None:
    machine = Machine("tpm-dead")
    found = handed_over(machine).tpms[0]
    assert (found.status, found.srtm_log) == (tpmrel.STATUS_NOT_FUNCTIONAL, b"")
    tree = tree_of(machine)
    node = tree.node(SPI)
    assert (node.string("status"), node.get("linux,sml-base")) == ("disabled", None)
    assert tree.node("/ibm,secureboot").get("trusted-enabled") is None
    measured = [each for each in machine.journal if each.kind == "measure"]
    assert not [each for each in measured if each.source == "opal"]


def test_a_tpm_that_opal_gives_up_keeps_its_log() -> None:
    """It was there when the tree was made; its node says what became of it."""
    machine = Machine("small", settings=["machine.measure.profile=p10"])
    machine.run(until="hostboot_ext")
    machine.board.tpm.power_off()
    log = machine.event_log
    node = tree_of(machine).node(SPI)
    assert (node.string("status"), node.u64("linux,sml-base")) == ("disabled", LOG)
    assert machine.event_log == log
    assert broken_invariants(machine.journal) == {}


# OPAL follows what it finds in memory.


def test_opal_appends_where_hdat_says(small: Machine) -> None:
    """The same log in another, smaller buffer; the old one stays as it was."""
    small.run(until="hostboot_ext")
    memory, moved = small.board.memory, 0x4000
    before = memory.read(LOG, moved)
    memory.write(LOG + moved, before)
    memory.write(ENTRY + 16, struct.pack(">II", 0x20 + moved, 0x2000))
    small.run()
    assert memory.read(LOG, moved) == before
    node = Fdt.from_bytes(small.device_tree).node(SPI)
    assert node.u64("linux,sml-base") == LOG + moved
    assert node.u32("linux,sml-size") == 0x2000
    assert log_differences(small.event_log, small.pcrs()) == {}
    assert len(small.event_log) > len(before.rstrip(b"\0"))


def test_a_small_buffer_fills_up(small: Machine) -> None:
    small.run(until="hostboot_ext")
    size = len(small.event_log) + 60
    small.board.memory.write(ENTRY + 20, struct.pack(">I", size))
    with pytest.raises(BootFailure) as caught:
        small.run()
    assert caught.value.refusal is Refusal.LOG_FULL
    assert f"of 0x{size:x} bytes" in caught.value.reason


@pytest.mark.breaks_invariants  # somebody changed HDAT between the two stages
def test_opal_measures_nothing_without_trusted_mode(small: Machine) -> None:
    small.run(until="hostboot_ext")
    pcrs = small.pcrs()
    small.board.memory.write(SETTING, b"\x80\0")
    assert small.run().pcrs() == pcrs
    tree = Fdt.from_bytes(small.device_tree)
    assert tree.node("/ibm,secureboot").get("trusted-enabled") is None


KERNEL = (
    "image.flash.partition.BOOTKERNEL={base=0xd0000, size=0x10000, "
    "content={fill=0x8000}, container={}}"
)


@pytest.mark.breaks_invariants
def test_opal_enforces_by_the_tree_and_not_by_the_chip() -> None:
    machine = Machine("small", settings=[KERNEL]).run(until="hostboot_ext")
    machine.flash["BOOTKERNEL"].flip(0x2000)
    refused = machine.fork()
    with pytest.raises(BootFailure) as caught:
        refused.run()
    assert caught.value.refusal is Refusal.CONTAINER_REJECTED
    machine.board.memory.write(SETTING, b"\x40\0")
    assert machine.run().stage is None


def test_opal_verifies_with_the_key_hash_of_hdat() -> None:
    machine = Machine("small", settings=[KERNEL]).run(until="hostboot_ext")
    machine.board.memory.write(SETTING + 8, bytes(64))
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.log == 0xFFFFFFFFFFFF8160


Change = Callable[[Machine], None]


def written(address: int, raw: bytes) -> Change:
    return lambda machine: machine.board.memory.write(address, raw)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (written(IPL, b"\0"), "magic"),
        (written(IPL + 2, b"TPMREL"), "eye_catcher"),
        (written(IPL + 10, b"\0\x5f"), "version"),
        (written(IPL + 12, b"\xff\xff\xff\xff"), "total_size"),
        (written(IPL + 0x20, b"\xff\xff\xff\xf0"), "pointer"),
        (written(SETTING + 6, b"\xff\xff"), "hw_key_hash_size"),
        (written(TPMS, b"\0"), "magic"),
        (written(TPMS + 10, b"\0\x12"), "version"),
        (written(TPMS + 12, struct.pack(">I", 0x80_0000)), "at most 0x7ff000"),
        (written(TPMS + 12, struct.pack(">I", 0x20)), "pointer_offset"),
        (written(TPMS + 0x28, bytes(4)), "pointer"),
        (written(ENTRY - 12, struct.pack(">I", 0x10000)), "count"),
        (written(ENTRY + 16, struct.pack(">I", 8)), "srtm_log_offset"),
        (written(ENTRY + 20, struct.pack(">I", 0x10001)), "srtm_log_offset"),
        (written(ENTRY + 20, struct.pack(">I", 0x100001)), "srtm_log_size"),
    ],
)
def test_a_broken_hand_over_ends_the_boot(
    small: Machine, change: Change, words: str
) -> None:
    small.run(until="hostboot_ext")
    change(small)
    with pytest.raises(BootFailure) as caught:
        small.run()
    failure = caught.value
    assert (failure.stage, failure.refusal) == ("opal", Refusal.HDAT_BROKEN)
    assert words in failure.reason
    assert small.device_tree == b""


def test_noise_for_hdat_is_refused_politely(small: Machine) -> None:
    small.run(until="hostboot_ext")
    for at in range(0, 0x180, 4):
        for address in (IPL, TPMS):
            machine = small.fork()
            machine.board.memory.write(address + at, b"\xff\x7f\xff\xff")
            try:
                machine.run()
            except BootFailure as failure:
                assert failure.stage == "opal"


SERVICES = TPMS + 0x10078 + 0x10


@pytest.mark.parametrize(
    ("address", "raw", "words"),
    [
        (SETTING + 6, b"\0\0", "hw-key-hash-size: found 0x0, expected 0x40"),
        (SETTING + 6, b"\0\x3f", "hw-key-hash-size: found 0x3f, expected 0x40"),
        (SERVICES, b"\0\0\0\7", "missing ibm,cvc-sha512"),
        (SERVICES + 16, b"\0\0\0\7", "missing ibm,cvc-verify"),
    ],
)
@pytest.mark.parametrize("smd", [False, True])
def test_secure_mode_needs_all_that_verifies(
    address: int, raw: bytes, words: str, smd: bool
) -> None:
    settings = [f"machine.chip.smd={str(smd).lower()}"]
    machine = Machine("small", settings=settings).run(until="hostboot_ext")
    machine.board.memory.write(address, raw)
    if smd:
        assert machine.run().stage is None
        return
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.refusal is Refusal.HDAT_BROKEN
    assert words in caught.value.reason


def test_a_poisoned_or_second_tpm_is_handed_over(
    small: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `tpms_of` answers with is all that Hostboot says about TPMs."""
    real = hand_over.tpms_of

    def two(board: Board) -> tuple[NodeTpm, ...]:
        (first,) = real(board)
        backup = replace(
            first, flags=tpmrel.FLAG_BACKUP | tpmrel.FLAG_POISONED, chip_id=1
        )
        return first, backup

    monkeypatch.setattr(hand_over, "tpms_of", two)
    assert [each.flags for each in handed_over(small).tpms] == [0, 0xC0]
    tree = tree_of(small)
    logs = [sml(node) for _, node in tree.nodes() if node.get("label")]
    assert logs == [LOG + 0x20, LOG + 0x10020]
    assert tree.find("/xscom@607fc00000000/pib_spic@c0080/tpm@0") is not None
    assert log_differences(small.event_log, small.pcrs()) == {}


def sml(node: FdtNode) -> int:
    return node.u64("linux,sml-base")


def test_a_poisoned_primary_tpm_is_not_trusted() -> None:
    tpm = NodeTpm(chip_id=0, srtm_log=b"x")
    assert hand_over.is_trusted((tpm,))
    assert not hand_over.is_trusted((replace(tpm, flags=0x80),))
    assert not hand_over.is_trusted((replace(tpm, status=2),))
    assert hand_over.is_trusted((replace(tpm, flags=0x40), replace(tpm, status=2)))


# The strlen defect.

DIGEST = "081d122823da00234e41aaec541207b255ecace50345022f704f32fdb977f044"


def test_the_strlen_defect_cuts_the_log_and_not_the_pcr() -> None:
    machine = Machine("log-defect").run()
    (record,) = [
        each
        for each in EventLog.from_bytes(machine.event_log).records
        if each.event == b"BOOTKERNEL"
    ]
    (measured,) = [
        each.detail["digest"]
        for each in machine.journal
        if each.kind == "measure" and each.detail["text"] == "BOOTKERNEL"
    ]
    assert measured == DIGEST
    assert record.digest(SHA256) == bytes.fromhex(DIGEST[:12]) + bytes(26)
    differing = log_differences(machine.event_log, machine.pcrs())
    assert list(differing) == [4]
    assert differing[4][1] == machine.pcr(4)


def test_without_the_defect_the_same_log_replays() -> None:
    settings = ["machine.fault.opal-log-strlen=false"]
    machine = Machine("log-defect", settings=settings).run()
    assert log_differences(machine.event_log, machine.pcrs()) == {}
    assert machine.pcrs() == Machine("log-defect").run().pcrs()


@pytest.mark.parametrize(
    ("digest", "logged"),
    [
        (b"\1\2\3\4", b"\1\2\3\4"),
        (b"\1\2\3\0", b"\1\2\3\0"),
        (b"\1\2\0\4", b"\1\2\0\0"),
        (b"\1\0\3\4", b"\1\0\0\0"),
        (b"\0\2\3\4", b"\0\2\0\0"),
    ],
)
def test_at_least_two_bytes_are_copied(digest: bytes, logged: bytes) -> None:
    assert strlen_defect(digest) == logged


def test_a_log_without_the_bank_is_not_judged() -> None:
    log = EventLog(header=header((SHA1,))).to_bytes()
    assert log_differences(log, {0: b"\1" * 32}) == {}


def test_a_tree_that_was_written_over_is_said(small: Machine) -> None:
    small.run().board.memory.write(0x3060_0000, b"tree")
    with pytest.raises(FormatError, match="FDT: magic"):
        _ = small.device_tree


def test_a_pcr_that_the_log_does_not_know_is_named() -> None:
    log = (VECTORS / "op920-witherspoon-srtm.log").read_bytes()
    values = replay(EventLog.from_bytes(log))[SHA256]
    assert log_differences(log, values) == {}
    assert list(log_differences(log, values | {9: b"\1" * 32})) == [9]
