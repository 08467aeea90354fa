"""A TPM that fails at any step: what is left of it, and who goes on (3.3, 3.4).

The table stands here as the notes give it: code, and how many extends went before.
"""

from __future__ import annotations

from typing import Final

import pytest

from pefstack import BootFailure, Machine, Refusal, UsageError
from pefstack.hw.chip import SCRATCH_11, SECURITY_SWITCH
from pefstack.hw.tpm_step import TpmStep
from pefstack.images.event_log import EventLog
from tpm_kit import PassingTpm

P10: Final = "machine.measure.profile=p10"
WANTING: Final = "machine.tpm.required=false"
OTHER_BANKS: Final = 'machine.tpm.allocated=["sha1", "sha256"]'
TDP: Final = 0x0008_0000_0000_0000
CHIPS: Final = "machine.secondary-chips=[{}, {}]"
# name in a machine file -> code, extends of the primary's TPM that were before it
STEPS: Final = {
    "read-id": (0x01, 0),
    "locality": (0x02, 0),
    "startup": (0x03, 0),
    "detect": (0x04, 0),
    "allocate": (0x05, 0),
    "hw-key-hash-6": (0x07, 0),
    "hw-key-hash-1": (0x08, 1),
    "state-6": (0x09, 2),
    "state-1": (0x0A, 3),
    "sb-verification-0": (0x0B, 4),
    "sb-verification-6": (0x0C, 5),
    "sbe-firmware": (0x0D, 6),
    "hbbl": (0x0E, 7),
    "switches": (0x0F, 8),
    **{f"separator-{pcr}": (0x10 + pcr, 9 + pcr) for pcr in range(8)},
    # HBB, HBB's keys, HBI, HBI's keys, six configuration values lie between
    "secondary-verification": (0x19, 27),
    "secondary-firmware": (0x1A, 28),
    "secondary-state": (0x1B, 29),
}


def power10(*settings: str) -> Machine:
    return Machine("small", settings=[P10, *settings])


def kinds(machine: Machine) -> list[str]:
    return [event.kind for event in machine.journal]


def step_code(machine: Machine) -> int:
    return machine.board.chip.get_scom(SCRATCH_11) >> 48 & 0xFF


def is_deconfigured(machine: Machine) -> bool:
    return bool(machine.board.chip.get_scom(SECURITY_SWITCH) & TDP)


def test_the_list_of_steps_is_complete() -> None:
    elsewhere = {TpmStep.POISON, TpmStep.SECONDARY_READ}
    assert {code for code, _ in STEPS.values()} == set(TpmStep) - elsewhere
    assert set(TpmStep) == set(range(1, 0x1C))


@pytest.mark.parametrize("written", ["name", "hex", "decimal"])
@pytest.mark.parametrize("name", STEPS)
def test_every_step_of_the_sbe(name: str, written: str) -> None:
    code, extends = STEPS[name]
    text = {"name": name, "hex": f"0x{code:02x}", "decimal": str(code)}[written]
    fails = f'machine.tpm.fails-at="{text}"'
    machine = power10(WANTING, OTHER_BANKS, CHIPS, fails).run()
    assert machine.stage is None
    assert (step_code(machine), is_deconfigured(machine)) == (code, True)
    (lost,) = (event for event in machine.journal if event.kind == "tpm-lost")
    assert lost.detail["step"] == code
    assert kinds(machine).count("extend") == extends
    assert "extend" not in kinds(machine)[kinds(machine).index("tpm-lost") :]
    late = [e for e in machine.journal if e.kind == "measure" and e.seq > lost.seq]
    assert late == []
    log = EventLog.from_bytes(machine.event_log).records
    assert len(log) == (extends if code > 0x17 else 0)


def test_a_silent_chip_is_step_0x18() -> None:
    machine = power10(WANTING, "machine.secondary-chips=[{}, {silent=true}]").run()
    assert (step_code(machine), is_deconfigured(machine)) == (0x18, True)
    assert kinds(machine).count("tpm-lost") == 1
    chips = [e.detail["chip"] for e in machine.journal if e.kind == "chip"]
    assert chips == [0, 1]


def test_a_step_that_asks_no_tpm_is_refused() -> None:
    for text in ("secondary-read", "0x18", "24"):
        with pytest.raises(UsageError, match="asks a chip, not the TPM"):
            power10(f'machine.tpm.fails-at="{text}"')


@pytest.mark.parametrize("text", ["separator-8", "0x1c", "0", "-1", "x", "0x0d "])
def test_a_step_that_there_is_not_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"machine\.tpm\.fails-at: found"):
        power10(f'machine.tpm.fails-at="{text.replace(" ", "_")}"')


@pytest.mark.parametrize("name", sorted({*STEPS} - {"separator-6"}))
def test_in_the_patents_profile_every_failing_step_ends_the_boot(name: str) -> None:
    fails = f"machine.tpm.fails-at={name}"
    machine = Machine("small", settings=[fails, OTHER_BANKS, CHIPS])
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.refusal is Refusal.TPM_REFUSED
    assert not is_deconfigured(machine)


def test_a_step_that_a_profile_does_not_have_never_comes() -> None:
    """The SBE's separators of the patent's profile leave the boot policy's PCR out."""
    fails = "machine.tpm.fails-at=separator-6"
    assert Machine("small", settings=[fails]).run().stage is None


def test_the_policys_own_pcr_has_the_steps_of_pcr6() -> None:
    settings = ["machine.measure.pcr=10", "machine.tpm.fails-at=hw-key-hash-6"]
    with pytest.raises(BootFailure) as caught:
        Machine("small", settings=settings).run()
    assert (caught.value.stage, caught.value.refusal.value) == (
        "sbe_immutable",
        "tpm-refused",
    )


@pytest.mark.parametrize(
    "raw", [b"\xff" * 4, bytes(4), b"\xff\xff\x01\0", b"", b"\x14\x10\x01"]
)
def test_a_bus_without_a_vendor_has_no_tpm(
    raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = power10(WANTING)

    class Unknown(PassingTpm):
        """Answers, but says nobody's name."""

        def read_id(self) -> bytes:
            return raw

    monkeypatch.setattr(machine.board, "tpm", Unknown(machine.board.tpm))
    assert step_code(machine.run()) == 1


def test_a_locality_that_is_not_granted_is_step_2(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    machine = power10(WANTING)

    class Taken(PassingTpm):
        """Somebody else has the locality."""

        def request_locality(self, locality: int) -> bool:
            asked.append(locality)
            return False

    monkeypatch.setattr(machine.board, "tpm", Taken(machine.board.tpm))
    assert step_code(machine.run()) == 2
    assert asked == [0]


# Required or not.


@pytest.mark.parametrize("name", STEPS)
def test_a_machine_that_requires_its_tpm_does_not_boot_without(name: str) -> None:
    machine = power10(f"machine.tpm.fails-at={name}", OTHER_BANKS, CHIPS)
    with pytest.raises(BootFailure) as caught:
        machine.run()
    failure = caught.value
    assert (failure.stage, failure.refusal) == ("hostboot_ext", Refusal.TPM_REQUIRED)
    assert "machine.tpm.required" in failure.mend
    assert step_code(machine) == STEPS[name][0]


def refusal_of(machine: Machine) -> Refusal | None:
    try:
        machine.run()
    except BootFailure as failure:
        return failure.refusal
    return None


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("smd", [False, True])
@pytest.mark.parametrize("dies_at", [9, 35])
def test_security_off_needs_no_tpm(required: bool, smd: bool, dies_at: int) -> None:
    """As the published Hostboot: it asks the jumper first, then the policy."""
    machine = power10(
        f"machine.tpm.required={str(required).lower()}",
        f"machine.chip.smd={str(smd).lower()}",
        f"machine.tpm.dies-at={dies_at - 3 * smd}",
    )
    expected = Refusal.TPM_REQUIRED if required and not smd else None
    assert refusal_of(machine) is expected


def test_a_backup_tpm_does_not_stand_in() -> None:
    chips = ("machine.secondary-chips=[{}]", "machine.backup-tpm={}")
    machine = power10("machine.tpm.fails-at=startup", *chips)
    assert refusal_of(machine) is Refusal.TPM_REQUIRED


def test_a_tpm_that_dies_under_opal_is_missed_by_nobody() -> None:
    machine = power10().run(until="hostboot_ext")
    machine.board.tpm.power_off()
    assert refusal_of(machine) is None
    assert is_deconfigured(machine)


# POWER9: Hostboot starts the TPM.


def power9(*settings: str) -> Machine:
    hbbl = "image.seeprom.hbbl.content.fill=0x1000"
    return Machine("small", settings=["machine.measure.profile=p9", hbbl, *settings])


@pytest.mark.parametrize(
    "fault",
    ["fails-at=read-id", "fails-at=locality", "fails-at=startup", "dies-at=7"],
)
def test_power9_goes_on_without_its_tpm(fault: str) -> None:
    machine = power9(WANTING, f"machine.tpm.{fault}").run()
    assert (step_code(machine), is_deconfigured(machine)) == (0, True)
    (lost,) = (event for event in machine.journal if event.kind == "tpm-lost")
    assert (lost.source, lost.detail["step"]) == ("hostboot_ext", 0)
    assert "extend" not in kinds(machine)[lost.seq :]
    required = power9(f"machine.tpm.{fault}")
    assert refusal_of(required) is Refusal.TPM_REQUIRED
