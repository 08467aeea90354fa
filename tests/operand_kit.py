"""Operands at the command line, and private keys that stand for machines' TPMs."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from hmac import compare_digest, digest
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from esm_kit import V2, VECTORS
from pefstack.images.esm_operand_slot import Slot
from pefstack.tools.cli.app import main

PCR6: Final = V2["sealed"]["pcr6"]
STORAGE_KEY: Final = VECTORS / "v2" / "storage-key.pub"
KERNEL: Final = VECTORS / "in" / "vmlinux-a.elf"
INITRD: Final = VECTORS / "in" / "initrd-a.cpio"
LINE: Final = "init=/bin/sh svm=1"
GUEST: Final = ("--kernel", KERNEL, "--append", LINE)
NONCE: Final = ("--build-nonce", V2["build_nonce"])
NAMED: Final = tuple((name, bytes.fromhex(raw)) for _, name, raw in V2["blocks"][1:])
"""Passphrase and customer data of the vectors."""


class Esm:
    """`pef esm` in a folder that has the seed and the secrets of the vectors."""

    def __init__(self, folder: Path, caught: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._caught = caught
        self.out, self.err = "", ""
        self.put("seed", bytes.fromhex(V2["seed"]))
        for name, content in NAMED:
            self.put(name, content)

    def put(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def path(self, name: str) -> Path:
        return self.folder / name

    def read(self, name: str) -> bytes:
        return self.path(name).read_bytes()

    def run(self, command: str, *words: object) -> int:
        """The exit code; what was printed is in `out` and `err`."""
        code = main(["esm", command, *map(str, words)])
        self.out, self.err = self._caught.readouterr()
        return code

    def __call__(self, command: str, *words: object) -> str:
        """What is printed by a command that must succeed."""
        assert self.run(command, *words) == 0, self.err + self.out
        return self.out

    def refused(self, command: str, *words: object) -> str:
        """The message of a command that must be refused as wrong use."""
        assert self.run(command, *words) == 2, self.err + self.out
        assert not self.out
        return self.err

    @property
    def seed(self) -> tuple[object, ...]:
        """The option."""
        return "--seed-file", self.path("seed")

    def build(self, *words: object, name: str = "guest.img") -> bytes:
        """The initramfs of vector A with an operand in front."""
        words = (
            *GUEST,
            "--initrd",
            INITRD,
            *self.seed,
            "--image",
            self.path(name),
            *words,
        )
        self("build", *words)
        return self.read(name)

    def verdict(self, image: object, *words: object) -> dict[str, Any]:
        """What `check` says, with the exit code that belongs to it."""
        code = self.run("check", image, "--json", *words)
        found: dict[str, Any] = json.loads(self.out)
        assert code == (found["verdict"] != "OK"), self.err
        return found

    def key(self, machine: str) -> tuple[object, ...]:
        """Options for a machine of the vectors."""
        path = self.put(f"{machine}.pub", storage_area(machine))
        return "--storage-key", path, "--pcr6", PCR6


@cache
def storage_area(machine: str) -> bytes:
    """TPMT_PUBLIC of a machine's storage key, written out as esm.md 4.2 has it."""
    policy = bytes.fromhex(V2["sealed"]["policy"])
    numbers = private_key(machine).public_key().public_numbers()
    area = bytes.fromhex("0001000b000304320020") + policy
    area += bytes.fromhex("00060080004300100800000000000100")
    return area + numbers.n.to_bytes(256, "big")


def storage_id(machine: str) -> str:
    """The digest of its Name, in hex digits."""
    name: str = V2["machines"][machine]["storage_key_name"]
    return name[4:]


@cache
def private_key(name: str) -> RSAPrivateKey:
    pem = (VECTORS / "keys" / f"{name}.sec.pem").read_bytes()
    key = load_pem_private_key(pem, None)
    assert isinstance(key, RSAPrivateKey)
    return key


def decrypt(name: str, label: bytes, block: bytes) -> bytes:
    scheme = padding.OAEP(padding.MGF1(SHA256()), SHA256(), label)
    return private_key(name).decrypt(block, scheme)


def kdfa(key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    text = b"\0\0\0\1" + label + b"\0" + context + bits.to_bytes(4, "big")
    return digest(key, text, "sha256")[: bits // 8]


def imported(name: str, slot: Slot) -> bytes:
    """What Import, Load and Unseal do, but for the policy."""
    public, duplicate, secret = slot.parts()
    seed = decrypt(name, b"DUPLICATE\0", secret)
    object_name = b"\0\x0b" + hashlib.sha256(public).digest()
    integrity, encrypted = duplicate[2:34], duplicate[34:]
    mac = digest(kdfa(seed, b"INTEGRITY", b"", 256), encrypted + object_name, "sha256")
    if not compare_digest(mac, integrity):
        raise ValueError("integrity")
    key = kdfa(seed, b"STORAGE", object_name, 128)
    raw = Cipher(AES(key), CFB(bytes(16))).decryptor().update(encrypted)
    assert raw[:6].hex() == "005000080000"
    return raw[6 + 34 + 2 :]


def unsealed(name: str, slot: Slot) -> bytes:
    if slot.kind == 1:
        return imported(name, slot)
    return decrypt(name, b"", slot.parts()[0])
