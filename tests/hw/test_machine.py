"""A machine described: the value is primary, the table a view of it."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.flip import FlipSpec
from pefstack.hw.machine import (
    AnyTpmSpec,
    ChipSpec,
    FurtherSpec,
    FusesSpec,
    MachineSpec,
    MeasureSpec,
    TpmSpec,
)
from pefstack.hw.mapping import SettingError
from pefstack.hw.secondary_spec import SecondaryChipSpec

HASH = bytes(range(64))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
BANKS = st.permutations(["sha1", "sha256", "sha384"])
CHIPS = st.builds(
    ChipSpec,
    smd=st.booleans(),
    pef_enable=st.booleans(),
    pvr=st.integers(0, 0xFFFFFFFF),
    node_id=st.integers(0, (1 << 63) - 1),
)
FUSES = st.builds(
    FusesSpec,
    hw_key_hash=st.binary(min_size=64, max_size=64),
    minimum_secure_version=st.integers(0, 255),
    signing_mode=st.integers(0, 255),
)
FURTHER = st.builds(
    FurtherSpec,
    text=TEXTS,
    value=st.binary(max_size=64),
    stage=st.sampled_from(["hostboot_ext", "opal"]),
)
MEASURES = st.builds(
    MeasureSpec,
    profile=TEXTS,
    pcr=st.integers(0, 23),
    further=st.lists(FURTHER, max_size=3).map(tuple),
)


@st.composite
def tpms(draw: st.DrawFn) -> TpmSpec:
    """Some banks, and some of them allocated."""
    banks = draw(BANKS)[: draw(st.integers(1, 3))]
    allocated = draw(st.permutations(banks))[: draw(st.integers(1, len(banks)))]
    return TpmSpec(
        seed=draw(TEXTS),
        banks=tuple(banks),
        allocated=tuple(allocated),
        required=draw(st.booleans()),
    )


SECONDARIES = st.builds(
    SecondaryChipSpec,
    smd=st.none() | st.booleans(),
    hw_key_hash=st.just(b"") | st.binary(min_size=64, max_size=64),
    flip=st.lists(
        st.builds(FlipSpec, offset=st.integers(0, 6), bit=st.integers(0, 7)),
        max_size=2,
    ).map(tuple),
    silent=st.booleans(),
)
BACKUPS = st.builds(
    AnyTpmSpec,
    seed=TEXTS,
    dies_at=st.integers(0, 0xFFFF),
    fails_at=st.sampled_from(["", "poison", "0x02", "separator-7"]),
)


@st.composite
def machine_specs(draw: st.DrawFn) -> MachineSpec:
    """A backup TPM only where there is a chip for it."""
    chips = draw(st.lists(SECONDARIES, max_size=3).map(tuple))
    return MachineSpec(
        fuses=draw(FUSES),
        chip=draw(CHIPS),
        tpm=draw(tpms()),
        measure=draw(MEASURES),
        secondary_chips=chips,
        backup_tpm=draw(st.none() | BACKUPS) if chips else None,
    )


SPECS = machine_specs()


@given(SPECS)
def test_the_round_trip_changes_nothing(spec: MachineSpec) -> None:
    table = spec.to_mapping()
    assert MachineSpec.from_mapping(table) == spec
    assert MachineSpec.from_mapping(tomllib.loads(tomli_w.dumps(table))) == spec
    assert MachineSpec.from_mapping(table).to_mapping() == table


def test_a_whole_table_by_hand() -> None:
    spec = MachineSpec.from_mapping(
        {
            "fuses": {"hw-key-hash": HASH.hex(), "minimum-secure-version": 2},
            "chip": {"smd": True, "pef-enable": False, "pvr": 0x4E1200},
            "tpm": {"seed": "x", "banks": ["sha256"], "required": False},
            "measure": {"pcr": 5, "further": [{"text": "key", "value": "00ff"}]},
        }
    )
    assert spec.fuses == FusesSpec(hw_key_hash=HASH, minimum_secure_version=2)
    assert spec.chip == ChipSpec(smd=True, pef_enable=False, pvr=0x4E1200)
    assert spec.tpm == TpmSpec(seed="x", banks=("sha256",), required=False)
    further = FurtherSpec(text="key", value=b"\x00\xff", stage="opal")
    assert spec.measure == MeasureSpec(pcr=5, further=(further,))


FURTHER_0 = "machine.measure.further[0]"
WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("chip", {"pvr": 1 << 32}, "machine.chip.pvr", "found 0x100000000"),
    ("chip", {"pvr": -1}, "machine.chip.pvr", "found 0x-1"),
    ("chip", {"node-id": 1 << 64}, "machine.chip.node-id", "expected 0x0 to"),
    ("chip", {"smd": 1}, "machine.chip.smd", "expected true or false"),
    ("chip", {"jumper": True}, "machine.chip.jumper", "no such setting"),
    ("tpm", {"banks": []}, "machine.tpm.banks", "each bank once"),
    ("tpm", {"banks": ["md5"]}, "machine.tpm.banks", "no bank 'md5'; there are: sha1"),
    ("tpm", {"banks": ["sha256"] * 2}, "machine.tpm.banks", "each bank once"),
    ("tpm", {"allocated": []}, "machine.tpm.allocated", "each bank once"),
    ("tpm", {"allocated": ["sha512"]}, "machine.tpm.allocated", "no bank 'sha512'"),
    ("tpm", {"allocated": ["sha1"] * 2}, "machine.tpm.allocated", "each bank once"),
    ("tpm", {"banks": ["sha1"]}, "machine.tpm.allocated", "no bank 'sha256'"),
    ("measure", {"pcr": 24}, "machine.measure.pcr", "found 0x18, expected 0x0 to 0x17"),
    ("measure", {"pcr": -1}, "machine.measure.pcr", "found 0x-1"),
    (
        "measure",
        {"further": [{"text": "a", "value": "00", "stage": "sbe"}]},
        f"{FURTHER_0}.stage",
        "found 'sbe', expected hostboot_ext or opal",
    ),
    (
        "measure",
        {"further": [{"text": "a", "value": "00" * 65}]},
        f"{FURTHER_0}.value size",
        "found 0x41, expected 0x0 to 0x40",
    ),
    (
        "measure",
        {"further": [{"text": "é" * 513, "value": "00"}]},
        f"{FURTHER_0}.text size",
        "found 0x402, expected 0x0 to 0x400",
    ),
    ("fuses", {"hw-key-hash": "00"}, "machine.fuses.hw-key-hash", "found 1 bytes"),
    (
        "fuses",
        {"hw-key-hash": HASH.hex(), "minimum-secure-version": 256},
        "machine.fuses.minimum-secure-version",
        "found 0x100",
    ),
    (
        "fuses",
        {"hw-key-hash": HASH.hex(), "signing-mode": -1},
        "machine.fuses.signing-mode",
        "found 0x-1",
    ),
    ("fuses", {}, "machine.fuses.hw-key-hash", "is missing"),
]


@pytest.mark.parametrize(("part", "table", "key", "problem"), WRONG)
def test_a_value_out_of_bounds_names_its_key(
    part: str, table: dict[str, Any], key: str, problem: str
) -> None:
    whole: dict[str, Any] = {"fuses": {"hw-key-hash": HASH.hex()}, part: table}
    with pytest.raises(SettingError) as wrong:
        MachineSpec.from_mapping(whole)
    assert wrong.value.key == key
    assert problem in wrong.value.problem


def test_a_machine_without_fuses_is_none() -> None:
    with pytest.raises(SettingError, match=r"machine\.fuses: is missing"):
        MachineSpec.from_mapping({})


@given(SPECS)
def test_every_spec_builds_a_board(spec: MachineSpec) -> None:
    board = spec.build("any", b"flash", b"seeprom", b"measurement")
    assert (board.chip.smd, board.chip.pvr) == (spec.chip.smd, spec.chip.pvr)
    assert board.chip.secure is not spec.chip.smd
    assert board.fuses.hw_key_hash == spec.fuses.hw_key_hash
    assert bytes(board.flash.read(0, 5)) == b"flash"
    assert (board.seeprom.locked, board.measurement_seeprom.locked) == (False, True)
    assert len(board.journal) == 0
