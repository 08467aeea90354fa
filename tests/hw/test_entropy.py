"""Seeded entropy and the clock."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.entropy import MAX_MILLISECONDS, Clock, Entropy


@given(st.text(max_size=20), st.text(max_size=20), st.lists(st.integers(0, 700)))
def test_stream_does_not_depend_on_the_cuts(
    seed: str, label: str, sizes: list[int]
) -> None:
    cut, whole = Entropy(seed, label), Entropy(seed, label)
    pieces = [cut.random_bytes(size) for size in sizes]
    assert [len(piece) for piece in pieces] == sizes
    assert b"".join(pieces) == whole.random_bytes(sum(sizes))


def test_known_stream() -> None:
    """A change of the stream changes every golden file: it must be on purpose."""
    stream = Entropy("p9", "tpm").random_bytes(16)
    assert stream.hex() == "5806a9a1d96ae45c4cbd8ffcd7abcb22"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b"), ("a", "c")),
        (("a", "b"), ("b", "b")),
        (("ab", "c"), ("a", "bc")),
        (("", "ab"), ("ab", "")),
    ],
)
def test_seed_and_label_both_count(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert Entropy(*one).random_bytes(32) != Entropy(*other).random_bytes(32)


def test_stream_does_not_repeat() -> None:
    stream = Entropy("s", "l").random_bytes(1 << 16)
    words = {stream[at : at + 16] for at in range(0, len(stream), 16)}
    assert len(words) == len(stream) // 16


def test_fork_goes_on_alone() -> None:
    entropy = Entropy("s", "l")
    entropy.random_bytes(7)
    fork = entropy.fork()
    assert fork == entropy
    wanted = entropy.random_bytes(300)
    assert fork != entropy
    assert fork.random_bytes(300) == wanted


def test_stir_changes_the_future() -> None:
    plain, stirred, other = (Entropy("s", "l") for _ in range(3))
    stirred.stir(b"x")
    other.stir(b"y")
    streams = {each.random_bytes(32) for each in (plain, stirred, other)}
    assert len(streams) == 3


def test_stir_depends_on_the_place() -> None:
    early, late = Entropy("s", "l"), Entropy("s", "l")
    late.random_bytes(1)
    early.stir(b"x")
    late.stir(b"x")
    assert early.random_bytes(32) != late.random_bytes(32)


def test_negative_count_is_refused_and_changes_nothing() -> None:
    entropy, untouched = Entropy("s", "l"), Entropy("s", "l")
    with pytest.raises(ValueError, match="-1 bytes"):
        entropy.random_bytes(-1)
    assert entropy == untouched


def test_repr_shows_no_secret() -> None:
    entropy = Entropy("a secret seed", "tpm")
    entropy.random_bytes(5)
    assert repr(entropy) == "Entropy(label='tpm', position=5)"


def test_any_text_is_a_seed() -> None:
    assert Entropy("\ud800", "\udfff").random_bytes(4)


def test_pickle_keeps_the_place() -> None:
    entropy = Entropy("s", "l")
    entropy.random_bytes(99)
    again = pickle.loads(pickle.dumps(entropy))
    assert again == entropy
    assert again.random_bytes(64) == entropy.random_bytes(64)


def test_entropy_equals_nothing_else() -> None:
    assert Entropy("s", "l") != "Entropy"


def test_clock_counts_milliseconds() -> None:
    clock = Clock()
    clock.advance(20)
    assert clock.now == 20
    clock.now = 500
    clock.advance(0)
    assert repr(clock) == "Clock(now=500)"


@pytest.mark.parametrize("value", [-1, 99, MAX_MILLISECONDS + 1])
def test_clock_refuses(value: int) -> None:
    clock = Clock(100)
    with pytest.raises(ValueError, match="cannot be set"):
        clock.now = value
    with pytest.raises(ValueError, match="cannot be set"):
        clock.advance(value - 100)
    assert clock.now == 100


def test_clock_fork_and_pickle() -> None:
    clock = Clock(7)
    fork = clock.fork()
    clock.advance(1)
    assert (clock.now, fork.now) == (8, 7)
    assert pickle.loads(pickle.dumps(clock)).now == 8
