"""Opening a kind-1 slot: the recorded traffic, every answer broken, no secret shown."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from pefstack.firmware.ultravisor import tpm_client
from pefstack.firmware.ultravisor.conversation import TpmCommand, Verdict
from pefstack.firmware.ultravisor.sealed_object import SealedObject
from pefstack.firmware.ultravisor.tpm_client import SlotState
from pefstack.images.uv_tpm import UvTpm
from tpm_client_kit import two_b

FOLDER: Final = Path(__file__).parents[1] / "vectors" / "esm" / "v2"
RECORDED: Final[Any] = json.loads((FOLDER / "unseal-traffic.json").read_text())
TRAFFIC: Final = [
    tuple(bytes.fromhex(each[key]) for key in ("request", "response"))
    for each in RECORDED["traffic"]
]
SALT_AT: Final = {1: 54, 2: 54}  # encryptedSalt of StartAuthSession, 256 bytes


def raw(*path: str) -> bytes:
    value: Any = RECORDED
    for key in path:
        value = value[key]
    return bytes.fromhex(value)


def two_bs(body: bytes, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        size = int.from_bytes(body[:2], "big")
        found.append(body[2 : 2 + size])
        body = body[2 + size :]
    return found


def machine(**changes: Any) -> UvTpm:
    whole = UvTpm(
        wrapping_key_handle=0x81800001,
        wrapping_key_password=b"w" * 16,
        wrapping_key_name=bytes(34),
        wrapping_key_policy_a=bytes(32),
        wrapping_key_policy_b=bytes(32),
        storage_key_handle=0x81800002,
        storage_key_public=raw("storage_key"),
        storage_key_name=raw("storage_key_name"),
        nv_index=0x01C101A0,
        nv_password=raw("password"),
    )
    return replace(whole, **changes)


def sealed() -> SealedObject:
    """From the recorded Import: behind the sessions, empty key first."""
    request = TRAFFIC[5][0]
    at = 18 + int.from_bytes(request[14:18], "big")
    _, public, duplicate, seed = two_bs(request[at:], 4)
    return SealedObject(public=public, duplicate=duplicate, seed=seed)


def randoms() -> bytes:
    parts = []
    for name in ("hmac_session", "policy_session"):
        parts += [raw(name, "salt"), b"o" * 32, raw(name, "nonce_caller")]
    for number in (2, 3, 5, 6, 8, 9, 11):
        request = TRAFFIC[number][0]
        area = request.index(b"\0\0\0\x49", 10) + 4
        parts.append(request[area + 6 : area + 38])
    return b"".join(parts)


def begin(**changes: Any) -> SlotState:
    return tpm_client.begin(machine(**changes), sealed(), randoms())


def play(
    state: SlotState, answers: dict[int, bytes] | None = None
) -> tuple[Verdict, list[bytes]]:
    """Answer as recorded, but for some steps; the verdict, and what was asked."""
    given = {number: each[1] for number, each in enumerate(TRAFFIC, 1)}
    given |= answers or {}
    asked: list[bytes] = []
    state, outcome = tpm_client.advance(state)
    while isinstance(outcome, TpmCommand):
        asked.append(outcome.command)
        assert tpm_client.advance(state) == (state, outcome)
        state, outcome = tpm_client.advance(state, given[state.step])
    return outcome, asked


def test_the_recorded_traffic_byte_for_byte() -> None:
    verdict, asked = play(begin())
    assert verdict.secret == raw("sealed_data")
    assert verdict.failure is None
    assert len(asked) == 15
    for number, (mine, (request, _)) in enumerate(zip(asked, TRAFFIC, strict=True), 1):
        if at := SALT_AT.get(number):
            mine = mine[:at] + request[at : at + 256] + mine[at + 256 :]
        assert mine == request, number
        assert len(mine) < 1024


@pytest.mark.parametrize("step", [1, 2, 3, 4, 6, 7, 9, 10, 12])
def test_each_flipped_bit_ends_the_slot_and_all_is_flushed(step: int) -> None:
    answer = TRAFFIC[step - 1][1]
    for at in range(0, len(answer), 7):
        broken = bytearray(answer)
        broken[at] ^= 0x10
        verdict, asked = play(begin(), {step: bytes(broken)})
        assert verdict.secret is None
        assert verdict.failure is not None
        flushed = [each[-4:] for each in asked if each[6:10] == b"\0\0\1\x65"]
        there = [b"\3\0\0\1"] * (step > 2) + [b"\2\0\0\0"] * (step > 1)
        assert flushed[-len(there) :] == there or not there


@pytest.mark.parametrize("step", range(1, 13))
def test_every_refusal_of_the_tpm_ends_the_slot(step: int) -> None:
    verdict, asked = play(begin(), {step: bytes.fromhex("80010000000a000009a2")})
    if step in (5, 8, 11):  # PolicyPCR: its answer proves nothing
        assert verdict.secret == raw("sealed_data")
        return
    assert verdict.secret is None
    assert verdict.failure is not None
    assert (verdict.failure.step, verdict.failure.rc) == (step, 0x9A2)
    assert len(asked) == step + (step > 9) + (step > 1) + (step > 2)


@pytest.mark.parametrize("step", range(1, 13))
def test_whatever_bytes_come_nothing_but_a_verdict(step: int) -> None:
    answer = TRAFFIC[step - 1][1]
    short = [answer[:size] for size in range(0, len(answer), 5)]
    lying = [
        each[:2] + len(each).to_bytes(4, "big") + each[6:]
        for each in short
        if len(each) > 9
    ]
    for each in (*short, *lying, b"\xff" * 5000):
        verdict, _ = play(begin(), {step: each})
        if step not in (5, 8, 11):
            assert verdict.secret is None


def test_answers_to_flush_are_not_looked_at() -> None:
    noise = dict.fromkeys((13, 14, 15), b"noise")
    verdict, _ = play(begin(), noise)
    assert verdict.secret == raw("sealed_data")


def test_an_unproven_object_is_flushed_and_no_other_handle() -> None:
    load = bytearray(TRAFFIC[8][1])
    load[-1] ^= 1
    _, asked = play(begin(), {9: bytes(load)})
    assert asked[-3] == TRAFFIC[12][0]
    load[10:14] = b"\x81\x80\0\2"  # the storage key
    _, asked = play(begin(), {9: bytes(load)})
    assert asked[-2:] == [TRAFFIC[13][0], TRAFFIC[14][0]]
    assert len(asked) == 11


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"storage_key_name": bytes(34)}, "Name"),
        ({"storage_key_public": b"\1" * 314}, "public"),
        ({"storage_key_public": raw("storage_key")[:-1] + b"\1"}, "Name"),
    ],
)
def test_another_key_gets_no_salt(changes: dict[str, Any], text: str) -> None:
    verdict, asked = play(begin(**changes))
    assert asked == []
    assert verdict.failure is not None
    assert (verdict.failure.step, verdict.failure.rc) == (0, 0)
    assert text in verdict.failure.reason


def test_the_key_must_be_rsa_2048() -> None:
    public = raw("storage_key")
    small = public[:50] + b"\x04\0" + public[52:56] + b"\0\x80" + b"\xc1" * 128
    name = b"\0\x0b" + sha256(small).digest()
    verdict, asked = play(begin(storage_key_public=small, storage_key_name=name))
    assert asked == []
    assert verdict.failure is not None
    assert "RSA-2048" in verdict.failure.reason


def test_another_password_or_other_randomness_fits_no_answer() -> None:
    verdict, _ = play(begin(nv_password=b"p" * 16))
    assert verdict.failure is not None
    assert verdict.failure.step == 4
    state = tpm_client.begin(machine(), sealed(), bytes(416))
    verdict, _ = play(state)
    assert verdict.failure is not None
    assert verdict.failure.step == 3


def test_no_secret_is_printed() -> None:
    secrets = [raw("password"), raw("sealed_data"), randoms()[:32], randoms()[96:128]]
    secrets += [raw(each, "session_key") for each in ("hmac_session", "policy_session")]
    state, outcome = tpm_client.advance(begin())
    while isinstance(outcome, TpmCommand):
        text = repr(state)
        assert not any(each.hex() in text or repr(each) in text for each in secrets)
        assert not any(repr(each)[2:-1] in text for each in secrets)
        number = state.step
        state, outcome = tpm_client.advance(state, TRAFFIC[number - 1][1])
    assert not any(repr(each)[2:-1] in repr((state, outcome)) for each in secrets)


def test_a_state_can_be_kept_and_resumed() -> None:
    state, outcome = tpm_client.advance(begin())
    while isinstance(outcome, TpmCommand):
        state = pickle.loads(pickle.dumps(state))
        state, outcome = tpm_client.advance(state, TRAFFIC[state.step - 1][1])
    assert outcome.secret == raw("sealed_data")


def test_the_count_of_random_bytes() -> None:
    with pytest.raises(ValueError, match="416"):
        tpm_client.begin(machine(), sealed(), bytes(415))


def test_answers_with_other_attributes() -> None:
    """The attributes are in the HMAC; the message says what they are."""
    load = bytearray(TRAFFIC[8][1])
    load[-35] ^= 0x40
    verdict, _ = play(begin(), {9: bytes(load)})
    assert verdict.failure is not None
    assert "sessionAttributes" in verdict.failure.reason


@pytest.mark.parametrize("step", [1, 2])
def test_a_session_has_a_handle_of_its_type(step: int) -> None:
    answer = TRAFFIC[step - 1][1]
    for kind in (0, 1, 2, 3, 0x80, 0x81):
        verdict, _ = play(begin(), {step: answer[:10] + bytes((kind,)) + answer[11:]})
        if kind == step + 1:
            continue
        assert verdict.failure is not None
        assert verdict.failure.step == step
        assert "sessionHandle" in verdict.failure.reason


@pytest.mark.parametrize("step", [1, 2])
def test_a_first_nonce_has_32_bytes(step: int) -> None:
    answer = TRAFFIC[step - 1][1]
    for size in (0, 16, 31):
        short = answer[:14] + two_b(answer[16 : 16 + size])
        short = short[:2] + len(short).to_bytes(4, "big") + short[6:]
        verdict, _ = play(begin(), {step: short})
        assert verdict.failure is not None
        assert (verdict.failure.step, "nonceTPM" in verdict.failure.reason) == (
            step,
            True,
        )
