"""What sessions compute, on exchanges recorded with swtpm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from pefstack.hw.tpm.crypto.ecc import multiply, pad
from pefstack.hw.tpm.crypto.hashes import cp_hash, rp_hash
from pefstack.hw.tpm.crypto.kdf import kdfe
from pefstack.hw.tpm.crypto.rsa import from_prime, oaep_decrypt
from pefstack.hw.tpm.crypto.sessions import (
    decrypt_parameter,
    encrypt_parameter,
    session_hmac,
    session_key,
)
from pefstack.hw.tpm.crypto.symmetric import xor_mask
from tpm_kit import SHA1, SHA256, SHA512, SIZE, vector

EXCHANGES: dict[str, dict[str, Any]] = vector("formulas.json")["sessions"]
STARTED: list[dict[str, Any]] = vector("swtpm_crypto.json")["sessions"]
DECRYPT, ENCRYPT = 0x20, 0x40


@dataclass(frozen=True)
class Half:
    """A command or response with its one session, taken apart by hand."""

    code: int
    parameters: bytes
    nonce: bytes
    attributes: int
    mac: bytes


def command_half(raw: bytes, handles: int) -> Half:
    at = 10 + 4 * handles
    end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
    nonce, attributes, mac = session_parts(raw[at + 8 : end])
    code = int.from_bytes(raw[6:10], "big")
    return Half(code, raw[end:], nonce, attributes, mac)


def response_half(raw: bytes, code: int) -> Half:
    end = 14 + int.from_bytes(raw[10:14], "big")
    nonce, attributes, mac = session_parts(raw[end:])
    return Half(code, raw[14:end], nonce, attributes, mac)


def session_parts(raw: bytes) -> tuple[bytes, int, bytes]:
    end = 2 + int.from_bytes(raw[:2], "big")
    return raw[2:end], raw[end], raw[end + 3 :]


def numbers(row: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(row[name]) for name in names]


def halves(row: dict[str, Any]) -> tuple[Half, Half]:
    command = command_half(bytes.fromhex(row["command"]), len(row["names"]))
    return command, response_half(bytes.fromhex(row["response"]), command.code)


@pytest.mark.parametrize("title", EXCHANGES)
def test_both_hmacs(title: str) -> None:
    """Nine exchanges: unbound, bound, salted, encrypted, policy."""
    row = EXCHANGES[title]
    command, response = halves(row)
    older, newer, key, auth = numbers(
        row, "nonceTPM_before", "nonceTPM_after", "sessionKey", "authValue"
    )
    names = b"".join(bytes.fromhex(name) for name in row["names"])
    cp = cp_hash(SHA256, command.code, names, command.parameters)
    assert cp.hex() == row["cpHash"]
    mac = session_hmac(SHA256, key + auth, cp, command.nonce, older, command.attributes)
    assert mac == command.mac
    assert mac.hex() == row["commandHMAC"]
    rp = rp_hash(SHA256, command.code, response.parameters)
    assert rp.hex() == row["rpHash"]
    mac = session_hmac(
        SHA256, key + auth, rp, newer, command.nonce, response.attributes
    )
    assert mac == response.mac
    assert mac.hex() == row["responseHMAC"]


def test_encrypted_parameters() -> None:
    """AES-CFB and XOR, commands and responses, as far as sessions have the bit."""
    seen: list[str] = []
    for title, row in EXCHANGES.items():
        command, response = halves(row)
        older, newer, key, auth = numbers(
            row, "nonceTPM_before", "nonceTPM_after", "sessionKey", "authValue"
        )
        if title.startswith("bound+salted"):
            auth = b""  # bound to the key whose authValue is empty
        for half, bit, first, second, plain in (
            (command, DECRYPT, command.nonce, older, "command_parameters_plain"),
            (response, ENCRYPT, newer, command.nonce, "response_parameters_plain"),
        ):
            if not command.attributes & bit:
                assert half.parameters.hex() == row[plain]
                continue
            end = 2 + int.from_bytes(half.parameters[:2], "big")
            data, clear = half.parameters[2:end], bytes.fromhex(row[plain])[2:end]
            if "xor" in title:
                opened = xor_mask(SHA256, key + auth, first, second, data)
            else:
                opened = decrypt_parameter(SHA256, 128, key + auth, first, second, data)
                again = encrypt_parameter(SHA256, 128, key + auth, first, second, clear)
                assert again == data
            assert opened == clear
            seen.append(title.partition(":")[0])
    assert len(seen) == 4
    assert len(set(seen)) == 3


def salt_of(row: dict[str, Any]) -> bytes:
    """The salt as the TPM finds it: by the key that swtpm was given."""
    encrypted = bytes.fromhex(row["encrypted_salt"])
    keys = vector("swtpm_crypto.json")
    if row["salt_key"] == "rsa":
        known = next(key for key in keys["rsa"] if key["bits"] == 2048)
        key = from_prime(int(known["n"], 16), known["e"], int(known["p"], 16))
        return oaep_decrypt(key, SHA256, b"SECRET\0", encrypted)
    if row["salt_key"] == "ecc":
        known = keys["ecc"][0]
        x, y = encrypted[2:34], encrypted[36:]
        point = int.from_bytes(x, "big"), int.from_bytes(y, "big")
        z = pad(3, multiply(3, int(known["d"], 16), point)[0])
        own = pad(3, int(known["x"], 16))
        return kdfe(SHA256, z, b"SECRET", x, own, 256)
    return b""


@pytest.mark.parametrize("row", STARTED, ids=[row["title"] for row in STARTED])
def test_session_key_from_the_start(row: dict[str, Any]) -> None:
    """Four sessions from StartAuthSession on; swtpm took the HMAC of the command."""
    bind_auth, auth, caller, nonce_tpm, name = numbers(
        row, "bind_auth", "auth_value", "nonce_caller", "nonce_tpm", "name"
    )
    key = session_key(SHA256, bind_auth, salt_of(row), nonce_tpm, caller)
    command = command_half(bytes.fromhex(row["command"]), 1)
    response = response_half(bytes.fromhex(row["response"]), command.code)
    cp = cp_hash(SHA256, command.code, name, command.parameters)
    rp = rp_hash(SHA256, command.code, response.parameters)
    assert command.mac == session_hmac(
        SHA256, key + auth, cp, command.nonce, nonce_tpm, command.attributes
    )
    assert response.mac == session_hmac(
        SHA256, key + auth, rp, response.nonce, command.nonce, response.attributes
    )


def test_no_secret_no_key() -> None:
    assert session_key(SHA256, b"", b"", bytes(32), bytes(32)) == b""
    assert len(session_key(SHA512, b"a", b"", bytes(32), bytes(32))) == SIZE[SHA512]


def test_bind_comes_before_salt() -> None:
    one = session_key(SHA256, b"ab", b"c", b"t", b"u")
    assert one == session_key(SHA256, b"a", b"bc", b"t", b"u")
    assert one != session_key(SHA256, b"c", b"ab", b"t", b"u")
    assert one != session_key(SHA256, b"ab", b"c", b"u", b"t")


def test_nonces_of_other_sessions() -> None:
    """They follow the session's own nonces: first decrypt, then encrypt."""
    plain = session_hmac(SHA1, b"k", b"p", b"n" + b"o", b"d" + b"e", 0x61)
    with_two = session_hmac(
        SHA1, b"k", b"p", b"n", b"o", 0x61, nonce_decrypt=b"d", nonce_encrypt=b"e"
    )
    assert plain == with_two
    assert plain != session_hmac(
        SHA1, b"k", b"p", b"n", b"o", 0x61, nonce_decrypt=b"e", nonce_encrypt=b"d"
    )


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_parameter_key_sizes(bits: int) -> None:
    data = b"a parameter that is no whole number of blocks"
    sealed = encrypt_parameter(SHA1, bits, b"key", b"newer", b"older", data)
    assert sealed != data
    assert len(sealed) == len(data)
    opened = decrypt_parameter(SHA1, bits, b"key", b"newer", b"older", sealed)
    assert opened == data
    assert decrypt_parameter(SHA1, bits, b"kez", b"newer", b"older", sealed) != data
