"""tpm2-tools and indexes of each type, on our TPM and on a real swtpm."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tpm2_tools_kit import Tools, tools_on

pytestmark = pytest.mark.interop

INDEX = "0x01500001"
BY_OWNER = "ownerread|ownerwrite|authread|authwrite"


@pytest.fixture(params=["swtpm", "reference"])
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tools]:
    with tools_on(request.param, tmp_path) as made:
        yield made


def content(tools: Tools, index: str = INDEX, more: str = "-C o") -> bytes:
    tools(f"nvread {index} {more} -o read")
    return tools.read("read")


def test_ordinary(tools: Tools) -> None:
    tools(f"nvdefine {INDEX} -C o -s 2048 -a {BY_OWNER} -p mine")
    assert tools.refused(f"nvdefine {INDEX} -C o -s 32 -a {BY_OWNER}") == 0x14C
    assert tools.refused(f"nvread {INDEX} -C o -s 8") == 0x14A
    tools.write("data", bytes(range(256)) * 8)
    tools(f"nvwrite {INDEX} -C o -i data")
    assert content(tools) == bytes(range(256)) * 8
    tools.write("data", b"in the middle")
    tools(f"nvwrite {INDEX} -P mine -i data --offset 1000")
    assert content(tools, more="-P mine --offset 998 -s 17")[2:15] == b"in the middle"
    assert tools.refused(f"nvread {INDEX} -P yours -s 8") == 0x98E
    public = tools(f"nvreadpublic {INDEX}")
    assert "size: 2048" in public
    area = bytes.fromhex("01500001000b200600060000") + b"\x08\0"
    name = "000b" + hashlib.sha256(area).hexdigest()
    assert f"name: {name}" in public
    assert "0x1500001" in tools("getcap handles-nv-index")
    tools(f"nvundefine {INDEX} -C o")
    assert tools.refused(f"nvread {INDEX} -C o -s 8") == 0x18B
    assert tools.refused(f"nvdefine {INDEX} -C o -s 9000 -a {BY_OWNER}") == 0x2D5


def test_counter(tools: Tools) -> None:
    tools(f"nvdefine {INDEX} -C o -a nt=counter|{BY_OWNER}")
    tools(f"nvincrement {INDEX} -C o")
    first = int.from_bytes(content(tools), "big")
    for number in (1, 2, 3):
        tools(f"nvincrement {INDEX} -C o")
        assert int.from_bytes(content(tools), "big") == first + number
    tools.write("data", bytes(8))
    assert tools.refused(f"nvwrite {INDEX} -C o -i data") == 0x82
    tools(f"nvundefine {INDEX} -C o")
    tools(f"nvdefine {INDEX} -C o -a nt=counter|{BY_OWNER}")
    tools(f"nvincrement {INDEX} -C o")
    assert int.from_bytes(content(tools), "big") == first + 4


def test_bits_and_extend(tools: Tools) -> None:
    tools(f"nvdefine {INDEX} -C o -a nt=bits|{BY_OWNER}")
    for bits in (0x0000000F, 0xBADC0DE, 1 << 63):
        tools(f"nvsetbits {INDEX} -C o -i {bits:#x}")
    assert int.from_bytes(content(tools), "big") == 0xBADC0DF | 1 << 63
    for alg, size in (("sha1", 20), ("sha256", 32), ("sha384", 48), ("sha512", 64)):
        index = f"0x015000{size:02}"
        tools(f"nvdefine {index} -C o -g {alg} -a nt=extend|{BY_OWNER}")
        tools.write("data", b"what happened")
        tools(f"nvextend {index} -C o -i data")
        value = hashlib.new(alg, bytes(size) + b"what happened").digest()
        assert content(tools, index) == value


def test_pins(tools: Tools) -> None:
    for kind, index in (("pinfail", "0x01500002"), ("pinpass", "0x01500003")):
        attributes = f"nt={kind}|no_da|ownerread|ownerwrite|authread"
        tools(f"nvdefine {index} -C o -s 8 -p pin -a {attributes}")
        assert tools.refused(f"nvread {index} -P pin -s 8") in (0x12F, 0x149)
        tools.write("data", bytes.fromhex("0000000000000003"))
        tools(f"nvwrite {index} -C o -i data")
    with tools.session() as name:
        tools(f"policysecret -S {name} -c 0x01500003 pin")
    assert content(tools, "0x01500003")[:4] == bytes.fromhex("00000001")
    for count in (1, 2, 3):
        assert tools.refused("nvread 0x01500002 -P wrong -s 8") == 0x9A2
        assert content(tools, "0x01500002")[3] == count
    assert tools.refused("nvread 0x01500002 -P pin -s 8") == 0x12F


@pytest.mark.parametrize("kind", ["stclear", "define"])
def test_locks(tools: Tools, kind: str) -> None:
    attributes = (
        f"{BY_OWNER}|write{'_' if kind == 'stclear' else ''}{kind}|read_stclear"
    )
    tools(f"nvdefine {INDEX} -C o -s 8 -a {attributes}")
    tools.write("data", b"12345678")
    tools(f"nvwrite {INDEX} -C o -i data")
    tools(f"nvwritelock {INDEX} -C o")
    assert tools.refused(f"nvwrite {INDEX} -C o -i data") == 0x148
    tools(f"nvreadlock {INDEX} -C o")
    assert tools.refused(f"nvread {INDEX} -C o -s 8") == 0x148
    shown = tools(f"nvreadpublic {INDEX}")
    assert "writelocked" in shown
    assert "readlocked" in shown


def test_global_lock_and_special_undefine(tools: Tools) -> None:
    tools(f"nvdefine {INDEX} -C o -s 8 -a {BY_OWNER}|globallock")
    tools.write("data", b"12345678")
    tools(f"nvwrite {INDEX} -C o -i data")
    tools("nvwritelock -C o --global")
    assert tools.refused(f"nvwrite {INDEX} -C o -i data") == 0x148
    assert content(tools) == b"12345678"
    with tools.session("") as name:
        tools(f"policycommandcode -S {name} -L p TPM2_CC_NV_UndefineSpaceSpecial")
    special = "ppread|ppwrite|authread|authwrite|platformcreate|policydelete"
    tools(f"nvdefine 0x01500009 -C p -s 8 -a {special} -L p")
    tools.run("nvundefine 0x01500009 -C p")  # the tool itself refuses
    assert "0x1500009" in tools("getcap handles-nv-index")
    with tools.session() as name:
        tools(f"policycommandcode -S {name} TPM2_CC_NV_UndefineSpaceSpecial")
        tools(f"nvundefine 0x01500009 -C p -S {name}")
    assert tools.refused("nvreadpublic 0x01500009") == 0x18B


def test_authorizations(tools: Tools) -> None:
    tools("changeauth -c o ownerauth")
    line = f"nvdefine {INDEX} -C o -s 8 -a {BY_OWNER}|policywrite -p nvpass"
    assert tools.refused(line) == 0x9A2
    with tools.session("--hmac-session") as name:
        tools(f"{line} -P session:{name}+ownerauth")
        tools.write("data", b"12345678")
        tools(f"nvwrite {INDEX} -C o -P session:{name}+ownerauth -i data")
        assert content(tools, more=f"-P session:{name}+nvpass") == b"12345678"
    with tools.session("") as name:
        tools(f"policycommandcode -S {name} -L p TPM2_CC_NV_ChangeAuth")
    tools(f"nvundefine {INDEX} -C o -P ownerauth")
    tools(f"{line} -P ownerauth -L p")
    tools(f"nvwrite {INDEX} -P nvpass -i data")
    with tools.session() as name:
        tools(f"policycommandcode -S {name} TPM2_CC_NV_ChangeAuth")
        tools(f"changeauth -c {INDEX} -p session:{name}+nvpass newpass")
    assert content(tools, more="-P newpass") == b"12345678"
    assert tools.refused(f"nvread {INDEX} -P nvpass -s 8") == 0x98E


def test_encrypted_read(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    tools(f"nvdefine {INDEX} -C o -s 8 -a {BY_OWNER} -p nvpass")
    tools.write("data", b"12345678")
    with tools.session("--hmac-session -c p.ctx") as name:
        tools(f"sessionconfig {name} --enable-encrypt --enable-decrypt")
        tools(f"nvwrite {INDEX} -P session:{name}+nvpass -i data")
        assert content(tools, more=f"-P session:{name}+nvpass") == b"12345678"
