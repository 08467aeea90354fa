"""Provision, seal off line, import, unseal, re-provision: PEF's flow with tpm2-tools.

The steps and codes of vectors/tpm/pef_flow_transcript.txt, which a real swtpm answered.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from cli_kit import PEF, surroundings
from pefstack import Machine
from tpm2_tools_kit import TPMS, Tools, tools_on
from tpm_seal_kit import seal_offline

pytestmark = pytest.mark.interop

INDEX, KEY = "0x01800006", "0x81800001"
INDEX_USES = "ppwrite|ppread|authread|write_stclear|no_da|platformcreate"
KEY_USES = "restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin"
MEASURED = (
    "b609f4329c3a3fe272162925b0e51580499aed996ab752880396e8de934180cc",
    "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a",
    "8d85e0ff0c73321a21ad78140ee5bc1cfc07b43d800cdd50ec806a41d93c1660",
    "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119",
    "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a",
)
PCR6 = "74acc09c02b959c4c62d039c69daea631e57d7ffc2cd6db00afce32ab2c85065"
PCR_POLICY = "3d37992371ad30da8d52b3995ffaa0760708f4a486ac83d1acb852483941e886"
KEY_POLICY = "770d656f500696784e404dbe376a74981f98f1d5c39423e24fbb19f9898344c9"
TCTI = re.compile(r"mssim:host=[^,]+,port=\d+")
SECRET = b"a seed for the lockbox, 32 bytes"


@pytest.fixture(params=TPMS)
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tools]:
    with tools_on(request.param, tmp_path) as made:
        yield made


@contextmanager
def key_session(tools: Tools, password: str) -> Iterator[str]:
    """What the storage key wants: PCR 6, and the password of the boot."""
    with tools.session() as name:
        tools(f"policypcr -S {name} -l sha256:6")
        tools(f"policysecret -S {name} -c {INDEX} {password}")
        yield f"session:{name}"


@contextmanager
def pcr_session(tools: Tools, more: str = "") -> Iterator[str]:
    with tools.session() as name:
        tools(f"policypcr -S {name} -l sha256:6")
        if more:
            tools(f"{more} -S {name}")
        yield f"session:{name}"


def define_index(tools: Tools, password: str) -> None:
    tools(f"nvdefine {INDEX} -C p -s 32 -a {INDEX_USES} -p {password}")


def provision(tools: Tools) -> None:
    """The index of the boot password, and the storage key under its policy."""
    define_index(tools, "boot-password-1")
    assert tools.refused(f"nvread {INDEX} -C p -s 32") == 0x14A
    tools.write("data", bytes(range(32)))
    tools(f"nvwrite {INDEX} -C p -i data")
    tools(f"nvwritelock {INDEX} -C p")
    assert tools.refused(f"nvwrite {INDEX} -C p -i data") == 0x148
    line = f"nvread {INDEX} -C {INDEX} -s 32 -P"
    assert tools.refused(f"{line} nonsense") == 0x9A2
    tools(f"{line} boot-password-1 -o back")
    assert tools.read("back") == bytes(range(32))
    with tools.session("") as name:
        tools(f"policypcr -S {name} -l sha256:6 -L pcr.policy")
        tools(f"policysecret -S {name} -c {INDEX} -L key.policy boot-password-1")
    tools(
        f"createprimary -C p -g sha256 -G rsa2048:null:aes128cfb -a {KEY_USES} "
        "-L key.policy -c key.ctx"
    )
    tools(f"evictcontrol -C p -c key.ctx {KEY}")
    tools(f"readpublic -c {KEY} -o key.pub -f tss")


def seal(tools: Tools, letter: str, policy: bytes, auth: bytes = b"") -> None:
    sealed = seal_offline(tools.read("key.pub"), SECRET, policy, auth)
    for part in ("public", "duplicate", "seed"):
        tools.write(f"{letter}.{part}", getattr(sealed, part))


def imports(letter: str, session: str) -> str:
    parts = f"-u {letter}.public -i {letter}.duplicate -s {letter}.seed"
    return f"import -C {KEY} -P {session} {parts} -r {letter}.private"


def load(tools: Tools, letter: str, password: str = "boot-password-1") -> None:
    with key_session(tools, password) as session:
        tools(
            f"load -C {KEY} -P {session} -u {letter}.public -r {letter}.private "
            f"-c {letter}.ctx"
        )


def test_the_whole_flow(tools: Tools) -> None:
    for digest in MEASURED:
        tools(f"pcrextend 6:sha256={digest}")
    assert PCR6.upper() in tools("pcrread sha256:6")
    provision(tools)
    assert tools.read("pcr.policy").hex() == PCR_POLICY
    assert tools.read("key.policy").hex() == KEY_POLICY
    with_auth = sha256(bytes.fromhex(PCR_POLICY) + bytes.fromhex("0000016b")).digest()
    seal(tools, "a", bytes.fromhex(PCR_POLICY))
    seal(tools, "b", with_auth, b"object-auth")
    for letter in "ab":
        with key_session(tools, "boot-password-1") as session:
            tools(imports(letter, session))
        load(tools, letter)
    unsealing(tools)
    wrong_inputs(tools)
    after_a_new_password(tools)
    tools(f"pcrextend 6:sha256={'11' * 32}")
    with pcr_session(tools) as session:
        assert tools.refused(f"unseal -c a.ctx -p {session}") == 0x99D
    with key_session(tools, "boot-password-2") as session:
        line = f"load -C {KEY} -P {session} -u a.public -r a.private -c z.ctx"
        assert tools.refused(line) == 0x99D


def unsealing(tools: Tools) -> None:
    with pcr_session(tools) as session:
        assert tools(f"unseal -c a.ctx -p {session}").encode() == SECRET
    with pcr_session(tools, "policyauthvalue") as session:
        assert tools(f"unseal -c b.ctx -p {session}+object-auth").encode() == SECRET
    with pcr_session(tools, "policyauthvalue") as session:
        assert tools.refused(f"unseal -c b.ctx -p {session}+wrong") == 0x98E
    assert tools.refused("unseal -c a.ctx") == 0x12F


def wrong_inputs(tools: Tools) -> None:
    raw = tools.read("a.duplicate")
    tools.write("c.duplicate", raw[:-1] + bytes([raw[-1] ^ 1]))
    tools.write("c.public", tools.read("a.public"))
    tools.write("c.seed", tools.read("a.seed"))
    with key_session(tools, "boot-password-1") as session:
        assert tools.refused(imports("c", session)) == 0x3DF
    with tools.session() as name:
        line = f"policysecret -S {name} -c {INDEX} wrong-password"
        assert tools.refused(line) == 0x9A2
    with pcr_session(tools) as session:
        line = f"load -C {KEY} -P {session} -u a.public -r a.private -c y.ctx"
        assert tools.refused(line) == 0x99D


def after_a_new_password(tools: Tools) -> None:
    """The old password is gone with the index; the policy of the key names it alone."""
    tools(f"nvundefine {INDEX} -C p")
    define_index(tools, "boot-password-2")
    tools.write("data", bytes(32))
    with tools.session() as name:
        line = f"policysecret -S {name} -c {INDEX} boot-password-1"
        assert tools.refused(line) == 0x9A2
    with key_session(tools, "boot-password-2") as session:  # the Name: not yet written
        line = f"load -C {KEY} -P {session} -u a.public -r a.private -c z.ctx"
        assert tools.refused(line) == 0x99D
    tools(f"nvwrite {INDEX} -C p -i data")
    tools(f"nvwritelock {INDEX} -C p")
    load(tools, "a", "boot-password-2")


def test_a_seed_sealed_for_a_boot(tmp_path: Path) -> None:
    """`pef boot --keep`: what was sealed for this boot opens, nothing else does."""
    values = [Machine(name).run().pcrs()[6] for name in ("small", "jumper-off")]
    with subprocess.Popen(
        [*PEF, "boot", "small", "--keep", "--json"],
        env=surroundings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            tcti = next(
                found[0] for line in child.stdout if (found := TCTI.search(line))
            )
            tools = Tools(tcti, tmp_path)
            tools("createprimary -C o -c p.ctx")
            tools.write("secret", SECRET)
            for value, opens in zip(values, (True, False), strict=True):
                tools.write("value", value)
                with tools.session("") as name:
                    tools(f"policypcr -S {name} -l sha256:6 -f value -L policy")
                line = "create -C p.ctx -i secret -L policy -a fixedtpm|fixedparent"
                tools(f"{line} -u s.pub -r s.priv")
                tools("load -C p.ctx -u s.pub -r s.priv -c s.ctx")
                with pcr_session(tools) as session:
                    line = f"unseal -c s.ctx -p {session}"
                    if opens:
                        assert tools(line).encode() == SECRET
                    else:
                        assert tools.refused(line) == 0x99D
        finally:
            child.terminate()
