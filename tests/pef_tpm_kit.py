"""A prepared TPM, things sealed for it, and a relay in front of it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from pefstack.firmware.pef_objects import NV_INDEX
from pefstack.firmware.tpm_link import TpmLink
from pefstack.firmware.tpm_prepare import Provision, prepare
from pefstack.firmware.ultravisor import lockbox_client, tpm_client
from pefstack.firmware.ultravisor.conversation import Verdict
from pefstack.firmware.ultravisor.sealed_object import SealedObject
from pefstack.hw.entropy import Entropy
from pefstack.hw.journal import Journal
from pefstack.images.uv_tpm import UvTpm
from tpm_client_kit import ClientSession, kdfa, start, two_b
from tpm_kit import PW, PassingTpm, command, extend, session, started

SHA256: Final = 0x000B
BOOT_MEASUREMENT: Final = hashlib.sha256(b"made-up boot measurement").digest()
PCR6: Final = hashlib.sha256(bytes(32) + BOOT_MEASUREMENT).digest()
SECRET: Final = bytes(range(200, 232)) + bytes.fromhex("0000000200000000")
MASTER_KEY: Final = bytes(range(100, 132))
NV_NAME: Final = bytes.fromhex(
    "000b348943d811bdddd89954b32296117e7ed1b118a4ab9c5647f2d09b86c0889dad"
)
POLICY: Final = bytes.fromhex(
    "8521688b1d37d98871ef2d0ed7defe126f277f40008af0af789f20dd740e7115"
)


Relay = Callable[[bytes], bytes]


class World:
    """A machine's TPM as OPAL leaves it, and what it handed over then and before."""

    def __init__(self, tpm: Any, profile: str, machine: UvTpm, before: UvTpm) -> None:
        self.tpm = tpm
        self.profile = profile
        self.machine = machine
        self.before = before

    def reboot(self, profile: str = "", seed: str = "again", tpm: Any = None) -> UvTpm:
        """Off and on, and prepared again; the hand-over of this boot."""
        restart(self.tpm)
        how = Provision(profile=profile or self.profile)
        self.before, self.machine = (
            self.machine,
            prepare(link(tpm or self.tpm, seed), how),
        )
        return self.machine


def first_boots(tpm: Any, profile: str) -> World:
    """Two boots of a TPM that was never prepared."""
    how = Provision(profile=profile)
    tpm.execute(extend(6, (SHA256, BOOT_MEASUREMENT)))
    machine = prepare(link(tpm, "one"), how)
    world = World(tpm, profile, machine, machine)
    world.reboot(seed="two")
    return world


@cache
def _model(profile: str) -> World:
    return first_boots(started(f"pef-{profile}")[0], profile)


def model(profile: str = "strict") -> World:
    """Our TPM, a copy of its own."""
    made = _model(profile)
    return World(made.tpm.fork(Journal()), profile, made.machine, made.before)


def link(tpm: Any, seed: str) -> TpmLink:
    """OPAL's talk with it."""
    return TpmLink(tpm, Entropy(seed, "processor"))


def restart(tpm: Any) -> None:
    """A power cycle and the measurement of the boot."""
    tpm.power_off()
    tpm.power_on()
    tpm.execute(bytes.fromhex("80010000000c000001440000"))
    tpm.execute(extend(6, (SHA256, BOOT_MEASUREMENT)))


def public_key(public: bytes) -> rsa.RSAPublicKey:
    """The RSA key of a TPMT_PUBLIC: the modulus is at its end."""
    return rsa.RSAPublicNumbers(
        65537, int.from_bytes(public[-256:], "big")
    ).public_key()


def oaep(public: bytes, message: bytes, label: bytes | None = None) -> bytes:
    """RSA-OAEP with SHA-256."""
    mgf = padding.MGF1(hashes.SHA256())
    scheme = padding.OAEP(mgf, hashes.SHA256(), label)
    return public_key(public).encrypt(message, scheme)


def seal(
    storage_key: bytes,
    data: bytes = SECRET,
    *,
    policy: bytes = POLICY,
    attributes: int = 0x480,
) -> SealedObject:
    """A duplication blob as esm.md 5.2 says, computed here on its own."""
    obfuscation, seed = b"\x5a" * 32, b"\xa5" * 32
    unique = hashlib.sha256(obfuscation + data).digest()
    public = bytes.fromhex("0008000b") + attributes.to_bytes(4, "big")
    public += two_b(policy) + b"\0\x10" + two_b(unique)
    name = b"\0\x0b" + hashlib.sha256(public).digest()
    sensitive = b"\0\x08" + two_b(b"") + two_b(obfuscation) + two_b(data)
    key = kdfa(SHA256, seed, b"STORAGE", name, b"", 128)
    encrypted = Cipher(AES(key), CFB(bytes(16))).encryptor().update(two_b(sensitive))
    mac_key = kdfa(SHA256, seed, b"INTEGRITY", b"", b"", 256)
    mac = hmac.digest(mac_key, encrypted + name, "sha256")
    return SealedObject(
        public=public,
        duplicate=two_b(mac) + encrypted,
        seed=oaep(storage_key, seed, b"DUPLICATE\0"),
    )


def open_slot(
    relay: Relay, machine: UvTpm, sealed: SealedObject, seed: str = "uv"
) -> Verdict:
    """The ultravisor's work on one slot."""
    random = Entropy(seed, "ultravisor").random_bytes(tpm_client.RANDOM_BYTES)
    return tpm_client.SCRIPT.run(tpm_client.begin(machine, sealed, random), relay)


def open_lockbox(
    relay: Relay, machine: UvTpm, cipher_text: bytes, *, strict: bool
) -> Verdict:
    """The ultravisor's work on one lockbox."""
    random = Entropy("uv", "ultravisor").random_bytes(lockbox_client.RANDOM_BYTES)
    state = lockbox_client.begin(machine, cipher_text, random, strict=strict)
    return lockbox_client.SCRIPT.run(state, relay)


def code(command: bytes) -> int:
    """The command code."""
    return int.from_bytes(command[6:10], "big")


class Recorder(PassingTpm):
    """Keeps everything that passes."""

    def __init__(self, tpm: Any) -> None:
        super().__init__(tpm)
        self.seen: list[tuple[bytes, bytes]] = []

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        answer = super().execute(command, locality)
        self.seen.append((command, answer))
        return answer

    @property
    def traffic(self) -> bytes:
        """All of it in one piece."""
        return b"|".join(part for each in self.seen for part in each)


def own_session(tpm: Any) -> ClientSession:
    """A policy session without salt."""
    return start(tpm, 1)


def policy_secret(
    tpm: Any, handle: int, password: bytes, entity: int = NV_INDEX
) -> bytes:
    """PolicySecret with a password in clear."""
    area = session(PW, auth=password)
    params = two_b(b"") * 3 + bytes(4)
    answer: bytes = tpm.execute(
        command(0x151, params, handles=(entity, handle), area=area)
    )
    return answer
