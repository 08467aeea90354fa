"""A scripted relay against the ultravisor's clients, and the oracle over its view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pef_tpm_kit import (
    BOOT_MEASUREMENT,
    MASTER_KEY,
    PCR6,
    SECRET,
    World,
    code,
    model,
    seal,
)
from pefstack.firmware.hypervisor.relay.generic.script import Scripted
from pefstack.firmware.hypervisor.relay.protocol import Known
from pefstack.firmware.ultravisor import lockbox_client, tpm_client
from pefstack.firmware.ultravisor.conversation import (
    Conversation,
    Script,
    TpmCommand,
    Verdict,
)
from pefstack.hw.entropy import Entropy
from relay_lockbox_rows import lockbox
from tpm_kit import rc_of, read_one
from traces import traces

SHA256, UNSEAL = 0x000B, 0x15E
SEED, COUNT = "b", 160  # random scripts among which each defence left out is found
ATTEMPTS: Final = 3  # as many as some attacks of the table need


class Watched:
    """The TPM; ``pcr6`` is what stood there whenever something was unsealed."""

    def __init__(self, tpm: Any) -> None:
        self.tpm = tpm
        self.pcr6: list[bytes] = []

    def execute(self, command: bytes) -> bytes:
        answer: bytes = self.tpm.execute(command)
        if code(command) == UNSEAL and rc_of(answer) == 0:
            self.pcr6.append(read_one(self.tpm, SHA256, 6))
        return answer


@dataclass
class Run:
    """What a script came to: verdicts, the relay, and what it must not have seen."""

    wanted: bytes
    relay: Scripted
    watched: Watched
    verdicts: list[Verdict]
    secrets: dict[str, bytes]

    def broken(self) -> list[str]:
        """What should never be; empty when all is well."""
        found = [f"seen: {name}" for name in traces(self.relay.view, self.secrets)]
        opened = [each.secret for each in self.verdicts if each.secret is not None]
        found += ["another secret came out"] * any(x != self.wanted for x in opened)
        moved = any(each != PCR6 for each in self.watched.pcr6)
        return found + ["unsealed with another PCR 6"] * moved


def scripted(world: World, script: bytes) -> tuple[Scripted, Watched]:
    """The relay, which knows the log and the password of an earlier boot."""
    watched = Watched(world.tpm)
    known = Known(extends=(BOOT_MEASUREMENT,), passwords=(world.before.nv_password,))
    return Scripted(script, watched, Entropy("generic", "relay"), known), watched


def slot_run(script: bytes, world: World | None = None) -> Run:
    """Some attempts at one slot, on our TPM unless there is another world."""
    world = world or model()
    relay, watched = scripted(world, script)
    sealed = seal(world.machine.storage_key_public)
    secrets = {"sealed data": SECRET, "password": world.machine.nv_password}
    verdicts = []
    for number in range(ATTEMPTS):
        random = drawn(f"uv{number}", tpm_client.RANDOM_BYTES)
        state = tpm_client.begin(world.machine, sealed, random)
        secrets |= {f"salt A{number}": random[:32], f"salt P{number}": random[96:128]}
        verdicts.append(talk(tpm_client.SCRIPT, state, relay, secrets))
    return Run(SECRET, relay, watched, verdicts, secrets)


def lockbox_run(script: bytes) -> Run:
    """Some attempts at one lockbox, profile strict."""
    world = model()
    box = lockbox(world)
    relay, watched = scripted(world, script)
    password = world.machine.wrapping_key_password
    secrets = {"master key": MASTER_KEY, "wrapping password": password}
    verdicts = []
    for number in range(ATTEMPTS):
        random = drawn(f"uv{number}", lockbox_client.RANDOM_BYTES)
        state = lockbox_client.begin(world.machine, box, random, strict=True)
        secrets[f"salt {number}"] = random[:32]
        verdicts.append(talk(lockbox_client.SCRIPT, state, relay, secrets))
    return Run(MASTER_KEY, relay, watched, verdicts, secrets)


def drawn(seed: str, size: int) -> bytes:
    """The processor's random bytes."""
    return Entropy(seed, "ultravisor").random_bytes(size)


def talk(
    script: Script[Any],
    state: Conversation,
    relay: Scripted,
    secrets: dict[str, bytes],
) -> Verdict:
    """One conversation; the keys of its sessions join the secrets."""
    state, outcome = script.advance(state)
    while isinstance(outcome, TpmCommand):
        state, outcome = script.advance(state, relay.execute(outcome.command))
        for name in ("a", "p", "session"):
            key = getattr(getattr(state, name, None), "session_key", b"")
            if key:
                secrets[f"session key {name} {len(secrets)}"] = key
    return outcome


def ends(run: Run) -> list[tuple[bool, int, int]]:
    """Of each attempt: whether it opened; else the step and the response code."""
    found = [(each.secret is not None, each.failure) for each in run.verdicts]
    return [(good, f.step if f else 0, f.rc if f else 0) for good, f in found]


def first_broken(
    play: Callable[[bytes], Run], scripts: int = COUNT, seed: str = SEED
) -> Mapping[int, list[str]]:
    """The number of the first random script that breaks something, and what."""
    stream = Entropy(seed, "scripts")
    for number in range(scripts):
        if found := play(stream.random_bytes(384)).broken():
            return {number: found}
    return {}
