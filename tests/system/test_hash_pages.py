"""Behind a hash page table: read through it, page by page (boot-chain.md 1.7)."""

from __future__ import annotations

import hashlib
from typing import Final

import pytest

from pefstack import BootFailure, Machine, Refusal, UsageError

PAGED: Final = (
    "machine.measure.profile=p10",
    "image.flash.partition.HBI.container.hash-pages=true",
)
HBI_IN_MEMORY: Final = 0x1000_0000
PAGE: Final = 4096
# which partitions the real builds give a table, beside HBI
TABLES: Final = {
    "p9": ("SBE", "MEMD", "HCODE", "WOFDATA"),
    "p10": ("SBE", "MEMD", "HCODE", "WOFDATA", "OCMBFW", "HBD", "HBRT"),
}
EACH: Final = [(profile, name) for profile, names in TABLES.items() for name in names]
each_table = pytest.mark.parametrize(("profile", "name"), EACH)
P9: Final = (
    "image.seeprom.hbbl.content.fill=0x1000",
    'machine.tpm.allocated=["sha1", "sha256"]',
)


def paged(*settings: str) -> Machine:
    return Machine("small", settings=[*PAGED, *settings])


def sizes(machine: Machine) -> tuple[int, int]:
    """Protected size (the table) and what follows it, from the header's own words."""
    header = machine.flash["HBI"].data[:PAGE]
    at = 920 + 132 * header[450] + 25
    protected = int.from_bytes(header[at : at + 8], "big")
    return protected, int.from_bytes(header[6:14], "big") - PAGE - protected


def with_table(profile: str, name: str, *settings: str, pages: str = "true") -> Machine:
    """The small machine with one more partition, of three pages and a half."""
    place = f"image.flash.partition.{name}"
    return Machine(
        "small",
        settings=[
            f"machine.measure.profile={profile}",
            *(P9 if profile == "p9" else ()),
            f"{place}.base=0xd0000",
            f"{place}.size=0x9000",
            f"{place}.ecc=true",
            f"{place}.content.fill=0x3800",
            f"{place}.container.hash-pages={pages}",
            *settings,
        ],
    )


def verified(machine: Machine) -> dict[str | int, str | int]:
    """Code -> verdict, of everything that was verified."""
    events = [event for event in machine.journal if event.kind == "verify"]
    return {event.detail["code"]: event.detail["good"] for event in events}


def refusal(machine: Machine) -> BootFailure:
    with pytest.raises(BootFailure) as caught:
        machine.run()
    return caught.value


def test_the_table_is_the_chain_of_the_notes() -> None:
    machine = paged()
    protected, size = sizes(machine)
    data = machine.flash["HBI"].data
    table = data[PAGE : PAGE + protected]
    content = data[PAGE + protected : PAGE + protected + size]
    hbb = machine.flash["HBB"].data[:PAGE]
    entry = hashlib.sha512(hbb[1150:1282]).digest()[:32]  # one software signature
    chain = entry
    for at in range(0, size, PAGE):
        page = content[at : at + PAGE].ljust(PAGE, b"\0")
        entry = hashlib.sha512(entry + page).digest()[:32]
        chain += entry
    assert table == chain.ljust(protected, b"\0")
    assert (protected % PAGE, size) == (0, 0x38000)


def test_every_page_lands_in_memory_behind_the_table() -> None:
    machine = paged().run()
    protected, size = sizes(machine)
    content = machine.flash["HBI"].data[PAGE + protected :][:size]
    assert machine.board.memory.read(HBI_IN_MEMORY + protected, size) == content


def test_pcr0_has_the_hash_of_the_table_alone() -> None:
    machine = paged().run()
    protected, _ = sizes(machine)
    table = machine.flash["HBI"].data[PAGE : PAGE + protected]
    measured = next(
        event.detail["digest"]
        for event in machine.journal
        if event.kind == "measure" and event.detail["what"] == "hbi"
    )
    assert measured == hashlib.sha512(table).hexdigest()[:64]


@pytest.mark.parametrize("number", [0, 1, 17, 0x37])
def test_a_changed_page_is_refused_and_named(number: int) -> None:
    machine = paged()
    protected, _ = sizes(machine)
    offset = PAGE + protected + number * PAGE + 0x123
    old = machine.flash["HBI"].data[offset]
    machine.flash["HBI"].write(bytes([old ^ 1]), offset)
    failure = refusal(machine)
    assert (failure.stage, failure.refusal) == ("hostboot_ext", Refusal.PAGE_HASH)
    assert f"page {number}" in failure.reason or f"0x{number:x}" in failure.reason


def test_a_page_changed_after_hbi_was_verified_is_seen() -> None:
    machine = paged().run(until="hostboot_init")
    protected, _ = sizes(machine)
    machine.flash["HBI"].write(b"\xff\x00" * 8, PAGE + protected + 5 * PAGE)
    assert refusal(machine).refusal is Refusal.PAGE_HASH


def test_a_lost_word_in_a_page_is_refused() -> None:
    machine = paged()
    word = 9 * (sizes(machine)[0] + 3 * PAGE) // 8
    machine.flash["HBI"].flip(word // 9 * 9, 0)
    machine.flash["HBI"].flip(word // 9 * 9, 1)
    failure = refusal(machine)
    assert failure.refusal is Refusal.ECC_UNCORRECTABLE
    assert failure.stage == "hostboot_ext"


def test_hbi_of_another_build_is_refused() -> None:
    other = paged("image.flash.partition.HBB.content.seed=another build")
    machine = paged()
    machine.flash["HBI"].write(other.flash["HBI"].data)
    failure = refusal(machine)
    assert (failure.stage, failure.refusal) == ("hostboot_init", Refusal.HBI_SALT)


def test_the_container_size_is_not_signed_and_cannot_hurt() -> None:
    """More than the table covers is refused, less is simply not read."""
    good = paged().run()
    for change in (-PAGE, 1):
        machine = paged()
        whole = int.from_bytes(machine.flash["HBI"].data[6:14], "big")
        size = (whole + change * (1 if change < 0 else 0x2000)).to_bytes(8, "big")
        machine.flash["HBI"].write(size, 6)
        if change < 0:
            assert machine.run().pcrs() == good.pcrs()
        else:
            assert refusal(machine).refusal is Refusal.PAGE_HASH


@pytest.mark.parametrize(
    "setting", ["machine.chip.smd=true", "machine.verify.policy=record-only"]
)
def test_where_nothing_is_enforced_a_wrong_page_is_recorded_and_used(
    setting: str,
) -> None:
    machine = paged(setting)
    protected, _ = sizes(machine)
    machine.flash["HBI"].write(b"\xa5" * 16, PAGE + protected)
    machine.run()
    verdicts = {
        event.detail["code"]: event.detail["good"]
        for event in machine.journal
        if event.kind == "verify"
    }
    assert verdicts["HBI pages"] == 0
    assert machine.board.memory.read(HBI_IN_MEMORY + protected, 16) == b"\xa5" * 16


@pytest.mark.parametrize("profile", ["p10", "p9"])
def test_the_real_machines_read_hbi_through_their_table(profile: str) -> None:
    machine = Machine(profile).run()
    codes = [
        event.detail["code"]
        for event in machine.journal
        if event.kind == "verify" and event.source == "hostboot_ext"
    ]
    assert codes[0] == "HBI pages"


def test_an_hbi_that_is_protected_as_a_whole_has_no_pages(small: Machine) -> None:
    small.run()
    assert "HBI pages" not in {
        event.detail["code"] for event in small.journal if event.kind == "verify"
    }


@each_table
def test_tables_of_other_partitions_begin_with_a_salt_of_their_own(
    profile: str, name: str
) -> None:
    data = with_table(profile, name).flash[name].data
    table, content = data[PAGE : 2 * PAGE], data[2 * PAGE : 2 * PAGE + 0x3800]
    chain = entry = table[:32]
    for at in range(0, 0x3800, PAGE):
        page = content[at : at + PAGE].ljust(PAGE, b"\0")
        entry = hashlib.sha512(entry + page).digest()[:32]
        chain += entry
    assert table == chain.ljust(PAGE, b"\0")
    assert any(table[:32])


def test_salts_differ_by_partition_and_by_seed() -> None:
    other = "image.flash.partition.SBE.content.seed=other"
    salts = {
        machine.flash[name].data[PAGE : PAGE + 32]
        for machine, name in (
            (with_table("p10", "SBE"), "SBE"),
            (with_table("p10", "MEMD"), "MEMD"),
            (with_table("p10", "SBE", other), "SBE"),
        )
    }
    assert len(salts) == 3


@each_table
def test_power10_says_with_a_flag_that_there_is_a_table(
    profile: str, name: str
) -> None:
    hbi = "image.flash.partition.HBI.container.hash-pages=true"
    machine = with_table(profile, name, hbi)
    for part, expected in ((name, profile == "p10"), ("HBI", False)):
        header = machine.flash[part].data[:PAGE]
        at = 920 + 132 * header[450] + 20
        flags = int.from_bytes(header[at : at + 4], "big")
        assert flags == (0x80000000 if expected else 0)


@each_table
def test_a_changed_page_of_any_partition_is_refused_and_named(
    profile: str, name: str
) -> None:
    good = with_table(profile, name).run()
    assert verified(good)[f"{name} pages"] == 1
    machine = with_table(profile, name)
    old = machine.flash[name].data[2 * PAGE + 3 * PAGE + 0x700]
    machine.flash[name].write(bytes([old ^ 4]), 2 * PAGE + 3 * PAGE + 0x700)
    failure = refusal(machine)
    assert (failure.stage, failure.refusal) == ("hostboot_ext", Refusal.PAGE_HASH)
    assert failure.reason.startswith(f"{name}: hash page table: page 0x3: found ")
    assert name in failure.mend
    assert verified(machine)[name] == 1  # what is signed is as it was


@pytest.mark.parametrize("profile", ["p9", "p10"])
def test_the_measured_value_is_the_tables(profile: str) -> None:
    machine = with_table(profile, "WOFDATA").run()
    table = machine.flash["WOFDATA"].data[PAGE : 2 * PAGE]
    measured = [
        event.detail["digest"]
        for event in machine.journal
        if event.kind == "measure" and event.detail["what"] == "wofdata"
    ]
    assert measured == [hashlib.sha512(table).hexdigest()[:64]]


@each_table
def test_a_partition_may_be_protected_as_a_whole(profile: str, name: str) -> None:
    machine = with_table(profile, name, pages="false").run()
    assert verified(machine)[name] == 1
    assert f"{name} pages" not in verified(machine)


def test_on_power10_no_page_is_read_without_the_flag() -> None:
    """Then the table is what is protected as a whole, and what follows is nothing."""
    machine = with_table("p10", "SBE")
    plain = with_table("p10", "SBE", pages="false")
    whole = int.from_bytes(plain.flash["SBE"].data[6:14], "big") + 0x100
    plain.flash["SBE"].write(whole.to_bytes(8, "big"), 6)
    assert "SBE pages" not in verified(plain.run())
    assert "SBE pages" in verified(machine.run())


@pytest.mark.parametrize(
    "setting", ["machine.chip.smd=true", "machine.verify.policy=record-only"]
)
def test_a_wrong_page_of_any_partition_is_recorded_where_nothing_is_enforced(
    setting: str,
) -> None:
    machine = with_table("p10", "HCODE", setting)
    machine.flash["HCODE"].write(b"\xa5" * 16, 2 * PAGE)
    machine.run()
    assert verified(machine)["HCODE pages"] == 0
    assert machine.stage is None


@pytest.mark.parametrize(
    ("profile", "name"),
    [("p9", "OCC"), ("p9", "HBRT"), ("p10", "OCC"), ("patent", "SBE")],
)
def test_a_table_that_nobody_would_read_is_not_built(profile: str, name: str) -> None:
    with pytest.raises(UsageError, match=rf"{name}.container.hash-pages: the profile"):
        with_table(profile, name)


@pytest.mark.parametrize(
    ("machine", "names"),
    [
        ("p9", "HBI MEMD SBE HCODE WOFDATA"),
        ("p10-full", "HBI HBD SBE HCODE WOFDATA OCMBFW"),
    ],
)
def test_the_stock_machines_have_the_tables_of_the_real_ones(
    machine: str, names: str
) -> None:
    codes = [str(code) for code in verified(Machine(machine).run())]
    pages = [code for code in codes if code.endswith(" pages")]
    assert pages == [f"{name} pages" for name in names.split()]
