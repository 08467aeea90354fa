"""tpm2-tools and the TPM as a whole: hierarchies, lockout, clock, capabilities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tpm2_tools_kit import Tools, tools_on

pytestmark = pytest.mark.interop

CAPABILITIES = [
    "algorithms",
    "commands",
    "properties-fixed",
    "properties-variable",
    "ecc-curves",
    "handles-transient",
    "handles-persistent",
    "handles-permanent",
    "handles-pcr",
    "handles-nv-index",
    "handles-loaded-session",
    "handles-saved-session",
    "pcrs",
]


@pytest.fixture(params=["swtpm", "reference"])
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tools]:
    with tools_on(request.param, tmp_path) as made:
        yield made


def test_every_capability(tools: Tools) -> None:
    for name in CAPABILITIES:
        tools(f"getcap {name}")
    permanent = tools("getcap handles-permanent").split()
    for handle in (
        "0x40000001",
        "0x40000007",
        "0x4000000A",
        "0x4000000B",
        "0x4000000C",
    ):
        assert handle in permanent
    fixed = tools("getcap properties-fixed")
    for name in (
        "TPM2_PT_FAMILY_INDICATOR",
        "TPM2_PT_PCR_COUNT",
        "TPM2_PT_NV_BUFFER_MAX",
    ):
        assert name in fixed


def test_clear_and_its_control(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    tools("readpublic -c p.ctx -n before")
    tools("evictcontrol -C o -c p.ctx 0x81000001")
    tools("changeauth -c o ownerauth")
    tools("changeauth -c e endorsementauth")
    tools("changeauth -c l lockoutauth")
    assert tools.refused("clear wrong") == 0x98E
    assert tools.refused("clear lockoutauth") == 0x921
    tools("clearcontrol -C p s")
    assert tools.refused("clear -c p") == 0x120
    tools("clearcontrol -C p c")
    tools("clear -c p")
    assert tools("getcap handles-persistent").strip() == ""
    assert "ownerAuthSet:              0" in tools("getcap properties-variable")
    tools("createprimary -c p.ctx")
    tools("readpublic -c p.ctx -n after")
    assert tools.read("before") != tools.read("after")


def test_change_of_seeds(tools: Tools) -> None:
    for tool, hierarchy in (("changeeps", "e"), ("changepps", "p")):
        names = []
        for _ in range(2):
            tools(f"createprimary -C {hierarchy} -c p.ctx")
            tools("readpublic -c p.ctx -n name")
            names.append(tools.read("name"))
            tools(tool)
        assert names[0] != names[1]


def test_hierarchies_are_switched_off(tools: Tools) -> None:
    tools("createprimary -C o -c p.ctx")
    tools("hierarchycontrol -C p shEnable clear")
    assert tools.refused("createprimary -C o -c q.ctx") == 0x185
    assert tools.refused("readpublic -c p.ctx") != 0
    tools("hierarchycontrol -C p shEnable set")
    tools("createprimary -C o -c q.ctx")
    tools("hierarchycontrol -C p phEnable clear")
    assert tools.refused("createprimary -C p -c q.ctx") == 0x185


def test_policy_of_a_hierarchy(tools: Tools) -> None:
    with tools.session("") as name:
        tools(f"policycommandcode -S {name} -L policy TPM2_CC_CreatePrimary")
    tools("setprimarypolicy -C o -L policy -g sha256")
    tools("changeauth -c o ownerauth")
    with tools.session() as name:
        tools(f"policycommandcode -S {name} TPM2_CC_CreatePrimary")
        tools(f"createprimary -C o -P session:{name} -c p.ctx")
    assert tools.refused("createprimary -C o -c p.ctx") == 0x9A2


def test_dictionary_lockout(tools: Tools) -> None:
    tools("dictionarylockout -s -n 2 -t 100 -l 200")
    shown = tools("getcap properties-variable")
    assert "TPM2_PT_MAX_AUTH_FAIL: 0x2" in shown
    assert "TPM2_PT_LOCKOUT_INTERVAL: 0x64" in shown
    assert "TPM2_PT_LOCKOUT_RECOVERY: 0xC8" in shown
    tools("createprimary -c p.ctx -p mine")
    line = "create -C p.ctx -u k.pub -r k.priv -P"
    for code in (0x98E, 0x98E, 0x921):
        assert tools.refused(f"{line} wrong") == code
    assert tools.refused(f"{line} mine") == 0x921
    tools("dictionarylockout -c")
    tools(f"{line} mine")


def test_a_guess_through_a_bound_session(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    tools.write("data", b"secret")
    tools(
        "create -C p.ctx -i data -a fixedtpm|fixedparent|noda|userwithauth -p mine "
        "-u s.pub -r s.priv -c s.ctx"
    )
    tools("startauthsession --hmac-session --bind-context=p.ctx --bind-auth=no -S b")
    for code in (0x98E, 0x98E, 0x98E, 0x921):
        assert tools.refused("unseal -c s.ctx -p session:b+mine") == code
    assert tools("unseal -c s.ctx -p mine") == "secret"


def test_clock(tools: Tools) -> None:
    text = tools("readclock")
    assert "reset_count: 1" in text
    tools("setclock 100000000")
    now = int(tools("readclock").split("clock:")[1].split()[0])
    assert 100000000 <= now < 100060000
    assert tools.refused("setclock 1000") == 0x1C4
    for adjust in ("ss", "s", "m", "f", "fff", "sss", "ff"):
        tools.run(f"clockrateadjust {adjust}")


def test_self_tests_and_randomness(tools: Tools) -> None:
    tools("selftest")
    tools("selftest --fulltest")
    assert "success" in tools("gettestresult")
    tools("incrementalselftest rsa ecc sha256 hmac")
    tools("incrementalselftest")
    tools.write("seed", bytes(100))
    tools("stirrandom seed")
    assert len(tools("getrandom --hex 32")) == 64
    assert tools.refused("getrandom 100") == 0  # the tool knows the largest digest


def test_pcr_allocation(tools: Tools) -> None:
    assert "sha1" in tools("getcap pcrs")
    tools("pcrallocate sha256:all+sha1:none")
    tools("shutdown -c")


def test_raw_commands(tools: Tools) -> None:
    tools.write("command", bytes.fromhex("80010000000c0000017b0008"))
    tools("send -o answer command")
    answer = tools.read("answer")
    assert answer[:12] == bytes.fromhex("8001000000140000000000" + "08")
    assert len(answer) == 20
