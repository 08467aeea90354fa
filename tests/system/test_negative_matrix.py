"""The negative matrix through whole boots: every field of every container on the way.

Each case changes one header in a fork of a machine that stands just before the stage
that verifies it. The model says whether and why it is refused; then nothing runs and
nothing is measured any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import rom_model
from container_matrix import HW_KEY_HASH, Field, mutations, table, variants
from pefstack.firmware.boot import STAGES
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.hw.journal import Event
from pefstack.images.xip import SECTION_NAMES, XipHeader
from pefstack.tools.machine import Machine

MINIMUM = 3  # of the machine, and the security version of all its containers
PLACES = (
    "image.seeprom.base",
    "image.seeprom.hbbl",
    "image.flash.partition.HBB",
    "image.flash.partition.HBI",
    "image.flash.partition.PAYLOAD",
)
SETTINGS = (
    f"machine.fuses.minimum-secure-version={MINIMUM}",
    *(f"{place}.container.security-version={MINIMUM}" for place in PLACES),
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A container on the way: who verifies it, and as what it is measured next."""

    name: str
    stage: str
    keys: int
    measured_as: str
    section: str = ""  # of the boot SEEPROM
    room: int = 0  # of the flash partition, where Hostboot looks at it

    @property
    def label(self) -> bytes:
        return self.name.encode()


SBE_FW = Place(
    name="SBE_FW",
    stage="sbe_immutable",
    keys=1,
    measured_as="sb-verification",
    section=".sbh_firmware",
)
HBBL = Place(
    name="HBBL",
    stage="sbe_mutable",
    keys=1,
    measured_as="hbbl",
    section=".sbh_hbbl",
)
HBB = Place(name="HBB", stage="hostboot_loader", keys=1, measured_as="hbb")
HBI = Place(name="HBI", stage="hostboot_init", keys=3, measured_as="hbi", room=0x40000)
PAYLOAD = Place(
    name="PAYLOAD", stage="hostboot_ext", keys=3, measured_as="payload", room=0x40000
)
ON_THE_WAY = (SBE_FW, HBBL, HBB, HBI, PAYLOAD)
CASES = [
    pytest.param(place, field, id=f"{place.name}-{field.name}")
    for place in ON_THE_WAY
    for field in table(place.keys)
]


@dataclass(frozen=True, kw_only=True)
class Good:
    """A good boot: the machine before each stage, and at its end."""

    before: dict[str, Machine]
    end: Machine


@pytest.fixture(scope="module")
def good(cache_folder: object) -> Good:
    machine = Machine("small", settings=SETTINGS)
    before = {}
    for stage in STAGES:
        before[stage] = machine.fork()
        machine.step()
    assert machine.journal[-1].kind == "boot-complete"
    return Good(before=before, end=machine)


def section(machine: Machine, name: str) -> tuple[int, bytes]:
    """Offset and content of a section of the boot SEEPROM, by its header's table."""
    content = machine.board.seeprom.content
    sections = XipHeader.from_prefix(content)[0].sections
    found = sections[SECTION_NAMES.index(name)]
    return found.offset, content[found.offset : found.offset + found.size]


def padded(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % 8)


def contents(machine: Machine, place: Place) -> tuple[bytes, bytes]:
    """Header and payload of the container at this place."""
    if place.section:
        names = {"SBE_FW": (".base", ".sb_verification"), "HBBL": (".hbbl",)}
        covered = (section(machine, name)[1] for name in names[place.name])
        payload = b"".join(map(padded, covered))
        return section(machine, place.section)[1], payload
    data = machine.flash[place.name].data
    return data[:4096], data[4096:]


def write_header(machine: Machine, place: Place, header: bytes) -> None:
    if place.section:
        offset, _ = section(machine, place.section)
        machine.board.seeprom.reprogram(offset, header)
    else:
        machine.flash[place.name].write(header)


def expected(place: Place, header: bytes, payload: bytes) -> tuple[Refusal | None, int]:
    """The refusal and the log word that the specification asks for."""
    if place.section:
        code = rom_model.sbe_code(header, payload, place.label, HW_KEY_HASH, MINIMUM)
    else:
        code = rom_model.rom_code(header + payload, HW_KEY_HASH, MINIMUM)
    if code:
        return Refusal.CONTAINER_REJECTED, rom_model.log_word(code)
    return (None if place.section else hostboots_own(place, header)), 0


def hostboots_own(place: Place, header: bytes) -> Refusal | None:
    """Label, number of keys (HBB), container size (Hostboot): 1.1, 1.3."""
    software = 920 + 132 * header[450]
    if header[software + 12 : software + 20] != place.label.ljust(8, b"\0"):
        return Refusal.COMPONENT_ID
    if place is HBB:
        return Refusal.SW_KEY_COUNT if header[450] != 1 else None
    size = int.from_bytes(header[6:14], "big")
    least = 4096 + int.from_bytes(header[software + 25 : software + 33], "big")
    return None if least <= size <= place.room else Refusal.CONTAINER_SIZE


def pcrs_by(events: list[Event]) -> dict[int, bytes]:
    """PCR values by the extends in these events, computed here."""
    dynamic = range(17, 23)  # of the PC client's platform: all ones after a reset
    values = {pcr: (b"\xff" if pcr in dynamic else b"\0") * 32 for pcr in range(24)}
    for event in events:
        if event.kind == "extend":
            pcr, digest = int(event.detail["pcr"]), str(event.detail["digest"])
            values[pcr] = hashlib.sha256(values[pcr] + bytes.fromhex(digest)).digest()
    return values


def before_measuring(good: Good, place: Place) -> list[Event]:
    """What happened in a good boot before this place's code was measured."""
    events = list(good.end.journal)
    subject = (place.stage, "measure", place.measured_as)
    seen = [(each.source, each.kind, each.detail.get("what")) for each in events]
    return events[: seen.index(subject)]


def mutated(header: bytes, payload: bytes, field: Field) -> Iterator[tuple[str, bytes]]:
    for name, value in mutations(header, field).items():
        for variant, changed in variants(header, payload, field, value):
            yield f"{field.name} {name} {variant}", changed


def check_refused(good: Good, place: Place, machine: Machine, word: int) -> None:
    """The right log word, no later stage, nothing measured, the PCRs as they were."""
    assert machine.stage is None
    events = list(machine.journal)[len(good.before[place.stage].journal) :]
    last = [each.kind for each in events].index("boot-failure")
    assert last == len(events) - 1
    assert events[last].source == place.stage
    assert {each.source for each in events if each.kind == "start"} == {place.stage}
    verdict = next(
        at
        for at, each in enumerate(events)
        if each.kind == "verify" and each.detail["code"] == place.name
    )
    assert verdict == last - 1
    assert events[verdict].detail["log"] == f"0x{word or 0x103:016x}"
    assert not any(each.kind == "hand-over" for each in events)
    assert machine.pcrs() == pcrs_by(before_measuring(good, place))


def run_case(good: Good, place: Place, header: bytes, payload: bytes) -> None:
    machine = good.before[place.stage].fork()
    write_header(machine, place, header)
    refusal, word = expected(place, header, payload)
    if refusal is None:
        machine.run()
        assert machine.stage is None
        assert machine.journal[-1].kind == "boot-complete"
        assert machine.pcr(6) == good.end.pcr(6)
        return
    with pytest.raises(BootFailure) as caught:
        machine.run()
    failure = caught.value
    assert (failure.stage, failure.refusal, failure.log) == (place.stage, refusal, word)
    check_refused(good, place, machine, word)


def test_good_boot_is_what_the_model_says(good: Good) -> None:
    for place in ON_THE_WAY:
        header, payload = contents(good.end, place)
        assert header[450] == place.keys
        assert expected(place, header, payload) == (None, 0)
    assert good.end.pcrs() == pcrs_by(list(good.end.journal))


@pytest.mark.parametrize(("place", "field"), CASES)
def test_p6_matrix(good: Good, place: Place, field: Field) -> None:
    header, payload = contents(good.before[place.stage], place)
    for name, changed in mutated(header, payload, field):
        try:
            run_case(good, place, changed, payload)
        except AssertionError as failed:
            raise AssertionError(f"{place.name}: {name}: {failed}") from failed


def test_the_matrix_reaches_every_outcome(good: Good) -> None:
    outcomes = set()
    for place in (HBB, HBI):
        header, payload = contents(good.before[place.stage], place)
        for field in table(place.keys):
            for _, changed in mutated(header, payload, field):
                refusal, word = expected(place, changed, payload)
                outcomes.add((place.name, refusal, word & 0xFF))
    rejected = {code for name, _, code in outcomes if name == "HBI" and code}
    codes = "20 21 22 23 60 61 62 63 64 65 70 71 72 73 80 90"
    assert rejected == set(bytes.fromhex(codes))
    assert {refusal for _, refusal, _ in outcomes} == {
        *(None, Refusal.CONTAINER_REJECTED),
        *(Refusal.COMPONENT_ID, Refusal.CONTAINER_SIZE),
    }


@pytest.mark.parametrize("place", ON_THE_WAY, ids=lambda each: each.name)
def test_p6_a_changed_payload_is_refused(good: Good, place: Place) -> None:
    machine = good.before[place.stage].fork()
    if place.section:
        name = {"SBE_FW": ".sb_verification", "HBBL": ".hbbl"}[place.name]
        offset, code = section(machine, name)
        machine.board.seeprom.reprogram(offset, bytes([code[0] ^ 1]))
    else:
        data = machine.flash[place.name].data
        machine.flash[place.name].write(bytes([data[5000] ^ 1]), 5000)
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert (caught.value.stage, caught.value.log) == (
        place.stage,
        0xFFFFFFFFFFFF8172,
    )
    check_refused(good, place, machine, 0xFFFFFFFFFFFF8172)


def test_p6_the_mutable_loader_verifies_its_firmware_again(good: Good) -> None:
    """Changed behind the immutable code's back: the second check finds it."""
    machine = good.before["sbe_mutable"].fork()
    offset, code = section(machine, ".base")
    machine.board.seeprom.reprogram(offset, bytes([code[0] ^ 1]))
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert (caught.value.stage, caught.value.log) == (
        "sbe_mutable",
        0xFFFFFFFFFFFF8172,
    )
    assert machine.pcrs() == pcrs_by(list(good.before["sbe_mutable"].journal))


@pytest.mark.parametrize("place", [HBB, HBI, PAYLOAD], ids=lambda each: each.name)
@pytest.mark.parametrize("other", [HBB, HBI, PAYLOAD], ids=lambda each: each.name)
def test_containers_cannot_be_swapped(good: Good, place: Place, other: Place) -> None:
    """A container of this very machine, validly signed, in a partition not its own."""
    machine = good.before[place.stage].fork()
    header, payload = contents(machine, other)
    room = len(machine.flash[place.name].data)
    machine.flash[place.name].write((header + payload)[:room])
    if place is other:
        assert machine.run().stage is None
        return
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.stage == place.stage
    assert caught.value.refusal in (Refusal.COMPONENT_ID, Refusal.CONTAINER_REJECTED)
    at = 920 + 132 * header[450] + 25
    fits = 4096 + int.from_bytes(header[at : at + 8], "big") <= room
    assert fits == (caught.value.refusal is Refusal.COMPONENT_ID)
