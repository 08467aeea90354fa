"""Opening a lockbox with the wrapping key: both profiles, every answer broken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pef_tpm_kit import MASTER_KEY, World, code, model, oaep, open_lockbox
from pefstack.firmware.ultravisor import lockbox_client
from tpm_kit import command

COMMANDS = [0x173, 0x176, 0x16C, 0x16B, 0x171, 0x159, 0x165]


def lockbox(world: World) -> bytes:
    raw = world.tpm.execute(command(0x173, handles=(0x81800001,)))
    return oaep(raw[12 : 12 + int.from_bytes(raw[10:12], "big")], MASTER_KEY)


@pytest.mark.parametrize("profile", ["real", "strict"])
@pytest.mark.parametrize("strict", [False, True])
def test_seven_commands(profile: str, strict: bool) -> None:
    world = model(profile)
    seen: list[bytes] = []

    def relay(raw: bytes) -> bytes:
        seen.append(raw)
        answer: bytes = world.tpm.execute(raw)
        return answer

    verdict = open_lockbox(relay, world.machine, lockbox(world), strict=strict)
    assert verdict.secret == MASTER_KEY
    assert [code(each) for each in seen] == COMMANDS
    key = (0x81800001 if strict else 0x40000007).to_bytes(4, "big")
    assert seen[1][10:14] == key


@pytest.mark.parametrize("step", range(1, 7))
@pytest.mark.parametrize("strict", [False, True])
def test_a_broken_answer_ends_it_and_the_session_is_flushed(
    step: int, strict: bool
) -> None:
    world = model()
    box = lockbox(world)
    for at in (0, 5, 9, 12, 20, -1):
        seen: list[bytes] = []

        def relay(raw: bytes, at: int = at, seen: list[bytes] = seen) -> bytes:
            seen.append(raw)
            answer = bytearray(world.tpm.execute(raw))
            if len(seen) == step and at < len(answer):
                answer[at] ^= 1
            return bytes(answer)

        verdict = open_lockbox(relay, world.machine, box, strict=strict)
        changed = step not in (3, 4, 5) or at in (0, 5, 9, -1)
        # ReadPublic: Name and qualified name behind the public area are not used
        if not (step == 1 and at == -1) and changed:
            assert verdict.secret is None, at
            assert verdict.failure is not None
        if step > 2 or len(seen) > 2:
            assert code(seen[-1]) == 0x165


def test_a_key_with_another_name_gets_nothing() -> None:
    world = model()
    box = lockbox(world)
    other = replace(world.machine, wrapping_key_name=b"\0\x0b" + bytes(32))
    seen: list[bytes] = []

    def relay(raw: bytes) -> bytes:
        seen.append(raw)
        answer: bytes = world.tpm.execute(raw)
        return answer

    verdict = open_lockbox(relay, other, box, strict=True)
    assert verdict.failure is not None
    assert "wrapping key: Name" in verdict.failure.reason
    assert len(seen) == 1


def test_a_lockbox_for_another_key_is_refused_by_the_tpm() -> None:
    world = model()
    box = oaep(world.machine.storage_key_public, MASTER_KEY)
    verdict = open_lockbox(world.tpm.execute, world.machine, box, strict=True)
    assert verdict.failure is not None
    assert (verdict.failure.step, verdict.failure.rc & 0x0BF) == (6, 0x084)


def test_secrets_are_not_printed_and_bytes_are_counted() -> None:
    world = model()
    random = b"R" * lockbox_client.RANDOM_BYTES
    state = lockbox_client.begin(world.machine, b"c" * 256, random, strict=True)
    assert "RRRR" not in repr(state)
    password = repr(world.machine.wrapping_key_password)[2:-1]
    assert password not in repr(state)
    with pytest.raises(ValueError, match="128"):
        lockbox_client.begin(world.machine, b"", random[1:], strict=True)
    assert lockbox_client.advance(state)[0] == state
