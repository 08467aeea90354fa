"""tpm2-tools attest: quotes, certificates, audits, credentials; ours and swtpm."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tpm2_tools_kit import Tools, tools_on

pytestmark = pytest.mark.interop

NONCE = "00112233445566778899aabbccddeeff"


@pytest.fixture(params=["mssim", "reference"])
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tools]:
    with tools_on(request.param, tmp_path) as made:
        yield made


@pytest.mark.parametrize(("kind", "scheme"), [("rsa", "rsassa"), ("ecc", "ecdsa")])
def test_quote_and_checkquote(tools: Tools, kind: str, scheme: str) -> None:
    tools(f"createek -G {kind} -c ek.ctx -u ek.pub")
    tools(
        f"createak -C ek.ctx -c ak.ctx -G {kind} -s {scheme} -g sha256 -u ak.pem "
        "-f pem -n ak.name"
    )
    tools(f"pcrextend 6:sha256={'11' * 32}")
    tools(
        f"quote -c ak.ctx -l sha1:1+sha256:0,6,7 -q {NONCE} -m m -s s -o p -g sha256 "
        f"--scheme {scheme}"
    )
    line = "checkquote -u ak.pem -m m -s s -f p -g sha256"
    tools(f"{line} -q {NONCE}")
    assert tools.refused(f"{line} -q ff{NONCE[2:]}") == 0
    values = bytes(20) + bytes(32) + hashlib.sha256(bytes(32) + b"\x11" * 32).digest()
    assert hashlib.sha256(values + bytes(32)).digest() in tools.read("m")


def certifier(tools: Tools) -> None:
    tools("createprimary -c p.ctx --creation-data create.dat -d create.dig -t create.t")
    tools("create -C p.ctx -G rsa2048:rsassa:null -u k.pub -r k.priv")
    tools("load -C p.ctx -u k.pub -r k.priv -c k.ctx")
    tools("readpublic -c k.ctx -f pem -o k.pem")


def verified(tools: Tools) -> bytes:
    check = "dgst -sha256 -verify k.pem -signature sig attested"
    assert "OK" in tools.openssl(check)
    attested = tools.read("attested")
    assert attested.startswith(b"\xffTCG")
    return attested


def test_certificates_of_keys_time_and_indexes(tools: Tools) -> None:
    certifier(tools)
    tools("certify -c p.ctx -C k.ctx -g sha256 -f plain -o attested -s sig")
    tools("readpublic -c p.ctx -n p.name -q p.qualified")
    shown = verified(tools)
    assert tools.read("p.name") in shown
    assert tools.read("p.qualified") in shown
    tools(
        "certifycreation -C k.ctx -c p.ctx -d create.dig -t create.t -g sha256 "
        "-f plain -s rsassa -o sig --attestation attested"
    )
    assert tools.read("create.dig") in verified(tools)
    tools.write("create.dig", bytes(32))
    assert (
        tools.refused(
            "certifycreation -C k.ctx -c p.ctx -d create.dig -t create.t "
            "-g sha256 -s rsassa -o sig --attestation attested"
        )
        == 0x4E0
    )
    tools(
        f"gettime -c k.ctx -g sha256 -f plain -q {NONCE} -o sig --attestation attested"
    )
    assert bytes.fromhex(NONCE) in verified(tools)
    tools("nvdefine 0x01500001 -C o -s 8 -a ownerread|ownerwrite|authread|authwrite")
    tools.write("data", b"certify!")
    tools("nvwrite 0x01500001 -C o -i data")
    tools(
        "nvcertify -C k.ctx -g sha256 -f plain -s rsassa -o sig "
        "--attestation attested --size 8 0x01500001"
    )
    assert verified(tools).endswith(b"\0\0\0\x08certify!")


def test_audit_of_commands_and_of_a_session(tools: Tools) -> None:
    certifier(tools)
    tools("setcommandauditstatus -C o TPM2_CC_GetRandom")
    tools("getrandom 8 --hex")
    tools("getcommandauditdigest -c k.ctx -g sha256 -m attested -s sig")
    assert tools.read("attested").startswith(b"\xffTCG\x80\x15")
    tools("setcommandauditstatus -C o TPM2_CC_GetRandom --clear-list")
    tools("startauthsession -S audit.ctx --audit-session")
    tools("getrandom 8 -S audit.ctx --cphash cp --rphash rp -o random")
    tools("getsessionauditdigest -c k.ctx -g sha256 -m attested -s sig -S audit.ctx")
    expected = hashlib.sha256(
        bytes(32) + tools.read("cp")[-32:] + tools.read("rp")[-32:]
    )
    assert expected.digest() in tools.read("attested")


@pytest.mark.parametrize("kind", ["rsa", "ecc"])
def test_credentials(tools: Tools, kind: str) -> None:
    tools(f"createek -G {kind} -c 0x81010001 -u ek.pub")
    tools(
        "createak -C 0x81010001 -c ak.ctx -G rsa -s rsassa -g sha256 -u ak.pub "
        "-n ak.name -p akpass"
    )
    tools.write("challenge", b"a challenge")
    name = tools.read("ak.name").hex()
    for way in ("", "-T none "):
        tools(f"makecredential {way}-u ek.pub -s challenge -n {name} -o cred")
        with tools.session() as session:
            tools(f"policysecret -S {session} -c e")
            tools(
                f"activatecredential -c ak.ctx -C 0x81010001 -i cred -o opened "
                f"-p akpass -P session:{session}"
            )
        assert tools.read("opened") == b"a challenge"
    tools(f"makecredential -u ek.pub -s challenge -n 000b{'aa' * 32} -o cred")
    with tools.session() as session:
        tools(f"policysecret -S {session} -c e")
        line = "activatecredential -c ak.ctx -C 0x81010001 -i cred -o opened -p akpass"
        assert tools.refused(f"{line} -P session:{session}") == 0x1DF
