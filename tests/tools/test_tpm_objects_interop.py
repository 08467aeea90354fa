"""TPM objects beside a real swtpm, and under unmodified tpm2-tools."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pefstack.hw.tpm.engine import Tpm
from pefstack.tools.tpm_backends.swtpm import SwtpmTpm
from swtpm_kit import swtpm, tpm2
from tpm_kit import ALL_BANKS, STARTUP_CLEAR, rc_of, started
from tpm_objects import (
    AES_128_CFB,
    ECDSA_SHA256,
    ENCRYPTED,
    FIXED,
    FIXED_PARENT,
    HMAC_SHA256,
    NO_SCHEME,
    NO_SYM,
    OWNER,
    RSASSA_SHA256,
    STORAGE,
    XOR_SHA256_108,
    Answer,
    AnyTpm,
    cipher,
    create,
    create_loaded,
    create_primary,
    ecc,
    flush,
    keyed_hash,
    persist,
    rsa,
)
from tpm_server_kit import serving

pytestmark = pytest.mark.interop

ATTRIBUTES = [1 << bit for bit in (1, 2, 4, 5, 6, 7, 10, 11, 16, 17, 18)]
RSA_SCHEMES = [NO_SCHEME, RSASSA_SHA256, b"\0\x15", b"\0\x17\0\x0b"]
ECC_SCHEMES = [NO_SCHEME, ECDSA_SHA256, b"\0\x19\0\x0b", b"\0\x1a\0\x0b\0\1"]
KEYED_SCHEMES = [NO_SCHEME, HMAC_SHA256, XOR_SHA256_108, b"\0\x0a\0\x0b\0\x10"]
CIPHERS = [NO_SYM, AES_128_CFB, AES_128_CFB, b"\0\6\0\x80\0\x42", b"\0\6\1\0\0\x43"]
PARENTS = [rsa(), rsa(STORAGE), rsa(STORAGE | ENCRYPTED), ecc()]
SAMPLES = 1200


@pytest.fixture
def reference(tmp_path: Path) -> Iterator[SwtpmTpm]:
    with swtpm(tmp_path) as port:
        tpm = SwtpmTpm("127.0.0.1", port)
        tpm.power_on()
        assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
        yield tpm


def template(draw: random.Random) -> bytes:
    """Any template: mostly a wrong one, each in another way."""
    attributes = sum(bit for bit in ATTRIBUTES if draw.random() < 0.5)
    if draw.random() < 0.6:
        attributes = attributes & ~FIXED | draw.choice([FIXED, 0, FIXED_PARENT])
    if draw.random() < 0.3:
        attributes = attributes & ~(1 << 18) | 3 << 16
    words: dict[str, Any] = {
        "policy": draw.choice([b"", b"", b"", bytes(32), bytes(20)]),
        "name_alg": draw.choice([0x0B, 0x0B, 0x0B, 0x0C, 0x04]),
    }
    kind, symmetric = draw.randrange(4), draw.choice(CIPHERS)
    if kind == 0:
        exponent = draw.choice([0, 0, 65537, 3, 65539])
        scheme = draw.choice(RSA_SCHEMES)
        return rsa(attributes, symmetric, scheme, exponent=exponent, **words)
    if kind == 1:
        kdf = draw.choice([NO_SCHEME, NO_SCHEME, b"\0\x20\0\x0b"])
        return ecc(attributes, symmetric, draw.choice(ECC_SCHEMES), kdf=kdf, **words)
    if kind == 2:
        return keyed_hash(attributes, draw.choice(KEYED_SCHEMES), **words)
    return cipher(attributes, symmetric, **words)


def attempt(tpm: AnyTpm, draw: random.Random) -> Answer:
    """Make one object in one of three ways, and free its slot."""
    public = template(draw)
    auth = draw.choice([b"", b"z" * 32, b"q" * 33 + b"\0" * 5])
    data = draw.choice([b"", b"", b"x" * 16, b"y" * 65])
    way = draw.randrange(6)
    if way == 0:
        answer = create_primary(tpm, public, auth=auth, data=data)
    elif way == 1:
        answer = create_loaded(tpm, OWNER, public, auth, data)
    else:
        parent = 0x81000000 + way - 2
        answer = create(tpm, parent, public, auth=auth, data=data)
    if answer.handle:
        assert flush(tpm, answer.handle) == 0
    return answer


def test_random_templates_are_answered_as_by_swtpm(reference: SwtpmTpm) -> None:
    """The same response code for each."""
    ours: Tpm = started(banks=ALL_BANKS)[0]
    for tpm in (reference, ours):
        for number, parent in enumerate(PARENTS):
            handle = create_primary(tpm, parent).handle
            assert persist(tpm, handle, 0x81000000 + number) == 0
            assert flush(tpm, handle) == 0
    codes = set()
    for number in range(SAMPLES):
        theirs = attempt(reference, random.Random(number)).rc
        assert attempt(ours, random.Random(number)).rc == theirs, f"sample {number}"
        codes.add(theirs)
    assert len(codes) >= 6


@pytest.fixture
def tcti(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Our server; the tools' files are in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    with serving() as running:
        yield running.addresses["swtpm"].tcti


def tool(tcti: str, line: str) -> str:
    """One program of tpm2-tools; then every slot is free again."""
    printed = tpm2(tcti, *line.split())
    tpm2(tcti, "flushcontext", "-t")
    return printed


def test_a_key_a_secret_and_another_password(tcti: str) -> None:
    """createprimary, create, load, unseal, changeauth, evictcontrol, clear."""
    Path("data").write_bytes(b"sealed by a tool")
    tool(tcti, "createprimary -C o -G rsa2048 -c p")
    tool(tcti, "create -C p -i data -p pw -u pub -r priv")
    tool(tcti, "load -C p -u pub -r priv -c s")
    assert tool(tcti, "unseal -c s -p pw") == "sealed by a tool"
    tool(tcti, "changeauth -C p -c s -p pw -r new other")
    tool(tcti, "load -C p -u pub -r new -c s")
    assert tool(tcti, "unseal -c s -p other") == "sealed by a tool"
    tool(tcti, "evictcontrol -C o -c p 0x81000001")
    assert "0x81000001" in tool(tcti, "getcap handles-persistent")
    tool(tcti, "changeauth -c owner ownerpw")
    tool(tcti, "clear")
    assert "0x81000001" not in tool(tcti, "getcap handles-persistent")


def test_a_credential(tcti: str) -> None:
    """createek, readpublic, makecredential, activatecredential."""
    Path("secret").write_bytes(b"a challenge")
    tool(tcti, "createek -G rsa -c ek -u ek.pub")
    tool(tcti, "createprimary -C e -G rsa2048 -c p")
    tool(tcti, "createprimary -C o -G ecc -c ak")
    tool(tcti, "readpublic -c p -o p.pub")
    tool(tcti, "readpublic -c ak -n name")
    name = Path("name").read_bytes().hex()
    tool(tcti, f"makecredential -u p.pub -s secret -n {name} -o blob")
    tool(tcti, "activatecredential -c ak -C p -i blob -o opened")
    assert Path("opened").read_bytes() == b"a challenge"


def test_a_key_from_outside(tcti: str) -> None:
    """import of a key in PEM, wrapped by the tool."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    Path("key.pem").write_bytes(pem)
    tool(tcti, "createprimary -C o -G rsa2048 -c p")
    tool(tcti, "import -C p -G ecc -i key.pem -u pub -r priv")
    tool(tcti, "load -C p -u pub -r priv -c k")
    point = key.public_key().public_numbers()
    assert f"{point.x:064x}" in tool(tcti, "readpublic -c k")
