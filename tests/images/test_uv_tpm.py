"""The tree from OPAL to the ultravisor: layout, round trip, every field refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images.errors import FormatError
from pefstack.images.fdt import Fdt, FdtNode
from pefstack.images.uv_tpm import UvTpm

LENGTHS = {
    "wrapping-key-handle": 4,
    "wrapping-key-passwd": 17,
    "wrapping-key-publicname": 34,
    "wrapping-key-policy-a": 32,
    "wrapping-key-policy-b": 32,
    "storage-key-handle": 4,
    "storage-key-public": 314,
    "storage-key-publicname": 34,
    "nv-index": 4,
    "nv-passwd": 17,
}
GOOD = UvTpm(
    wrapping_key_handle=0x81800001,
    wrapping_key_password=bytes(range(1, 17)),
    wrapping_key_name=b"\0\x0b" + b"w" * 32,
    wrapping_key_policy_a=b"a" * 32,
    wrapping_key_policy_b=b"b" * 32,
    storage_key_handle=0x81800002,
    storage_key_public=b"p" * 314,
    storage_key_name=b"\0\x0b" + b"s" * 32,
    nv_index=0x01C101A0,
    nv_password=bytes(range(17, 33)),
)


def tree(**changes: bytes | None) -> bytes:
    node = Fdt.from_bytes(GOOD.to_bytes()).node("/ibm,uv-tpm")
    properties = dict(node.properties) | changes
    kept = tuple(
        (name, value) for name, value in properties.items() if value is not None
    )
    child = FdtNode(name="ibm,uv-tpm", properties=kept)
    return Fdt(root=FdtNode(children=(child,))).to_bytes()


def test_names_and_sizes_of_the_specification() -> None:
    node = Fdt.from_bytes(GOOD.to_bytes()).node("/ibm,uv-tpm")
    assert node.string("compatible") == "ibm,uv-tpm"
    found = {name: len(value) for name, value in node.properties}
    assert found == {"compatible": 11} | LENGTHS
    assert node.value("nv-passwd") == bytes(range(17, 33)) + b"\0"
    assert node.u32("nv-index") == 0x01C101A0


@given(st.binary(min_size=32, max_size=32).filter(lambda raw: 0 not in raw))
def test_round_trip(passwords: bytes) -> None:
    value = replace(
        GOOD, wrapping_key_password=passwords[:16], nv_password=passwords[16:]
    )
    assert UvTpm.from_bytes(value.to_bytes()) == value


@pytest.mark.parametrize("name", LENGTHS)
def test_each_property_has_its_size(name: str) -> None:
    for wrong in (None, b"", b"\1" * (LENGTHS[name] - 1), b"\1" * (LENGTHS[name] + 1)):
        with pytest.raises(FormatError, match=name):
            UvTpm.from_bytes(tree(**{name: wrong}))


@pytest.mark.parametrize("name", ["wrapping-key-passwd", "nv-passwd"])
def test_a_password_has_one_nul_at_its_end(name: str) -> None:
    secret = b"secretsecretsecr"
    for wrong in (secret + b"e", b"\0" * 17, secret[:7] + b"\0" + secret[8:] + b"\0"):
        with pytest.raises(FormatError) as caught:
            UvTpm.from_bytes(tree(**{name: wrong}))
        assert name in str(caught.value)
        assert "secret" not in str(caught.value)
        assert secret.hex()[:12] not in str(caught.value)


def test_compatible_and_the_node_must_be_there() -> None:
    with pytest.raises(FormatError, match="compatible"):
        UvTpm.from_bytes(tree(compatible=b"ibm,uv\0"))
    with pytest.raises(FormatError, match="ibm,uv-tpm"):
        UvTpm.from_bytes(Fdt(root=FdtNode()).to_bytes())


@pytest.mark.parametrize(
    "changes",
    [
        {"nv_password": b"short"},
        {"nv_password": b"\0" * 16},
        {"storage_key_public": b"p"},
        {"nv_index": 1 << 32},
        {"nv_index": -1},
    ],
)
def test_what_could_not_be_read_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        replace(GOOD, **changes).to_bytes()


@given(st.binary(max_size=600))
def test_noise(raw: bytes) -> None:
    with pytest.raises(FormatError):
        UvTpm.from_bytes(raw)


def test_cut_short_and_too_long() -> None:
    raw = GOOD.to_bytes()
    for size in range(0, len(raw), 3):
        with pytest.raises(FormatError):
            UvTpm.from_bytes(raw[:size])
    with pytest.raises(FormatError, match="uv-tpm: size"):
        UvTpm.from_bytes(raw + bytes(0x1000))


def test_no_password_is_printed() -> None:
    secret = replace(GOOD, nv_password=b"S" * 16, wrapping_key_password=b"T" * 16)
    assert "SSSS" not in repr(secret)
    assert "TTTT" not in repr(secret)
