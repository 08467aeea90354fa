"""HBI behind a hash page table: read through it, page by page (boot-chain.md 1.7)."""

from __future__ import annotations

import hashlib
from typing import Final

import pytest

from pefstack import BootFailure, Machine, Refusal

PAGED: Final = (
    "machine.measure.profile=p10",
    "image.flash.partition.HBI.container.hash-pages=true",
)
HBI_IN_MEMORY: Final = 0x1000_0000
PAGE: Final = 4096


def paged(*settings: str) -> Machine:
    return Machine("small", settings=[*PAGED, *settings])


def sizes(machine: Machine) -> tuple[int, int]:
    """Protected size (the table) and what follows it, from the header's own words."""
    header = machine.flash["HBI"].data[:PAGE]
    at = 920 + 132 * header[450] + 25
    protected = int.from_bytes(header[at : at + 8], "big")
    return protected, int.from_bytes(header[6:14], "big") - PAGE - protected


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
