"""tpm2-tools and policies of each kind, on our TPM and on a real swtpm."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tpm2_tools_kit import Tools, tools_on

pytestmark = pytest.mark.interop

POLICY_FAIL = 0x99D
INDEX = "0x01500001"
SECRET = "what the policy guards"


@pytest.fixture(params=["mssim", "reference"])
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tools]:
    with tools_on(request.param, tmp_path) as made:
        made("createprimary -c p.ctx")
        yield made


def policy_of(tools: Tools, *steps: str) -> bytes:
    """The digest after these steps in a trial session, also in the file ``policy``."""
    with tools.session("") as name:
        for step in steps:
            tool, _, words = step.partition(" ")
            tools(f"{tool} -S {name} -L policy {words}")
    return tools.read("policy")


def seal(tools: Tools, *steps: str, more: str = "") -> bytes:
    """Seal under the policy of these steps, as s.ctx."""
    digest = policy_of(tools, *steps)
    tools.write("secret", SECRET.encode())
    tools(
        f"create -C p.ctx -L policy -i secret -u s.pub -r s.priv {more} "
        "-a fixedtpm|fixedparent"
    )
    tools("load -C p.ctx -u s.pub -r s.priv -c s.ctx")
    return digest


@contextmanager
def policy_session(tools: Tools, *steps: str) -> Iterator[str]:
    with tools.session() as name:
        for step in steps:
            tool, _, words = step.partition(" ")
            tools(f"{tool} -S {name} {words}")
        yield name


def opens(tools: Tools, *steps: str, more: str = "") -> bool:
    """Whether a session with these steps opens it; else the policy must be why."""
    with policy_session(tools, *steps) as name:
        done = tools.run(f"unseal -c s.ctx -p session:{name}{more}")
    if done.returncode:
        assert "policy check failed" in done.stderr, done.stderr
    return done.stdout == SECRET


def digest_of(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def test_pcr(tools: Tools) -> None:
    tools("pcrread sha256:6,7 -o values")
    step = "policypcr -l sha256:6,7"
    values = hashlib.sha256(bytes(64)).digest()
    selection = bytes.fromhex("00000001000b03c00000")
    digest = seal(tools, f"{step} -f values")
    assert digest == digest_of(bytes(32), bytes.fromhex("0000017f"), selection, values)
    assert opens(tools, step)
    assert tools("unseal -c s.ctx -p pcr:sha256:6,7") == SECRET
    with policy_session(tools, step) as name:
        tools(f"pcrextend 6:sha256={'11' * 32}")
        assert tools.refused(f"unseal -c s.ctx -p session:{name}") == 0x128
        tools(f"policyrestart -S {name}")
        tools(f"policypcr -S {name} -l sha256:6,7")
        assert tools.refused(f"unseal -c s.ctx -p session:{name}") == POLICY_FAIL


def test_or_command_code_and_locality(tools: Tools) -> None:
    digests = []
    steps = (
        "policylocality zero",
        "policycommandcode TPM2_CC_Unseal",
        "policypassword",
    )
    for number, step in enumerate(steps):
        policy_of(tools, step)
        (tools.folder / "policy").rename(tools.folder / f"branch{number}")
        digests.append(tools.read(f"branch{number}"))
    either = "policyor sha256:branch0,branch1,branch2"
    code = bytes.fromhex("00000171")
    assert seal(tools, steps[0], either) == digest_of(bytes(32), code, *digests)
    for step in steps[:2]:
        assert opens(tools, step, either)
    assert not opens(tools, *steps[:2])
    with policy_session(tools) as name:
        assert tools.refused(f"policyor -S {name} sha256:branch0,branch1") == 0x1C4
    with policy_session(tools) as name:
        tools(f"policycommandcode -S {name} TPM2_CC_Create")
        assert tools.refused(f"policycommandcode -S {name} TPM2_CC_Load") == 0x1C4
    seal(tools, "policylocality three")
    with policy_session(tools, "policylocality three") as name:
        assert tools.refused(f"unseal -c s.ctx -p session:{name}") == 0x907


@pytest.mark.parametrize("kind", ["policypassword", "policyauthvalue"])
def test_password_and_authorization_value(tools: Tools, kind: str) -> None:
    seal(tools, kind, more="-p mine")
    assert opens(tools, kind, more="+mine")
    with policy_session(tools, kind) as name:
        assert tools.refused(f"unseal -c s.ctx -p session:{name}+x") == 0x98E
    other = {"policypassword": "policyauthvalue"}.get(kind, "policypassword")
    assert opens(tools, other, more="+mine")  # both extend the same code


def test_secret_of_a_hierarchy_an_index_and_a_key(tools: Tools) -> None:
    tools("changeauth -c o ownerauth")
    tools(f"nvdefine {INDEX} -C o -P ownerauth -p nvpass -s 8 -a authread|authwrite")
    step = f"policysecret -c {INDEX} nvpass"
    seal(tools, "policysecret -c o ownerauth", step)
    assert opens(tools, "policysecret -c o ownerauth", step)
    assert not opens(tools, "policysecret -c o ownerauth")
    with tools.session() as name:
        assert tools.refused(f"policysecret -S {name} -c o wrong") == 0x9A2
        assert tools.refused(f"policysecret -S {name} -c {INDEX} wrong") == 0x98E
    with tools.session() as name:
        line = f"policysecret -S {name} -c o -t -600 --ticket t --timeout e ownerauth"
        tools(line)
        assert len(tools.read("t")) > 2
    seal(tools, "policysecret -c p.ctx")
    assert opens(tools, "policysecret -c p.ctx")


def signer(tools: Tools) -> None:
    tools.openssl("genrsa -out private.pem 2048")
    tools.openssl("rsa -in private.pem -pubout -out public.pem")
    tools("loadexternal -C o -G rsa -u public.pem -c key.ctx -n key.name")


def signed(tools: Tools, content: bytes) -> None:
    tools.write("to-be-signed", content)
    tools.openssl("dgst -sha256 -sign private.pem -out signature to-be-signed")


def test_signed_and_ticket(tools: Tools) -> None:
    signer(tools)
    step = "policysigned -g sha256 -s signature -f rsassa -c key.ctx"
    signed(tools, bytes(4))
    seal(tools, step)
    assert opens(tools, step)
    signed(tools, bytes(3) + b"\1")
    with tools.session() as name:
        assert tools.refused(f"{step} -S {name}") == 0x5DB
    with tools.session() as name:
        limits = f"policysigned -S {name} -c key.ctx -g sha256 -x -t -500"
        tools(f"{limits} --raw-data raw")
        signed(tools, tools.read("raw"))
        more = "-s signature -f rsassa --ticket ticket --timeout timeout"
        tools(f"{limits} {more}")
    ticket = "policyticket -n key.name --ticket ticket --timeout timeout"
    assert opens(tools, ticket)
    raw = tools.read("timeout")
    tools.write("timeout", raw[:-1] + bytes([raw[-1] ^ 1]))
    with tools.session() as name:
        assert tools.refused(f"{ticket} -S {name}") == 0x5E0


def test_authorize(tools: Tools) -> None:
    signer(tools)
    seal(tools, "policyauthorize -n key.name")
    policy_of(tools, "policypcr -l sha256:0")
    approved = tools.read("policy")
    tools.write("approved", approved)
    signed(tools, approved)
    tools(
        "verifysignature -c key.ctx -g sha256 -m approved -s signature -t ticket "
        "-f rsassa"
    )
    last = "policyauthorize -i approved -n key.name -t ticket"
    assert opens(tools, "policypcr -l sha256:0", last)
    with policy_session(tools, "policypassword") as name:
        assert tools.refused(f"{last} -S {name}") == 0x1C4
    tools(f"pcrextend 0:sha256={'22' * 32}")
    with policy_session(tools, "policypcr -l sha256:0") as name:
        assert tools.refused(f"{last} -S {name}") == 0x1C4


COMPARISONS = {
    "eq": (b"\x05", b"\x06"),
    "neq": (b"\x06", b"\x05"),
    "sgt": (b"\x04", b"\x05"),
    "ugt": (b"\x04", b"\x05"),
    "slt": (b"\x06", b"\xfe"),
    "ult": (b"\xfe", b"\x05"),
    "sge": (b"\xfe", b"\x06"),
    "uge": (b"\x05", b"\x06"),
    "sle": (b"\x05", b"\x04"),
    "ule": (b"\x05", b"\x04"),
    "bs": (b"\x05", b"\x06"),
    "bc": (b"\x0a", b"\x06"),
}


def test_content_of_an_index(tools: Tools) -> None:
    tools(f"nvdefine {INDEX} -C o -p nvpass -s 1 -a authread|authwrite")
    tools.write("five", b"\x05")
    with tools.session() as name:
        tools.write("operand", b"\x05")
        line = f"policynv -S {name} -i operand {INDEX} eq -P nvpass"
        assert tools.refused(line) == 0x14A
        tools(f"nvwrite {INDEX} -P nvpass -i five")
        for word, (right, wrong) in COMPARISONS.items():
            line = f"policynv -S {name} -i operand {INDEX} {word} -P nvpass"
            tools.write("operand", right)
            tools(line)
            tools.write("operand", wrong)
            assert tools.refused(line) == 0x126, word
    tools.write("operand", b"\x05")
    step = f"policynv -i operand {INDEX} eq -P nvpass"
    seal(tools, step)
    assert opens(tools, step)


def test_authorize_by_an_index(tools: Tools) -> None:
    tools(f"nvdefine {INDEX} -C o -p nvpass -s 34 -a authread|authwrite")
    approved = policy_of(tools, "policylocality zero")
    tools.write("content", b"\0\x0b" + approved)
    tools(f"nvwrite {INDEX} -P nvpass -i content")
    last = f"policyauthorizenv -C {INDEX} -P nvpass {INDEX}"
    seal(tools, last)
    assert opens(tools, "policylocality zero", last)
    with policy_session(tools, "policypassword") as name:
        assert tools.refused(f"{last} -S {name}") == 0x84


def test_written_or_not(tools: Tools) -> None:
    steps = ("policycommandcode TPM2_CC_NV_Write", "policynvwritten c")
    policy_of(tools, *steps)
    tools.write("byte", b"\xaa")
    tools(f"nvdefine {INDEX} -C o -p nvpass -s 1 -L policy -a authread|policywrite")
    with policy_session(tools, *steps) as name:
        tools(f"nvwrite {INDEX} -i byte -P session:{name}")
    with policy_session(tools, *steps) as name:
        line = f"nvwrite {INDEX} -i byte -P session:{name}"
        assert tools.refused(line) == POLICY_FAIL
    with policy_session(tools, steps[1]) as name:
        line = f"nvread {INDEX} -s 1 -P session:{name}"
        assert tools.refused(line) == 0x12F
    assert tools.refused(f"nvwrite {INDEX} -i byte -P nvpass") == 0x12F


def test_counter_timer(tools: Tools) -> None:
    for word, right, wrong in (
        ("--ult", "6000000", "0"),
        ("--ugt", "0", "6000000"),
        ("--ule", "6000000", "1"),
    ):
        seal(tools, f"policycountertimer {word} {right}")
        assert opens(tools, f"policycountertimer {word} {right}")
        with tools.session() as name:
            line = f"policycountertimer -S {name} {word} {wrong}"
            assert tools.refused(line) == 0x126


def test_command_and_names(tools: Tools) -> None:
    signer(tools)
    policy_of(tools, "policyauthorize -n key.name")
    tools(
        "nvdefine 0x01500002 -C o -a policywrite|authwrite|ownerread|nt=bits -L policy"
    )
    tools("nvsetbits 0x01500002 -i 1 --cphash cp.hash")
    approved = policy_of(tools, "policycphash --cphash cp.hash")
    tools.write("approved", approved)
    signed(tools, approved)
    tools(
        "verifysignature -c key.ctx -g sha256 -m approved -s signature -t ticket "
        "-f rsassa"
    )
    steps = (
        "policycphash --cphash cp.hash",
        "policyauthorize -i approved -n key.name -t ticket",
    )
    with policy_session(tools, *steps) as name:
        line = f"nvsetbits 0x01500002 -P session:{name} -i"
        assert tools.refused(line + " 2") == POLICY_FAIL
        tools(line + " 1")
    assert "0000000000000001" in tools("nvread 0x01500002 -C o -s 8").encode().hex()


def duplicable(tools: Tools) -> None:
    tools("createprimary -C e -c new.ctx")
    tools("readpublic -c new.ctx -n new.name")
    tools("createprimary -C e -G ecc -c third.ctx")
    tools(
        "create -C p.ctx -G rsa2048 -L policy -a sensitivedataorigin|sign|decrypt "
        "-u k.pub -r k.priv"
    )
    tools("load -C p.ctx -u k.pub -r k.priv -c k.ctx -n k.name")


def test_selection_of_a_new_parent(tools: Tools) -> None:
    tools("createprimary -C e -c new.ctx")
    tools("readpublic -c new.ctx -n new.name")
    policy_of(tools, "policyduplicationselect -N new.name")
    duplicable(tools)
    step = "policyduplicationselect -N new.name -n k.name"
    for parent, allowed in (("new", True), ("third", False)):
        with policy_session(tools, step) as name:
            line = f"duplicate -C {parent}.ctx -c k.ctx -G null -p session:{name}"
            if allowed:
                tools(f"{line} -r d -s seed")
            else:
                assert tools.refused(f"{line} -r d -s seed") == POLICY_FAIL


def test_names(tools: Tools) -> None:
    signer(tools)
    policy_of(
        tools, "policyauthorize -n key.name", "policycommandcode TPM2_CC_Duplicate"
    )
    duplicable(tools)
    names = tools.read("k.name") + tools.read("new.name")
    tools.write("names", hashlib.sha256(names).digest())
    approved = policy_of(tools, "policynamehash -n names")
    tools.write("approved", approved)
    signed(tools, approved)
    tools(
        "verifysignature -c key.ctx -g sha256 -m approved -s signature -t ticket "
        "-f rsassa"
    )
    steps = (
        "policynamehash -n names",
        "policyauthorize -i approved -n key.name -t ticket",
        "policycommandcode TPM2_CC_Duplicate",
    )
    for parent, allowed in (("new", True), ("third", False)):
        with policy_session(tools, *steps) as name:
            line = f"duplicate -C {parent}.ctx -c k.ctx -G null -p session:{name}"
            if allowed:
                tools(f"{line} -r d -s seed")
            else:
                assert tools.refused(f"{line} -r d -s seed") == POLICY_FAIL


def test_template(tools: Tools) -> None:
    tools("createprimary -C o -c p.ctx --template-data template")
    template = hashlib.sha256(tools.read("template")).digest()
    tools.write("template.hash", template)
    step = "policytemplate --template-hash template.hash"
    policy_of(tools, step)
    tools("setprimarypolicy -C o -g sha256 -L policy")
    with policy_session(tools, step) as name:
        tools(f"createprimary -C o -c q.ctx -P session:{name}")
    with policy_session(tools, step) as name:
        line = f"createprimary -C o -G ecc -c q.ctx -P session:{name}"
        assert tools.refused(line) == POLICY_FAIL


def test_policies_of_createpolicy_and_getpolicydigest(tools: Tools) -> None:
    tools("createpolicy --policy-pcr -l sha256:0,1 -L made")
    assert tools.read("made") == policy_of(tools, "policypcr -l sha256:0,1")
    with policy_session(tools, "policypcr -l sha256:0,1") as name:
        tools(f"getpolicydigest -S {name} -o shown")
    assert tools.read("shown") == tools.read("made")


def test_bound_and_salted_policy_session(tools: Tools) -> None:
    seal(tools, "policypcr -l sha256:0")
    with tools.session("--policy-session -c p.ctx") as name:
        tools(f"policypcr -S {name} -l sha256:0")
        assert tools(f"unseal -c s.ctx -p session:{name}") == SECRET
        tools(f"policyrestart -S {name}")
        assert tools.refused(f"unseal -c s.ctx -p session:{name}") == POLICY_FAIL
