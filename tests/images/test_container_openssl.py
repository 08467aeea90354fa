"""Our containers and keys under the openssl program."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from container_matrix import KEYS, SOFTWARE_AT
from interop import need
from pefstack.images.errors import FormatError
from pefstack.images.signing import (
    FileSigner,
    KeySet,
    SigningOptions,
    seeded_key_set,
    sign_header,
)
from strategies import imprint_keys

# SEQUENCE { SEQUENCE { id-ecPublicKey, secp521r1 }, BIT STRING 04 x y } up to the 04
SUBJECT_PUBLIC_KEY = bytes.fromhex(
    "30819b301006072a8648ce3d020106052b810400230381860004"
)


def pem(key: bytes) -> str:
    text = base64.encodebytes(SUBJECT_PUBLIC_KEY + key).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{text}-----END PUBLIC KEY-----\n"


def der_integer(raw: bytes) -> bytes:
    raw = raw.lstrip(b"\0") or b"\0"
    if raw[0] & 0x80:
        raw = b"\0" + raw
    return b"\2" + bytes([len(raw)]) + raw


def der(signature: bytes) -> bytes:
    body = der_integer(signature[:66]) + der_integer(signature[66:])
    length = bytes([len(body)]) if len(body) < 0x80 else bytes([0x81, len(body)])
    return b"\x30" + length + body


def openssl_says(folder: Path, key: bytes, signature: bytes, message: bytes) -> bool:
    openssl = need("openssl", "openssl")
    (folder / "key.pem").write_text(pem(key))
    (folder / "signature").write_bytes(der(signature))
    (folder / "message").write_bytes(message)
    done = subprocess.run(
        [
            *(openssl, "dgst", "-sha512", "-verify", folder / "key.pem"),
            *("-signature", folder / "signature", folder / "message"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() in ("Verified OK", "Verification failure"), done.stderr
    return done.stdout.strip() == "Verified OK"


def key_sets() -> list[KeySet]:
    return [imprint_keys(), seeded_key_set("openssl")]


@pytest.mark.interop
@pytest.mark.parametrize("keys", key_sets(), ids=["imprint", "seeded"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_hardware_signatures(tmp_path: Path, keys: KeySet, number: int) -> None:
    header = sign_header(b"payload", keys, SigningOptions(label="HBI"))
    key = header[30 + 132 * number :][:132]
    signature = header[524 + 132 * number :][:132]
    assert openssl_says(tmp_path, key, signature, header[426:524])
    assert not openssl_says(tmp_path, key, signature, header[426:523] + b"\1")


@pytest.mark.interop
@pytest.mark.parametrize("keys", key_sets(), ids=["imprint", "seeded"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_software_signatures(tmp_path: Path, keys: KeySet, number: int) -> None:
    options = SigningOptions(label="HBI", sw_key_count=3)
    header = sign_header(b"payload", keys, options)
    at = SOFTWARE_AT[3]
    key = header[920 + 132 * number :][:132]
    signature = header[at + 98 + 132 * number :][:132]
    assert openssl_says(tmp_path, key, signature, header[at : at + 98])
    assert not openssl_says(tmp_path, key, signature, header[at : at + 97] + b"\1")


@pytest.mark.interop
@pytest.mark.parametrize("name", ["hw_key_a", "hw_key_b", "hw_key_c"])
def test_the_advice_for_explicit_parameters_works(tmp_path: Path, name: str) -> None:
    """The command that a refused key's error text names makes a key that is taken."""
    openssl, out = need("openssl", "openssl"), tmp_path / "converted.key"
    source = KEYS / "pem-original" / f"{name}.key"
    with pytest.raises(FormatError) as caught:
        FileSigner.from_pem(name, source.read_bytes())
    _, advice, _ = caught.value.expected.split("`")
    words = [openssl, *advice.split()[1:], "-in", str(source), "-out", str(out)]
    subprocess.run(words, capture_output=True, check=True)
    raw = (KEYS / "raw" / f"{name}.bin").read_bytes()
    assert FileSigner.from_pem(name, out.read_bytes()).public_key == raw
