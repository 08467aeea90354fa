"""The table of boot-chain.md 1.5: jumper, lab override, and what the BMC asks for."""

from __future__ import annotations

from itertools import product
from typing import Final

import pytest

from pefstack import BootFailure, Machine, Refusal

FLAGGED: Final = "image.seeprom.base.container.hw-flags=0x80080000"
DAMAGED: Final = "image.seeprom.base.flip=[{ offset = 0x100, bit = 0 }]"
ASKED, VALID = 1 << 31 - 6, 1 << 31 - 2  # IBM bit numbers in a word of 32 bits
ANY: Final = None

# SMD, SBE_FW valid and flagged, scratch 3 is valid, scratch 3 bit 6 -> secure
TABLE: Final = (
    (1, ANY, ANY, ANY, False),
    (0, 0, ANY, ANY, True),
    (0, 1, 0, ANY, True),
    (0, 1, 1, 0, True),
    (0, 1, 1, 1, False),
)


def by_table(*found: int) -> bool:
    """The result of the one row that fits."""
    rows = [
        row[4]
        for row in TABLE
        if all(want in (ANY, has) for want, has in zip(row[:4], found, strict=True))
    ]
    assert len(rows) == 1
    return rows[0]


def settings(smd: int, valid: int, asked: int, *images: str) -> list[str]:
    return [
        f"machine.chip.smd={str(bool(smd)).lower()}",
        f"machine.chip.scratch-3={ASKED if asked else 0}",
        f"machine.chip.scratch-8={VALID if valid else 0}",
        "machine.verify.policy=record",
        *images,
    ]


@pytest.mark.parametrize("profile", ["patent", "p10"])
@pytest.mark.parametrize(
    ("images", "allowed"),
    [((), 0), ((FLAGGED,), 1), ((DAMAGED,), 0), ((FLAGGED, DAMAGED), 0)],
    ids=["plain", "flagged", "damaged", "flagged-and-damaged"],
)
def test_every_row_and_every_combination(
    profile: str, images: tuple[str, ...], allowed: int
) -> None:
    for smd, valid, asked in product((0, 1), repeat=3):
        chosen = settings(smd, valid, asked, *images)
        machine = Machine(
            "small", settings=[*chosen, f"machine.measure.profile={profile}"]
        )
        machine.run(until="sbe_mutable")
        wanted = by_table(smd, allowed, valid, asked)
        assert machine.board.chip.secure is wanted, (smd, valid, asked)
        (event,) = [e for e in machine.journal if e.kind == "secure-mode"]
        assert event.detail["secure"] == wanted
        assert event.detail["override"] == allowed


@pytest.mark.parametrize(
    ("scratch_3", "scratch_8"),
    [
        (0xFFFFFFFF ^ ASKED, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF ^ VALID),
        (ASKED << 1, VALID),
        (ASKED, VALID << 1),
        (ASKED >> 1, VALID),
        (ASKED, VALID >> 1),
    ],
)
def test_no_other_bit_counts(scratch_3: int, scratch_8: int) -> None:
    machine = Machine(
        "small",
        settings=[
            FLAGGED,
            f"machine.chip.scratch-3={scratch_3}",
            f"machine.chip.scratch-8={scratch_8}",
        ],
    )
    assert machine.run(until="sbe_mutable").board.chip.secure


@pytest.mark.parametrize("flag", [0x00080000 >> 1, 0x00080000 << 1, 0xFFF7FFFF])
def test_no_other_flag_counts(flag: int) -> None:
    machine = Machine(
        "small",
        settings=[
            f"image.seeprom.base.container.hw-flags={flag}",
            f"machine.chip.scratch-3={ASKED}",
            f"machine.chip.scratch-8={VALID}",
        ],
    )
    assert machine.run(until="sbe_mutable").board.chip.secure


def test_the_registers_are_where_real_firmware_reads_them() -> None:
    """SCOM 0x5003A and 0x5003F; a mailbox word stands in the high half."""
    chip = Machine("lab-override").board.chip
    assert chip.get_scom(0x5003A) == ASKED << 32
    assert chip.get_scom(0x5003F) == VALID << 32


@pytest.mark.parametrize("profile", ["patent", "p10"])
def test_off_by_override_is_off_for_everybody_behind(profile: str) -> None:
    """No enforcement, no key hashes, no lock; HBI is damaged and runs."""
    chosen = [f"machine.measure.profile={profile}"]
    machine = Machine("lab-override", settings=chosen).run()
    rejected = [
        e.detail["code"] for e in machine.journal if not e.detail.get("good", 1)
    ]
    assert rejected == ["HBI"]
    measured = {str(e.detail.get("what")) for e in machine.journal}
    assert not [what for what in measured if what.endswith("-fw-key-hash")]
    assert machine.board.chip.get_scom(0x10005) == 0
    assert machine.journal[-1].kind == "boot-complete"


def test_without_the_bmcs_word_the_same_machine_refuses() -> None:
    machine = Machine("lab-override", settings=["machine.chip.scratch-8=0"])
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.refusal is Refusal.CONTAINER_REJECTED
    assert caught.value.stage == "hostboot_init"


@pytest.mark.parametrize("profile", ["patent", "p10"])
def test_pcr6_does_not_show_the_override_but_pcr1_does(profile: str) -> None:
    """A finding: the jumper's record stays 0, so a policy needs PCR1 as well."""
    chosen = [FLAGGED, f"machine.measure.profile={profile}"]
    asking = [f"machine.chip.scratch-3={ASKED}", f"machine.chip.scratch-8={VALID}"]
    secure = Machine("small", settings=chosen).run()
    override = Machine("small", settings=[*chosen, *asking]).run()
    assert (secure.board.chip.secure, override.board.chip.secure) == (True, False)
    assert override.pcr(6) == secure.pcr(6)
    assert override.pcr(1) != secure.pcr(1)
    switches = [
        str(event.detail["digest"])[:2]
        for machine in (secure, override)
        for event in machine.journal
        if event.detail.get("what") == "sbe-switches"
    ]
    assert switches == ["80", "00"]


def test_on_power9_nobody_decides() -> None:
    machine = Machine(
        "lab-override",
        settings=[
            "machine.measure.profile=p9",
            "image.seeprom.hbbl.content.fill=0x1000",
            'machine.tpm.allocated=["sha1", "sha256"]',
            "image.flash.partition.HBI.flip=[]",
        ],
    ).run()
    assert machine.board.chip.secure
    assert not [event for event in machine.journal if event.kind == "secure-mode"]
