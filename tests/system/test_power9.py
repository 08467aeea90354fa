"""POWER9 as a real machine's log has it (boot-chain.md 3.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from pefstack import BootFailure, Machine, Refusal
from pefstack.images.event_log import EventLog, LogRecord
from pefstack.images.event_log_replay import replay

LOGS: Final = Path(__file__).parent.parent / "vectors" / "boot-chain" / "eventlog"
REAL: Final = EventLog.from_bytes((LOGS / "op920-witherspoon-srtm.log").read_bytes())
SHA1: Final = 0x0004
SHA256: Final = 0x000B
SMALL_P9: Final = [
    "machine.measure.profile=p9",
    'machine.tpm.allocated=["sha1", "sha256"]',
    "image.seeprom.hbbl.content.fill=0x1000",
]


@pytest.fixture(scope="module")
def p9() -> Machine:
    return Machine("p9").run()


def shape(record: LogRecord) -> tuple[int, int, bytes, tuple[int, ...]]:
    """All of a record but its digests."""
    banks = tuple(bank for bank, _ in record.digests)
    return record.pcr_index, record.event_type, record.event, banks


def configuration(log: bytes, names: tuple[bytes, ...]) -> list[object]:
    """The digests of the records with these texts."""
    records = EventLog.from_bytes(log).records
    return [record.digests for record in records if record.event in names]


def small_p9(*settings: str) -> Machine:
    return Machine("small", settings=[*SMALL_P9, *settings])


def test_power9_sequence_is_that_of_the_real_log(p9: Machine) -> None:
    ours = EventLog.from_bytes(p9.event_log)
    assert ours.header == REAL.header
    assert [shape(each) for each in ours.records] == [shape(e) for e in REAL.records]
    assert len(ours.records) == 40


def test_power9_configuration_values_are_those_of_the_real_log() -> None:
    """The same machine's PVR, and security off as it was there."""
    machine = Machine("p9", settings=["machine.chip.smd=true"]).run()
    names = (b"PVR of Chip", b"Node id", b"Tpm Required", b"HW KEY HASH")
    assert configuration(machine.event_log, names) == [
        record.digests for record in REAL.records if record.event in names
    ]


def test_power9_log_replays_in_both_banks(p9: Machine) -> None:
    values = replay(EventLog.from_bytes(p9.event_log))
    for bank, name in ((SHA256, "sha256"), (SHA1, "sha1")):
        assert {pcr: p9.pcr(pcr, name) for pcr in values[bank]} == values[bank]


def test_power9_pcr6_is_the_real_machines(p9: Machine) -> None:
    """Node id and separators only: the value does not depend on any code."""
    real = replay(REAL)
    for bank, name in ((SHA256, "sha256"), (SHA1, "sha1")):
        assert p9.pcr(6, name) == real[bank][6]
        assert p9.pcr(7, name) == real[bank][7]
    assert p9.pcr(6).hex().startswith("c66d8761")


def test_power9_measures_nothing_before_hostboot_ext() -> None:
    machine = small_p9().run(until="hostboot_init")
    assert {"measure", "extend", "startup"}.isdisjoint(e.kind for e in machine.journal)
    assert machine.event_log == b""


def test_power9_verifies_neither_sbe_nor_hbbl() -> None:
    machine = small_p9().run()
    verified = {e.detail["code"] for e in machine.journal if e.kind == "verify"}
    assert verified == {"HBB", "HBI", "PAYLOAD"}


def test_power9_has_no_rollback_protection() -> None:
    old = [
        f"image.flash.partition.{name}.container.security-version=0"
        for name in ("HBB", "HBI", "PAYLOAD")
    ]
    assert small_p9(*old).run().stage is None


def test_power9_key_hash_of_the_hbbl_area_must_be_the_fused_one() -> None:
    machine = small_p9()
    seeprom = machine.board.seeprom
    at = seeprom.content.index(machine.board.fuses.hw_key_hash)
    seeprom.reprogram(at + 5, bytes([seeprom.content[at + 5] ^ 1]))
    with pytest.raises(BootFailure) as caught:
        machine.run()
    failure = caught.value
    assert failure.refusal is Refusal.SETTINGS_DIFFER
    assert failure.stage == "hostboot_loader"


def test_power9_hbbl_area_of_another_size_is_refused() -> None:
    machine = small_p9()
    content = machine.board.seeprom.content
    at = content.index((0x5000).to_bytes(4, "big"), 64)
    machine.board.seeprom.reprogram(at, (0x4000).to_bytes(4, "big"))
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.refusal is Refusal.SEEPROM_FORMAT


@pytest.mark.parametrize("partition", ["HBB", "HBI", "PAYLOAD"])
def test_power9_changed_payloads_are_refused(partition: str) -> None:
    machine = small_p9()
    machine.flash[partition].write(b"\xff\x00" * 4, 0x1800)
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.log == 0xFFFFFFFFFFFF8172


def test_power9_every_partition_of_the_layout_is_there(p9: Machine) -> None:
    """Names and places of the default 64 MiB layout (boot-chain.md 2.3)."""
    places = {
        "HBEL": 0x8000,
        "GUARD": 0x2C000,
        "NVRAM": 0x31000,
        "SECBOOT": 0xC1000,
        "DJVPD": 0xE5000,
        "MVPD": 0x12D000,
        "CVPD": 0x1BD000,
        "HBB": 0x205000,
        "HBD": 0x305000,
        "HBI": 0x425000,
        "SBE": 0x16E5000,
        "HCODE": 0x17A1000,
        "HBRT": 0x18C1000,
        "PAYLOAD": 0x20C1000,
        "BOOTKERNEL": 0x21C1000,
        "OCC": 0x3481000,
        "FIRDATA": 0x35E1000,
        "CAPP": 0x35E4000,
        "BMC_INV": 0x3608000,
        "HBBL": 0x3611000,
        "ATTR_TMP": 0x3618000,
        "ATTR_PERM": 0x3620000,
        "VERSION": 0x3628000,
        "IMA_CATALOG": 0x362A000,
        "RINGOVD": 0x366A000,
        "WOFDATA": 0x368A000,
        "HB_VOLATILE": 0x398A000,
        "MEMD": 0x398F000,
        "SBKT": 0x399D000,
        "HDAT": 0x39A1000,
        "UVISOR": 0x39A9000,
        "HBRT_PROXY": 0x3AA9000,
    }
    found = {name: p9.flash[name].offset for name in p9.flash if name != "part"}
    assert found == places
