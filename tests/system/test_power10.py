"""POWER10 as boot-chain.md 3.3 has it: sequence, reference values, TPM bytes, failures.

The tables stand here as the notes give them, not as the code does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest

from pefstack import BootFailure, Machine, Refusal
from pefstack.firmware import sbe_immutable
from pefstack.hw.chip import SCRATCH_11, SECURITY_SWITCH
from pefstack.images.event_log import EventLog
from system.test_checklist import flip_section, seal_policy
from tpm_kit import PassingTpm

VECTORS: Final = Path(__file__).parent.parent / "vectors"
REFERENCE: Final = json.loads(
    (VECTORS / "boot-chain" / "pcr" / "pcr6-reference.json").read_text()
)
COMMANDS: Final = json.loads((VECTORS / "tpm" / "sbe-tpm-commands.json").read_text())
P10: Final = "machine.measure.profile=p10"

# 3.3: PCR, event type, text; each stage's in its order
SEPARATORS: Final = [(pcr, 0x4, b"\xff\xff\xff\xff") for pcr in range(8)]
CODE: Final = b"SBE Secure Boot Validation Code"
SBE: Final = [
    (6, 0xC, b"HW KEY HASH\0"),
    (1, 0xA, b"HW KEY HASH chip 0\0"),
    (6, 0xC, b"SBE Security State\0"),
    (1, 0xA, b"SBE Security State chip 0\0"),
    (0, 0x7, CODE + b" chip 0\0"),
    (6, 0xC, CODE + b"\0"),
    (0, 0x7, b"SBE L1/L2 Boot loaders and Base chip 0\0"),
    (0, 0x7, b"HBBL\0"),
    (1, 0xA, b"Security Switches chip 0\0"),
    *SEPARATORS,
    (0, 0x7, b"HBB\0"),
]
HOSTBOOT: Final = [
    (1, 0xA, b"HBB FW KEY HASH\0"),
    (0, 0x7, b"HBI\0"),
    (1, 0xA, b"HBI FW KEY HASH\0"),
    (1, 0xA, b"Security Switches\0"),
    (1, 0xA, b"PVR of Chip\0"),
    (1, 0xA, b"Node id\0"),
    (4, 0xC, b"Node id\0"),
    (5, 0xC, b"Node id\0"),
    (1, 0xA, b"TPM Required\0"),
    (4, 0xC, b"PAYLOAD\0"),
    (5, 0xC, b"PAYLOAD FW KEY HASH\0"),
    *SEPARATORS,
]
# 3.3: what the SBE leaves in byte 1 of scratch register 11 when the TPM dies there
STEPS: Final = [0x3, 0x4, 0x5, *range(0x7, 0x10), *range(0x10, 0x18)]


def power10(*settings: str) -> Machine:
    return Machine("small", settings=[P10, *settings])


def sequence(machine: Machine) -> list[tuple[int, int, bytes]]:
    return [
        (record.pcr_index, record.event_type, record.event)
        for record in EventLog.from_bytes(machine.event_log).records
    ]


def test_power10_sequence_event_by_event() -> None:
    assert sequence(power10().run()) == [*SBE, *HOSTBOOT, *SEPARATORS]


def test_power10_sequence_with_security_off_lacks_the_key_hashes() -> None:
    rows = sequence(power10("machine.chip.smd=true").run())
    secure_only = [row for row in HOSTBOOT if b"FW KEY HASH" in row[2]]
    assert len(secure_only) == 3
    expected = [row for row in [*SBE, *HOSTBOOT] if row not in secure_only]
    assert rows == [*expected, *SEPARATORS]


@pytest.mark.parametrize("case", sorted(REFERENCE["p10_real"]))
def test_power10_reference_pcr6(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The public binary's digest stands in the place of the computed one."""
    code = bytes.fromhex(REFERENCE["inputs"]["sb_verification_sha512"])
    injected = SimpleNamespace(digest=lambda: code)
    fake = SimpleNamespace(sha512=lambda _: injected)
    monkeypatch.setattr(sbe_immutable, "hashlib", fake)
    version = 2 if "msv2" in case else 0
    machine = power10(
        f"machine.chip.smd={'true' if 'jumper1' in case else 'false'}",
        f"machine.fuses.minimum-secure-version={version}",
        *signed_with_version(version),
    ).run()
    steps = [
        (event.detail["digest"], event.detail["value"])
        for event in machine.journal
        if event.kind == "extend" and event.detail["pcr"] == 6
    ]
    rows = REFERENCE["p10_real"][case]
    assert steps == [(row["digest"], row["pcr_after"]) for row in rows]


def signed_with_version(version: int) -> Iterator[str]:
    """Every container of the machine with this security version."""
    for name in ("HBB", "HBI", "PAYLOAD"):
        place = f"image.flash.partition.{name}.container"
        yield f"{place}.security-version={version}"
    for name in ("base", "hbbl"):
        yield f"image.seeprom.{name}.container.security-version={version}"


def test_power10_tpm_bytes_of_the_sbe(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = power10('machine.tpm.allocated=["sha1", "sha256"]')
    sent: list[str] = []

    class Recorder(PassingTpm):
        """Notes what is sent and passes it on."""

        def execute(self, command: bytes, locality: int = 0) -> bytes:
            assert locality == 0
            sent.append(command.hex())
            return super().execute(command, locality)

    monkeypatch.setattr(machine.board, "tpm", Recorder(machine.board.tpm))
    machine.run(until="sbe_mutable")
    names = ("startup_clear", "get_cap_pcrs", "pcr_allocate")
    assert sent[:3] == [COMMANDS[name] for name in names]
    head, _, _ = COMMANDS["pcr_extend_template"].partition("PP")
    tail = COMMANDS["pcr_extend_template"].partition("PP")[2].partition("<")[0]
    extends = sent[3:]
    assert len(extends) == len(SBE) - 1  # HBB comes later
    for command, (pcr, _, _) in zip(extends, SBE, strict=False):
        assert command.startswith(f"{head}{pcr:02x}{tail}")
        assert len(command) == 2 * 0x41


@pytest.mark.parametrize("version", [1, 3, 255])
def test_power10_rollback_is_refused(version: int) -> None:
    """A machine whose minimum was raised takes no older image, wherever it lies."""
    machine = power10(f"machine.fuses.minimum-secure-version={version}")
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert (caught.value.stage, caught.value.log) == ("sbe_mutable", 0xFFFFFFFFFFFF8190)


def test_power10_equal_versions_boot() -> None:
    settings = [*signed_with_version(3), "machine.fuses.minimum-secure-version=3"]
    assert power10(*settings).run().stage is None


def test_power10_the_immutable_code_verifies_nothing() -> None:
    machine = power10().run(until="sbe_immutable")
    assert "verify" not in {event.kind for event in machine.journal}


def test_power10_changed_verification_code_is_measured_not_refused() -> None:
    good = power10().run()
    machine = power10()
    flip_section(machine, "sb_verification")
    machine.run()
    assert machine.pcr(6) != good.pcr(6)
    assert machine.pcr(0) != good.pcr(0)


@pytest.mark.parametrize("number", range(1, len(STEPS) + 1))
def test_power10_a_tpm_that_dies_is_given_up_with_its_step_code(number: int) -> None:
    machine = power10(
        f"machine.tpm.dies-at={number}",
        'machine.tpm.allocated=["sha1", "sha256"]',
        "machine.tpm.required=false",
    ).run()
    word = machine.board.chip.get_scom(SCRATCH_11)
    assert word >> 48 & 0xFF == STEPS[number - 1]
    assert machine.board.chip.get_scom(SECURITY_SWITCH) & 0x0008000000000000
    assert machine.stage is None
    kinds = [event.kind for event in machine.journal]
    assert kinds.count("tpm-lost") == 1
    assert "extend" not in kinds[kinds.index("tpm-lost") :]


def test_power10_a_tpm_that_dies_under_hostboot_leaves_no_step_code() -> None:
    """It dies at one of Hostboot's separators; the SBE has codes for its own."""
    machine = power10("machine.tpm.dies-at=35", "machine.tpm.required=false").run()
    lost = next(event for event in machine.journal if event.kind == "tpm-lost")
    assert lost.source == "hostboot_ext"
    assert machine.board.chip.get_scom(SCRATCH_11) >> 48 & 0xFF == 0
    assert machine.board.chip.get_scom(SECURITY_SWITCH) & 0x0008000000000000


def test_a_tpm_that_dies_ends_a_boot_of_the_patents_profile() -> None:
    machine = Machine("small", settings=["machine.tpm.dies-at=5"])
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.refusal is Refusal.TPM_REFUSED


@pytest.mark.parametrize(
    ("section", "byte"), [("hbbl", 2), ("base", 3)], ids=["HBBL", "SBE_FW"]
)
def test_the_sbe_records_and_hostboot_ends_the_boot(section: str, byte: int) -> None:
    machine = power10("machine.verify.policy=record")
    flip_section(machine, section)
    with pytest.raises(BootFailure) as caught:
        machine.run()
    failure = caught.value
    assert (failure.stage, failure.refusal) == ("hostboot_ext", Refusal.SBE_REPORTED)
    assert machine.board.chip.get_scom(SCRATCH_11).to_bytes(8, "big")[byte] == 0x72


def test_what_the_sbe_rejected_is_measured_as_it_is() -> None:
    machine = power10("machine.verify.policy=record")
    flip_section(machine, "hbbl")
    machine.run(until="sbe_mutable")
    seeprom = machine.board.seeprom.content
    measured = next(
        str(event.detail["digest"])
        for event in machine.journal
        if event.kind == "measure" and event.detail["what"] == "hbbl"
    )
    places = [
        seeprom[at : at + 0x1800]
        for at in range(0, len(seeprom) - 0x1800, 8)
        if hashlib.sha512(seeprom[at : at + 0x1800]).hexdigest().startswith(measured)
    ]
    assert len(places) == 1


def test_under_record_hostboot_itself_still_refuses() -> None:
    machine = power10("machine.verify.policy=record")
    machine.flash["HBI"].write(b"\xff\x00", 0x2000)
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.stage == "hostboot_init"


def test_record_only_passes_over_what_the_sbe_reports() -> None:
    machine = power10("machine.verify.policy=record-only")
    flip_section(machine, "hbbl")
    assert machine.run().stage is None


def test_p50_record_only_can_leave_pcr6_equal_to_the_good_value(small: Machine) -> None:
    good = small.run()
    machine = Machine("small", settings=["machine.verify.policy=record-only"])
    machine.flash["HBI"].write(b"\xff\x00", 0x2000)
    machine.run()
    assert machine.pcr(6) == good.pcr(6)
    assert seal_policy(machine.pcr(6)) == seal_policy(good.pcr(6))
    rejected = [
        event.detail["code"]
        for event in machine.journal
        if event.kind == "verify" and not event.detail["good"]
    ]
    assert rejected == ["HBI"]


def test_p50_a_policy_that_also_names_pcr0_refuses(small: Machine) -> None:
    good = small.run()
    machine = Machine("small", settings=["machine.verify.policy=record-only"])
    machine.flash["HBI"].write(b"\xff\x00", 0x2000)
    machine.run()
    assert machine.pcr(0) != good.pcr(0)
    policies = []
    for each in (machine, good):
        both = each.pcr(0) + each.pcr(6)
        digest = hashlib.sha256(both).digest()
        selection = bytes.fromhex("0000017f00000001000b03410000")
        policies.append(hashlib.sha256(bytes(32) + selection + digest).hexdigest())
    assert policies[0] != policies[1]


def test_p50_the_alarm_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from pefstack.tools.cli.app import main

    flip = "image.flash.partition.HBI.flip=[{offset=0x2000, bit=1}]"
    words = ["--set", "machine.verify.policy=record-only", "--set", flip]
    assert main(["boot", "small", *words]) == 0
    assert "ALARM: hostboot_init went on: HBI: hash of the p" in capsys.readouterr().out


def test_unknown_policy_is_named() -> None:
    from pefstack import UsageError

    with pytest.raises(UsageError, match=r"machine\.verify\.policy"):
        power10("machine.verify.policy=hope")
    with pytest.raises(UsageError, match=r"machine\.measure\.pcr"):
        power10("machine.measure.pcr=14")
