"""Saved state: what lasts comes back, damage is refused, nothing is forgotten."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack import FormatError
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.tagged import decode, encode
from tpm_kit import (
    ALL_BANKS,
    SHA256,
    SHUTDOWN_CLEAR,
    SHUTDOWN_STATE,
    STARTUP_CLEAR,
    STARTUP_STATE,
    allocate,
    capability,
    clock_info,
    command,
    event,
    extend,
    off_tpm,
    power_cycle,
    rc_of,
    read_one,
    reset,
    started,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary() | st.text("aé"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("ab") | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)
GET_RANDOM = bytes.fromhex("80010000000c0000017b0010")


def restored(raw: bytes, seed: str = "test", **settings: Any) -> Tpm:
    tpm, _, _ = off_tpm(seed, **settings)
    tpm.restore_state(raw)
    return tpm


@given(values)
def test_values_round_trip(value: Any) -> None:
    assert decode(encode(value)) == value
    assert encode(decode(encode(value))) == encode(value)


@given(values, st.data())
def test_values_cut_short(value: Any, data: st.DataObject) -> None:
    raw = encode(value)
    with pytest.raises(FormatError):
        decode(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(st.binary(max_size=64) | st.lists(st.sampled_from(b"ldibs\0\1N")).map(bytes))
def test_noise_is_refused_politely(raw: bytes) -> None:
    with suppress(FormatError):
        assert encode(decode(raw)) == raw


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"", "tag"),
        (b"x\0\0\0\0", "tag"),
        (b"NN", "end"),
        (b"b\0\0\0\2a", "count"),
        (b"l\xff\xff\xff\xff", "count"),
        (b"i\0\0\0\2\0\1", "integer"),
        (b"i\0\0\0\0", "integer"),
        (b"i\0\0\4\1" + b"\1" * 1025, "integer"),
        (b"s\0\0\0\1\xff", "text"),
        (b"d\0\0\0\1NN", "key"),
        (b"d\0\0\0\1TN", "key"),
        (encode({"a": 1})[:4] + b"\2" + encode({"a": 1})[5:] * 2, "key"),
        (b"l\0\0\0\1" * 40 + b"N", "tag"),
    ],
)
def test_damage_is_named(raw: bytes, field: str) -> None:
    with pytest.raises(FormatError) as caught:
        decode(raw)
    assert caught.value.field == field


def test_what_is_no_value_is_a_defect() -> None:
    with pytest.raises(TypeError, match="float"):
        encode(1.5)  # type: ignore[arg-type]


def test_a_tpm_goes_on_where_it_was() -> None:
    tpm, _, clock = started()
    tpm.execute(event(3, b"x"))
    clock.advance(5000)
    assert rc_of(tpm.execute(SHUTDOWN_STATE)) == 0
    again = restored(tpm.save_state())
    power_cycle(tpm)
    again.power_on()
    for each in (tpm, again):
        assert rc_of(each.execute(STARTUP_STATE)) == 0
    assert clock_info(again) == clock_info(tpm)
    assert read_one(again, SHA256, 3) == read_one(tpm, SHA256, 3) != bytes(32)


def test_allocation_establishment_and_counts_last() -> None:
    tpm, _, _ = started(banks=ALL_BANKS)
    tpm.hash_start()
    assert rc_of(tpm.execute(allocate((0x0D, "ffffff"), (SHA256, "000000")))) == 0
    again = restored(tpm.save_state(), banks=ALL_BANKS)
    assert again.established()
    again.power_on()
    assert rc_of(again.execute(STARTUP_CLEAR)) == 0
    assert read_one(again, 0x0D, 0) == bytes(64)
    assert read_one(again, SHA256, 0) == b""
    assert clock_info(again)[2:] == (2, 0, 0)  # a second reset, and no Shutdown


def test_resume_without_shutdown_is_refused_after_a_restore() -> None:
    tpm, _, _ = started()
    again = restored(tpm.save_state())
    again.power_on()
    assert rc_of(again.execute(STARTUP_STATE)) == 0x1C4


def test_clock_is_not_safe_after_a_kill() -> None:
    """Clock may have been up to 4096 ms further than what was saved."""
    tpm, _, clock = started()
    clock.advance(10_000)
    raw = tpm.save_state()
    again, _, later = off_tpm()
    again.restore_state(raw)
    again.power_on()
    again.execute(STARTUP_CLEAR)
    assert clock_info(again)[1] == 10_000
    assert clock_info(again)[4] == 0
    later.advance(3 * 4096 - 10_000)
    assert clock_info(again)[4] == 1


def test_no_randomness_twice() -> None:
    """Killed again and again, with the state saved only where it was taken over."""
    tpm, _, _ = started()
    seen = {tpm.execute(GET_RANDOM)}
    raw = tpm.save_state()
    for count in range(2, 5):
        tpm = restored(raw)
        raw = tpm.save_state()
        tpm.power_on()
        tpm.execute(STARTUP_CLEAR)
        seen.add(tpm.execute(GET_RANDOM))
        assert len(seen) == count


def test_saved_entropy_is_nobodys_randomness() -> None:
    tpm, _, _ = started()
    table = decode(tpm.save_state())
    assert isinstance(table, dict)
    drawn = b"".join(tpm.execute(GET_RANDOM)[12:] for _ in range(4))
    assert table["entropy"] not in drawn


def test_one_seed_gives_one_future() -> None:
    raw = started()[0].save_state()
    assert restored(raw).save_state() == restored(raw).save_state()
    assert restored(raw).save_state() != restored(raw, seed="other").save_state()


def test_only_a_tpm_that_never_had_power_takes_it() -> None:
    tpm, _, _ = started()
    raw = tpm.save_state()
    with pytest.raises(ValueError, match="never had power"):
        tpm.restore_state(raw)
    tpm.power_off()
    with pytest.raises(ValueError, match="never had power"):
        tpm.restore_state(raw)


def fields(**settings: Any) -> dict[str, Any]:
    tpm, _, _ = started(**settings)
    assert rc_of(tpm.execute(SHUTDOWN_STATE)) == 0
    table = decode(tpm.save_state())
    assert isinstance(table, dict)
    return table


MASKS = {4: 0, 11: 0xFFFFFF, 12: 0}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("version", 4),
        ("version", None),
        ("allocated", None),
        ("allocated", {11: 0xFFFFFF}),
        ("allocated", MASKS | {13: 0}),
        ("allocated", MASKS | {11: 0x1000000}),
        ("allocated", MASKS | {11: True}),
        ("pending_allocation", 7),
        ("pending_allocation", {}),
        ("update_counter", 1 << 32),
        ("update_counter", -1),
        ("orderly", 3),
        ("orderly", True),
        ("saved_pcrs", None),
        ("saved_pcrs", {4: [], 11: [], 12: []}),
        ("saved_pcrs", {4: [b""] * 16, 11: [b""] * 16, 12: [b""] * 16}),
        ("startup_locality", 5),
        ("was_hcrtm", 1),
        ("reset_count", 1 << 32),
        ("restart_count", "1"),
        ("established", 0),
        ("clock", 1 << 64),
        ("entropy", b"short"),
        ("algorithm_set", 1 << 32),
    ],
)
def test_each_field_is_checked(field: str, value: Any) -> None:
    tpm, _, _ = off_tpm()
    before = tpm.save_state()
    with pytest.raises(FormatError) as caught:
        tpm.restore_state(encode(fields() | {field: value}))
    assert caught.value.field == field
    assert tpm.save_state() == before


@pytest.mark.parametrize(
    ("table", "field", "value"),
    [
        ("command_audit", "alg", 0x10),
        ("command_audit", "alg", 1 << 16),
        ("command_audit", "codes", [0x1000]),
        ("command_audit", "codes", [0x140] * 200),
        ("command_audit", "codes", ["x"]),
        ("command_audit", "counter", 1 << 64),
        ("command_audit", "digest", bytes(65)),
        ("commits", "count", -1),
        ("commits", "opened", [0]),
        ("commits", "opened", [0] * 129),
        ("pcr_group", "auth_value", bytes(65)),
        ("pcr_group", "policy_alg", 0x12),
        ("pcr_group", "auth_policy", b"x"),
    ],
)
def test_fields_of_small_tables_are_checked(table: str, field: str, value: Any) -> None:
    whole = fields()
    whole[table] = whole[table] | {field: value}
    with pytest.raises(FormatError) as caught:
        restored(encode(whole))
    assert caught.value.field == field


@pytest.mark.parametrize("field", fields())
def test_each_field_is_needed(field: str) -> None:
    table = fields()
    del table[field]
    with pytest.raises(FormatError) as caught:
        restored(encode(table))
    assert caught.value.field == field


@pytest.mark.parametrize("value", [None, [], 7, {"more": 1}])
def test_another_whole_is_refused(value: Any) -> None:
    with pytest.raises(FormatError):
        restored(encode(value))
    with pytest.raises(FormatError) as caught:
        restored(encode(fields() | {"more": 1}))
    assert caught.value.field == "end"


def test_saved_pcrs_without_a_shutdown_are_refused() -> None:
    with pytest.raises(FormatError) as caught:
        restored(encode(fields() | {"orderly": 0}))
    assert caught.value.field == "saved_pcrs"


STEPS = [
    STARTUP_CLEAR,
    STARTUP_STATE,
    SHUTDOWN_CLEAR,
    SHUTDOWN_STATE,
    extend(0, (SHA256, bytes(32))),
    extend(16, (SHA256, bytes(32))),
    event(7, b"x"),
    reset(16),
    allocate((4, "ffffff")),
    allocate((11, "000000")),
    capability(6, 0x100, 9),
    command(0x146, b"\0\1x"),
    GET_RANDOM,
    b"noise",
    "power",
    "hash",
    "end",
    "clear",
]


def play(tpm: Tpm, step: bytes | str) -> None:
    if isinstance(step, bytes):
        tpm.execute(step)
    elif step == "power":
        power_cycle(tpm)
    elif step == "clear":
        tpm.reset_established(4)
    else:
        tpm.hash_end() if step == "end" else tpm.hash_start()


def lasting(tpm: Tpm) -> dict[str, Any]:
    """What is saved, but for the entropy, and the counter when nothing kept it."""
    table = decode(tpm.save_state())
    assert isinstance(table, dict)
    if table["orderly"] != 2:
        del table["update_counter"]
    del table["entropy"]
    return table


@given(st.lists(st.sampled_from(STEPS), max_size=12))
def test_whatever_changes_what_lasts_changes_the_mark(steps: list[bytes | str]) -> None:
    tpm, _, _ = off_tpm()
    tpm.power_on()
    for step in steps:
        saved, mark = lasting(tpm), tpm.lasting_mark()
        play(tpm, step)
        assert lasting(tpm) == saved or tpm.lasting_mark() != mark


@given(st.lists(st.sampled_from(STEPS), max_size=12))
def test_every_state_can_be_saved_and_taken_over(steps: list[bytes | str]) -> None:
    tpm, _, _ = off_tpm()
    for step in [STARTUP_CLEAR, "power", *steps]:
        play(tpm, step)
    assert lasting(restored(tpm.save_state())) == lasting(tpm)


@pytest.mark.parametrize(
    "step",
    [
        SHUTDOWN_CLEAR,
        SHUTDOWN_STATE,
        allocate((4, "ffffff")),
        "power",
        "hash",
        "clear",
    ],
)
def test_each_lasting_change_moves_the_mark(step: bytes | str) -> None:
    tpm, _, _ = started()
    if step == "clear":
        tpm.hash_start()
    saved, mark = lasting(tpm), tpm.lasting_mark()
    play(tpm, step)
    if step != "power":  # only Clock, which stands still here
        assert lasting(tpm) != saved
    assert tpm.lasting_mark() != mark


@pytest.mark.parametrize("undoing", [extend(0, (SHA256, bytes(32))), STARTUP_CLEAR])
def test_what_undoes_a_shutdown_moves_the_mark(undoing: bytes) -> None:
    tpm, _, _ = started()
    tpm.execute(SHUTDOWN_STATE)
    if undoing == STARTUP_CLEAR:
        power_cycle(tpm)
    saved, mark = lasting(tpm), tpm.lasting_mark()
    play(tpm, undoing)
    assert lasting(tpm) != saved
    assert tpm.lasting_mark() != mark


def test_time_alone_makes_a_new_mark_every_4096_ms() -> None:
    tpm, _, clock = started()
    mark = tpm.lasting_mark()
    clock.advance(4095)
    assert tpm.lasting_mark() == mark
    clock.advance(1)
    assert tpm.lasting_mark() != mark


def test_reading_changes_no_mark() -> None:
    tpm, _, _ = started()
    mark = tpm.lasting_mark()
    tpm.execute(GET_RANDOM)
    tpm.execute(extend(16, (SHA256, bytes(32))))
    read_one(tpm, SHA256, 0)
    assert tpm.lasting_mark() == mark
