"""GetRandom, StirRandom: all randomness follows from the seed."""

import pytest

from tpm_kit import command, rc_of, refusal, started, vector, whole_state


def random(count: int) -> bytes:
    """GetRandom."""
    return command(0x17B, count.to_bytes(2, "big"))


@pytest.mark.parametrize(
    ("asked", "given"), [(0, 0), (1, 1), (32, 32), (64, 64), (65, 64), (0xFFFF, 64)]
)
def test_at_most_the_largest_digest(asked: int, given: int) -> None:
    response = started()[0].execute(random(asked))
    assert int.from_bytes(response[10:12], "big") == given == len(response) - 12


def test_command_of_the_sbe() -> None:
    raw = bytes.fromhex(vector("sbe-tpm-commands.json")["get_random_32"])
    assert len(started()[0].execute(raw)) == 44


def test_seed_decides() -> None:
    one, same, other = started("a")[0], started("a")[0], started("b")[0]
    first = one.execute(random(64))
    assert first == same.execute(random(64)) != other.execute(random(64))
    assert one.execute(random(64)) != first


def test_stirring_changes_what_comes() -> None:
    plain, stirred, other = (started()[0] for _ in range(3))
    assert rc_of(stirred.execute(command(0x146, b"\0\1x"))) == 0
    assert rc_of(other.execute(command(0x146, b"\0\1y"))) == 0
    assert len({each.execute(random(32)) for each in (plain, stirred, other)}) == 3


@pytest.mark.parametrize(
    ("params", "rc"),
    [
        (b"", 0x1DA),
        (b"\0\1", 0x1DA),
        (b"\0\0", 0),
        (b"\0\x80" + bytes(128), 0),
        (b"\0\x81" + bytes(129), 0x1D5),
        (b"\0\0x", 0x095),
    ],
)
def test_stir_data(params: bytes, rc: int) -> None:
    tpm, _, _ = started()
    before = whole_state(tpm)
    assert tpm.execute(command(0x146, params)) == refusal(rc)
    assert (whole_state(tpm) == before) is bool(rc)


def test_random_bytes_are_not_noted() -> None:
    tpm, journal, _ = started()
    tpm.execute(random(8))
    tpm.execute(command(0x146, b"\0\0"))
    assert len(journal) == 1
