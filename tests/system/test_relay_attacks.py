"""The hostile relay: each attack of relay.json, with a defence left out and with it.

The attacker's code has its own commands, sessions and formulas; it shares nothing with
the ultravisor's client. The results are those that were recorded with swtpm.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from _pytest.monkeypatch import MonkeyPatch

from pef_tpm_kit import (
    MASTER_KEY,
    NV_NAME,
    PCR6,
    POLICY,
    SECRET,
    Recorder,
    World,
    code,
    first_boots,
    link,
    model,
    oaep,
    open_lockbox,
    open_slot,
    own_session,
    policy_secret,
    restart,
    seal,
)
from pefstack.firmware import tpm_prepare
from pefstack.firmware.ultravisor import tpm_client
from pefstack.firmware.ultravisor.conversation import Step, Verdict
from pefstack.hw.entropy import Entropy
from pefstack.hw.tpm import client_calls
from pefstack.tools.tpm_backends.swtpm import SwtpmTpm
from swtpm_kit import swtpm
from tpm_client_kit import ClientSession, hash_of, kdfa, two_b
from tpm_kit import NULL, PLATFORM, PW, command, extend, rc_of, selections, session

VECTORS: Final = Path(__file__).parents[1] / "vectors" / "esm" / "v2" / "relay.json"
RECORDED: Final[dict[str, Any]] = {
    each["id"]: each["result"] for each in json.loads(VECTORS.read_text())["results"]
}
NV, STORAGE, PARENT, WRAPPING = 0x01C101A0, 0x81800002, 0x81800000, 0x81800001
SHA256, RETRY = 0x000B, 0x922
PCR6_ONLY: Final = selections((SHA256, "400000"))
Attack = Callable[[World, MonkeyPatch], Any]
Hook = Callable[[bytes], bytes]
ATTACKS: Final[dict[str, Attack]] = {}


def attack(name: str) -> Callable[[Attack], Attack]:
    def put(function: Attack) -> Attack:
        ATTACKS[name] = function
        return function

    return put


# what the relay can do


class Relay:
    """Between ultravisor and TPM; a hook may stand in for a command by its number."""

    def __init__(self, world: World, hooks: dict[int, Hook] | None = None) -> None:
        self.tpm = world.tpm
        self.hooks = {} if hooks is None else hooks
        self.by_code: dict[int, Hook] = {}
        self.number = 0
        self.seen: list[tuple[bytes, bytes]] = []

    def __call__(self, raw: bytes) -> bytes:
        self.number += 1
        hook = self.hooks.get(self.number) or self.by_code.get(code(raw))
        answer = hook(raw) if hook else self.tpm.execute(raw)
        self.seen.append((raw, answer))
        return answer

    def answer(self, number: int) -> bytes:
        return self.seen[number - 1][1]


def run(
    world: World, hooks: dict[int, Hook] | None = None, **changes: Any
) -> tuple[Verdict, Relay]:
    """The ultravisor opens a slot through a relay with these hooks."""
    relay = Relay(world, hooks)
    machine = replace(world.machine, **changes.pop("machine", {}))
    sealed = changes.pop("sealed", None) or seal(machine.storage_key_public)
    return open_slot(relay, machine, sealed, **changes), relay


def at(world: World, number: int, act: Callable[[Relay], str], **changes: Any) -> str:
    """What the relay gets when it acts before it passes a command on."""
    found: list[str] = []
    relays: list[Relay] = []

    def hook(raw: bytes) -> bytes:
        found.append(act(relays[0]))
        answer: bytes = world.tpm.execute(raw)
        return answer

    relay = Relay(world, {number: hook})
    relays.append(relay)
    sealed = changes.pop("sealed", None) or seal(world.machine.storage_key_public)
    open_slot(relay, world.machine, sealed)
    return found[0]


def result(raw: bytes) -> str:
    rc = rc_of(raw)
    return f"0x{rc:X}" if rc else "rc 0"


def unsealed(raw: bytes) -> str:
    """What an answer of Unseal has in clear."""
    if rc_of(raw):
        return result(raw)
    size = int.from_bytes(raw[14:16], "big")
    return "seed" if raw[16 : 16 + size] == SECRET else "something else"


def verdict_of(verdict: Verdict) -> str:
    if verdict.secret == SECRET:
        return "sealed data"
    assert verdict.failure is not None
    if verdict.failure.rc:
        return f"0x{verdict.failure.rc:X}"
    kind = "response HMAC wrong" if "hmac" in verdict.failure.reason else "?"
    kind = "storage key Name" if "storage key: Name" in verdict.failure.reason else kind
    return f"ultravisor refuses: {kind}"


def policy_pcr(tpm: Any, handle: int) -> None:
    raw = tpm.execute(command(0x17F, two_b(b"") + PCR6_ONLY, handles=(handle,)))
    assert rc_of(raw) == 0


def by_policy(
    tpm: Any,
    number: int,
    handles: tuple[int, ...],
    policy: int,
    params: bytes = b"",
    hmac: bytes = b"",
) -> bytes:
    """A command with a policy session, as it stands."""
    area = session(policy, bytes(16), 1, hmac)
    answer: bytes = tpm.execute(command(number, params, handles=handles, area=area))
    return answer


def by_password(
    tpm: Any, number: int, handles: tuple[int, ...], params: bytes = b""
) -> bytes:
    """A command with the empty authValue; a TPM in its self-test is asked again."""
    raw = command(number, params, handles=handles, area=session(PW))
    answer: bytes = tpm.execute(raw)
    return tpm.execute(raw) if rc_of(answer) == RETRY else answer


def flush(tpm: Any, handle: int) -> None:
    tpm.execute(command(0x165, handle.to_bytes(4, "big")))


def pcr_session(tpm: Any) -> int:
    """An own session with PolicyPCR(6)."""
    handle = own_session(tpm).handle
    policy_pcr(tpm, handle)
    return handle


def import_params(world: World) -> bytes:
    sealed = seal(world.machine.storage_key_public)
    parts = (b"", sealed.public, sealed.duplicate, sealed.seed)
    return b"".join(two_b(each) for each in parts) + b"\0\x10"


def load_params(world: World, private: bytes) -> bytes:
    return private + two_b(seal(world.machine.storage_key_public).public)


def private_of(raw: bytes) -> bytes:
    """The TPM2B_PRIVATE that Import answers."""
    return raw[14 : 16 + int.from_bytes(raw[14:16], "big")]


def loaded(relay: Relay) -> int:
    return int.from_bytes(relay.answer(9)[10:14], "big")


def p_handle(relay: Relay) -> int:
    return int.from_bytes(relay.answer(2)[10:14], "big")


def own_object(world: World) -> int:
    """An object of the relay under the same policy, below a parent of its own."""
    tpm = world.tpm
    template = bytes.fromhex("0023000b00030072000000060080004300100003001000000000")
    params = two_b(bytes(4)) + two_b(template) + two_b(b"") + bytes(4)
    raw = by_password(tpm, 0x131, (0x40000001,), params)
    assert rc_of(raw) == 0, result(raw)
    parent = int.from_bytes(raw[10:14], "big")
    public = bytes.fromhex("0008000b00000492") + two_b(POLICY) + b"\0\x10\0\0"
    params = two_b(two_b(b"") + two_b(b"of the relay")) + two_b(public)
    raw = by_password(tpm, 0x153, (parent,), params + two_b(b"") + bytes(4))
    assert rc_of(raw) == 0, result(raw)
    private = raw[14 : 16 + int.from_bytes(raw[14:16], "big")]
    rest = raw[14 + len(private) :]
    public = rest[: 2 + int.from_bytes(rest[:2], "big")]
    raw = by_password(tpm, 0x157, (parent,), private + public)
    assert rc_of(raw) == 0, result(raw)
    flush(tpm, parent)
    return int.from_bytes(raw[10:14], "big")


# defences left out


def without_salt(patch: MonkeyPatch) -> None:
    patch.setattr(tpm_client, "_salt", lambda *_: (NULL, b"", b""))


def without_proof(patch: MonkeyPatch) -> None:
    step: Step[Any] = Step(lambda _: None, lambda state, _: state)
    patch.setitem(tpm_client.SCRIPT.steps, 3, step)


def patched_secret(patch: MonkeyPatch, **changes: Any) -> None:
    """PolicySecret without the nonce, or with an expiration."""
    real = client_calls.policy_secret

    def secret(entity: Any, handle: int, nonce: bytes, expiration: int = 0) -> Any:
        given: dict[str, Any] = {"nonce_tpm": nonce, "expiration": expiration} | changes
        return real(entity, handle, **given)

    patch.setattr(client_calls, "policy_secret", secret)


# the attacks


@attack("honest")
def _(world: World, _: MonkeyPatch) -> str:
    return verdict_of(run(world)[0])


@attack("C")
def _(world: World, _: MonkeyPatch) -> list[str]:
    verdict, relay = run(world)
    assert verdict.secret == SECRET
    traffic = b"|".join(part for each in relay.seen for part in each)
    drawn = Entropy("uv", "ultravisor").random_bytes(tpm_client.RANDOM_BYTES)
    parts = [drawn[at : at + 32] for at in range(0, len(drawn), 32)]
    salts = parts[0], parts[3]
    nonces = relay.answer(1)[16:48], relay.answer(2)[16:48]
    keys = (
        kdfa(
            SHA256,
            world.machine.nv_password + salts[0],
            b"ATH",
            nonces[0],
            parts[2],
            256,
        ),
        kdfa(SHA256, salts[1], b"ATH", nonces[1], parts[5], 256),
    )
    secrets = {
        "seed": SECRET[:32],
        "sealed data": SECRET,
        "password": world.machine.nv_password,
        "salt A": salts[0],
        "salt P": salts[1],
        "session key A": keys[0],
        "session key P": keys[1],
    }
    assert nonces[0] in traffic  # the search finds what is there
    return [name for name, value in secrets.items() if value in traffic]


@attack("C-weak")
def _(world: World, patch: MonkeyPatch) -> str:
    without_salt(patch)
    verdict, relay = run(world)
    assert verdict.secret == SECRET
    request, answer = relay.seen[11]
    size = int.from_bytes(answer[14:16], "big")
    at = 16 + size
    nonce_tpm, nonce_caller = answer[at + 2 : at + 34], request[24:56]
    listener = ClientSession(0, SHA256, b"", b"")
    clear = listener.crypt(answer[16:at], nonce_tpm, nonce_caller, decrypt=True)
    return "seed" if clear == SECRET else "something else"


@attack("A-weak")
def _(world: World, _: MonkeyPatch) -> str:
    policy = hash_of(
        SHA256, bytes(32), b"\0\0\1\x7f", PCR6_ONLY, hashlib.sha256(PCR6).digest()
    )
    sealed = seal(world.machine.storage_key_public, policy=policy)
    return at(world, 10, partial(a1, world), sealed=sealed)


def a1(world: World, relay: Relay) -> str:
    own = pcr_session(world.tpm)
    return unsealed(by_policy(world.tpm, 0x15E, (loaded(relay),), own))


@attack("A1")
def _(world: World, _: MonkeyPatch) -> str:
    return at(world, 10, partial(a1, world))


def secret_with(world: World, password: bytes, _: Relay) -> str:
    handle = own_session(world.tpm).handle
    return result(policy_secret(world.tpm, handle, password))


@attack("A2")
def _(world: World, _: MonkeyPatch) -> str:
    return at(world, 10, partial(secret_with, world, b"guessed password"))


@attack("A3")
def _(world: World, _: MonkeyPatch) -> str:
    assert world.before.nv_password != world.machine.nv_password
    return at(world, 10, partial(secret_with, world, world.before.nv_password))


def simply(
    number: int, *more: int, params: bytes = b"", by_pcr: bool = False
) -> Attack:
    """A command of the relay on the loaded object."""

    def act(world: World, relay: Relay) -> str:
        handles = (loaded(relay), *more)
        if by_pcr:
            own = pcr_session(world.tpm)
            return result(by_policy(world.tpm, number, handles, own, params))
        return result(by_password(world.tpm, number, handles, params))

    def whole(world: World, _: MonkeyPatch) -> str:
        return at(world, 10, partial(act, world))

    return whole


NEW_AUTH: Final = two_b(b"of the relay")
TO_NOBODY: Final = two_b(b"") + b"\0\x10"
ATTACKS.update(
    {
        "A4": simply(0x15E),
        "A7": simply(0x150, STORAGE, params=NEW_AUTH),
        "A8": simply(0x14B, NULL, params=TO_NOBODY, by_pcr=True),
        "A9": simply(0x14B, NULL, params=TO_NOBODY),
    }
)


@attack("A5")
def _(world: World, _: MonkeyPatch) -> str:
    own = pcr_session(world.tpm)
    params = import_params(world)
    return result(by_policy(world.tpm, 0x156, (STORAGE,), own, params))


@attack("A6")
def _(world: World, _: MonkeyPatch) -> str:
    return result(by_password(world.tpm, 0x156, (STORAGE,), import_params(world)))


@attack("A7-400")
def _(world: World, _: MonkeyPatch) -> str:
    sealed = seal(world.machine.storage_key_public, attributes=0x400)

    def act(relay: Relay) -> str:
        handles = (loaded(relay), STORAGE)
        return result(by_password(world.tpm, 0x150, handles, NEW_AUTH))

    return at(world, 10, act, sealed=sealed)


@attack("A10")
def _(world: World, _: MonkeyPatch) -> str:
    handles = (STORAGE, PLATFORM)
    return result(by_password(world.tpm, 0x150, handles, NEW_AUTH))


@attack("A11")
def _(world: World, _: MonkeyPatch) -> str:
    return result(by_password(world.tpm, 0x122, (PLATFORM, NV)))


def unseal_with_p(world: World, hmac: bytes, relay: Relay) -> str:
    handles = (loaded(relay),)
    return unsealed(by_policy(world.tpm, 0x15E, handles, p_handle(relay), hmac=hmac))


@attack("B-weak")
def _(world: World, patch: MonkeyPatch) -> str:
    without_salt(patch)
    return at(world, 12, partial(unseal_with_p, world, b""))


@attack("B1")
def _(world: World, _: MonkeyPatch) -> str:
    return at(world, 12, partial(unseal_with_p, world, b""))


@attack("B2")
def _(world: World, _: MonkeyPatch) -> str:
    return at(world, 12, partial(unseal_with_p, world, b"\x5c" * 32))


@attack("B3")
def _(world: World, _: MonkeyPatch) -> str:
    def act(relay: Relay) -> str:
        params = load_params(world, private_of(relay.answer(6)))
        return result(by_policy(world.tpm, 0x157, (STORAGE,), p_handle(relay), params))

    return at(world, 9, act)


def twice(world: World, number: int) -> str:
    second: list[str] = []

    def hook(raw: bytes) -> bytes:
        answer: bytes = world.tpm.execute(raw)
        second.append(result(world.tpm.execute(raw)))
        return answer

    verdict, _relay = run(world, {number: hook})
    assert verdict.secret == SECRET
    return second[0]


def changed(world: World, number: int, where: int, value: bytes) -> str:
    """The ultravisor's command with some bytes replaced; what the TPM answers."""

    def hook(raw: bytes) -> bytes:
        answer: bytes = world.tpm.execute(
            raw[:where] + value + raw[where + len(value) :]
        )
        return answer

    verdict, relay = run(world, {number: hook})
    assert verdict.secret is None
    return result(relay.answer(number))


@attack("B4")
def _(world: World, _: MonkeyPatch) -> str:
    return twice(world, 12)


@attack("B5")
def _(world: World, _: MonkeyPatch) -> str:
    return changed(world, 12, 56, b"\1")


@attack("D1")
def _(world: World, _: MonkeyPatch) -> str:
    mine: list[int] = []

    def before(raw: bytes) -> bytes:
        mine.append(own_object(world))
        answer: bytes = world.tpm.execute(raw)
        return answer

    def redirect(raw: bytes) -> bytes:
        answer: bytes = world.tpm.execute(
            raw[:10] + mine[0].to_bytes(4, "big") + raw[14:]
        )
        return answer

    relay = run(world, {10: before, 12: redirect})[1]
    return result(relay.answer(12))


@attack("D2")
def _(world: World, _: MonkeyPatch) -> str:
    def instead(raw: bytes) -> bytes:
        answer = world.tpm.execute(raw)
        assert rc_of(answer) == 0
        mine: bytes = own_object(world).to_bytes(4, "big")
        return bytes(answer[:10] + mine + answer[14:])

    verdict, relay = run(world, {9: instead})
    assert verdict.secret is None
    return result(relay.answer(12))


def flipped(number: int) -> Attack:
    def whole(world: World, _: MonkeyPatch) -> str:
        def hook(raw: bytes) -> bytes:
            answer = bytearray(world.tpm.execute(raw))
            answer[20] ^= 1  # in the parameters
            return bytes(answer)

        return verdict_of(run(world, {number: hook})[0])

    return whole


ATTACKS.update(
    {
        "D3-ReadPublic": flipped(3),
        "D3-PolicySecret": flipped(4),
        "D3-Import": flipped(6),
        "D3-Load": flipped(9),
        "D3-Unseal": flipped(12),
    }
)


@attack("D4")
def _(world: World, _: MonkeyPatch) -> str:
    return verdict_of(
        run(world, {5: lambda _: bytes.fromhex("80010000000a00000000")})[0]
    )


@attack("D5")
def _(world: World, _: MonkeyPatch) -> str:
    def hook(raw: bytes) -> bytes:
        answer: bytes = world.tpm.execute(raw[:-3] + b"\x80\0\0")
        return answer

    return verdict_of(run(world, {5: hook})[0])


@attack("D6")
def _(world: World, _: MonkeyPatch) -> str:
    sealed = seal(world.machine.storage_key_public, b"of the relay".ljust(40))
    verdict, _relay = run(world, sealed=sealed)
    assert verdict.secret == b"of the relay".ljust(40)
    return "other data, HMAC of the operand then fails"


def authorized(relay: Relay) -> int:
    """The session that the ultravisor authorized last: of its last PolicyPCR."""
    last = [raw for raw, _ in relay.seen if code(raw) == 0x17F][-1]
    return int.from_bytes(last[10:14], "big")


def three_attempts(
    world: World, own: Callable[[Relay, bytes], bytes], step: int
) -> str:
    """Each attempt authorizes a session of the relay, which uses it for one command.

    ``own`` makes it out of the command with number ``step``, and gives what the
    ultravisor gets as the answer.
    """
    tpm = world.tpm
    stages: list[str] = []
    private, handle = b"", 0
    for stage in ("import", "load", "unseal"):
        hooks: dict[int, Hook] = {}
        relay = Relay(world, hooks)
        hooks[step] = partial(own, relay)

        def use(raw: bytes, stage: str = stage, relay: Relay = relay) -> bytes:
            nonlocal private, handle
            handles = (handle,) if stage == "unseal" else (STORAGE,)
            number = {"import": 0x156, "load": 0x157, "unseal": 0x15E}[stage]
            params = b""
            if stage == "import":
                params = import_params(world)
            elif stage == "load":
                params = load_params(world, private)
            session_handle = authorized(relay)
            mine = by_policy(tpm, number, handles, session_handle, params)
            stages.append(unsealed(mine) if stage == "unseal" else result(mine))
            if stage == "import" and not rc_of(mine):
                private = private_of(mine)
            if stage == "load" and not rc_of(mine):
                handle = int.from_bytes(mine[10:14], "big")
            answer: bytes = tpm.execute(raw)
            return answer

        relay.by_code[0x156] = use
        sealed = seal(world.machine.storage_key_public)
        verdict = open_slot(relay, world.machine, sealed)
        if not stages:
            return verdict_of(verdict)
    return stages[-1]


def substituted(world: World, relay: Relay, _: bytes) -> bytes:
    """Answers the second StartAuthSession with a session of the relay."""
    params = two_b(bytes(32)) + two_b(b"") + b"\1" + bytes.fromhex("000600800043000b")
    answer: bytes = world.tpm.execute(command(0x176, params, handles=(NULL, NULL)))
    assert rc_of(answer) == 0
    return answer


def substituted_salted(world: World, relay: Relay, _: bytes) -> bytes:
    """The same, salted with a salt of the relay's own."""
    hidden = oaep(world.machine.storage_key_public, b"\x77" * 32, b"SECRET\0")
    params = two_b(bytes(32)) + two_b(hidden) + b"\1"
    params += bytes.fromhex("000600800043000b")
    answer: bytes = world.tpm.execute(command(0x176, params, handles=(STORAGE, NULL)))
    assert rc_of(answer) == 0
    return answer


@attack("E-weak2")
def _(world: World, patch: MonkeyPatch) -> str:
    without_proof(patch)
    return three_attempts(world, partial(substituted, world), 2)


@attack("E10")
def _(world: World, _: MonkeyPatch) -> str:
    return three_attempts(world, partial(substituted, world), 2)


def forwarded(world: World, hook: Callable[[World, Relay, bytes], bytes]) -> str:
    """The substitution alone; what ReadPublic is answered with."""
    hooks: dict[int, Hook] = {}
    relay = Relay(world, hooks)
    hooks[2] = partial(hook, world, relay)
    verdict = open_slot(relay, world.machine, seal(world.machine.storage_key_public))
    assert verdict.secret is None
    return result(relay.answer(3))


@attack("E-weak")
def _(world: World, patch: MonkeyPatch) -> str:
    """The object of an honest attempt stays loaded: its flush is swallowed."""
    without_proof(patch)
    first = Relay(world)
    first.by_code[0x165] = lambda _: bytes.fromhex("80010000000a00000000")
    sealed = seal(world.machine.storage_key_public)
    assert open_slot(first, world.machine, sealed).secret == SECRET
    handle = int.from_bytes(first.answer(8)[10:14], "big")
    for each in (p_handle(first), int.from_bytes(first.answer(1)[10:14], "big")):
        flush(world.tpm, each)
    got: list[str] = []
    hooks: dict[int, Hook] = {}
    relay = Relay(world, hooks)
    hooks[2] = partial(substituted, world, relay)

    def use(raw: bytes) -> bytes:
        got.append(unsealed(by_policy(world.tpm, 0x15E, (handle,), authorized(relay))))
        answer: bytes = world.tpm.execute(raw)
        return answer

    relay.by_code[0x156] = use
    open_slot(relay, world.machine, sealed)
    return got[0]


@attack("E1")
def _(world: World, _: MonkeyPatch) -> str:
    return forwarded(world, substituted)


@attack("E2")
def _(world: World, _: MonkeyPatch) -> str:
    return forwarded(world, substituted_salted)


@attack("E3")
def _(world: World, _: MonkeyPatch) -> str:
    return forwarded(world, substituted)


@attack("E9")
def _(world: World, _: MonkeyPatch) -> str:
    def hook(_: bytes) -> bytes:
        params = two_b(bytes(32)) + two_b(b"") + b"\0"
        params += bytes.fromhex("000600800043000b")
        answer: bytes = world.tpm.execute(command(0x176, params, handles=(NULL, NULL)))
        return answer

    verdict, relay = run(world, {1: hook})
    assert verdict.secret is None
    return result(relay.answer(4))


@attack("E4")
def _(world: World, _: MonkeyPatch) -> str:
    """The relay knows what ReadPublic answers; it cannot make the HMAC."""

    def hook(raw: bytes) -> bytes:
        key = world.machine.storage_key_public
        body = two_b(key) + two_b(world.machine.storage_key_name) + two_b(bytes(34))
        tail = two_b(b"\x11" * 32) + b"\x41" + two_b(b"\x22" * 32)
        parts = len(body).to_bytes(4, "big") + body + tail
        head = b"\x80\2" + (10 + len(parts)).to_bytes(4, "big") + bytes(4)
        return head + parts

    hooks: dict[int, Hook] = {3: hook}
    relay = Relay(world, hooks)
    hooks[2] = partial(substituted, world, relay)
    sealed = seal(world.machine.storage_key_public)
    return verdict_of(open_slot(relay, world.machine, sealed))


def replaced(world: World, relay: Relay, raw: bytes) -> bytes:
    """Flushes P and starts a session that gets the same handle."""
    flush(world.tpm, p_handle(relay))
    own = own_session(world.tpm)
    assert own.handle == p_handle(relay)
    answer: bytes = world.tpm.execute(raw)
    return answer


@attack("E5-weak")
def _(world: World, patch: MonkeyPatch) -> str:
    patched_secret(patch, nonce_tpm=b"")
    return three_attempts(world, partial(replaced, world), 4)


@attack("E5")
def _(world: World, _: MonkeyPatch) -> str:
    return three_attempts(world, partial(replaced, world), 4)


@attack("E6")
def _(world: World, _: MonkeyPatch) -> str:
    own = own_session(world.tpm).handle
    return changed(world, 4, 14, own.to_bytes(4, "big"))


@attack("E7")
def _(world: World, _: MonkeyPatch) -> str:
    return twice(world, 4)


@attack("E8")
def _(world: World, _: MonkeyPatch) -> str:
    other = world.machine.storage_key_public[:-256] + b"\xc3" * 256
    verdict, _relay = run(world, machine={"storage_key_public": other})
    return verdict_of(verdict)


def ticket(world: World, relay: Relay) -> str:
    """A policy session of the relay with the ticket of PolicySecret's answer."""
    raw = relay.answer(4)
    body = raw[14 : 14 + int.from_bytes(raw[10:14], "big")]
    timeout = body[: 2 + int.from_bytes(body[:2], "big")]
    own = own_session(world.tpm).handle
    params = timeout + two_b(b"") * 2 + two_b(NV_NAME) + body[len(timeout) :]
    answer = world.tpm.execute(command(0x172, params, handles=(own,)))
    if rc_of(answer):
        return result(answer)
    policy_pcr(world.tpm, own)
    return unsealed(by_policy(world.tpm, 0x15E, (loaded(relay),), own))


@attack("F-weak")
def _(world: World, patch: MonkeyPatch) -> str:
    patched_secret(patch, expiration=-3600)
    return at(world, 10, partial(ticket, world))


@attack("F1")
def _(world: World, _: MonkeyPatch) -> str:
    return at(world, 10, partial(ticket, world))


@attack("G1")
def _(world: World, _: MonkeyPatch) -> str:
    old = {"nv_password": world.before.nv_password}
    return verdict_of(run(world, machine=old)[0])


@attack("G2")
def _(world: World, _: MonkeyPatch) -> str:
    world.tpm.execute(extend(6, (SHA256, b"\1" * 32)))
    verdict, _relay = run(world)
    assert verdict.failure is not None
    assert verdict.failure.step == 6
    return verdict_of(verdict)


def index_change(world: World, recorder: Recorder, how: str) -> None:
    """OPAL's change of the index's password alone, after a power cycle."""
    restart(world.tpm)
    profile = tpm_prepare.Provision(profile=how)
    talk = link(recorder, "opal")
    hiding = tpm_prepare.hiding_session(talk, profile, world.machine.storage_key_public)
    password = world.machine.nv_password[::-1]
    tpm_prepare._change_nv(talk, profile, password, hiding)
    if hiding:
        talk.flush(hiding.handle)
    world.machine = replace(world.machine, nv_password=password)


def in_traffic(how: str) -> Attack:
    def whole(world: World, _: MonkeyPatch) -> str:
        recorder = Recorder(world.tpm)
        index_change(world, recorder, how)
        there = world.machine.nv_password in recorder.traffic
        return "in clear" if there else "not in the traffic"

    return whole


def opened_after(how: str) -> Attack:
    def whole(world: World, _: MonkeyPatch) -> str:
        index_change(world, Recorder(world.tpm), how)
        return verdict_of(run(world)[0])

    return whole


ATTACKS.update(
    {
        "O1-weak": in_traffic("real"),
        "O1-weak-use": opened_after("real"),
        "O3": in_traffic("strict"),
        "O3-use": opened_after("strict"),
    }
)


@attack("O2-weak")
def _(world: World, _: MonkeyPatch) -> str:
    """The policy session decrypts, by a client that takes the authValue for empty."""
    restart(world.tpm)
    params = two_b(bytes(32)) + two_b(b"") + b"\1" + bytes.fromhex("000600800043000b")
    raw = world.tpm.execute(command(0x176, params, handles=(NULL, NULL)))
    own = ClientSession(int.from_bytes(raw[10:14], "big"), SHA256, b"", raw[16:])
    world.tpm.execute(command(0x16C, b"\0\0\1\x3b", handles=(own.handle,)))
    assert rc_of(policy_secret(world.tpm, own.handle, b"", PLATFORM)) == 0
    password = b"password of OPAL"
    hidden = own.crypt(password, own.nonce_caller, own.nonce_tpm, decrypt=False)
    area = session(own.handle, own.nonce_caller, 0x21)
    raw = world.tpm.execute(command(0x13B, two_b(hidden), handles=(NV,), area=area))
    assert rc_of(raw) == 0
    return verdict_of(run(world, machine={"nv_password": password})[0])


@attack("L1")
def _(world: World, _: MonkeyPatch) -> str:
    """The limit: the TPM alone is reset, and the extends are replayed."""
    restart(world.tpm)
    tpm = world.tpm
    own = own_session(tpm)
    tpm.execute(command(0x16C, b"\0\0\1\x3b", handles=(own.handle,)))
    policy_secret(tpm, own.handle, b"", PLATFORM)
    assert rc_of(by_policy(tpm, 0x13B, (NV,), own.handle, NEW_AUTH)) == 0
    raw, handle = b"", 0
    for number in (0x156, 0x157, 0x15E):
        params = import_params(world) if number == 0x156 else b""
        if number == 0x157:
            params = load_params(world, private_of(raw))
        if number == 0x15E:
            handle = int.from_bytes(raw[10:14], "big")
        assert rc_of(policy_secret(tpm, own.handle, NEW_AUTH[2:])) == 0
        policy_pcr(tpm, own.handle)
        raw = by_policy(tpm, number, (handle or STORAGE,), own.handle, params)
    return unsealed(raw)


@attack("N1")
def _(world: World, _: MonkeyPatch) -> str:
    raw = world.tpm.execute(command(0x169, handles=(NV,)))
    return str(raw[-34:].hex())


# the wrapping key of real machines


def lockbox(world: World) -> bytes:
    raw = world.tpm.execute(command(0x173, handles=(WRAPPING,)))
    return oaep(raw[12 : 12 + int.from_bytes(raw[10:12], "big")], MASTER_KEY)


def use_v1(world: World, *, strict: bool) -> tuple[Verdict, Relay]:
    relay = Relay(world)
    return open_lockbox(relay, world.machine, lockbox(world), strict=strict), relay


def v_use(*, strict: bool) -> Attack:
    def whole(world: World, _: MonkeyPatch) -> str:
        verdict, _relay = use_v1(world, strict=strict)
        return "master key" if verdict.secret == MASTER_KEY else "nothing"

    return whole


def v_wire(world: World, _: MonkeyPatch) -> list[bytes]:
    relay = use_v1(world, strict=False)[1]
    traffic = b"|".join(part for each in relay.seen for part in each)
    wanted = (MASTER_KEY, world.machine.wrapping_key_password)
    return [each for each in wanted if each in traffic]


def kept(world: World, *, strict: bool) -> str:
    """Recorded traffic, opened by somebody who learns the password later."""
    _, relay = use_v1(world, strict=strict)
    request, answer = relay.seen[5]
    end = 16 + int.from_bytes(answer[14:16], "big")
    nonces = answer[end + 2 : end + 34], request[24:56]
    key = world.machine.wrapping_key_password
    listener = ClientSession(0, SHA256, b"", b"", entity_auth=key)
    clear = listener.crypt(answer[16:end], *nonces, decrypt=True)
    return "master key" if clear == MASTER_KEY else "nothing"


def v_later(world: World, _: MonkeyPatch) -> str:
    return kept(world, strict=False)


def v_guess(world: World, _: MonkeyPatch) -> str:
    box = lockbox(world)
    other = replace(world.machine, wrapping_key_password=b"guessed password")
    verdict = open_lockbox(Relay(world), other, box, strict=False)
    return verdict_of(verdict)


def v_change(world: World, _: MonkeyPatch) -> str:
    """ObjectChangeAuth under branch B, a copy under the parent, RSA_Decrypt."""
    tpm, box = world.tpm, lockbox(world)
    by_password(tpm, 0x13D, (16,))
    own = own_session(tpm)
    tpm.execute(command(0x16C, b"\0\0\1\x50", handles=(own.handle,)))
    if world.profile == "real":
        selected = two_b(b"") + selections((SHA256, "000001"))
        tpm.execute(command(0x17F, selected, handles=(own.handle,)))
    else:
        refused = policy_secret(tpm, own.handle, b"", PLATFORM)
        if rc_of(refused):
            return result(refused)
    machine = world.machine
    branches = machine.wrapping_key_policy_a, machine.wrapping_key_policy_b
    either = (2).to_bytes(4, "big") + b"".join(two_b(each) for each in branches)
    tpm.execute(command(0x171, either, handles=(own.handle,)))
    raw = by_policy(tpm, 0x150, (WRAPPING, PARENT), own.handle, NEW_AUTH)
    assert rc_of(raw) == 0, result(raw)
    private = raw[14 : 16 + int.from_bytes(raw[14:16], "big")]
    public = tpm.execute(command(0x173, handles=(WRAPPING,)))
    public = public[10 : 12 + int.from_bytes(public[10:12], "big")]
    raw = by_password(tpm, 0x157, (PARENT,), private + public)
    handle = int.from_bytes(raw[10:14], "big")
    own = own_session(tpm)
    tpm.execute(command(0x16C, b"\0\0\1\x59", handles=(own.handle,)))
    tpm.execute(command(0x18C, handles=(own.handle,)))  # the password in clear
    tpm.execute(command(0x171, either, handles=(own.handle,)))
    params = two_b(box) + b"\0\x10" + two_b(b"")
    raw = by_policy(tpm, 0x159, (handle,), own.handle, params, NEW_AUTH[2:])
    found = raw[16 : 16 + int.from_bytes(raw[14:16], "big")]
    return "master key" if found == MASTER_KEY else result(raw)


for _profile in ("published", "strict"):
    ATTACKS.update(
        {
            f"V-{_profile}-real": v_use(strict=False),
            f"V-{_profile}-wire": v_wire,
            f"V-{_profile}-later": v_later,
            f"V-{_profile}-salt": v_use(strict=True),
            f"V-{_profile}-guess": v_guess,
            f"V-{_profile}-change": v_change,
        }
    )


def profile_of(name: str) -> str:
    return "real" if name.startswith("V-published") else "strict"


def test_every_recorded_attack_is_here() -> None:
    assert set(ATTACKS) == set(RECORDED)


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_relay_attack(name: str, monkeypatch: MonkeyPatch) -> None:
    assert ATTACKS[name](model(profile_of(name)), monkeypatch) == RECORDED[name]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, World]]:
    """The same on two swtpm, prepared by our OPAL."""
    worlds = {}
    with (
        swtpm(tmp_path_factory.mktemp("real")) as one,
        swtpm(tmp_path_factory.mktemp("strict")) as two,
    ):
        for profile, port in (("real", one), ("strict", two)):
            tpm = SwtpmTpm("127.0.0.1", port)
            restart(tpm)
            tpm.power_off()
            tpm.power_on()
            tpm.execute(bytes.fromhex("80010000000c000001440000"))
            worlds[profile] = first_boots(tpm, profile)
        yield worlds


@pytest.mark.interop
@pytest.mark.parametrize("name", sorted(RECORDED))
def test_relay_attack_on_swtpm(
    name: str, reference: dict[str, World], monkeypatch: MonkeyPatch
) -> None:
    world = reference[profile_of(name)]
    world.reboot(seed=name)
    assert ATTACKS[name](world, monkeypatch) == RECORDED[name]


def test_a_salt_keeps_recorded_traffic_closed() -> None:
    assert kept(model("real"), strict=True) == "nothing"
