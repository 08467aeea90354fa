"""Main memory against a bytearray; forks share whole pages and nothing that changes."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.errors import DeviceError
from pefstack.hw.memory import PAGE_SIZE, Memory

SIZE = 3 * PAGE_SIZE + 0x100
SIZES = st.sampled_from([0, 1, 7, 0x100, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1])
PLACES = st.integers(0, SIZE) | st.sampled_from([0, PAGE_SIZE, 2 * PAGE_SIZE])
FILL = st.integers(0, 255)
WRITES = st.tuples(st.just("write"), PLACES, SIZES, FILL)
FORKS = st.tuples(st.sampled_from(["fork", "pickle"]), st.just(0), st.just(0), FILL)


def filler(size: int, seed: int) -> bytes:
    return bytes((seed + number) % 251 for number in range(257)) * (size // 257 + 1)


@given(st.lists(WRITES | FORKS, max_size=12), PLACES, SIZES)
def test_like_a_bytearray(
    actions: list[tuple[str, int, int, int]], place: int, size: int
) -> None:
    memory, model = Memory(SIZE), bytearray(SIZE)
    left: list[tuple[Memory, bytes]] = []
    for action, address, length, seed in actions:
        if action == "write" and address + length <= SIZE:
            data = filler(length, seed)[:length]
            memory.write(address, data)
            model[address : address + length] = data
        elif action != "write":  # go on with the copy, or leave the copy behind
            other = memory.fork() if action == "fork" else Memory(SIZE)
            if action == "pickle":
                other = pickle.loads(pickle.dumps(memory))
            left.append((other, bytes(model)))
            if seed % 2:
                memory, left[-1] = other, (memory, bytes(model))
    for each, expected in [*left, (memory, bytes(model))]:
        assert each.read(0, SIZE) == expected
    if place + size <= SIZE:
        assert memory.read(place, size) == model[place : place + size]


@pytest.mark.parametrize(
    ("address", "size"),
    [(-1, 1), (SIZE, 1), (SIZE - 1, 2), (0, SIZE + 1), (1 << 70, 1)],
)
def test_outside_is_refused(address: int, size: int) -> None:
    memory = Memory(SIZE)
    with pytest.raises(DeviceError, match=f"no {size} bytes") as refused:
        memory.read(address, size)
    assert (refused.value.device, refused.value.code) == ("memory", address)
    with pytest.raises(DeviceError, match=f"no {size} bytes"):
        memory.write(address, bytes(size))
    assert memory.read(0, SIZE) == bytes(SIZE)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(DeviceError, match="no -1 bytes"):
        Memory(SIZE).read(8, -1)


def test_whole_pages_are_shared_and_not_copied() -> None:
    memory = Memory(4 << 30)
    data = filler(64 * PAGE_SIZE, 1)[: 64 * PAGE_SIZE]
    memory.write(PAGE_SIZE, data)
    pages = memory.fork()._pages
    assert len(pages) == 64
    for page in pages.values():
        assert isinstance(page, memoryview)
        assert page.obj is data


def test_what_the_writer_changes_later_stays_outside() -> None:
    memory, source = Memory(SIZE), bytearray(b"\x11" * PAGE_SIZE)
    memory.write(0, source)
    memory.write(PAGE_SIZE, memoryview(source))
    source[:] = b"\x22" * PAGE_SIZE
    assert memory.read(0, 2 * PAGE_SIZE) == b"\x11" * 2 * PAGE_SIZE


def test_a_page_is_private_after_a_fork_on_both_sides() -> None:
    memory = Memory(SIZE)
    memory.write(4, b"old")
    fork = memory.fork()
    memory.write(4, b"one")
    assert fork.read(4, 3) == b"old"
    fork.write(4, b"two")
    assert memory.read(4, 3) == b"one"
    again = copy.deepcopy(memory)
    memory.write(4, b"ten")
    assert again.read(4, 3) == b"one"


def test_without_power_everything_is_zero_and_a_fork_keeps_its_own() -> None:
    memory = Memory(0x100000)
    memory.write(0x8000, b"x" * 0x20000)
    copy = memory.fork()
    memory.clear()
    assert memory.read(0, 0x40000) == bytes(0x40000)
    assert copy.read(0x8000, 4) == b"xxxx"
    memory.write(0, b"y")
    assert memory.read(0, 2) == b"y\0"


def test_blank_pages_are_zeros_and_a_fork_keeps_its_own() -> None:
    memory = Memory(SIZE)
    memory.write(0x8000, b"x" * 0x20000)
    copy = memory.fork()
    memory.blank(PAGE_SIZE, PAGE_SIZE)
    assert memory.read(PAGE_SIZE - 1, PAGE_SIZE + 2) == b"x" + bytes(PAGE_SIZE) + b"x"
    assert copy.read(PAGE_SIZE, 4) == b"xxxx"
    memory.write(PAGE_SIZE, b"y")
    assert memory.read(PAGE_SIZE, 2) == b"y\0" and copy.read(PAGE_SIZE, 1) == b"x"


@pytest.mark.parametrize(
    ("address", "size"),
    [(8, PAGE_SIZE), (0, 8), (-PAGE_SIZE, PAGE_SIZE), (0, 4 * PAGE_SIZE)],
)
def test_only_whole_pages_inside_can_be_blanked(address: int, size: int) -> None:
    memory = Memory(SIZE)
    memory.write(0, b"x" * SIZE)
    with pytest.raises(DeviceError):
        memory.blank(address, size)
    assert memory.read(0, SIZE) == b"x" * SIZE


@pytest.mark.parametrize("size", [PAGE_SIZE, 1, 0], ids=["whole", "in part", "never"])
def test_a_page_stays_as_it_was_taken(size: int) -> None:
    """Neither memory sees what is written to the other one afterwards."""
    one, other = Memory(SIZE), Memory(SIZE)
    one.write(PAGE_SIZE, filler(size, 3)[:size])
    before = one.read(PAGE_SIZE, PAGE_SIZE)
    page = one.page(PAGE_SIZE)
    other.put_page(2 * PAGE_SIZE, page)
    one.write(PAGE_SIZE + 1, b"later")
    assert bytes(page) == other.read(2 * PAGE_SIZE, PAGE_SIZE) == before
    other.write(2 * PAGE_SIZE + 7, b"also later")
    assert bytes(one.page(PAGE_SIZE)) == before[:1] + b"later" + before[6:]


def test_a_page_replaces_what_was_there() -> None:
    memory = Memory(SIZE)
    memory.write(3, b"in part")
    for page in (bytes([9]) * PAGE_SIZE, Memory(SIZE).page(0)):
        memory.put_page(0, page)
        assert memory.read(0, PAGE_SIZE) == page


@pytest.mark.parametrize("address", [-PAGE_SIZE, 3 * PAGE_SIZE, 4 * PAGE_SIZE])
def test_no_page_is_outside(address: int) -> None:
    memory = Memory(SIZE)
    with pytest.raises(DeviceError):
        memory.page(address)
    with pytest.raises(DeviceError):
        memory.put_page(address, bytes(PAGE_SIZE))
