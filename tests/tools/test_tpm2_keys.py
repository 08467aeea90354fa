"""tpm2-tools make, load, move and use keys, on our TPM and on a real swtpm."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest

from tpm2_tools_kit import Tools, tools_on

pytestmark = pytest.mark.interop


@pytest.fixture(params=["swtpm", "reference"])
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tools]:
    with tools_on(request.param, tmp_path) as made:
        yield made


KINDS = [
    "-G rsa2048",
    "-G rsa2048:rsassa:null",
    "-G rsa2048:rsapss-sha384:null",
    "-G rsa2048:rsaes:null",
    "-G rsa2048:oaep:null",
    "-G ecc256",
    "-G ecc384:ecdsa-sha384:null",
    "-G ecc521:null",
    "-G ecc256:ecdaa4-sha256:null",
    "-G aes128cfb",
    "-G aes256cbc",
    "-G hmac:sha512",
    "-i seal",
]


def test_objects_of_each_kind(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    tools.write("seal", b"sealed")
    for kind in KINDS:
        tools(f"create -C p.ctx {kind} -u k.pub -r k.priv")
        tools("load -C p.ctx -u k.pub -r k.priv -n name -c k.ctx")
        tools("readpublic -c k.ctx -n shown -q qualified")
        assert tools.read("name") == tools.read("shown")
        public = tools.read("k.pub")
        assert tools.read("name") == b"\0\x0b" + hashlib.sha256(public[2:]).digest()


@pytest.mark.parametrize("kind", ["rsa2048", "ecc384"])
def test_primaries_are_the_same_each_time(tools: Tools, kind: str) -> None:
    names = []
    for hierarchy in "oepnoepn":
        tools(f"createprimary -C {hierarchy} -G {kind} -c p.ctx")
        tools("readpublic -c p.ctx -n name")
        names.append(tools.read("name"))
    assert names[:4] == names[4:]
    assert len({*names}) == 4


def test_a_primary_by_its_unique_value(tools: Tools) -> None:
    union = (256).to_bytes(2, "little") + b"\x11" * 256 + bytes(254)
    tools.write("unique", union)  # TPMU_PUBLIC_ID as it lies in a PC's memory
    names = set()
    for more in ("", "-u unique"):
        tools(f"createprimary -C o -G rsa2048 {more} -c p.ctx")
        tools("readpublic -c p.ctx -n name")
        names.add(tools.read("name"))
    assert len(names) == 2


def test_seal_and_unseal(tools: Tools) -> None:
    tools("createprimary -c p.ctx -p parent")
    tools.write("data", b"a secret of the owner")
    tools("create -C p.ctx -P parent -i data -p mine -u s.pub -r s.priv")
    assert tools.refused("load -C p.ctx -P other -u s.pub -r s.priv -c s.ctx") == 0x98E
    tools("load -C p.ctx -P parent -u s.pub -r s.priv -c s.ctx")
    assert tools("unseal -c s.ctx -p mine") == "a secret of the owner"
    assert tools.refused("unseal -c s.ctx -p yours") == 0x98E
    tools("changeauth -C p.ctx -c s.ctx -p mine -r new.priv yours")
    tools("load -C p.ctx -P parent -u s.pub -r new.priv -c s.ctx")
    assert tools("unseal -c s.ctx -p yours") == "a secret of the owner"


def test_sessions_for_authorization_and_encryption(tools: Tools) -> None:
    """HMAC, salted, bound."""
    tools("createprimary -c p.ctx")
    tools.write("data", b"0123456789abcdef")
    tools(
        "create -C p.ctx -i data -p mine -a fixedtpm|fixedparent|noda|userwithauth "
        "-u s.pub -r s.priv -c s.ctx"
    )
    bound = "--tpmkey-context=p.ctx --bind-context=p.ctx"
    for salt, wrong in (("", 0x9A2), ("--tpmkey-context=p.ctx", 0x9A2), (bound, 0x98E)):
        for symmetric in ("", "-G aes"):
            with tools.session(f"--hmac-session {symmetric} {salt}") as name:
                tools(f"sessionconfig {name} --enable-encrypt --enable-decrypt")
                assert tools(f"unseal -c s.ctx -p session:{name}+mine").startswith("0")
                assert tools.refused(f"unseal -c s.ctx -p session:{name}+x") == wrong


def test_encrypted_parameters_both_ways(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    tools.write("data", b"0123456789abcdef")
    with tools.session("--hmac-session -c p.ctx") as name:
        tools(f"create -C p.ctx -P session:{name} -i data -u s.pub -r s.priv")
        tools("load -C p.ctx -u s.pub -r s.priv -c s.ctx")
        assert len(tools(f"getrandom -S {name} --hex 20")) == 40
        shown = tools("pcrread sha256:0")
        assert "0x" in shown
    assert tools("unseal -c s.ctx") == "0123456789abcdef"


SIGNERS = [
    ("rsa2048", "rsassa", "sha256"),
    ("rsa2048", "rsapss", "sha384"),
    ("ecc256", "ecdsa", "sha256"),
    ("ecc384", "ecdsa", "sha512"),
]


@pytest.mark.parametrize(("kind", "scheme", "digest"), SIGNERS)
def test_sign_and_verify(tools: Tools, kind: str, scheme: str, digest: str) -> None:
    tools("createprimary -c p.ctx")
    tools(f"create -C p.ctx -G {kind} -u k.pub -r k.priv")
    tools("load -C p.ctx -u k.pub -r k.priv -c k.ctx")
    tools.write("message", b"what is signed")
    tools(f"sign -c k.ctx -g {digest} -s {scheme} -o sig message")
    tools(f"verifysignature -c k.ctx -g {digest} -m message -s sig -t ticket")
    tools("readpublic -c k.ctx -f pem -o k.pem")
    tools(f"sign -c k.ctx -g {digest} -s {scheme} -f plain -o plain message")
    if scheme != "rsapss":
        check = f"dgst -{digest} -verify k.pem -signature plain message"
        assert "OK" in tools.openssl(check)
    tools.write("other", b"what is not signed")
    line = f"verifysignature -c k.ctx -g {digest} -m other -s sig"
    assert tools.refused(line) == 0x2DB


def test_sign_with_a_ticket_of_a_hash(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    tools(
        "create -C p.ctx -G rsa2048:rsassa-sha256:null -a fixedtpm|fixedparent|"
        "sensitivedataorigin|userwithauth|restricted|sign -u k.pub -r k.priv"
    )
    tools("load -C p.ctx -u k.pub -r k.priv -c k.ctx")
    tools.write("message", b"what is signed" * 400)
    tools("hash -C o -g sha256 -o digest -t ticket message")
    assert tools.read("digest") == hashlib.sha256(b"what is signed" * 400).digest()
    tools("sign -c k.ctx -g sha256 -d -t ticket -o sig digest")
    tools("verifysignature -c k.ctx -d digest -s sig")
    assert tools.refused("sign -c k.ctx -g sha256 -d -o sig digest") == 0x3E0
    tools.write("generated", b"\xffTCG and more")
    tools("hash -C o -g sha256 -o digest -t ticket generated")
    assert tools.refused("sign -c k.ctx -g sha256 -d -t ticket -o sig digest") == 0x3E0


def test_hash_with_each_algorithm(tools: Tools) -> None:
    for size in (0, 10, 1024, 5000):
        tools.write("message", b"m" * size)
        for name in ("sha1", "sha256", "sha384", "sha512"):
            tools(f"hash -g {name} -o digest message")
            assert tools.read("digest") == hashlib.new(name, b"m" * size).digest()


@pytest.mark.parametrize("name", ["sha1", "sha256", "sha384", "sha512"])
def test_hmac(tools: Tools, name: str) -> None:
    key = bytes(range(40))
    tools("createprimary -c p.ctx")
    tools.write("key", key)
    tools(f"import -C p.ctx -G hmac:{name} -i key -u k.pub -r k.priv")
    tools("load -C p.ctx -u k.pub -r k.priv -c k.ctx")
    for size in (0, 100, 1024, 5000):
        tools.write("message", b"m" * size)
        tools("hmac -c k.ctx -o code message")
        assert tools.read("code") == hmac.digest(key, b"m" * size, name)


RSA_SCHEMES = ["rsaes", "oaep", "null"]


@pytest.mark.parametrize("scheme", RSA_SCHEMES)
def test_rsa_encryption(tools: Tools, scheme: str) -> None:
    tools("createprimary -c p.ctx")
    tools(
        "create -C p.ctx -G rsa2048 -a decrypt|userwithauth|sensitivedataorigin|"
        "fixedtpm|fixedparent -u k.pub -r k.priv"
    )
    tools("load -C p.ctx -u k.pub -r k.priv -c k.ctx")
    plain = b"\0" + bytes(range(255)) if scheme == "null" else b"to be kept secret"
    tools.write("plain", plain)
    tools(f"rsaencrypt -c k.ctx -s {scheme} -o sealed plain")
    tools(f"rsadecrypt -c k.ctx -s {scheme} -o opened sealed")
    assert tools.read("opened") == plain
    if scheme == "oaep":
        tools("rsaencrypt -c k.ctx -s oaep -l label -o sealed plain")
        tools("rsadecrypt -c k.ctx -s oaep -l label -o opened sealed")
        assert tools.read("opened") == plain
        line = "rsadecrypt -c k.ctx -s oaep -l x -o opened sealed"
        assert tools.refused(line) in (0x84, 0x101)  # ours; what swtpm answers
    if scheme == "rsaes":
        tools("readpublic -c k.ctx -f pem -o k.pem")
        tools.openssl("pkeyutl -encrypt -pubin -inkey k.pem -in plain -out sealed")
        tools("rsadecrypt -c k.ctx -s rsaes -o opened sealed")
        assert tools.read("opened") == plain


@pytest.mark.parametrize("mode", ["cfb", "cbc", "ecb", "ofb", "ctr"])
def test_symmetric_encryption(tools: Tools, mode: str) -> None:
    key = bytes(range(16))
    tools("createprimary -c p.ctx")
    tools.write("key", key)
    tools(f"loadexternal -C n -G aes128{mode} -r key -c k.ctx")
    vector = bytes(range(50, 66))
    tools.write("vector", vector)
    plain = b"0123456789abcdef" * 90
    tools.write("plain", plain)
    given = "" if mode == "ecb" else "-t vector"
    tools(f"encryptdecrypt -c k.ctx -G {mode} {given} -o sealed plain")
    tools(f"encryptdecrypt -d -c k.ctx -G {mode} {given} -o opened sealed")
    assert tools.read("opened") == plain
    iv = "" if mode == "ecb" else f"-iv {vector.hex()}"
    tools.openssl(
        f"enc -aes-128-{mode} -K {key.hex()} {iv} -nopad -in plain -out other"
    )
    assert tools.read("other") == tools.read("sealed")


def test_import_of_keys_made_by_openssl(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    tools("createprimary -G ecc -c e.ctx")
    tools.write("message", b"message")
    tools.openssl("genrsa -out rsa.pem 2048")
    tools.openssl("ecparam -name prime256v1 -genkey -noout -out ecc.pem")
    for parent in "pe":
        for kind in ("rsa", "ecc"):
            tools(f"import -C {parent}.ctx -G {kind} -i {kind}.pem -u k.pub -r k.priv")
            tools(f"load -C {parent}.ctx -u k.pub -r k.priv -c k.ctx")
            tools("sign -c k.ctx -g sha256 -f plain -o sig message")
            pem = tools.openssl(f"pkey -in {kind}.pem -pubout")
            tools.write("pub.pem", pem.encode())
            shown = tools.openssl("dgst -sha256 -verify pub.pem -signature sig message")
            assert "OK" in shown
    tools("readpublic -c p.ctx -o parent.pub")
    tools("import -U parent.pub -C p.ctx -G rsa -i rsa.pem -u k.pub -r k.priv")


@pytest.mark.parametrize("parent", ["rsa2048:aes256cfb", "ecc384:aes256cfb"])
def test_parents_and_names_of_other_algorithms(tools: Tools, parent: str) -> None:
    tools.write("key", bytes(range(16)))
    tools.write("plain", b"plain")
    for alg in ("sha256", "sha384", "sha512"):
        tools(f"createprimary -C e -G {parent} -g {alg} -c p.ctx")
        tools(f"import -C p.ctx -G aes -g {alg} -i key -u k.pub -r k.priv")
        tools("load -C p.ctx -u k.pub -r k.priv -n name -c k.ctx")
        size = hashlib.new(alg).digest_size
        assert len(tools.read("name")) == 2 + size
        tools("encryptdecrypt -c k.ctx -o sealed plain")
        iv = "-iv " + "00" * 16
        tools.openssl(
            f"enc -d -aes-128-cfb -K {bytes(range(16)).hex()} {iv} "
            "-in sealed -out opened"
        )
        assert tools.read("opened") == b"plain"


def test_external_keys(tools: Tools) -> None:
    tools.openssl("genrsa -out rsa.pem 2048")
    tools.openssl("ecparam -name secp384r1 -genkey -noout -out ecc.pem")
    tools.write("message", b"message")
    tools.write("key", bytes(16))
    for kind in ("rsa", "ecc"):
        tools.openssl(f"pkey -in {kind}.pem -pubout -out {kind}.pub.pem")
        tools.openssl(f"dgst -sha256 -sign {kind}.pem -out sig message")
        scheme = {"rsa": "rsassa", "ecc": "ecdsa"}[kind]
        tools(f"loadexternal -C o -G {kind} -u {kind}.pub.pem -c k.ctx")
        check = f"verifysignature -c k.ctx -g sha256 -m message -f {scheme} -s sig"
        tools(check)
        tools(f"loadexternal -C n -G {kind} -r {kind}.pem -c k.ctx -p mine")
        tools("sign -c k.ctx -p mine -g sha256 -o sig message")
        tools("verifysignature -c k.ctx -g sha256 -m message -s sig")
        assert tools.refused("sign -c k.ctx -p x -g sha256 -o s message") == 0x98E
    tools("loadexternal -C n -G aes128cfb -r key -c k.ctx")
    tools("encryptdecrypt -c k.ctx -o out message")
    assert tools.refused("loadexternal -C o -G rsa -r rsa.pem -c k.ctx") == 0x3C5


def duplicable(tools: Tools, parent: str, policy: str) -> None:
    attributes = "userwithauth|sign|sensitivedataorigin"
    tools(
        f"create -C {parent} -G rsa2048 -L {policy} -a {attributes} -u k.pub -r k.priv"
    )
    tools(f"load -C {parent} -u k.pub -r k.priv -c k.ctx")


@pytest.mark.parametrize("inner", ["null", "aes"])
@pytest.mark.parametrize("parent", ["rsa", "ecc"])
def test_duplication(tools: Tools, inner: str, parent: str) -> None:
    tools("createprimary -c p.ctx")
    tools(f"createprimary -C e -G {parent} -c new.ctx")
    tools("readpublic -c new.ctx -o new.pub")
    with tools.session("") as name:
        tools(f"policycommandcode -S {name} -L dup.policy TPM2_CC_Duplicate")
    duplicable(tools, "p.ctx", "dup.policy")
    keys = "-G null" if inner == "null" else f"-G {inner} -o inner.key"
    with tools.session() as name:
        tools(f"policycommandcode -S {name} TPM2_CC_Duplicate")
        tools(f"duplicate -C new.ctx -c k.ctx {keys} -p session:{name} -r d -s seed")
    keys = "" if inner == "null" else "-k inner.key"
    tools(f"import -C new.ctx -u k.pub -i d -s seed {keys} -L dup.policy -r n.priv")
    tools("load -C new.ctx -u k.pub -r n.priv -c n.ctx")
    tools.write("message", b"message")
    tools("sign -c n.ctx -g sha256 -o sig message")
    tools("verifysignature -c k.ctx -g sha256 -m message -s sig")


def test_duplication_without_a_new_parent(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    with tools.session("") as name:
        tools(f"policycommandcode -S {name} -L dup.policy TPM2_CC_Duplicate")
    duplicable(tools, "p.ctx", "dup.policy")
    with tools.session() as name:
        tools(f"policycommandcode -S {name} TPM2_CC_Duplicate")
        tools(f"duplicate -C null -c k.ctx -G null -p session:{name} -r d -s seed")
    assert tools.read("seed") == bytes(2)


def test_persistent_keys(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    tools("evictcontrol -C o -c p.ctx 0x81000001")
    assert tools.refused("evictcontrol -C o -c p.ctx 0x81000001") == 0x14C
    assert "0x81000001" in tools("getcap handles-persistent")
    tools("create -C 0x81000001 -u k.pub -r k.priv")
    tools("load -C 0x81000001 -u k.pub -r k.priv -c k.ctx")
    tools("evictcontrol -C o -c k.ctx -o k.handle")
    tools.write("message", b"message")
    tools("sign -c k.handle -g sha256 -o sig message")
    tools("evictcontrol -C o -c k.handle")
    tools("evictcontrol -C o -c 0x81000001")
    assert tools("getcap handles-persistent").strip() == ""
    tools("createprimary -C p -c p.ctx")
    assert tools.refused("evictcontrol -C o -c p.ctx 0x81000001") == 0x285
    tools("evictcontrol -C p -c p.ctx 0x81800001")


def test_ecdh_and_two_phases(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|decrypt"
    tools(f"create -C p.ctx -G ecc256:ecdh -a {attributes} -u k.pub -r k.priv")
    tools("load -C p.ctx -u k.pub -r k.priv -c k.ctx")
    tools("ecdhkeygen -u point -o z.first -c k.ctx")
    tools("ecdhzgen -u point -o z.second -c k.ctx")
    assert tools.read("z.first") == tools.read("z.second")
    tools("ecephemeral -u eph.point -t counter ecc256")
    tools("create -C p.ctx -G ecc256:ecdaa -u s.pub -r s.priv -c s.ctx")
    tools(
        "commit -c s.ctx -t counter --eccpoint-K k.point --eccpoint-L l.point "
        "-u e.point"
    )
    assert tools.refused("geteccparameters -o parameters ecc999") == 0
    for curve in ("ecc256", "ecc384", "ecc521"):
        tools(f"geteccparameters -o parameters {curve}")


def test_contexts(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    tools("startauthsession -S one.ctx")
    assert tools("getcap handles-saved-session").split() == ["-", "0x2000000"]
    tools("flushcontext one.ctx")
    assert tools.refused("policypcr -S one.ctx -l sha256:0") == 0x1CB
    tools.flush = False
    for _ in range(3):
        tools("createprimary -c p.ctx")
    assert tools.refused("createprimary -c p.ctx") == 0x902
    assert tools("getcap handles-transient").split() == [
        *("-", "0x80000000", "-", "0x80000001", "-", "0x80000002")
    ]
    tools("flushcontext -t")
    tools("create -C p.ctx -u k.pub -r k.priv -c k.ctx")
    raw = bytearray(tools.read("p.ctx"))
    raw[len(raw) // 4] ^= 1
    tools.write("bad.ctx", bytes(raw))
    tools("flushcontext -t")
    assert tools.refused("readpublic -c bad.ctx") == 0x1DF


def test_parameters_are_tested(tools: Tools) -> None:
    for kind in ("rsa2048", "ecc384:ecdsa", "aes256cfb", "keyedhash", "hmac:sha256"):
        tools(f"testparms {kind}")
    assert tools.refused("testparms ecc256:ecdsa-sha256:aes512cfb") == 0


def test_encoded_private_keys(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    tools("evictcontrol -C o -c p.ctx 0x81000002")
    tools("create -C 0x81000002 -G rsa2048:rsassa:null -u k.pub -r k.priv")
    tools("encodeobject -C 0x81000002 -u k.pub -r k.priv -o k.pem")
    assert b"BEGIN TSS2 PRIVATE KEY" in tools.read("k.pem")
    assert "2.23.133.10.1.3" in tools.openssl("asn1parse -in k.pem")
