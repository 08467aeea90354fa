"""GetCapability: every list, and every way to page through it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.tpm.commands.capability import _page
from pefstack.hw.tpm.engine import Tpm
from tpm_client_kit import HMAC, POLICY, start, two_b
from tpm_key_kit import ecc_areas, hmac_areas, put_in
from tpm_kit import (
    ALL_BANKS,
    EMPTY_PASSWORD,
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


def test_algorithms_are_those_of_the_reference() -> None:
    """But for TDES, SM2, Camellia and CMAC, which this TPM does not have."""
    raw = bytes.fromhex(REFERENCE["algs"]["data"])[8:]
    reference = [raw[at : at + 6] for at in range(0, len(raw), 6)]
    without = {b"\0\x03", b"\0\x1b", b"\0\x26", b"\0\x3f"}
    expected = [item for item in reference if item[:2] not in without]
    assert len(expected) == len(reference) - len(without)
    assert ask(0, 0, 0x7F) == (0, expected)
    assert ask(0, 0x18, 2) == (
        1,
        [bytes.fromhex(x) for x in ("001800000101", "001900000401")],
    )


def test_algorithms_do_not_depend_on_the_banks() -> None:
    tpm, _, _ = started()
    assert tpm.execute(capability(0, 0, 0x7F))[19:] == b"".join(ask(0, 0, 0x7F)[1])


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


@pytest.mark.parametrize(
    ("cap", "first", "items"),
    [
        (3, 0, "0000012d"),
        (3, 0x12E, ""),
        (4, 0, "00000140"),
        (4, 0x141, ""),
        (8, 0, "0003000400050010"),
        (8, 4, "000400050010"),
        (9, 0x40000000, "40000001001040 00000a001040 00000b001040 00000c0010"),
        (9, 0x4000000B, "4000000b00104000000c0010"),
        (9, 0x4000000D, ""),
    ],
)
def test_short_lists(cap: int, first: int, items: str) -> None:
    tpm, _, _ = started()
    content = bytes.fromhex(items)
    size = {3: 4, 4: 4, 8: 2, 9: 6}[cap]
    head = b"\0" + cap.to_bytes(4, "big") + (len(content) // size).to_bytes(4, "big")
    assert tpm.execute(capability(cap, first, 100))[10:] == head + content
    more = bytes((bool(content),))
    nothing = tpm.execute(capability(cap, first, 0))[10:]
    assert nothing == more + cap.to_bytes(4, "big") + bytes(4)


def test_a_policy_is_listed_with_its_hash() -> None:
    tpm, _, _ = started()
    params = two_b(bytes(range(32))) + b"\0\x0b"
    raw = command(0x12E, params, handles=(0x4000000B,), area=EMPTY_PASSWORD)
    assert rc_of(tpm.execute(raw)) == 0
    answer = tpm.execute(capability(9, 0x4000000B, 1))[19:]
    assert answer == bytes.fromhex("4000000b000b") + bytes(range(32))


def listed(tpm: Tpm, first: int) -> list[int]:
    raw = tpm.execute(capability(1, first, 0xFE))[19:]
    return [int.from_bytes(raw[at : at + 4], "big") for at in range(0, len(raw), 4)]


def present(tpm: Tpm) -> dict[int, int]:
    raw = tpm.execute(capability(6, 0x200, 0x7F))[19:]
    return dict(words(raw[at : at + 8]) for at in range(0, len(raw), 8))


def test_what_there_is_is_listed_and_counted() -> None:
    tpm, _, _ = started(transient_slots=8)
    before = present(tpm)
    for attributes, index in ((0x40014, 0x01000020), (0x40004, 0x01000010)):
        public = index.to_bytes(4, "big") + b"\0\x0b" + attributes.to_bytes(4, "big")
        params = two_b(b"") + two_b(public + two_b(b"") + b"\0\x08")
        raw = command(0x12A, params, handles=(0x40000001,), area=EMPTY_PASSWORD)
        assert rc_of(tpm.execute(raw)) == 0
    owned = put_in(tpm, ecc_areas(), hierarchy=0x40000001, external=False)
    put_in(tpm, hmac_areas())
    evict = command(
        0x120,
        0x81000005.to_bytes(4, "big"),
        handles=(0x40000001, owned),
        area=EMPTY_PASSWORD,
    )
    assert rc_of(tpm.execute(evict)) == 0
    assert listed(tpm, 0x81000000) == [0x81000005]
    assert listed(tpm, 0x81000006) == []
    assert listed(tpm, 0x01000000) == [0x01000010, 0x01000020]
    assert listed(tpm, 0x01000011) == [0x01000020]
    assert listed(tpm, 0x80000000) == [0x80000000, 0x80000001]
    assert listed(tpm, 0x80000001) == [0x80000001]
    now = present(tpm)
    changed = {tag: now[tag] - before[tag] for tag in now if now[tag] != before[tag]}
    assert changed == {0x202: 2, 0x207: -2, 0x208: 1, 0x209: -1, 0x20A: 1, 0x20B: -2}
    assert (before[0x207], now[0x207]) == (8, 6)


def test_sessions_are_listed_by_their_number() -> None:
    """Saved ones as the reference lists them: all as HMAC sessions."""
    tpm, _, _ = started()
    handles = [start(tpm, kind).handle for kind in (HMAC, POLICY, HMAC)]
    assert handles == [0x02000000, 0x03000001, 0x02000002]
    assert listed(tpm, 0x02000000) == handles
    assert listed(tpm, 0x02000001) == handles[1:]
    assert rc_of(tpm.execute(command(0x162, handles=(handles[1],)))) == 0
    assert listed(tpm, 0x02000000) == [handles[0], handles[2]]
    assert listed(tpm, 0x03000000) == [0x02000001]
    now = present(tpm)
    assert [now[tag] for tag in range(0x203, 0x207)] == [2, 1, 3, 61]
    assert rc_of(tpm.execute(command(0x165, 0x02000001.to_bytes(4, "big")))) == 0
    assert listed(tpm, 0x03000000) == []


def test_permanent_and_startup_bits() -> None:
    tpm, _, _ = started()
    assert present(tpm)[0x200] == 0x400
    for handle, bit in ((0x40000001, 1), (0x4000000B, 2), (0x4000000A, 4)):
        raw = command(0x129, two_b(b"pw"), handles=(handle,), area=EMPTY_PASSWORD)
        assert rc_of(tpm.execute(raw)) == 0
        assert present(tpm)[0x200] & bit
    tpm._inner.state.hierarchies.disable_clear = True
    assert present(tpm)[0x200] == 0x507
    enabled = [(0x40000001, 2), (0x4000000B, 4), (0x4000000D, 8), (0x4000000C, 1)]
    for handle, bit in enabled:
        before = present(tpm)[0x201]
        params = handle.to_bytes(4, "big") + b"\0"
        raw = command(0x121, params, handles=(0x4000000C,), area=EMPTY_PASSWORD)
        assert rc_of(tpm.execute(raw)) == 0
        assert present(tpm)[0x201] == before & ~bit


def test_the_guesses_are_counted_as_they_heal() -> None:
    tpm, _, clock = started()
    attack = tpm._inner.state.dictionary_attack
    for _ in range(3):
        attack.fail(0)
    assert (present(tpm)[0x20E], present(tpm)[0x200]) == (3, 0x600)
    clock.advance(1_000_000)
    assert (present(tpm)[0x20E], present(tpm)[0x200]) == (2, 0x400)
    assert attack.failed_tries == 3  # asking changes nothing
    attack.max_tries, attack.recovery_time, attack.lockout_recovery = 5, 7, 11
    assert [present(tpm)[tag] for tag in range(0x20F, 0x212)] == [5, 7, 11]


def test_the_algorithm_set_is_what_was_set() -> None:
    tpm, _, _ = started()
    raw = command(0x13F, b"\0\0\0\7", handles=(0x4000000C,), area=EMPTY_PASSWORD)
    assert rc_of(tpm.execute(raw)) == 0
    assert present(tpm)[0x20C] == 7


@pytest.mark.parametrize(
    ("cap", "first", "rc"),
    [
        (0x0A, 0, 0x2C4),
        (0x0A, 0x4000010F, 0x2C4),
        (0x0A, 0x40000120, 0x2C4),
        (0x0B, 0, 0x1C4),
        (0x20, 0, 0x1C4),
        (0x100, 0, 0x1C4),
        (0xFFFFFFFF, 0, 0x1C4),
        (1, 0x04000000, 0x2CB),
        (1, 0xFFFFFFFF, 0x2CB),
        (5, 1, 0x2C4),
        (9, 0, 0x2C4),
        (9, 0x81000000, 0x2C4),
    ],
)
def test_refusals(cap: int, first: int, rc: int) -> None:
    assert started()[0].execute(capability(cap, first, 1)) == refusal(rc)


@pytest.mark.parametrize(
    ("size", "rc"), [(0, 0x1DA), (4, 0x2DA), (8, 0x3DA), (13, 0x95)]
)
def test_parameters_cut_or_left_over(size: int, rc: int) -> None:
    assert rc_of(started()[0].execute(command(0x17A, bytes(size)))) == rc
