"""Nothing that prints shows a secret: every object, at every moment of a call."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any, Final

import pytest

import pefstack.firmware.ultravisor as ultravisor
from pefstack.firmware.ultravisor.effects import WriteGuest
from pefstack.firmware.ultravisor.lockbox_client import LockboxState
from pefstack.firmware.ultravisor.tpm_client import SlotState
from pefstack.firmware.virtualization import Virtualization
from pefstack.hw.memory import Memory
from pefstack.hw.tpm.client_session import ClientSession
from pefstack.images.esm_operand_keys import SealedData
from pefstack.images.esm_operand_open import AuthenticPayload, Secret, open_payload
from pefstack.images.uv_tpm import UvTpm
from secret_kit import Watched, all_secrets, asking, opened, running, uv_of
from secret_search import in_text, reachable

MACHINES: Final = ["svm", "svm-v1"]
# types that are met in a call, beside those of which nothing is known
MET: Final = {
    *("Virtualization", "Ultravisor", "Hypervisor", "Vm", "CpuState", "EarlyBoot"),
    *("EsmState", "EsmCaller", "UvTpm", "Svm", "GuestPage", "ServedFiles", "Entropy"),
    *("SecureMemory", "HypervisorMemory", "ClientSession", "Journal", "Event"),
    *("GuestImages", "Placement", "Reading", "Board", "NvIndex", "TpmObject"),
}
MET_OF: Final = {
    "svm": {"SlotState", "SealedObject", "EsmOperand", "OpenedPayload", "Secret"},
    "svm-v1": {"LockboxState", "EsmBlob", "Lockbox", "Item", "EsmDigests"},
}


def ours(each: object) -> bool:
    """Whether it is of a type of this project; memory prints as an address."""
    module = type(each).__module__
    return module.startswith("pefstack") and not isinstance(each, Memory)


@pytest.mark.parametrize("name", [*MACHINES, "svm-v1-strict"])
def test_p12_p23_no_object_prints_a_secret(name: str) -> None:
    watched = Watched(asking(name))
    printed: dict[str, None] = {}
    types: set[str] = set()
    software = running(watched.machine)
    places = software.board.flash, software.board.memory, software.board.spec
    truth = (*places, software.board.secure._memory, watched)

    def note(_: object = None) -> None:
        for each in reachable(software, truth):
            if ours(each):
                types.add(type(each).__name__)
                printed[repr(each)] = None

    def reading() -> bool:
        """In the guest's part, with its secrets in the registers."""
        if not uv_of(watched.machine).calls:
            note()
        return False

    watched.before = note
    watched.run(reading)
    note()
    secrets = watched.secrets | all_secrets(watched.machine)
    assert in_text("repr", "\n".join(printed), secrets) == []
    assert MET | MET_OF[name.removesuffix("-strict")] <= types


def test_what_lives_between_two_questions_prints_no_secret() -> None:
    """Values that a step makes and forgets."""
    watched = Watched(asking())
    seen: list[Any] = []

    def look(state: Any) -> None:
        if isinstance(state.client, SlotState) and state.client.secret:
            seen.append(state)

    watched.before = look
    watched.run()
    state, secrets = seen[0], watched.secrets
    sealed = SealedData.from_bytes(state.client.secret)
    header = open_header(state)
    authentic = AuthenticPayload(
        header=header, payload=state.operand.payload, sealed=sealed
    )
    objects = [sealed, authentic, open_payload(authentic), state, WriteGuest(0, b"x")]
    for secret in secrets.values():
        objects.append(WriteGuest(1, secret))
        objects.append(Secret(type=2, name="x", content=secret))
    assert in_text("repr", repr(objects), secrets) == []


def open_header(state: Any) -> Any:
    from pefstack.images.esm_operand_payload import PayloadHeader

    return PayloadHeader.from_prefix(state.operand.payload)


def secret_fields() -> Iterable[tuple[type, str]]:
    """Fields with bytes in the ultravisor's own types, that do print."""
    for module in pkgutil.iter_modules(ultravisor.__path__):
        found = importlib.import_module(f"{ultravisor.__name__}.{module.name}")
        for each in vars(found).values():
            if isinstance(each, type) and dataclasses.is_dataclass(each):
                for one in dataclasses.fields(each):
                    if one.repr and "bytes" in str(one.type):
                        yield each, one.name


PUBLIC: Final = {
    ("BlobPlace", "magic"),
    ("EsmBlob", "files_fdt"),
    ("EsmDigests", "bootargs"),
    ("EsmDigests", "initrd"),
    ("EsmDigests", "kernel"),
    ("EsmDigests", "rtas"),
    ("EsmOperand", "payload"),
    ("EsmState", "bootargs"),
    ("EsmState", "fingerprint"),
    ("EsmState", "measured"),
    ("AuthenticPayload", "payload"),
    ("Call", "handles"),
    ("ClientSession", "nonce_tpm"),
    ("IntegrityBlock", "unknown"),
    ("LockboxState", "cipher_text"),
    ("LockboxState", "public"),
    ("Lockbox", "comment"),
    ("Lockbox", "encrypted_symkey"),
    ("Lockbox", "fingerprint"),
    ("Measured", "digest"),
    ("SealedObject", "duplicate"),
    ("SealedObject", "public"),
    ("SealedObject", "seed"),
    ("Slot", "body"),
    ("Slot", "machine_id"),
    ("Step", "ask"),
    ("Step", "claimed"),
    ("Step", "take"),
    ("TpmCommand", "command"),
    ("Use", "nonce_caller"),
    ("UvTpm", "storage_key_name"),
    ("UvTpm", "storage_key_public"),
    ("UvTpm", "wrapping_key_name"),
    ("UvTpm", "wrapping_key_policy_a"),
    ("UvTpm", "wrapping_key_policy_b"),
}


def test_a_field_with_bytes_prints_only_if_it_is_known_to_be_public() -> None:
    """A new one has to be thought about: encrypted, public, or ``repr=False``."""
    found = {(each.__name__, name) for each, name in secret_fields()}
    assert found - PUBLIC == set()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (UvTpm, ("nv_password", "wrapping_key_password")),
        (SlotState, ("random", "secret", "private")),
        (LockboxState, ("random", "secret")),
        (ClientSession, ("session_key", "auth_value")),
        (SealedData, ("seed",)),
        (Secret, ("content",)),
        (Virtualization, ("board",)),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_fields_that_are_secret_do_not_print(
    kind: Any, fields: tuple[str, ...]
) -> None:
    by_name = {each.name: each for each in dataclasses.fields(kind)}
    assert [name for name in fields if by_name[name].repr] == []


def test_the_secrets_of_two_machines_differ() -> None:
    """Else one search would do for both."""
    first, second = (set(opened(name).values()) for name in MACHINES)
    assert len(first & second) <= 2  # what was planted
