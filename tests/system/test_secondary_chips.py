"""Secondary chips: their SBEs run, their values are compared, measured, or poison.

Expected values come from the notes (boot-chain.md 3.3) and from hashlib alone.
"""

from __future__ import annotations

import hashlib
from typing import Final

import pytest

from pefstack import BootFailure, Machine, Refusal, UsageError
from pefstack.firmware import hand_over
from pefstack.hw.chip import SCRATCH_11, SECURITY_SWITCH
from pefstack.hw.processor import Role
from pefstack.images.event_log import EventLog
from pefstack.images.event_log_replay import replay
from system.power7a import padded_to_8, section_place, xip_section
from tpm_kit import PassingTpm

P10: Final = "machine.measure.profile=p10"
TWO: Final = "machine.secondary-chips=[{}, {}]"
SHA256: Final = 0x000B
PCRS: Final = tuple(range(8))


def machine_with(*settings: str, profile: str = "p10") -> Machine:
    return Machine("small", settings=[f"machine.measure.profile={profile}", *settings])


def changed(chip: int, section: str, at: int = 0x40) -> str:
    """Chips up to this one; a bit of a section is another in its SEEPROM."""
    place = section_place(Machine("small").board.seeprom.content, section) + at
    others = "{}, " * (chip - 1)
    return f"machine.secondary-chips=[{others}{{flip=[{{offset={place}, bit=1}}]}}]"


def sources(machine: Machine, kind: str) -> list[str]:
    return [event.source for event in machine.journal if event.kind == kind]


def log_of(machine: Machine) -> list[tuple[int, int, bytes, bytes]]:
    return [
        (each.pcr_index, each.event_type, each.event, dict(each.digests)[SHA256])
        for each in EventLog.from_bytes(machine.event_log).records
    ]


def extended(records: list[tuple[int, int, bytes, bytes]], chip: int) -> list[object]:
    mark = b"chip %d\0" % chip
    return [each for each in records if each[2].endswith(mark)]


def padded(raw: bytes) -> bytes:
    return raw.ljust(32, b"\0")[:32]


@pytest.mark.parametrize("profile", ["p10", "patent"])
def test_registers_of_every_chip_go_into_pcr_0_and_1(profile: str) -> None:
    machine = machine_with(TWO, profile=profile).run()
    seeprom = machine.board.seeprom.content
    code = hashlib.sha512(padded_to_8(xip_section(seeprom, "sb_verification"))).digest()
    base = padded_to_8(xip_section(seeprom, "base"))
    if profile == "patent":
        base += padded_to_8(xip_section(seeprom, "sb_verification"))
    keys = xip_section(seeprom, "sb_settings")[:8]
    state = bytes.fromhex("0000010000020013")
    switches = bytes.fromhex("8008000000000000")  # SAB's mirror; no TPM of its own
    for chip in (1, 2):
        text = b" chip %d\0" % chip
        assert extended(log_of(machine), chip) == [
            (0, 7, b"SBE Secure Boot Validation Code" + text, code[:32]),
            (0, 7, b"SBE L1/L2 Boot loaders and Base" + text, hashed(base)),
            (1, 0xA, b"HW KEY HASH" + text, padded(keys)),
            (1, 0xA, b"SBE Security State" + text, padded(state)),
            (1, 0xA, b"Security Switches" + text, padded(switches)),
        ]


def hashed(raw: bytes) -> bytes:
    return hashlib.sha512(raw).digest()[:32]


def test_the_order_is_behind_the_configuration_and_before_the_partitions() -> None:
    texts = [each[2] for each in log_of(machine_with(TWO).run())]
    first, last = texts.index(b"TPM Required\0"), texts.index(b"PAYLOAD\0")
    assert len(texts[first + 1 : last]) == 10
    assert all(b"chip " in each for each in texts[first + 1 : last])


def test_agreeing_chips_leave_the_policys_pcr_as_it_is() -> None:
    alone, three = machine_with().run(), machine_with(TWO).run()
    assert three.pcr(6) == alone.pcr(6)
    assert three.pcr(0) != alone.pcr(0)
    assert three.board.poisoned == set()
    replayed = replay(EventLog.from_bytes(three.event_log))
    assert {pcr: replayed[SHA256][pcr] for pcr in PCRS} == three.pcrs(PCRS)


def test_each_sbe_leaves_registers_of_its_own() -> None:
    machine = machine_with(TWO)
    machine.run(until="hostboot_init")
    for processor in machine.board.secondaries:
        assert processor.chip.get_measurement(0, 16) == bytes(128)
    machine.run()
    own = machine.board.chip.get_measurement(0, 16)
    for processor in machine.board.secondaries:
        assert processor.role is Role.SECONDARY
        theirs = processor.chip.get_measurement(0, 16)
        assert theirs[:16] + theirs[32:] == own[:16] + own[32:]
        states = own[16:24].hex(), theirs[16:24].hex()  # byte 1: the primary chip
        assert states == ("0010010000020013", "0000010000020013")
        assert theirs[24:32] != own[24:32]  # the switches: TDP
        assert processor.chip.get_scom(SECURITY_SWITCH) >> 51 & 1
        assert processor.chip.secure
    assert not machine.board.chip.get_scom(SECURITY_SWITCH) >> 51 & 1


def test_secondary_chips_extend_nothing_themselves() -> None:
    machine = machine_with(TWO).run()
    assert not any(each.startswith("chip") for each in sources(machine, "measure"))
    assert set(sources(machine, "extend")) == {"tpm"}
    verified = [each for each in sources(machine, "verify") if each.startswith("chip")]
    assert verified == ["chip1.sbe_mutable"] * 2 + ["chip2.sbe_mutable"] * 2


@pytest.mark.parametrize("profile", ["p10", "patent", "p9"])
def test_one_chip_alone_is_the_machine_that_it_was(profile: str) -> None:
    hbbl = "image.seeprom.hbbl.content.fill=0x1000"
    machine = machine_with(hbbl, profile=profile).run()
    kinds = {event.kind for event in machine.journal}
    assert not kinds & {"chip", "chip-started", "poison"}


# Mismatch: registers 0, 1 and 4 to 7.


def mismatched(register: str) -> Machine:
    """Every way in which a chip differs and its own SBE finds nothing wrong."""
    if register == "security":
        return machine_with("machine.secondary-chips=[{}, {smd=true}]")
    if register == "code":
        return machine_with(changed(2, "sb_verification"))
    keys = ("image.keys.file=", "image.keys.seed=somebody else")
    other = Machine("small", settings=[P10, *keys])
    fuses = other.board.fuses.hw_key_hash.hex()
    machine = machine_with(f'machine.secondary-chips=[{{}}, {{hw-key-hash="{fuses}"}}]')
    machine.board.secondaries[1].seeprom.reprogram(0, other.board.seeprom.content)
    return machine


@pytest.mark.parametrize("register", ["security", "keys", "code"])
def test_a_chip_that_differs_poisons_the_tpm(register: str) -> None:
    clean, machine = machine_with(TWO).run(), mismatched(register).run()
    assert machine.stage is None
    assert machine.board.poisoned == {"tpm"}
    (poison,) = (event for event in machine.journal if event.kind == "poison")
    assert (poison.source, poison.detail["tpm"]) == ("hostboot_ext", "tpm")
    following = list(machine.journal)[poison.seq + 1 :][:8]
    digests = {str(event.detail["digest"]) for event in following}
    assert [event.detail["pcr"] for event in following] == [*PCRS]
    assert digests == {poison.detail["digest"]}
    assert len(bytes.fromhex(digests.pop())) == 32
    before, after = clean.pcrs(PCRS), machine.pcrs(PCRS)
    assert all(before[pcr] != after[pcr] for pcr in PCRS)
    notes = [event for event in machine.journal if event.kind == "chip"]
    differing = [
        key
        for key in ("security", "keys", "code")
        if notes[0].detail[key] != notes[2].detail[key]
    ]
    assert differing == [register]


def test_poisoning_is_not_in_the_log() -> None:
    clean, machine = machine_with(TWO).run(), mismatched("code").run()
    ours, theirs = ([each[:3] for each in log_of(one)] for one in (machine, clean))
    assert ours == theirs[:-8]  # OPAL's separators: it measures nothing any more
    replayed = replay(EventLog.from_bytes(machine.event_log))
    values = machine.pcrs(PCRS)
    assert all(replayed[SHA256][pcr] != values[pcr] for pcr in PCRS)


def test_poison_follows_from_the_tpms_seed_and_is_the_same_everywhere() -> None:
    place = changed(1, "sb_verification")
    values = [
        machine_with(place, f"machine.tpm.seed={seed}").run().pcr(6)
        for seed in ("a", "a", "b")
    ]
    assert values[0] == values[1] != values[2]


def test_the_tpm_is_poisoned_once_behind_the_last_chip() -> None:
    machine = machine_with("machine.secondary-chips=[{smd=true}, {smd=true}, {}]").run()
    kinds = [event.kind for event in machine.journal]
    assert kinds.count("poison") == 1
    last = max(at for at, kind in enumerate(kinds) if kind == "chip")
    assert kinds.index("poison") > last
    assert len(extended(log_of(machine), 3)) == 5


def test_the_policys_own_pcr_is_poisoned_too() -> None:
    chips = "machine.secondary-chips=[{smd=true}]"
    settings = ["machine.measure.pcr=10", chips]
    machine = machine_with(*settings, profile="patent").run()
    clean = machine_with("machine.measure.pcr=10", profile="patent").run()
    assert machine.pcr(10) != clean.pcr(10)
    extends = [e for e in machine.journal if e.kind == "extend"]
    digest = next(e.detail["digest"] for e in machine.journal if e.kind == "poison")
    poisoned = [e.detail["pcr"] for e in extends if e.detail["digest"] == digest]
    assert poisoned == [*PCRS, 10]


def test_security_off_is_no_reason_not_to_poison() -> None:
    chips = "machine.secondary-chips=[{smd=false}]"
    machine = machine_with("machine.chip.smd=true", chips).run()
    assert machine.board.poisoned == {"tpm"}


def test_without_a_tpm_nothing_is_poisoned() -> None:
    settings = ["machine.tpm.required=false", "machine.tpm.fails-at=startup"]
    machine = machine_with(changed(1, "sb_verification"), *settings).run()
    assert machine.board.poisoned == set()
    assert "poison" not in {event.kind for event in machine.journal}


# Poisoning that fails: nobody may take the TPM for a good one.


@pytest.mark.parametrize(
    "answer",
    [
        "80010000000c000000000000",  # no bytes at all
        "80010000001c000000000010" + "aa" * 16,
        "80010000002d000000000021" + "aa" * 33,
        "80010000000c000000000020",  # cut short
        "80010000000b0000000000",
    ],
)
def test_random_bytes_that_are_none_lose_the_tpm(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = mismatched("code")

    class Unrandom(PassingTpm):
        """Gives other than 32 bytes."""

        def execute(self, command: bytes, locality: int = 0) -> bytes:
            if command[6:10] == b"\0\0\x01\x7b":
                return bytes.fromhex(answer)
            return super().execute(command, locality)

    monkeypatch.setattr(machine.board, "tpm", Unrandom(machine.board.tpm))
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.refusal is Refusal.TPM_REQUIRED
    assert machine.board.chip.get_scom(SECURITY_SWITCH) >> 51 & 1


@pytest.mark.parametrize("required", [True, False])
def test_a_tpm_that_dies_while_it_is_poisoned_is_given_up(required: bool) -> None:
    settings = [f"machine.tpm.required={str(required).lower()}"]
    settings += ["machine.tpm.fails-at=poison", changed(1, "sb_verification")]
    machine = machine_with(*settings)
    if required:
        with pytest.raises(BootFailure) as caught:
            machine.run()
        assert caught.value.refusal is Refusal.TPM_REQUIRED
    else:
        machine.run()
    assert machine.board.chip.get_scom(SECURITY_SWITCH) >> 51 & 1
    assert machine.board.chip.get_scom(SCRATCH_11) >> 48 & 0xFF == 0  # not the SBE's


# What a chip's own SBE refuses.


@pytest.mark.parametrize("section", ["hbbl", "base"])
def test_a_rejection_on_a_secondary_chip_ends_the_boot(section: str) -> None:
    machine = machine_with(changed(2, section))
    with pytest.raises(BootFailure) as caught:
        machine.run()
    failure = caught.value
    assert (failure.stage, failure.refusal) == ("hostboot_ext", Refusal.SECONDARY_CHIP)
    assert failure.reason.startswith("chip 2: sbe_mutable: container-rejected: ")
    assert failure.log == 0xFFFFFFFFFFFF8172


def test_fuses_of_another_machine_are_seen() -> None:
    machine = machine_with(f'machine.secondary-chips=[{{hw-key-hash="{"ab" * 64}"}}]')
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert "chip 1: sbe_immutable: settings-differ-from-fuses" in caught.value.reason


@pytest.mark.parametrize(("section", "byte"), [("hbbl", 2), ("base", 3)])
def test_under_record_a_chip_only_reports_and_hostboot_ends_the_boot(
    section: str, byte: int
) -> None:
    machine = machine_with("machine.verify.policy=record", changed(2, section))
    with pytest.raises(BootFailure) as caught:
        machine.run()
    failure = caught.value
    assert (failure.stage, failure.refusal) == ("hostboot_ext", Refusal.SBE_REPORTED)
    assert failure.reason.startswith("chip 2: scratch register 11 reports")
    theirs = machine.board.secondaries[1].chip.get_scom(SCRATCH_11)
    assert theirs.to_bytes(8, "big")[byte] == 0x72
    assert machine.board.chip.get_scom(SCRATCH_11) == 0


def test_record_only_passes_over_that_too() -> None:
    machine = machine_with("machine.verify.policy=record-only", changed(1, "hbbl"))
    assert machine.run().stage is None
    assert machine.board.poisoned == set()  # HBBL is not compared


# Settings, forks.


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("secondary-chips=[" + "{}, " * 8 + "]", "secondary-chips: found 8, exp.* 7"),
        ("secondary-chips=[{flip=[{offset=0xfffffff}]}]", r"chips\[0\].flip: found"),
        ('secondary-chips=[{hw-key-hash="ab"}]', r"chips\[0\].hw-key-hash: found 1"),
        ("backup-tpm={}", "backup-tpm: belongs to chip 1"),
        ("backup-tpm={required=true}", "backup-tpm.required: no such setting"),
    ],
)
def test_settings_that_cannot_be(setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        machine_with(f"machine.{setting}")


def test_seven_chips_boot() -> None:
    machine = machine_with("machine.secondary-chips=[" + "{}, " * 7 + "]").run()
    assert len(extended(log_of(machine), 7)) == 5


def test_a_poisoned_tpm_is_handed_over_as_one_and_opal_measures_nothing() -> None:
    machine = mismatched("code").run()
    (tpm,) = hand_over.tpms_of(machine.board)
    assert (tpm.flags, tpm.status) == (0x80, 1)
    (hdat,) = (event for event in machine.journal if event.kind == "hdat")
    assert hdat.detail["trusted"] == 0
    assert "opal" not in sources(machine, "measure")


def test_a_fork_has_chips_of_its_own() -> None:
    machine = machine_with(TWO).run(until="hostboot_init")
    other = machine.fork()
    other.board.secondaries[0].chip.put_measurement(4, b"\1" * 32)
    chip = machine.board.secondaries[0].chip
    assert chip.get_measurement(4, 4) == bytes(32)
    other.board.secondaries[1].seeprom.reprogram(0, b"PIX")
    assert machine.run().board.poisoned == set()
    with pytest.raises(BootFailure):
        other.run()
