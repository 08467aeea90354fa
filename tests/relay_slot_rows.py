"""The attacks on a kind-1 slot, each as relay.json has it: left out, and with it."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Final

from _pytest.monkeypatch import MonkeyPatch

from pef_tpm_kit import PCR6, SECRET, World, seal
from pefstack.firmware.hypervisor.relay.own_object import OWN_DATA
from pefstack.firmware.ultravisor import tpm_client
from pefstack.hw.entropy import Entropy
from relay_kit import (
    Row,
    patched_secret,
    result,
    run,
    unsealed,
    verdict_of,
    without_proof,
    without_salt,
)
from tpm_client_kit import hash_of, kdfa
from tpm_kit import selections

SHA256: Final = 0x000B
PCR6_ONLY: Final = selections((SHA256, "400000"))


def outcome(name: str, attempts: int = 1) -> Row:
    """What the relay itself gets in the end."""

    def row(world: World, _: MonkeyPatch) -> str:
        return unsealed(run(world, name, attempts=attempts)[1].outcomes[-1])

    return row


def refused(name: str, attempts: int = 1) -> Row:
    """What the ultravisor gets; the relay got no seed on the way."""

    def row(world: World, _: MonkeyPatch) -> str:
        verdict, relay = run(world, name, attempts=attempts)
        assert verdict.secret is None
        assert not any(SECRET in each for each in relay.view)
        return verdict_of(verdict)

    return row


def honest(world: World, _: MonkeyPatch) -> str:
    return verdict_of(run(world, "honest")[0])


def listened(world: World, _: MonkeyPatch) -> list[str]:
    verdict, relay = run(world, "C")
    assert verdict.secret == SECRET
    traffic = b"|".join(relay.view)
    drawn = Entropy("uv", "ultravisor").random_bytes(tpm_client.RANDOM_BYTES)
    parts = [drawn[at : at + 32] for at in range(0, len(drawn), 32)]
    nonces = [relay.seen[at].answer[16:48] for at in range(2)]
    password = world.machine.nv_password
    keys = (
        kdfa(SHA256, password + parts[0], b"ATH", nonces[0], parts[2], 256),
        kdfa(SHA256, parts[3], b"ATH", nonces[1], parts[5], 256),
    )
    secrets = {
        "seed": SECRET[:32],
        "sealed data": SECRET,
        "password": password,
        "salt A": parts[0],
        "salt P": parts[3],
        "session key A": keys[0],
        "session key P": keys[1],
    }
    assert nonces[0] in traffic  # the search finds what is there
    return [name for name, value in secrets.items() if value in traffic]


def listened_unsalted(world: World, patch: MonkeyPatch) -> str:
    without_salt(patch)
    verdict, relay = run(world, "C")
    assert verdict.secret == SECRET
    return "seed" if relay.outcomes == [SECRET] else "something else"


def no_password_in_policy(world: World, _: MonkeyPatch) -> str:
    digest = hashlib.sha256(PCR6).digest()
    policy = hash_of(SHA256, bytes(32), b"\0\0\1\x7f", PCR6_ONLY, digest)
    sealed = seal(world.machine.storage_key_public, policy=policy)
    return unsealed(run(world, "A1", sealed)[1].outcomes[-1])


def object_by_password(world: World, _: MonkeyPatch) -> str:
    sealed = seal(world.machine.storage_key_public, attributes=0x400)
    return result(run(world, "A7", sealed)[1].outcomes[-1])


def unsalted(world: World, patch: MonkeyPatch) -> str:
    without_salt(patch)
    return unsealed(run(world, "B1")[1].outcomes[-1])


def twice(name: str) -> Row:
    """The ultravisor's own command succeeds, its repetition does not."""

    def row(world: World, _: MonkeyPatch) -> str:
        verdict, relay = run(world, name)
        assert verdict.secret == SECRET
        return result(relay.outcomes[-1])

    return row


def own_slot(world: World, _: MonkeyPatch) -> str:
    verdict, _relay = run(world, "D6")
    assert verdict.secret == OWN_DATA
    return "other data, HMAC of the operand then fails"


def unproven(name: str, attempts: int, world: World, patch: MonkeyPatch) -> str:
    without_proof(patch)
    return unsealed(run(world, name, attempts=attempts)[1].outcomes[-1])


def any_nonce(world: World, patch: MonkeyPatch) -> str:
    patched_secret(patch, nonce_tpm=b"")
    return unsealed(run(world, "E5", attempts=3)[1].outcomes[-1])


def with_ticket(world: World, patch: MonkeyPatch) -> str:
    patched_secret(patch, expiration=-3600)
    return unsealed(run(world, "F1")[1].outcomes[-1])


def moved_on(world: World, _: MonkeyPatch) -> str:
    verdict, _relay = run(world, "G2")
    assert verdict.failure is not None
    assert verdict.failure.step == 6
    return verdict_of(verdict)


OWN: Final = [*(f"A{number}" for number in range(1, 12)), "B1", "B2", "B3"]
OWN_LATER: Final = ["D1", "F1", "L1"]
REFUSED: Final = ["B5", "D2", "D4", "D5", "E2", "E3", "E4", "E6", "E8", "E9"]
FLIPPED: Final = ["ReadPublic", "PolicySecret", "Import", "Load", "Unseal"]
SLOT_ROWS: Final[dict[str, Row]] = {
    "honest": honest,
    "C": listened,
    "C-weak": listened_unsalted,
    "A-weak": no_password_in_policy,
    "A7-400": object_by_password,
    "B-weak": unsalted,
    "B4": twice("B4"),
    "D6": own_slot,
    "E-weak": partial(unproven, "E1", 2),
    "E1": refused("E1", 2),
    "E-weak2": partial(unproven, "E10", 3),
    "E10": refused("E10", 3),
    "E5-weak": any_nonce,
    "E5": refused("E5", 3),
    "E7": twice("E7"),
    "F-weak": with_ticket,
    "G2": moved_on,
    **{name: outcome(name) for name in OWN + OWN_LATER},
    **{name: refused(name) for name in REFUSED},
    **{f"D3-{name}": refused(f"D3-{name}") for name in FLIPPED},
}
