"""Measuring: digest rules, event log, TPM refusals, further values."""

from __future__ import annotations

import hashlib

import pytest

from pefstack import BootFailure, Machine, Refusal
from pefstack.firmware.profile_p9 import P9
from pefstack.firmware.profile_p10 import P10
from pefstack.firmware.profile_patent import PATENT
from pefstack.firmware.profiles import PROFILES, profile_of
from pefstack.hw.machine import FurtherSpec, MeasureSpec
from pefstack.hw.mapping import SettingError
from pefstack.images.event_log import EventLog
from pefstack.images.event_log_replay import replay

SHA256 = 0x000B


def test_the_log_replays_to_the_pcrs_of_the_tpm(small: Machine) -> None:
    small.run()
    values = replay(EventLog.from_bytes(small.event_log))[SHA256]
    assert {pcr: small.pcr(pcr) for pcr in values} == values
    assert set(values) == set(range(8))


def test_every_extend_of_the_tpm_is_in_the_log_in_its_order(small: Machine) -> None:
    small.run()
    log = EventLog.from_bytes(small.event_log)
    logged = [
        (record.pcr_index, dict(record.digests)[SHA256].hex()) for record in log.records
    ]
    extended = [
        (event.detail["pcr"], event.detail["digest"])
        for event in small.journal
        if event.kind == "extend"
    ]
    assert logged == extended


def test_texts_and_types_are_those_of_the_table(small: Machine) -> None:
    """The rows of boot-chain.md 3.3 and 3.5 for the boot policy's PCR."""
    small.run()
    rows = [
        (record.event_type, record.event)
        for record in EventLog.from_bytes(small.event_log).records
        if record.pcr_index == 6
    ]
    assert rows == [
        (0xC, b"HW KEY HASH\0"),
        (0xC, b"SECURE BOOT JUMPER\0"),
        (0xC, b"SBE Secure Boot Validation Code\0"),
        (0x4, b"\xff\xff\xff\xff"),
        (0xC, b"PEF ENABLE\0"),
    ]


@pytest.mark.parametrize(
    ("until", "address", "size"),
    [("hostboot_ext", 0x2F00_0000, 7168), ("opal", 0x3120_1070, 0x10000)],
)
def test_log_buffers_are_zero_behind_their_end(
    small: Machine, until: str, address: int, size: int
) -> None:
    """Hostboot's own, and the one in HDAT behind its headers."""
    small.run(until=until)
    buffer = small.board.memory.read(address, size)
    assert len(small.event_log) > 2000
    assert buffer.rstrip(b"\0") == small.event_log.rstrip(b"\0")
    assert not any(buffer[len(small.event_log) :])


def test_key_hashes_are_measured_only_when_secure(small: Machine) -> None:
    small.run()
    off = Machine("small", settings=["machine.chip.smd=true"]).run()
    header = small.flash["HBB"].data[:4096]
    key_hash = hashlib.sha512(header[920 : 920 + 132]).hexdigest()[:64]
    digests = {
        event.detail["digest"] for event in small.journal if event.kind == "measure"
    }
    assert key_hash in digests
    assert key_hash not in {
        event.detail["digest"] for event in off.journal if event.kind == "measure"
    }


def test_a_tpm_that_refuses_ends_the_boot(small: Machine) -> None:
    small.run(until="hostboot_loader")
    small.board.tpm.power_off()
    small.board.tpm.power_on()  # not started: every command is refused
    with pytest.raises(BootFailure) as caught:
        small.run()
    assert caught.value.refusal is Refusal.TPM_REFUSED
    assert "TPM_RC_INITIALIZE" in caught.value.reason


def test_a_full_log_ends_the_boot() -> None:
    row = f'{{text="{"x" * 900}", value="00"}}'
    many = f"machine.measure.further=[{', '.join([row] * 70)}]"
    machine = Machine("small", settings=[many])
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert (caught.value.stage, caught.value.refusal) == ("opal", Refusal.LOG_FULL)
    assert "of 0x10000 bytes left" in caught.value.reason


@pytest.mark.parametrize(("count", "good"), [(5, True), (6, False)])
def test_hostboot_has_7168_bytes_for_its_log(count: int, good: bool) -> None:
    """Without further values it needs 2280, and 975 for each of these."""
    row = f'{{text="{"x" * 924}", value="00", stage="hostboot_ext"}}'
    many = f"machine.measure.further=[{', '.join([row] * count)}]"
    machine = Machine("small", settings=[many])
    if good:
        assert len(machine.run(until="hostboot_ext").event_log) == 2280 + 975 * count
        return
    with pytest.raises(BootFailure) as caught:
        machine.run()
    failure = caught.value
    assert (failure.stage, failure.refusal) == ("hostboot_ext", Refusal.LOG_FULL)
    assert "of 0x1c00 bytes left" in failure.reason


def test_further_values_go_where_their_stage_begins() -> None:
    setting = (
        'machine.measure.further=[{text="A", value="01", stage="hostboot_ext"},'
        ' {text="B", value="02"}]'
    )
    machine = Machine("small", settings=[setting]).run()
    story = [
        (event.source, event.detail["what"])
        for event in machine.journal
        if event.kind == "measure" and event.detail["pcr"] == 6
    ]
    assert story[3:] == [
        ("hostboot_ext", "further-0"),
        ("hostboot_ext", "policy-separator"),
        ("opal", "further-1"),
        ("opal", "pef-enable"),
    ]


def test_profile_lists_the_extends_in_the_order_of_a_boot(small: Machine) -> None:
    small.run()
    measure = small.board.spec.measure
    measured = [
        (event.source, event.detail["what"], event.detail["pcr"])
        for event in small.journal
        if event.kind == "measure"
    ]
    listed = [(e.stage, e.what, e.pcr) for e in profile_of(measure).extends]
    assert [row for row in listed if row in measured] == measured


def test_moved_policy_pcr_moves_every_row() -> None:
    profile = profile_of(MeasureSpec(pcr=9))
    assert not [
        each for each in profile.extends if each.pcr == 6 and each.what != "separator"
    ]
    assert [each.what for each in profile.extends if each.pcr == 9] == [
        "hw-key-hash",
        "secure-jumper",
        "sb-verification",
        "policy-separator",
        "pef-enable",
    ]


def test_unknown_profile_is_named() -> None:
    with pytest.raises(SettingError, match="no profile 'x'"):
        profile_of(MeasureSpec(profile="x"))


def test_profiles_by_name() -> None:
    assert PROFILES == {"patent": PATENT, "p10": P10, "p9": P9}
    assert FurtherSpec(text="a", value=b"1").stage == "opal"


def test_a_fresh_tpm_gets_its_banks_at_the_next_reset(small: Machine) -> None:
    """Another allocation is asked for, the boot goes on, the next reset has it."""
    machine = Machine("small", settings=['machine.tpm.allocated=["sha1", "sha256"]'])
    machine.run()
    kinds = [event.kind for event in machine.journal if event.source == "tpm"]
    assert "allocate" in kinds
    good = small.run()
    assert "allocate" not in {e.kind for e in good.journal if e.source == "tpm"}
    assert machine.pcr(6) == good.pcr(6)
