"""The search for secrets finds each form, at any place, and nothing else."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces import traces

SECRET = bytes(range(0xE0, 0x100)) + bytes(range(8))
PLANTED = {
    "raw": SECRET,
    "its first half": SECRET[:16],
    "its end": SECRET[-16:],
    "hex": SECRET.hex().encode(),
    "HEX": SECRET.hex().upper().encode(),
    "base64": b64encode(SECRET),
    "base64 behind one byte": b64encode(b"x" + SECRET),
    "base64 behind two bytes": b64encode(b"xy" + SECRET),
    "base64 for addresses": urlsafe_b64encode(SECRET),
    "reversed": SECRET[::-1],
    **{
        f"words of {size} bytes": b"".join(
            SECRET[at : at + size][::-1] for at in range(0, len(SECRET), size)
        )
        for size in (2, 4, 8)
    },
    "words of 4 bytes in hex": b"".join(
        SECRET[at : at + 4][::-1] for at in range(0, len(SECRET), 4)
    )
    .hex()
    .encode(),
}


@pytest.mark.parametrize("form", PLANTED)
def test_each_form_is_found(form: str) -> None:
    seen = [b"something", b"before " + PLANTED[form] + b" after"]
    assert traces(seen, {"seed": SECRET, "other": bytes(16)}) == ["seed"]


@given(st.lists(st.binary(max_size=64)))
def test_nothing_is_found_where_nothing_is(seen: list[bytes]) -> None:
    assert traces([each.replace(b"\xe0", b"") for each in seen], {"s": SECRET}) == []


def test_two_things_seen_do_not_make_a_secret() -> None:
    assert traces([SECRET[:8], SECRET[8:16]], {"seed": SECRET}) == []


def test_a_secret_too_short_to_look_for_is_refused() -> None:
    with pytest.raises(ValueError, match="key has fewer than 16 bytes"):
        traces([], {"key": bytes(15)})
