"""Wrapped secrets: credentials, duplication, private blobs, byte for byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.tpm.crypto import protection
from pefstack.hw.tpm.crypto.protection import (
    IntegrityError,
    inner_unwrap,
    inner_wrap,
    integrity_key,
    make_credential,
    open_credential,
    outer_unwrap,
    outer_wrap,
    storage_key,
    unwrap_private,
    wrap_private,
)
from pefstack.hw.tpm.crypto.rsa import from_prime, oaep_decrypt
from tpm_kit import ALL_BANKS, SHA1, SHA256, SIZE, VECTORS, vector

PROTECTION: dict[str, dict[str, str]] = vector("formulas.json")["protection"]
IMPORTS = ("import_outer_only", "import_inner_and_outer")
NAME = b"\0\x0b" + bytes(range(32))
SEED = b"seed of the parent, 32 bytes....."[:32]
IV = bytes(range(16))

Wrap = Callable[[bytes], bytes]


def row(name: str) -> dict[str, bytes]:
    """A row of the formulas with its hex as bytes."""
    found = PROTECTION[name]
    return {
        key: bytes.fromhex(value)
        for key, value in found.items()
        if key != "tampered_rc"
    }


def sealed(name: str) -> dict[str, bytes]:
    """An importable object that was made off line."""
    text = (VECTORS / "pef" / name / "sealed.json").read_text()
    found: dict[str, str] = json.loads(text)
    return {key: bytes.fromhex(value) for key, value in found.items()}


def test_credential_of_the_reference() -> None:
    known = row("credential")
    seed, name, credential = known["seed"], known["name"], known["credential"]
    assert storage_key(SHA256, seed, name, 128) == known["symKey"]
    assert integrity_key(SHA256, seed) == known["hmacKey"]
    blob = make_credential(SHA256, 128, seed, name, credential)
    assert blob == known["credentialBlob"]
    assert blob == b"\0\x20" + known["integrity"] + known["encIdentity"]
    assert open_credential(SHA256, 128, seed, name, blob) == credential


def test_credential_that_the_reference_made() -> None:
    """MakeCredential of swtpm with a key of ours: seed by OAEP, then the blob."""
    known, key = vector("swtpm_crypto.json")["credential"], swtpm_key()
    secret, blob, name = (
        bytes.fromhex(known[field]) for field in ("secret", "blob", "name")
    )
    seed = oaep_decrypt(key, SHA256, b"IDENTITY\0", secret)
    opened = open_credential(SHA256, 128, seed, name, blob)
    assert opened.hex() == known["credential"]


def swtpm_key() -> Any:
    known = next(r for r in vector("swtpm_crypto.json")["rsa"] if r["bits"] == 2048)
    return from_prime(int(known["n"], 16), known["e"], int(known["p"], 16))


@pytest.mark.parametrize("which", IMPORTS)
def test_imports_of_the_reference(which: str) -> None:
    known = row(which)
    seed, name, sensitive = known["seed"], known["name"], known["sensitive"]
    assert storage_key(SHA256, seed, name, 128) == known["symKey"]
    assert integrity_key(SHA256, seed) == known["hmacKey"]
    inside = sensitive
    if key := known.get("innerKey"):
        integrity = hashlib.sha256(sensitive + name).digest()
        assert integrity == known["innerIntegrity"]
        inside = inner_wrap(SHA256, key, name, sensitive)
        assert inner_unwrap(SHA256, key, name, inside) == sensitive
    assert outer_wrap(SHA256, 128, seed, name, inside) == known["duplicate"]
    assert outer_unwrap(SHA256, 128, seed, name, known["duplicate"]) == inside


@pytest.mark.parametrize("which", ["sealed_A", "sealed_B"])
def test_sealed_objects_rebuilt(which: str) -> None:
    """All that lies between the seed and the duplicate, and back."""
    known = sealed(which)
    seed, name, duplicate = known["seed"], known["name"], known["duplicate"]
    assert storage_key(SHA256, seed, name, 128) == known["symkey"]
    assert integrity_key(SHA256, seed) == known["hmackey"]
    blob = outer_wrap(SHA256, 128, seed, name, known["sensitive"])
    assert len(blob).to_bytes(2, "big") + blob == duplicate
    assert blob[2:34] == known["integrity"]
    assert outer_unwrap(SHA256, 128, seed, name, blob) == known["sensitive"]


def pairs(alg: int) -> list[tuple[Wrap, Wrap]]:
    """Every wrap with its inverse, for one hash and AES-256."""
    key = bytes(32)
    return [
        (
            lambda data: outer_wrap(alg, 256, SEED, NAME, data),
            lambda blob: outer_unwrap(alg, 256, SEED, NAME, blob),
        ),
        (
            lambda data: make_credential(alg, 256, SEED, NAME, data),
            lambda blob: open_credential(alg, 256, SEED, NAME, blob),
        ),
        (
            lambda data: inner_wrap(alg, key, NAME, data),
            lambda blob: inner_unwrap(alg, key, NAME, blob),
        ),
        (
            lambda data: wrap_private(alg, 256, SEED, NAME, data, IV),
            lambda blob: unwrap_private(alg, 256, SEED, NAME, blob),
        ),
    ]


@pytest.mark.parametrize("alg", ALL_BANKS)
@given(data=st.binary(max_size=300))
def test_round_trips(alg: int, data: bytes) -> None:
    for wrap, unwrap in pairs(alg):
        assert unwrap(wrap(data)) == data


@pytest.mark.parametrize("which", range(4))
def test_every_changed_byte_is_noticed(which: int) -> None:
    wrap, unwrap = pairs(SHA256)[which]
    blob = wrap(b"the secret of the object")
    for place in range(2, len(blob)):
        changed = bytearray(blob)
        changed[place] ^= 0x80
        with pytest.raises(ValueError) as caught:
            unwrap(bytes(changed))
        assert "secret" not in str(caught.value)
        if which != 2:  # the hash of the inner wrap has its length inside
            assert caught.type is IntegrityError


@pytest.mark.parametrize("which", range(4))
def test_every_cut_is_noticed(which: int) -> None:
    wrap, unwrap = pairs(SHA256)[which]
    blob = wrap(b"the secret of the object")
    for size in range(len(blob)):
        with pytest.raises(ValueError, match=r"too few|does not match"):
            unwrap(blob[:size])
    with pytest.raises(IntegrityError):
        unwrap(blob + b"\0")


@given(blob=st.binary(max_size=80))
def test_noise_is_refused(blob: bytes) -> None:
    for _, unwrap in pairs(SHA1):
        with pytest.raises(ValueError, match=r"too few|does not match"):
            unwrap(blob)


@pytest.mark.parametrize("which", [0, 1, 3])
def test_integrity_before_decryption(
    which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is decrypted of what was changed."""
    wrap, unwrap = pairs(SHA256)[which]
    blob = wrap(b"data")
    decrypted: list[bytes] = []

    def note(key: bytes, iv: bytes, data: bytes) -> bytes:
        decrypted.append(data)
        return data

    monkeypatch.setattr(protection, "cfb_decrypt", note)
    with pytest.raises(IntegrityError, match="does not match"):
        unwrap(blob[:-1] + bytes((blob[-1] ^ 1,)))
    assert decrypted == []


def test_bound_to_name_seed_and_algorithms() -> None:
    for make, take in (
        (outer_wrap, outer_unwrap),
        (make_credential, open_credential),
    ):
        blob = make(SHA256, 128, SEED, NAME, b"data")
        for alg, seed, name in (
            (SHA256, SEED, NAME[:-1] + b"\0"),
            (SHA256, SEED[:-1] + b"\0", NAME),
            (SHA1, SEED, NAME),
        ):
            with pytest.raises(IntegrityError):
                take(alg, 128, seed, name, blob)
    blob = wrap_private(SHA256, 128, SEED, NAME, b"data", IV)
    with pytest.raises(IntegrityError):
        unwrap_private(SHA256, 128, SEED, NAME[:-1] + b"\0", blob)
    inner = inner_wrap(SHA256, bytes(16), NAME, b"data")
    with pytest.raises(IntegrityError):
        inner_unwrap(SHA256, bytes(16), NAME[:-1] + b"\0", inner)


def test_private_blob_by_hand() -> None:
    """2B(HMAC) || 2B(IV) || enc; the IV counts, and two IVs give two blobs."""
    blob = wrap_private(SHA256, 128, SEED, NAME, b"data", IV)
    assert len(blob) == 2 + 32 + 2 + 16 + 4
    assert blob[:2] == b"\0\x20"
    assert blob[34:52] == b"\0\x10" + IV
    assert wrap_private(SHA256, 128, SEED, NAME, b"data", IV[::-1]) != blob
    other = wrap_private(SHA256, 128, SEED, NAME, b"date", IV)
    assert other[52:55] == blob[52:55]  # so the IV must be a new one each time


def test_credential_with_something_after_it() -> None:
    blob = outer_wrap(SHA256, 128, SEED, NAME, b"\0\2ab" + b"c")
    with pytest.raises(ValueError, match="1 bytes are left over"):
        open_credential(SHA256, 128, SEED, NAME, blob)
    empty = outer_wrap(SHA256, 128, SEED, NAME, b"")
    with pytest.raises(ValueError, match="0 bytes are too few"):
        open_credential(SHA256, 128, SEED, NAME, empty)


@pytest.mark.parametrize("alg", ALL_BANKS)
def test_integrity_has_the_size_of_its_hash(alg: int) -> None:
    blob = outer_wrap(alg, 128, SEED, NAME, b"data")
    assert blob[:2] == SIZE[alg].to_bytes(2, "big")
    assert len(blob) == 2 + SIZE[alg] + 4
    assert len(integrity_key(alg, SEED)) == SIZE[alg]
