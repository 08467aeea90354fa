"""A VM that asks for secure mode, the secrets of its machine, and who watches.

The secrets are taken out of the running ultravisor, so that exactly those are looked
for that there were; `traces` is what may hold none of them.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, Final

import pytest

from pefstack import Machine
from pefstack.firmware.ultravisor import esm
from pefstack.firmware.ultravisor.effects import Aborted, Killed, Refused
from pefstack.firmware.ultravisor.esm_state import EsmState
from pefstack.firmware.ultravisor.ultravisor import Ultravisor
from pefstack.firmware.virtualization import Virtualization
from pefstack.hw.secure_memory import SECURE_BIT
from pefstack.images.errors import FormatError, PefError
from secret_search import (
    Found,
    atoms,
    exception_texts,
    in_bytes,
    in_text,
    pages,
    reachable,
)
from secret_truth import secrets_of

PASSPHRASE: Final = b"Wq7#vTz2!xKp9@LmR4%dYh8&"
CUSTOMER_DATA: Final = (
    b"uJ3;bXe6?Gs1=Nc5+Zf0*Ow~ia|Pk^Ql$Dy8<Mh>Vt2:Rr7{Ee4}Aa9_Cc6,Ii!B"
)
PLANTED: Final = (
    f'image.guest.secret.rootfs-passphrase.text="{PASSPHRASE.decode()}"',
    f'image.guest.secret.customer-data.text="{CUSTOMER_DATA.decode()}"',
    "machine.guest.memory=0x4000000",
    'image.guest.append="svm=on pef.secrets=rootfs-passphrase,customer-data"',
)
VARIANTS: Final = {
    "svm-v1-strict": (
        "svm-v1",
        "machine.pef.provision=strict",
        "machine.pef.esm=strict",
    )
}
# drawn for one call: in another the same random bytes may stand for a nonce
OF_ONE_CALL: Final = ("salt", "padding", "session key")
Hook = Callable[[bytes], bytes]
Reply = Callable[[Sequence[int]], tuple[int, ...] | None]


@cache
def built(name: str) -> Machine:
    """Switched off, with secrets planted in its guest."""
    base, *settings = VARIANTS.get(name, (name,))
    machine = Machine(base, settings=(*PLANTED, *settings))
    machine.name = name
    return machine


@cache
def _asking(name: str) -> Machine:
    machine = built(name).fork().run(until="hypervisor")
    assert running(machine).step()
    assert uv_of(machine).calls
    return machine


def asking(name: str = "svm") -> Machine:
    """A fork of its own, at the moment of UV_ESM: nothing of it is done yet."""
    return _asking(name).fork()


def running(machine: Machine) -> Virtualization:
    """What runs on it."""
    assert isinstance(machine.board.running, Virtualization)
    return machine.board.running


def uv_of(machine: Machine) -> Ultravisor:
    """Its ultravisor."""
    uv = running(machine).ultravisor
    assert uv is not None
    return uv


@dataclass
class Tap:
    """The hypervisor's way to the TPM; it keeps what passes, and may meddle."""

    tpm: Any
    hooks: dict[int, Hook] = field(default_factory=dict)
    seen: list[tuple[bytes, bytes]] = field(default_factory=list)

    def execute(self, command: bytes) -> bytes:
        hook = self.hooks.get(len(self.seen) + 1, self.tpm.execute)
        answer: bytes = hook(command)
        self.seen.append((command, answer))
        return answer


@dataclass
class Watched:
    """One UV_ESM from its call to its end, watched from everywhere."""

    machine: Machine
    tap: Tap = field(init=False)
    secrets: dict[str, bytes] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    asked: list[tuple[int, ...]] = field(default_factory=list)
    replies: dict[int, Reply] = field(default_factory=dict)
    before: Callable[[EsmState], None] = lambda _: None

    def __post_init__(self) -> None:
        hypervisor = running(self.machine).hypervisor
        self.tap = Tap(self.machine.board.tpm)
        hypervisor.relay = self.tap
        uv = uv_of(self.machine)
        real = uv.hypervisor

        def hypercall(lpid: int, number: int, args: Sequence[int]) -> tuple[int, ...]:
            self.asked.append((lpid, number, *args))
            reply = self.replies.get(number)
            found = reply(args) if reply else None
            return real(lpid, number, args) if found is None else found

        uv.hypervisor = hypercall

    def run(self, until: Callable[[], bool] = lambda: False) -> Watched:
        """Step by step, to the end of the guest; all secrets on the way are noted."""
        with recorded() as said:
            while True:
                for state in uv_of(self.machine).calls.values():
                    self.secrets |= secrets_of(state)
                    self.before(state)
                if until() or not running(self.machine).step():
                    break
        self.said += said
        return self

    def found(self) -> list[Found]:
        """Every secret that lies open somewhere."""
        secrets = all_secrets(self.machine) | self.secrets
        return [
            hit
            for place, what in traces(self).items()
            for hit in (
                in_text(place, what, secrets)
                if isinstance(what, str)
                else in_bytes(place, what, secrets)
            )
        ]


def traces(watched: Watched) -> dict[str, bytes | str]:
    """All that somebody else than ultravisor and TPM can come to see."""
    machine = watched.machine
    board, software, uv = machine.board, running(machine), uv_of(machine)
    hypervisor = software.hypervisor
    gate = hypervisor.gate
    hidden = (board.tpm, watched.tap, gate, board.memory)
    journal = list(machine.journal)
    truth: list[object] = [board.tpm, uv.machine, uv.calls, board.secure._memory]
    # searched elsewhere, or what the machine was started from
    truth += [board.memory, board.flash, board.guest_images, board.spec]
    served = [svm.files for svm in uv.svms.values()]
    return {
        "normal memory": pages(board.memory, _asking(machine.name).board.memory),
        "hypervisor": atoms(reachable(hypervisor, hidden)),
        "relay": b"|".join(part for each in watched.tap.seen for part in each),
        "hypercalls": atoms(reachable(watched.asked)),
        "journal": atoms(reachable(journal)),
        "journal repr": repr(journal),
        "journal JSON": "\n".join(json.dumps(asdict(each)) for each in journal),
        "reasons": repr((uv.reasons, software.end)),
        "exceptions": "\n".join(watched.said),
        "repr": repr((software, uv.calls, uv.machine, machine)),
        "objects": atoms(reachable(software, (*truth, *served, watched))),
    }


@contextmanager
def recorded() -> Iterator[list[str]]:
    """What the errors say that come out of a step, and those that are kept."""
    said: list[str] = []
    made: list[weakref.ref[PefError]] = []
    failed = esm._failed

    def init(self: PefError, *_: object) -> None:
        made.append(weakref.ref(self))

    def noted(state: EsmState, wrong: FormatError) -> Aborted | Killed:
        said.append(exception_texts(wrong))
        return failed(state, wrong)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PefError, "__init__", init, raising=False)
        patch.setattr(esm, "_failed", noted)
        yield said
    kept = [each() for each in made]
    said += [exception_texts(each) for each in kept if each]


def all_secrets(machine: Machine) -> dict[str, bytes]:
    """What is always a secret of this machine."""
    found = {"passphrase": PASSPHRASE, "customer data": CUSTOMER_DATA}
    given = uv_of(machine).machine
    if given is not None:
        found["NV password"] = given.nv_password
        found["wrapping key password"] = given.wrapping_key_password
    return found | {
        name: value
        for name, value in opened(machine.name).items()
        if not name.startswith(OF_ONE_CALL)
    }


@cache
def opened(name: str) -> dict[str, bytes]:
    """What an honest call of this machine knows on its way."""
    watched = Watched(asking(name))
    return watched.run(lambda: running(watched.machine).vm_secure).secrets


def secure_places(machine: Machine) -> list[int]:
    """Real addresses of the secure pages that a VM has."""
    uv = uv_of(machine)
    return [
        p.secure for svm in uv.svms.values() for p in svm.pages.values() if p.secure
    ]


def secure_content(machine: Machine) -> bytes:
    """Everything in secure memory, handed out or not; page by page, as it lies."""
    return pages(machine.board.secure._memory)


def in_secure_memory(address: int) -> bool:
    """Whether a real address is one of secure memory."""
    return bool(address & SECURE_BIT)


def caller_changed(whose: Machine, /, **changes: Any) -> None:
    """The call as if other values had stood in the registers."""
    calls = uv_of(whose).calls
    calls[1] = replace(calls[1], caller=replace(calls[1].caller, **changes))


def refusal_of(machine: Machine) -> tuple[int, str]:
    """Step and name of why the call failed."""
    end = running(machine).end
    assert isinstance(end, Aborted | Killed | Refused), end
    return end.reason.step, str(end.reason.name)
