"""A world with one of the product's relays in front of its TPM; defences left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from _pytest.monkeypatch import MonkeyPatch

from pef_tpm_kit import (
    BOOT_MEASUREMENT,
    SECRET,
    World,
    first_boots,
    open_slot,
    restart,
    seal,
)
from pefstack.firmware.hypervisor.relay.honest import Honest
from pefstack.firmware.hypervisor.relay.protocol import Known
from pefstack.firmware.hypervisor.relay.table import relay_named
from pefstack.firmware.ultravisor import lockbox_client, tpm_client
from pefstack.firmware.ultravisor.conversation import Step, Verdict
from pefstack.firmware.ultravisor.sealed_object import SealedObject
from pefstack.hw.entropy import Entropy
from pefstack.hw.tpm import client_calls, client_salt, client_session
from pefstack.hw.tpm.names import object_name
from pefstack.hw.tpm.public import TPMT_PUBLIC
from pefstack.hw.tpm.structures import whole
from pefstack.tools.tpm_backends.swtpm import SwtpmTpm
from swtpm_kit import swtpm
from tpm_client_kit import two_b
from tpm_kit import NULL, rc_of

VECTORS: Final = Path(__file__).parent / "vectors" / "esm" / "v2" / "relay.json"
RECORDED: Final[dict[str, Any]] = {
    each["id"]: each["result"] for each in json.loads(VECTORS.read_text())["results"]
}
Row = Callable[[World, MonkeyPatch], Any]
"""Runs an attack, with a defence left out or not; what relay.json says it comes to."""


@contextmanager
def swtpm_world(folder: Path, profile: str) -> Iterator[World]:
    """A swtpm, prepared by our OPAL."""
    with swtpm(folder) as port:
        tpm = SwtpmTpm("127.0.0.1", port)
        restart(tpm)
        tpm.power_off()
        tpm.power_on()
        tpm.execute(bytes.fromhex("80010000000c000001440000"))
        yield first_boots(tpm, profile)


def relay_in(world: World, name: str) -> Honest:
    """A relay by its id, with what a hypervisor may know of earlier boots."""

    def reset() -> None:
        world.tpm.power_off()
        world.tpm.power_on()

    known = Known(
        extends=(BOOT_MEASUREMENT,),
        passwords=(world.before.nv_password,),
        reset_tpm=reset,
    )
    relay = relay_named(name, world.tpm, Entropy(name, "relay"), known)
    assert isinstance(relay, Honest)
    return relay


def attempt(world: World, relay: Honest, sealed: SealedObject | None = None) -> Verdict:
    """The ultravisor opens a slot, with whatever the relay can change before."""
    public = world.machine.storage_key_public
    sealed = sealed or seal(public)
    parts = sealed.public, sealed.duplicate, sealed.seed
    body = relay.operand_slot(b"".join(two_b(each) for each in parts))
    machine = replace(world.machine, storage_key_public=relay.storage_key(public))
    return open_slot(relay.execute, machine, slot_of(body))


def slot_of(body: bytes) -> SealedObject:
    """Three TPM2B, and nothing behind them."""
    found: list[bytes] = []
    for _ in range(3):
        size = int.from_bytes(body[:2], "big")
        found.append(body[2 : 2 + size])
        body = body[2 + size :]
    assert body == b""
    return SealedObject(public=found[0], duplicate=found[1], seed=found[2])


def run(
    world: World, name: str, sealed: SealedObject | None = None, attempts: int = 1
) -> tuple[Verdict, Honest]:
    """Some attempts through one relay; the last verdict."""
    relay = relay_in(world, name)
    verdicts = [attempt(world, relay, sealed) for _ in range(attempts)]
    return verdicts[-1], relay


def result(raw: bytes) -> str:
    """The response code of an answer, as relay.json writes it."""
    rc = rc_of(raw)
    return f"0x{rc:X}" if rc else "rc 0"


def unsealed(raw: bytes) -> str:
    """What an answer of Unseal has in clear."""
    if rc_of(raw):
        return result(raw)
    size = int.from_bytes(raw[14:16], "big")
    return "seed" if raw[16 : 16 + size] == SECRET else "something else"


def verdict_of(verdict: Verdict) -> str:
    """As relay.json writes it."""
    if verdict.secret == SECRET:
        return "sealed data"
    assert verdict.failure is not None
    if verdict.failure.rc:
        return f"0x{verdict.failure.rc:X}"
    reason = verdict.failure.reason
    kind = "response HMAC wrong" if "hmac" in reason else "?"
    kind = "storage key Name" if "storage key: Name" in reason else kind
    return f"ultravisor refuses: {kind}"


# defences left out


def without_salt(patch: MonkeyPatch) -> None:
    """Sessions whose key is empty, or the index's password alone."""
    patch.setattr(tpm_client, "_salt", lambda *_: (NULL, b"", b""))


def without_proof(patch: MonkeyPatch) -> None:
    """P is authorized as it comes."""
    step: Step[Any] = Step(lambda _: None, lambda state, _: state)
    patch.setitem(tpm_client.SCRIPT.steps, 3, step)


def patched_secret(patch: MonkeyPatch, **changes: Any) -> None:
    """PolicySecret without the nonce, or with an expiration."""
    real = client_calls.policy_secret

    def secret(entity: Any, handle: int, nonce: bytes, expiration: int = 0) -> Any:
        given: dict[str, Any] = {"nonce_tpm": nonce, "expiration": expiration} | changes
        return real(entity, handle, **given)

    patch.setattr(client_calls, "policy_secret", secret)


def without_hmac_check(patch: MonkeyPatch) -> None:
    """Answers are used whatever their HMAC."""
    patch.setattr(client_session, "compare_digest", lambda *_: True)


def without_name_check(patch: MonkeyPatch) -> None:
    """Any RSA-2048 key gets the salt."""
    real = client_salt.rsa_2048

    def taken(public: bytes, _: bytes, what: str) -> client_salt.SaltKey:
        key = whole(TPMT_PUBLIC, public)
        return real(public, object_name(key), what)

    for client in (tpm_client, lockbox_client):
        patch.setattr(client, "rsa_2048", taken)
