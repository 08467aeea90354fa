"""Holes that were found once: each has its test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pefstack import BootFailure, Machine, Refusal, UsageError
from pefstack.hw.chip import SCRATCH_11
from pefstack.images.container import HEADER_SIZE
from pefstack.images.errors import FormatError
from pefstack.images.event_log import EventLog
from pefstack.images.ffs_find import find_table
from tpm_kit import PassingTpm

HBBL_PARTITION = [
    "image.flash.partition.HBBL.base=0xe0000",
    "image.flash.partition.HBBL.size=0x10000",
    "image.flash.partition.HBBL.content.fill=0x2000",
    "image.flash.partition.HBBL.container.sw-keys=1",
]


@pytest.mark.parametrize("profile", ["patent", "p10"])
def test_under_record_hbbl_in_the_flash_is_hostboots_to_refuse(profile: str) -> None:
    settings = [*HBBL_PARTITION, f"machine.measure.profile={profile}"]
    machine = Machine("small", settings=[*settings, "machine.verify.policy=record"])
    assert machine.fork().run().stage is None
    machine.flash["HBBL"].write(b"\xff\x00", HEADER_SIZE + 0x100)
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.stage == "hostboot_ext"
    assert machine.board.chip.get_scom(SCRATCH_11) == 0


@pytest.mark.parametrize("profile", ["patent", "p10", "p9"])
@pytest.mark.parametrize("partition", ["HBB", "HBI", "PAYLOAD"])
@pytest.mark.parametrize(
    "setting", ["machine.chip.smd=true", "machine.verify.policy=record-only"]
)
def test_p50_what_is_really_there_is_measured_in_every_profile(
    profile: str, partition: str, setting: str
) -> None:
    settings = [f"machine.measure.profile={profile}", setting]
    if profile == "p9":
        settings.append("image.seeprom.hbbl.content.fill=0x1000")
        settings.append('machine.tpm.allocated=["sha1", "sha256"]')
    machine = Machine("small", settings=settings)
    good = machine.fork().run()
    machine.flash[partition].write(b"\xff\x00", 0x2000)
    machine.run()
    pcr = 4 if partition == "PAYLOAD" else 0
    assert machine.pcr(pcr) != good.pcr(pcr)


ANSWERS: list[Callable[[bytes], bytes]] = [
    lambda answer: b"",
    lambda answer: answer[:9],
    lambda answer: answer + b"\0",
    lambda answer: b"\x99" + answer[1:],
    lambda answer: bytes(5000),
    lambda answer: bytes.fromhex("80010000000a00000000"),
]


@pytest.mark.parametrize("number", range(len(ANSWERS)))
@pytest.mark.parametrize("profile", ["patent", "p10"])
def test_a_tpm_that_answers_nonsense_is_one_that_refuses(
    profile: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [f"machine.measure.profile={profile}", "machine.tpm.required=false"]
    machine = Machine("small", settings=settings)

    class Liar(PassingTpm):
        """Answers every command after the third with nonsense."""

        count = 0

        def execute(self, command: bytes, locality: int = 0) -> bytes:
            self.count += 1
            answer = super().execute(command, locality)
            return ANSWERS[number](answer) if self.count > 3 else answer

    monkeypatch.setattr(machine.board, "tpm", Liar(machine.board.tpm))
    nonsense_is_a_success = number == len(ANSWERS) - 1
    if profile == "p10":
        machine.run()
        lost = [event.kind for event in machine.journal].count("tpm-lost")
        assert lost == (0 if nonsense_is_a_success else 1)
    elif not nonsense_is_a_success:
        with pytest.raises(BootFailure) as caught:
            machine.run()
        assert caught.value.refusal is Refusal.TPM_REFUSED


@pytest.mark.parametrize("number", [3, 6, 9, 12, 20, 30])
def test_the_log_lists_no_extend_that_never_was(number: int) -> None:
    settings = [f"machine.tpm.dies-at={number}", "machine.tpm.required=false"]
    settings.append("machine.measure.profile=p10")
    machine = Machine("small", settings=settings).run()
    extends = [event.kind for event in machine.journal].count("extend")
    assert len(EventLog.from_bytes(machine.event_log).records) <= extends


@pytest.mark.parametrize("pcr", [0, 1, 4, 5, 7, 17, 22])
def test_a_policy_pcr_that_others_extend_is_refused(pcr: int) -> None:
    with pytest.raises(UsageError, match=r"machine\.measure\.pcr"):
        Machine("small", settings=[f"machine.measure.pcr={pcr}"])


def test_a_flash_full_of_bad_tables_is_given_up() -> None:
    page = b"PART" + bytes(0xFFC)
    probes: list[int] = []

    def read(offset: int, size: int) -> bytes:
        probes.append(offset)
        return page[offset % 0x1000 :][:size]

    with pytest.raises(FormatError, match="FFS table"):
        find_table(read, 0x4000000)
    assert len(set(probes)) == 64
