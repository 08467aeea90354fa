"""What a hypervisor may ask for brings no secret of a secure VM (P24)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pefstack import Machine
from pefstack.firmware.ultravisor.codes import (
    PAGE_SHIFT,
    PAGE_SIZE,
    UvCall,
)
from pefstack.firmware.ultravisor.files import name_words
from pefstack.hw.secure_memory import HypervisorMemory
from secret_kit import (
    Watched,
    asking,
    running,
    secure_content,
    uv_of,
)
from secret_search import atoms, in_bytes, pages, reachable
from secret_svm_kit import (
    LPID,
    SECRETS,
    call,
    secret_pages,
    secure,
)

ELSEWHERE: Final = 0x5000_0000  # of the hypervisor's own
UNTOUCHED: Final = b"\x5a" * PAGE_SIZE


def attempts(watched: Watched) -> Iterator[tuple[int, ...]]:
    """Every call with arguments that mean something, and some that do not."""
    (number,) = secret_pages(watched)
    gpa = number << PAGE_SHIFT
    (svm,) = uv_of(watched.machine).svms.values()
    secret = svm.pages[number].secure
    ends = [UvCall.SVM_TERMINATE, UvCall.ESM]
    for each in (each for each in UvCall if each not in ends):
        yield (each, LPID, ELSEWHERE, gpa, 0, PAGE_SHIFT)
        yield (each, LPID, secret, gpa, 0, PAGE_SHIFT)
        yield (each, LPID, gpa, PAGE_SIZE, 0, 7)
        yield (each, ELSEWHERE, gpa, 0, PAGE_SIZE)
        yield (each, secret, ELSEWHERE, 0, PAGE_SIZE)
        yield (each, 0, *name_words("rootfs-passphrase"))


def test_p24_nothing_that_a_hypervisor_asks_for_brings_a_secret() -> None:
    watched = secure()
    machine = watched.machine
    machine.board.memory.write(ELSEWHERE, UNTOUCHED)
    before = secure_content(machine)
    answers = [call(watched, *words) for words in attempts(watched)]
    assert machine.board.memory.read(ELSEWHERE, PAGE_SIZE) == UNTOUCHED
    assert secure_content(machine) == before
    secrets = SECRETS | watched.secrets
    assert in_bytes("answers", atoms(reachable(answers)), secrets) == []
    assert watched.found() == []
    assert running(machine).vm_secure


def test_p24_the_pages_for_the_tpm_hold_no_plaintext() -> None:
    """What was said to the TPM is still there, with everything secret encrypted."""
    watched = Watched(asking())
    machine = watched.machine
    seen: list[bytes] = []

    def look(_: object) -> None:
        seen.append(pages(machine.board.memory, asking().board.memory))

    watched.before = look
    watched.run()
    assert any(watched.tap.seen[-1][0] in each for each in seen)
    assert in_bytes("", b"|".join(seen), SECRETS | watched.secrets) == []


def test_memory_of_hypervisor_reaches_no_secure_memory() -> None:
    """Not even as an object."""
    machine = Machine("small")
    objects = reachable(HypervisorMemory(machine.board.memory))
    assert not any(each is machine.board.secure for each in objects)
