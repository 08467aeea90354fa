"""What the SBE's containers sign: sections padded to 8, one behind the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images.sbe_payload import padded, patent_sbe_fw


@pytest.mark.parametrize(
    ("section", "signed"),
    [
        (b"", b""),
        (b"1", b"1\0\0\0\0\0\0\0"),
        (b"1234567", b"1234567\0"),
        (b"12345678", b"12345678"),
        (b"123456789", b"123456789\0\0\0\0\0\0\0"),
    ],
)
def test_padded(section: bytes, signed: bytes) -> None:
    assert padded(section) == signed


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_each_section_is_padded_by_itself(base: bytes, verification: bytes) -> None:
    signed = patent_sbe_fw(base, verification)
    middle = -(-len(base) // 8) * 8
    assert len(signed) % 8 == 0 and len(signed) - middle - len(verification) < 8
    assert signed[: len(base)] == base and not any(signed[len(base) : middle])
    end = middle + len(verification)
    assert signed[middle:end] == verification and not any(signed[end:])
