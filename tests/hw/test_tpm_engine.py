"""The engine: any bytes in, a response out; a refused command changes nothing."""

import pickle
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.journal import Journal
from pefstack.hw.tpm.commands import table
from pefstack.hw.tpm.commands.table import FAMILIES
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.interface import TpmInterface
from tpm_kit import (
    EMPTY_PASSWORD,
    PLATFORM,
    SHA1,
    SHA256,
    SHA384,
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
    refusal,
    reset,
    started,
    whole_state,
)

CODES = (0x12B, 0x13C, 0x13D, *range(0x143, 0x147), *range(0x17A, 0x183))
GET_RANDOM = command(0x17B, b"\0\x08")
VALID = (
    STARTUP_CLEAR,
    STARTUP_STATE,
    SHUTDOWN_STATE,
    GET_RANDOM,
    command(0x143, b"\1"),
    command(0x146, b"\0\2hi"),
    command(0x17C),
    command(0x181),
    command(0x17E, bytes.fromhex("00000001000b03400000")),
    capability(6, 0x100, 60),
    extend(6, (SHA256, bytes(32))),
    event(23, b"event"),
    reset(16),
    allocate((SHA1, "ffffff"), (SHA256, "ffffff")),
)
localities = st.integers(0, 4)


def check(tpm: Tpm, raw: bytes, locality: int) -> None:
    """A well-formed response; an error is ten bytes and nothing has changed."""
    before = whole_state(tpm)
    response = tpm.execute(raw, locality)
    assert int.from_bytes(response[2:6], "big") == len(response) <= 4096
    if rc_of(response):
        assert response == refusal(rc_of(response))
        assert whole_state(tpm) == before
    else:
        assert response[:2] == raw[:2]


@given(st.binary(max_size=80), localities, st.booleans())
def test_any_bytes_get_a_response(raw: bytes, locality: int, on: bool) -> None:
    tpm = started()[0] if on else off_tpm()[0]
    check(tpm, raw, locality)


@given(st.sampled_from(CODES), st.binary(max_size=80), localities, st.booleans())
def test_any_body_gets_a_response(
    code: int, body: bytes, locality: int, with_sessions: bool
) -> None:
    raw = command(code, body)
    check(started()[0], b"\x80\x02" + raw[2:] if with_sessions else raw, locality)


@given(st.sampled_from(VALID), localities, st.data())
def test_mutated_commands_get_a_response(
    valid: bytes, locality: int, data: st.DataObject
) -> None:
    raw = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    check(started()[0], bytes(raw), locality)


@given(st.sampled_from(VALID), st.data())
def test_cut_commands_are_refused(valid: bytes, data: st.DataObject) -> None:
    """Also when the length in the header agrees with the cut."""
    size = data.draw(st.integers(10, len(valid) - 1)) if len(valid) > 10 else 9
    cut = valid[:2] + size.to_bytes(4, "big") + valid[6:size]
    tpm = started()[0]
    check(tpm, cut, 0)
    assert rc_of(tpm.execute(cut)) != 0


@given(st.lists(st.tuples(st.sampled_from(VALID), localities), max_size=12))
def test_the_same_seed_gives_the_same_bytes(talk: list[tuple[bytes, int]]) -> None:
    one, other = started("seed")[0], started("seed")[0]
    for raw, locality in talk:
        assert one.execute(raw, locality) == other.execute(raw, locality)
    assert whole_state(one) == whole_state(other)


@pytest.mark.parametrize(
    ("raw", "rc"),
    [
        (b"", 0x142),
        (GET_RANDOM[:9], 0x142),
        (b"\x80\x03" + GET_RANDOM[2:], 0x084),
        (b"\x80\x03\0\0\0\x09\0\0\1\xff", 0x084),  # before size and code
        (GET_RANDOM[:2] + b"\0\0\0\x0d" + GET_RANDOM[6:], 0x142),
        (GET_RANDOM[:2] + b"\0\0\0\x0b" + GET_RANDOM[6:], 0x142),
        (b"\x80\x01\0\0\0\x0b\0\0\1\xff", 0x142),  # size before code
        (command(0x17B, bytes(4086)), 0x095),  # 4096 bytes: the rest is left over
        (command(0x17B, bytes(4087)), 0x142),
        (command(0x1FF), 0x143),
        (command(0x12F), 0x143),
        (command(0x17B, b"\0\x08\0"), 0x095),
    ],
)
def test_header_refusals(raw: bytes, rc: int) -> None:
    tpm, _, _ = started()
    before = whole_state(tpm)
    assert tpm.execute(raw) == refusal(rc)
    assert whole_state(tpm) == before


def test_unknown_code_comes_before_the_mode() -> None:
    tpm, _, _ = off_tpm()
    tpm.power_on()
    assert rc_of(tpm.execute(command(0x1FF))) == 0x143
    assert rc_of(tpm.execute(GET_RANDOM)) == 0x100


def test_startup_twice() -> None:
    assert rc_of(started()[0].execute(STARTUP_CLEAR)) == 0x100


def test_no_power_no_answer_but_failure() -> None:
    tpm, _, _ = started()
    tpm.power_off()
    assert tpm.execute(GET_RANDOM) == refusal(0x101)
    assert tpm.execute(b"") == refusal(0x101)


def test_power_twice_is_power_once() -> None:
    tpm, _, clock = started()
    clock.advance(10)
    tpm.power_on()
    assert clock_info(tpm)[0] == 10  # still started, and time runs on
    tpm.power_off()
    before = whole_state(tpm)
    clock.advance(10)
    tpm.power_off()
    assert whole_state(tpm) == before | {"clock": 20}


@pytest.mark.parametrize("locality", [-1, 5, 32, 255])
def test_no_such_locality(locality: int) -> None:
    assert started()[0].execute(GET_RANDOM, locality) == refusal(0x907)


def test_every_command_says_its_handles_before_its_sessions() -> None:
    """With both wrong, the handle's code comes (Part 1, order of checks)."""
    bad_session = bytes.fromhex("020000050000000000")
    raw = command(0x182, b"\0\0\0\1\x12\x34", handles=(24,), area=bad_session)
    assert rc_of(started()[0].execute(raw)) == 0x184
    raw = command(0x182, b"\0\0\0\1\x12\x34", handles=(6,), area=bad_session)
    assert rc_of(started()[0].execute(raw)) == 0x918
    raw = command(0x182, b"\0\0\0\1\x12\x34", handles=(17,), area=EMPTY_PASSWORD)
    assert rc_of(started()[0].execute(raw)) == 0x1C3  # before the action's locality


@pytest.mark.parametrize("handles", [b"", b"\0", b"\0\0\0"])
@pytest.mark.parametrize("code", [0x12B, 0x13C, 0x13D, 0x182])
def test_missing_handle(code: int, handles: bytes) -> None:
    assert rc_of(started()[0].execute(command(code, handles))) == 0x19A


@pytest.mark.parametrize("code", [0x12B, 0x13C, 0x13D, 0x182])
@pytest.mark.parametrize("handle", [24, 0x40000001, 0x01000000, 0xFFFFFFFF])
def test_handle_of_wrong_kind(code: int, handle: int) -> None:
    raw = command(code, bytes(4), handles=(handle,), area=EMPTY_PASSWORD)
    assert rc_of(started()[0].execute(raw)) == 0x184


def test_fork_and_original_go_their_own_ways() -> None:
    tpm, journal, clock = started()
    tpm.execute(extend(6, (SHA256, b"\1" * 32)))
    tpm.execute(SHUTDOWN_STATE)
    before = whole_state(tpm)
    fork = tpm.fork(journal.fork())
    assert whole_state(fork) == before
    for raw in (
        extend(6, (SHA256, b"\2" * 32)),
        GET_RANDOM,
        allocate((SHA1, "ffffff")),
    ):
        assert rc_of(fork.execute(raw)) == 0
    assert whole_state(tpm) == before
    assert read_one(tpm, SHA256, 6) != read_one(fork, SHA256, 6)
    power_cycle(fork)
    fork.execute(STARTUP_CLEAR)
    clock.advance(5)
    assert whole_state(tpm) == before | {"clock": 5}
    assert fork._inner.clock.now == 0


def test_fork_gives_the_same_random_bytes() -> None:
    tpm, journal, _ = started()
    fork = tpm.fork(journal.fork())
    assert tpm.execute(GET_RANDOM) == fork.execute(GET_RANDOM)


def test_fork_can_share_a_given_clock() -> None:
    tpm, journal, _ = started()
    clock = Clock(40)
    fork = tpm.fork(journal.fork(), clock=clock)
    clock.advance(2)
    assert fork._inner.time() == 42


def test_fork_of_a_fork_writes_only_to_its_journal() -> None:
    tpm, journal, _ = started()
    mine = Journal()
    tpm.fork(Journal()).fork(mine).execute(extend(0, (SHA256, bytes(32))))
    assert (len(journal), len(mine)) == (1, 1)


def test_no_pickle_carries_its_secrets_away() -> None:
    tpm, _, _ = started()
    with pytest.raises(TypeError, match="state file"):
        pickle.dumps(tpm)


def test_repr_shows_no_secret() -> None:
    assert repr(started()[0]) == "Tpm(powered=True, started=True)"


def test_the_model_is_a_tpm() -> None:
    tpm: TpmInterface = Tpm(Entropy("s", "tpm"), Clock(), Journal())
    tpm.power_on()
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0


@pytest.mark.parametrize("banks", [(), (SHA256, SHA256), (SHA256, 0x12)])
def test_banks_must_be_banks(banks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="PCR banks"):
        off_tpm(banks=banks)


@pytest.mark.parametrize("allocated", [(), (0x0D,)])
def test_allocated_banks_must_be_implemented(allocated: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="implemented banks"):
        off_tpm(banks=(SHA1, SHA256, SHA384), allocated=allocated)


def test_platform_alone_allocates() -> None:
    params = bytes(4)
    for handle, rc in ((PLATFORM, 0), (0x40000001, 0x184), (0x4000000A, 0x184)):
        raw = command(0x12B, params, handles=(handle,), area=EMPTY_PASSWORD)
        assert rc_of(started()[0].execute(raw)) == rc


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_names_what_each_family_declares(family: str) -> None:
    module = import_module(f"pefstack.hw.tpm.commands.{family}")
    assert {each.code for each in module.COMMANDS} == set(FAMILIES[family])


def test_every_module_of_commands_is_in_the_table() -> None:
    folder = Path(table.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "table"}
    assert modules - set(FAMILIES) == {"attesting"}  # what attestations share
