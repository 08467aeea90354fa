"""ESM blobs of IBM's tool, and the guests that the real ultravisor judged."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from esm_kit import BLOBS, VECTORS, blob_bytes
from esm_tool_kit import without_leftovers
from pefstack.images import esm_lockbox
from pefstack.images.errors import FormatError
from pefstack.images.esm_attachments import read_attachments
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_blob_refusal import BlobError, EsmProfile
from pefstack.images.esm_digests import PARTS, EsmDigests, command_line

REAL, STRICT = EsmProfile.REAL, EsmProfile.STRICT
OAEP: Final = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
GUESTS: Final[list[dict[str, Any]]] = json.loads(
    (VECTORS / "verdicts.json").read_text()
)
KERNEL_AT: Final = 0x10000
WORDS: Final = {
    "RTAS hash validation": "rtas",
    "kernel hash validation": "kernel",
    "initrd hash validation": "initrd",
    "kernel command line hash validation": "bootargs",
}
# esm.md 1.7: what the real code takes and the strict profile refuses
STRICT_REFUSES: Final = {
    "mac12": "B_MAC_SIZE",
    "mac4": "B_MAC_SIZE",
    "iv64": "B_IV",
    "algo-other": "B_ALGORITHM",
    "compat-other": "B_COMPATIBLE",
    "compat-none": "B_COMPATIBLE",
    "lockbox1-unit": "B_LOCKBOX_NAME",
    "key16": "B_MASTER_KEY",
    "key24": "B_MASTER_KEY",
    "dig-no-algorithm": "B_DIGEST_VALUE",
    "dig-sha256-name": "B_DIGEST_VALUE",
    "dig-4097": "B_DIGEST_TREE",
    "bootargs-nonul": "B_BOOTARGS",
}
# and the other way round: the machine's fingerprint counts, not the lockbox's number
STRICT_TAKES: Final = {"b-machine2", "c-machine1", "only-lockbox2", "only-lockbox10"}


@cache
def private_key(name: str) -> RSAPrivateKey:
    key = load_pem_private_key(
        (VECTORS / "keys" / f"{name}.sec.pem").read_bytes(), None
    )
    assert isinstance(key, RSAPrivateKey)
    return key


def fingerprint(name: str) -> bytes:
    pem = (VECTORS / "keys" / f"{name}.pub.pem").read_bytes()
    return hashlib.sha256(pem).digest()


def master_key(blob: EsmBlob, name: str, profile: EsmProfile) -> bytes:
    """As a TPM with this key would give it; a refusal is the TPM's."""
    box = esm_lockbox.choose_lockbox(blob.lockboxes, fingerprint(name), profile)
    return private_key(name).decrypt(box.encrypted_symkey, OAEP)


@pytest.mark.parametrize("name", "abc")
def test_blob_of_ibms_tool(name: str) -> None:
    blob, expected = EsmBlob.from_bytes(blob_bytes(name)), BLOBS[name]
    assert [each.name for each in blob.lockboxes] == list(expected["lockboxes"])
    for box in blob.lockboxes:
        given = expected["lockboxes"][box.name]
        assert box.fingerprint.hex() == given["fingerprint"]
        who = Path(given["opens_with"]).name.partition(".")[0]
        key = private_key(who).decrypt(box.encrypted_symkey, OAEP)
        assert key.hex() == expected["master_key"]
    key = bytes.fromhex(expected["master_key"])
    digests = blob.open_digests(key)
    assert digests.kernel_size == expected["digests"]["kernel-size"]
    for part in PARTS:
        assert getattr(digests, part).hex() == expected["digests"][part]
    for file, given in expected["files"].items():
        content = blob.open_file(file, key)
        assert content == (VECTORS / "plain" / f"file-{name}-{file}").read_bytes()
        assert given["iv"] in {
            each.item.iv.hex() for each in read_attachments(blob.files_fdt, STRICT)
        }


@pytest.mark.parametrize("name", "abc")
def test_written_as_ibms_tool_does(name: str) -> None:
    raw = without_leftovers(blob_bytes(name))
    assert EsmBlob.from_bytes(raw).to_bytes() == raw


@pytest.mark.parametrize("name", "abc")
def test_digest_tree_as_ibms_tool_writes_it(name: str) -> None:
    raw = (VECTORS / "plain" / f"digests-{name}.dtb").read_bytes()
    digests = EsmDigests.from_bytes(raw, STRICT)
    assert digests.to_bytes() == without_leftovers(raw)
    assert len(raw) == 509


@pytest.mark.parametrize("name", ["owner", "tpm1", "tpm2"])
def test_fingerprint_of_a_modulus_is_that_of_the_file(name: str) -> None:
    pem = (VECTORS / "keys" / f"{name}.pub.pem").read_bytes()
    numbers = private_key(name).public_key().public_numbers()
    assert esm_lockbox.fingerprint_of_pem(pem) == fingerprint(name)
    found = esm_lockbox.fingerprint_of_key(numbers.n, numbers.e)
    assert found == fingerprint(name)
    assert esm_lockbox.fingerprint_of_pem(pem.rstrip(b"\n")) != found


class Guest:
    """The parts of a guest, where the oracle's search found them."""

    def __init__(self, case: dict[str, Any]) -> None:
        words = re.findall(r"0x[0-9a-f]+", case["oracle"]["locate"])
        blob_at, start, size = (int(word, 16) for word in words)
        self.memory = bytearray(8 << 20)
        self.put(KERNEL_AT, (VECTORS / case["kernel_file"]).read_bytes())
        self.put(case["initrd_gpa"], (VECTORS / case["initrd_file"]).read_bytes())
        if chosen := case.get("chosen_esm_blob_file"):
            self.put(0x580000, (VECTORS / chosen).read_bytes())
        self.blob = memoryview(self.memory)[blob_at:]
        self.initrd = bytes(self.memory[start : start + size])
        rtas = bytes.fromhex(case["rtas_hex"]).ljust(case["slof_rtas_size"], b"\0")
        self.rtas = rtas[: case["slof_rtas_size"]]
        self.bootargs = case["bootargs_prop_hex"]

    def put(self, at: int, content: bytes) -> None:
        self.memory[at : at + len(content)] = content

    def kernel(self, size: int) -> bytes | None:
        fits = KERNEL_AT + size <= len(self.memory)
        return bytes(self.memory[KERNEL_AT : KERNEL_AT + size]) if fits else None


def verdict(case: dict[str, Any], profile: EsmProfile) -> tuple[str, set[str]]:
    """OK, a refusal or another word, and which digests differ."""
    guest = Guest(case)
    if guest.bootargs is None:
        return "no bootargs", set()
    try:
        line = command_line(bytes.fromhex(guest.bootargs), profile)
        blob, _ = EsmBlob.from_prefix(guest.blob, profile)
        key = master_key(blob, case["tpm_key"], profile)
        digests = blob.open_digests(key, profile)
    except BlobError as error:
        return error.refusal.value, set()
    except ValueError:
        return "TPM", set()
    kernel = guest.kernel(digests.kernel_size)
    if kernel is None:
        return "kernel-size", set()
    parts = (guest.rtas, kernel, guest.initrd, line)
    found = dict(
        zip(PARTS, (hashlib.sha512(each).digest() for each in parts), strict=True)
    )
    differing = set(digests.differing(found))
    return "B_DIGEST" if differing else "OK", differing


FOUND: Final = [each for each in GUESTS if "failed" not in each["oracle"]["locate"]]


def test_how_many_guests_have_a_blob() -> None:
    assert (len(GUESTS), len(FOUND)) == (81, 72)


@pytest.mark.parametrize("case", FOUND, ids=lambda each: str(each["name"]))
def test_verdict_of_the_real_ultravisor(case: dict[str, Any]) -> None:
    """The two that crash the real code are refused here."""
    oracle = case["oracle"]
    word, differing = verdict(case, REAL)
    assert (word == "OK") == (oracle["blob_chk"] == 0)
    assert differing == {WORDS[each] for each in oracle["failed"]}


@pytest.mark.parametrize("case", FOUND, ids=lambda each: str(each["name"]))
def test_verdict_of_the_strict_profile(case: dict[str, Any]) -> None:
    word, differing = verdict(case, STRICT)
    real, real_differing = verdict(case, REAL)
    name = case["name"]
    if name in STRICT_TAKES:
        assert word == "OK"
    elif name in STRICT_REFUSES:
        assert (real, word) == ("OK", STRICT_REFUSES[name])
    else:
        assert (word == "OK") == (real == "OK")
        if real != "OK" and word != real:
            assert name in {"bootargs-embedded-nul", "mac3", "only-lockbox10", "mac17"}
        assert differing == real_differing or word == "B_BOOTARGS"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("b-machine2", "TPM"),
        ("wrap-badmagic", "B_TREE"),
        ("no-lockbox", "B_NO_LOCKBOX"),
        ("only-lockbox2", "B_NO_LOCKBOX"),
        ("only-lockbox10", "B_NO_LOCKBOX"),
        ("algo-missing", "B_ITEM"),
        ("iv-missing", "B_ITEM"),
        ("mac-missing", "B_ITEM"),
        ("ct-missing", "B_ITEM"),
        ("mac3", "B_MAC_SIZE"),
        ("mac17", "B_MAC_SIZE"),
        ("mac-bad", "B_TAG"),
        ("ct-flip", "B_TAG"),
        ("dig-65536", "B_CIPHERTEXT"),
        ("dig-garbage", "B_DIGEST_TREE"),
        ("dig-no-rtas", "B_DIGEST_VALUE"),
        ("dig-no-kernel-size", "B_DIGEST_VALUE"),
        ("dig-ksize0", "B_KERNEL_SIZE"),
        ("bootargs-emptyprop", "B_BOOTARGS"),
        ("kernel-flip", "B_DIGEST"),
    ],
)
def test_why_the_real_profile_refuses(name: str, expected: str) -> None:
    case = next(each for each in FOUND if each["name"] == name)
    assert verdict(case, REAL)[0] == expected


def test_everything_is_a_format_error() -> None:
    assert issubclass(BlobError, FormatError)
