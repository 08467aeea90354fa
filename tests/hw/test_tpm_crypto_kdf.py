"""Hashes, KDFa, KDFe and the stream, against the package's own derivations."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.kbkdf import (
    KBKDFHMAC,
    CounterLocation,
    Mode,
)
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.tpm.crypto.hashes import digest, hmac
from pefstack.hw.tpm.crypto.kdf import KdfaStream, kdfa, kdfe
from pefstack.images.kdfa import MAX_BITS
from tpm_kit import ALL_BANKS, SHA1, SHA256, SHA512, SIZE, vector

ROOT = Path(__file__).resolve().parents[2]
PACKAGE: dict[int, hashes.HashAlgorithm] = {
    SHA1: hashes.SHA1(),
    SHA256: hashes.SHA256(),
    0x000C: hashes.SHA384(),
    SHA512: hashes.SHA512(),
}


def test_digest_joins_its_parts() -> None:
    assert digest(SHA256, b"a", b"", b"bc") == hashlib.sha256(b"abc").digest()


def test_hmac_of_rfc_4231() -> None:
    """RFC 4231, test case 2."""
    mac = hmac(SHA256, b"Jefe", b"what do ya want ", b"for nothing?")
    assert mac.hex() == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


@pytest.mark.parametrize("alg", [0, 0x0010, 0x0012, 0x0027])
def test_unknown_hash(alg: int) -> None:
    with pytest.raises(ValueError, match=f"0x{alg:04x}"):
        digest(alg, b"")
    with pytest.raises(ValueError, match=f"0x{alg:04x}"):
        hmac(alg, b"", b"")
    with pytest.raises(ValueError, match=f"0x{alg:04x}"):
        kdfa(alg, b"", b"", b"", b"", 8)
    with pytest.raises(ValueError, match=f"0x{alg:04x}"):
        KdfaStream(alg, b"", b"")


@pytest.mark.parametrize("alg", ALL_BANKS)
@pytest.mark.parametrize("size", [1, 16, 20, 48, 65, 300])
def test_kdfa_is_counter_mode_of_sp_800_108(alg: int, size: int) -> None:
    u, v = b"nonce one", b"nonce two"
    other = KBKDFHMAC(
        PACKAGE[alg],
        Mode.CounterMode,
        size,
        4,
        4,
        CounterLocation.BeforeFixed,
        b"LABEL",
        u + v,
        None,
    )
    assert kdfa(alg, b"key", b"LABEL", u, v, 8 * size) == other.derive(b"key")


@pytest.mark.parametrize("alg", ALL_BANKS)
@pytest.mark.parametrize("size", [1, 32, 64, 200])
def test_kdfe_is_the_concatenation_kdf(alg: int, size: int) -> None:
    info = b"SECRET\0" + b"party u" + b"party v"
    other = ConcatKDFHash(PACKAGE[alg], size, info)
    own = kdfe(alg, b"shared", b"SECRET", b"party u", b"party v", 8 * size)
    assert own == other.derive(b"shared")


def test_kdfe_of_the_reference() -> None:
    row = vector("formulas.json")["sessions"]["salted by ECC key (KDFe): NV_Read"]
    z, ephemeral, key = (
        bytes.fromhex(row[name]) for name in ("Z", "ephemeral_x", "tpm_key_x")
    )
    assert kdfe(SHA256, z, b"SECRET", ephemeral, key, 256).hex() == row["salt"]


@given(bits=st.integers(1, 1100))
def test_bits_that_are_no_bytes(bits: int) -> None:
    """The first byte keeps only its low bits; the number of bits is derived from."""
    for derived in (
        kdfa(SHA1, b"k", b"L", b"u", b"v", bits),
        kdfe(SHA1, b"z", b"L", b"u", b"v", bits),
    ):
        assert len(derived) == (bits + 7) // 8
        assert int.from_bytes(derived, "big").bit_length() <= bits
    tail = b"L\0uv" + bits.to_bytes(4, "big")
    first = hmac(SHA1, b"k", b"\0\0\0\1", tail)[1:8]
    assert kdfa(SHA1, b"k", b"L", b"u", b"v", bits)[1:8] == first[: (bits + 7) // 8 - 1]


def test_no_bits() -> None:
    assert kdfa(SHA256, b"k", b"L", b"", b"", 0) == b""


@pytest.mark.parametrize("bits", [-1, MAX_BITS + 1])
def test_bits_out_of_range(bits: int) -> None:
    with pytest.raises(ValueError, match=f"derive {bits} bits"):
        kdfe(SHA256, b"z", b"L", b"", b"", bits)


@given(st.lists(st.integers(0, 100), max_size=12))
def test_stream_does_not_depend_on_how_it_is_cut(cuts: list[int]) -> None:
    stream = KdfaStream(SHA256, b"seed", b"context")
    pieces = b"".join([stream.random_bytes(count) for count in cuts])
    whole = KdfaStream(SHA256, b"seed", b"context").random_bytes(1200)
    assert pieces == whole[: len(pieces)]


@pytest.mark.parametrize("alg", ALL_BANKS)
def test_stream_by_hand(alg: int) -> None:
    blocks = [
        kdfa(alg, b"s", b"PRIMARY", b"c", number.to_bytes(8, "big"), 8 * SIZE[alg])
        for number in (1, 2)
    ]
    drawn = KdfaStream(alg, b"s", b"c").random_bytes(2 * SIZE[alg])
    assert drawn == b"".join(blocks)


def test_streams_differ_by_everything() -> None:
    streams = [
        KdfaStream(SHA256, b"seed", b"context"),
        KdfaStream(SHA512, b"seed", b"context"),
        KdfaStream(SHA256, b"other", b"context"),
        KdfaStream(SHA256, b"seed", b"other"),
        KdfaStream(SHA256, b"seed", b"context", b"label"),
    ]
    assert len({stream.random_bytes(16) for stream in streams}) == len(streams)


def test_stream_shows_no_seed_and_gives_no_less_than_nothing() -> None:
    stream = KdfaStream(SHA256, b"hush-hush", b"context")
    stream.random_bytes(1)
    assert repr(stream) == "KdfaStream(label=b'PRIMARY', blocks=1)"
    with pytest.raises(ValueError, match="-1 bytes"):
        stream.random_bytes(-1)


def test_a_boot_loads_no_ciphers_and_no_rsa() -> None:
    """The engine with its PCRs needs hashes alone."""
    lines = (
        "import sys, pefstack.hw.tpm.engine, pefstack.hw.tpm.crypto.protection",
        "names = [n for n in sys.modules if n.startswith('cryptography')]",
        "own = [n for n in sys.modules if n.endswith(('.rsa', '.ecc', '.primes'))]",
        "print(names + own)",
    )
    command = [sys.executable, "-P", "-c", "\n".join(lines)]
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert done.stdout == "[]\n"
