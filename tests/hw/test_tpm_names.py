"""Names and qualified Names."""

import hashlib

import pytest

from pefstack.hw.tpm.decode import decode
from pefstack.hw.tpm.names import handle_name, nv_name, object_name, qualified_name
from pefstack.hw.tpm.nv_public import TPMS_NV_PUBLIC, NvPublic
from pefstack.hw.tpm.public import KeyedHashParms, Public
from tpm_kit import SHA1, SHA256, SHA384, SHA512, vector

FORMULAS = vector("formulas.json")
HASHES = {
    SHA1: hashlib.sha1,
    SHA256: hashlib.sha256,
    SHA384: hashlib.sha384,
    SHA512: hashlib.sha512,
}
SEALED = bytes.fromhex("0008000b00000040000000100000")


def sealed(name_alg: int) -> Public:
    return Public(
        type=8, name_alg=name_alg, attributes=0x40, parameters=KeyedHashParms()
    )


@pytest.mark.parametrize("state", ["defined", "written", "write_locked"])
def test_index_of_the_reference_in_each_state(state: str) -> None:
    row = FORMULAS["nv"][state]
    public = decode("TPMS_NV_PUBLIC", TPMS_NV_PUBLIC, bytes.fromhex(row["public"]))
    assert nv_name(public).hex() == row["name"]


@pytest.mark.parametrize("alg", HASHES)
def test_name_alg_is_the_hash(alg: int) -> None:
    raw = b"\0\x08" + alg.to_bytes(2, "big") + SEALED[4:]
    head = alg.to_bytes(2, "big")
    assert object_name(sealed(alg)) == head + HASHES[alg](raw).digest()
    index = NvPublic(index=0x01500001, name_alg=alg, attributes=0x40004, data_size=9)
    raw = b"\x01\x50\0\x01" + head + b"\0\x04\0\x04\0\0\0\x09"
    assert nv_name(index) == head + HASHES[alg](raw).digest()


def test_object_without_a_name_alg_has_no_name() -> None:
    assert object_name(sealed(0x10)) == b""
    assert qualified_name(handle_name(0x40000007), b"") == b""


def test_handles_are_their_own_names() -> None:
    assert handle_name(0x4000000C).hex() == "4000000c"
    assert handle_name(6).hex() == "00000006"


def test_qualified_name_is_of_the_childs_hash() -> None:
    parent = handle_name(0x4000000B)
    name = object_name(sealed(SHA384))
    expected = b"\0\x0c" + hashlib.sha384(parent + name).digest()
    assert qualified_name(parent, name) == expected
    grandchild = object_name(sealed(SHA256))
    expected = b"\0\x0b" + hashlib.sha256(expected + grandchild).digest()
    assert qualified_name(qualified_name(parent, name), grandchild) == expected
