"""GetCapability: every list, and every way to page through it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.tpm.commands.capability import _page
from tpm_kit import (
    ALL_BANKS,
    SHUTDOWN_CLEAR,
    STARTUP_CLEAR,
    capability,
    command,
    power_cycle,
    rc_of,
    refusal,
    started,
    vector,
    whole_state,
)

REFERENCE = vector("swtpm_capabilities.json")
ITEM_SIZE = {0: 6, 1: 4, 2: 4, 6: 8, 7: 8}
OURS = (0x12B, 0x13C, 0x13D, *range(0x143, 0x147), *range(0x17A, 0x17D), 0x17E)
OWN_VALUES = {0x105, 0x106, 0x107, 0x10B, 0x10C, 0x129, 0x12A}
NO_GROUPS = {0x13, 0x14}  # policy and auth groups are optional


def ask(cap: int, first: int, count: int) -> tuple[int, list[bytes]]:
    """moreData and the items; from a TPM with all four banks."""
    tpm, _, _ = started(banks=ALL_BANKS, allocated=ALL_BANKS)
    before = whole_state(tpm)
    raw = tpm.execute(capability(cap, first, count))[10:]
    assert whole_state(tpm) == before
    assert int.from_bytes(raw[1:5], "big") == cap
    items = raw[9:]
    size = ITEM_SIZE[cap]
    assert len(items) == size * int.from_bytes(raw[5:9], "big")
    return raw[0], [items[at : at + size] for at in range(0, len(items), size)]


def words(item: bytes) -> tuple[int, int]:
    """A tagged property."""
    return int.from_bytes(item[:4], "big"), int.from_bytes(item[4:], "big")


def numbered(cap: int) -> list[tuple[int, bytes]]:
    """All items of one list, with the number that ``property`` is compared with."""
    size = {0: 2, 1: 4, 2: 4, 6: 4, 7: 4}[cap]
    first = 0x40000000 if cap == 1 else 0
    mask = 0xFFFF if cap == 2 else 0xFFFFFFFF
    items = ask(cap, first, 0xFFFFFFFF)[1]
    return [(int.from_bytes(item[:size], "big") & mask, item) for item in items]


@given(
    st.sampled_from(sorted(ITEM_SIZE)),
    st.integers(0, 0x210),
    st.integers(0, 60),
)
def test_any_page_is_the_right_slice(cap: int, first: int, count: int) -> None:
    if cap == 1:
        first = 0x40000000 + first % 16
    if cap == 6 and first >= 0x200:
        return
    wanted = [item for number, item in numbered(cap) if number >= first]
    assert ask(cap, first, count) == (len(wanted) > count, wanted[:count])


@pytest.mark.parametrize("cap", sorted(ITEM_SIZE))
def test_reading_on_gives_everything(cap: int) -> None:
    """As the clients do: ask for a few, then from the last number plus one."""
    everything = numbered(cap)
    have: list[bytes] = []
    more, first = 1, 0x40000000 if cap == 1 else 0
    while more:
        more, items = ask(cap, first, 2)
        have += items
        first = {item: number for number, item in everything}[have[-1]] + 1
    assert have == [item for _, item in everything]
    assert [number for number, _ in everything] == sorted({n for n, _ in everything})


def test_no_list_is_longer_than_the_capability_buffer() -> None:
    """MAX_CAP_BUFFER is 1024: 254 numbers, 127 properties."""
    for size, most in ((4, 254), (8, 127)):
        more, items = _page([(n, bytes(size)) for n in range(300)], 0, 0xFFFFFFFF)
        assert (more, len(items)) == (1, 4 + most * size)
        assert int.from_bytes(items[:4], "big") == most


def test_algorithms_are_the_hashes() -> None:
    raw = bytes.fromhex(REFERENCE["algs"]["data"])[8:]
    reference = {raw[at : at + 6] for at in range(0, len(raw), 6)}
    hashes = {b"\0\x04", b"\0\x0b", b"\0\x0c", b"\0\x0d"}
    expected = sorted(item for item in reference if item[:2] in hashes)
    assert ask(0, 0, 0x7F) == (0, expected)


def test_hashes_do_not_depend_on_the_banks() -> None:
    tpm, _, _ = started()
    answer = tpm.execute(capability(0, 0, 0x7F))[10:]
    assert answer.hex() == "00" + "00000000" + "00000004" + "".join(
        f"{alg:04x}00000004" for alg in (4, 0xB, 0xC, 0xD)
    )


def test_commands_have_the_attributes_of_the_reference() -> None:
    more, items = ask(2, 0x11F, 0xFE)
    ours = [int.from_bytes(item, "big") for item in items]
    codes = {attributes & 0xFFFF for attributes in ours}
    assert more == 0
    assert {*OURS, 0x181, 0x182} <= codes
    assert ours == [
        int(row["attributes"], 16)
        for row in REFERENCE["commands"]
        if int(row["code"], 16) in codes
    ]


def test_banks_are_listed_as_the_reference_lists_them() -> None:
    tpm, _, _ = started(banks=ALL_BANKS, allocated=ALL_BANKS)
    raw = tpm.execute(capability(5, 0, 1))[10:]
    assert raw.hex() == "00" + REFERENCE["pcrs"]["data"]


def test_fixed_properties() -> None:
    ours = dict(map(words, ask(6, 0x100, 0x7F)[1]))
    reference = {int(tag, 16): int(v, 16) for tag, v in REFERENCE["fixed"].items()}
    assert list(ours) == list(reference)
    assert {k: v for k, v in ours.items() if k not in OWN_VALUES} == {
        k: v for k, v in reference.items() if k not in OWN_VALUES
    }
    assert ours[0x129] == ours[0x12A] == len(ask(2, 0x11F, 0xFE)[1])
    assert ours[0x106] != 0x53572020  # not the vendor string of a software simulator
    assert ours[0x105] != reference[0x105]


def test_context_hash_is_one_that_there_is() -> None:
    tpm, _, _ = started()
    raw = tpm.execute(capability(6, 0x11A, 1))[10:]
    assert raw.hex() == "01" + "00000006" + "00000001" + "0000011a" + "0000000d"


def test_variable_properties() -> None:
    ours = dict(map(words, ask(6, 0x200, 0x7F)[1]))
    raw = bytes.fromhex(REFERENCE["tpm_properties_var"]["data"])[8:]
    reference = dict(words(raw[at : at + 8]) for at in range(0, len(raw), 8))
    assert list(ours) == list(reference)
    for tag in (0x200, 0x203, 0x204, 0x206, 0x207, 0x20F, 0x210, 0x211):
        assert ours[tag] == reference[tag]
    assert ours[0x201] & 0x7FFFFFFF == reference[0x201]


def test_orderly_bit() -> None:
    tpm, _, _ = started()
    bits = []
    for shutdown in (None, SHUTDOWN_CLEAR, None):
        raw = tpm.execute(capability(6, 0x201, 1))
        bits.append(raw[-4] >> 7)
        if shutdown:
            tpm.execute(shutdown)
        power_cycle(tpm)
        tpm.execute(STARTUP_CLEAR)
    assert bits == [1, 0, 1]


def test_one_group_of_properties_at_a_time() -> None:
    more, items = ask(6, 0, 0x7F)
    assert (more, words(items[0])[0], words(items[-1])[0]) == (0, 0x100, 0x12E)
    assert ask(6, 0x12F, 0x7F) == (0, [])
    assert ask(6, 0x1FF, 0x7F) == (0, [])
    assert ask(6, 0x300, 0x7F) == (0, [])
    assert ask(6, 0xFFFFFFFF, 0x7F) == (0, [])


def test_pcr_properties() -> None:
    raw = bytes.fromhex(REFERENCE["pcr_properties"]["data"])[8:]
    reference = [raw[at : at + 8] for at in range(0, len(raw), 8)]
    more, ours = ask(7, 0, 0x7F)
    assert (more, len(ours)) == (0, 15)
    for mine, theirs in zip(ours, reference, strict=True):
        if theirs[3] in NO_GROUPS:
            assert mine == theirs[:5] + bytes(3)
        else:
            assert mine == theirs


@pytest.mark.parametrize(
    ("first", "handles"),
    [
        (0x00000000, [*range(24)]),
        (0x00000005, [*range(5, 24)]),
        (0x00000018, []),
        (0x01000000, []),
        (0x02000000, []),
        (0x03000000, []),
        (0x80000000, []),
        (0x81000000, []),
        (0x40000002, [0x40000007, *range(0x40000009, 0x4000000E)]),
    ],
)
def test_handles(first: int, handles: list[int]) -> None:
    more, items = ask(1, first, 0xFE)
    assert (more, [int.from_bytes(item, "big") for item in items]) == (0, handles)


@pytest.mark.parametrize("cap", [3, 4, 8, 9])
@pytest.mark.parametrize("count", [0, 1, 0xFFFFFFFF])
def test_lists_with_nothing_in_them(cap: int, count: int) -> None:
    raw = started()[0].execute(capability(cap, 0, count))[10:]
    assert raw == b"\0" + cap.to_bytes(4, "big") + bytes(4)


@pytest.mark.parametrize(
    ("cap", "first", "rc"),
    [
        (0x0A, 0, 0x1C4),
        (0x20, 0, 0x1C4),
        (0x100, 0, 0x1C4),
        (0xFFFFFFFF, 0, 0x1C4),
        (1, 0x04000000, 0x2CB),
        (1, 0xFFFFFFFF, 0x2CB),
        (5, 1, 0x2C4),
    ],
)
def test_refusals(cap: int, first: int, rc: int) -> None:
    assert started()[0].execute(capability(cap, first, 1)) == refusal(rc)


@pytest.mark.parametrize(
    ("size", "rc"), [(0, 0x1DA), (4, 0x2DA), (8, 0x3DA), (13, 0x95)]
)
def test_parameters_cut_or_left_over(size: int, rc: int) -> None:
    assert rc_of(started()[0].execute(command(0x17A, bytes(size)))) == rc
