"""The 81 guests that the real ultravisor judged, placed by us, read from our tree."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from elf_kit import ESM
from guest_kit import Placed, vector
from pefstack.hw.guest_spec import GuestSpec
from pefstack.images.errors import FormatError
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_blob_refusal import EsmProfile
from pefstack.images.esm_lockbox import choose_lockbox
from pefstack.images.initramfs import NameRule, find_blob
from pefstack.images.rtas import RTAS_TEXT

REAL: Final = EsmProfile.REAL
OAEP: Final = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
GUESTS: Final[list[dict[str, Any]]] = json.loads(vector("verdicts.json"))
# what our loader never does: another RTAS text, an initramfs that is not at a multiple
# of 512, a blob that no boot wrapper brought, a command line that is none
OTHERS: Final = {
    "rtas-flip",
    "rtas-text21",
    "initrd-at-2",
    "initrd-at-8",
    "wrap-ok",
    "wrap-cells64",
    "wrap-and-cpio",
    "wrap-badmagic",
    "bootargs-absent",
    "bootargs-emptyprop",
    "bootargs-nonul",
    "bootargs-embedded-nul",
}


def ordinary(case: dict[str, Any]) -> bool:
    """Whether our loader could have made this guest."""
    line = bytes.fromhex(case["bootargs_prop_hex"] or "")
    return (
        case["rtas_hex"] == RTAS_TEXT.hex()
        and case["slof_rtas_size"] == len(RTAS_TEXT)
        and case["initrd_gpa"] % 512 == 0
        and not case.get("chosen_esm_blob_file")
        and line.find(b"\0") == len(line) - 1 >= 0
    )


ORDINARY: Final = [each for each in GUESTS if ordinary(each)]


@cache
def private_key(name: str) -> RSAPrivateKey:
    key = load_pem_private_key(vector(f"keys/{name}.sec.pem"), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def differing(guest: Placed, machine: str) -> tuple[str, ...] | None:
    """Which digests of the blob differ from what lies in memory; None without one."""
    place = guest.bounds("linux,initrd")
    raw = guest.lies_at(place)
    try:
        found = find_blob(raw, address=place.start, rule=NameRule.REAL)
        blob, _ = EsmBlob.from_prefix(memoryview(raw)[found.offset :], REAL)
        fingerprint = hashlib.sha256(vector(f"keys/{machine}.pub.pem")).digest()
        box = choose_lockbox(blob.lockboxes, fingerprint, REAL)
        key = private_key(machine).decrypt(box.encrypted_symkey, OAEP)
        digests = blob.open_digests(key, REAL)
    except (FormatError, ValueError):
        return None
    if digests.kernel_size > guest.spec.memory - guest.at.kbase:
        return None
    rest = bytes(found.rest_of(raw))
    return digests.differing(guest.digests(digests.kernel_size, rest))


def test_how_many_guests_our_loader_could_have_made() -> None:
    assert {each["name"] for each in GUESTS} - {e["name"] for e in ORDINARY} == OTHERS
    assert len(GUESTS) == 81


@pytest.mark.parametrize("case", ORDINARY, ids=lambda each: str(each["name"]))
def test_the_real_verdict_holds_for_what_we_place(case: dict[str, Any]) -> None:
    line = bytes.fromhex(case["bootargs_prop_hex"])[:-1].decode()
    spec = GuestSpec(memory=64 << 20, command_line=line)
    path = ESM / case["initrd_file"]
    absent = case["name"] == "initrd-absent" or not path.is_file()
    initrd = b"" if absent else path.read_bytes()
    guest = Placed(vector(case["kernel_file"]), initrd, spec)
    if not initrd:
        assert guest.at.initrd is None
        return
    wrong = differing(guest, case["tpm_key"])
    oracle = case["oracle"]
    assert (wrong == ()) == (oracle["blob_chk"] == 0)
    if oracle["failed"]:
        assert wrong is not None and len(wrong) == len(oracle["failed"])
