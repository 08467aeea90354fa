"""The wrapping key of real machines and its relays, as relay.json has them (V)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from _pytest.monkeypatch import MonkeyPatch

from pef_tpm_kit import MASTER_KEY, World, oaep, open_lockbox
from pefstack.firmware.hypervisor.relay.honest import Honest
from pefstack.firmware.hypervisor.relay.listening import heard
from pefstack.firmware.ultravisor.conversation import Verdict
from relay_kit import Row, relay_in, result, verdict_of
from tpm_kit import command, rc_of

WRAPPING: Final = 0x81800001


def lockbox(world: World) -> bytes:
    """The master key for the wrapping key."""
    raw = world.tpm.execute(command(0x173, handles=(WRAPPING,)))
    return oaep(raw[12 : 12 + int.from_bytes(raw[10:12], "big")], MASTER_KEY)


def use(
    world: World, name: str = "honest", *, strict: bool = False
) -> tuple[Verdict, Honest]:
    """The ultravisor opens a lockbox through a relay."""
    box, relay = lockbox(world), relay_in(world, name)
    return open_lockbox(relay.execute, world.machine, box, strict=strict), relay


def used(*, strict: bool) -> Row:
    def row(world: World, _: MonkeyPatch) -> str:
        verdict = use(world, strict=strict)[0]
        return "master key" if verdict.secret == MASTER_KEY else "nothing"

    return row


def wire(world: World, _: MonkeyPatch) -> list[bytes]:
    relay = use(world, "C")[1]
    traffic = b"|".join(relay.view)
    assert relay.seen[1].answer[16:48] in traffic  # the search finds what is there
    wanted = (MASTER_KEY, world.machine.wrapping_key_password)
    return [each for each in wanted if each in traffic]


def kept(world: World, *, strict: bool) -> str:
    """Recorded traffic, opened by somebody who learns the password later."""
    relay = use(world, strict=strict)[1]
    clear = heard(relay.seen[5], world.machine.wrapping_key_password)
    return "master key" if clear == MASTER_KEY else "nothing"


def later(world: World, _: MonkeyPatch) -> str:
    return kept(world, strict=False)


def guess(world: World, _: MonkeyPatch) -> str:
    guessed = b"guessed password"
    world.machine = replace(world.machine, wrapping_key_password=guessed)
    return verdict_of(use(world)[0])


def change(world: World, _: MonkeyPatch) -> str:
    """The relay changes the password under branch B, and decrypts itself."""
    raw = use(world, "V-change")[1].outcomes[-1]
    found = raw[16 : 16 + int.from_bytes(raw[14:16], "big")]
    return "master key" if rc_of(raw) == 0 and found == MASTER_KEY else result(raw)


LOCKBOX_ROWS: Final[dict[str, Row]] = {
    f"V-{profile}-{name}": row
    for profile in ("published", "strict")
    for name, row in {
        "real": used(strict=False),
        "wire": wire,
        "later": later,
        "salt": used(strict=True),
        "guess": guess,
        "change": change,
    }.items()
}
