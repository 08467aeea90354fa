"""H_SVM_TPM_COMM and H_RTAS: bounded, inside the guest, every code provoked."""

from __future__ import annotations

import struct

import pytest

from kvm_kit import SIZE, Kvm, gfns
from pefstack.firmware.guest.os_term import MESSAGE, write_call
from pefstack.firmware.hypervisor.vm import MemorySlot, PageOwner, VmState
from pefstack.firmware.ultravisor.codes import HCall, HStatus, UvCall

COMMAND = bytes.fromhex("80010000000c0000017b0010")  # TPM2_GetRandom, 16 bytes
AT, ANSWER_AT = 0x1_0000, 0x1_8000
EXECUTE, CLOSE = 1, 2
ARGS = (EXECUTE, AT, len(COMMAND), ANSWER_AT, 4096)


@pytest.fixture
def kvm() -> Kvm:
    kvm = Kvm()
    kvm.tpm.response = bytes(range(24))
    kvm.memory.write(kvm.vm.base + AT, COMMAND)
    kvm.started().call(HCall.SVM_PAGE_IN, AT, 1, 16)
    return kvm


def test_a_command_goes_to_the_tpm_and_its_answer_comes_back(kvm: Kvm) -> None:
    assert kvm.call(HCall.SVM_TPM_COMM, *ARGS) == (HStatus.SUCCESS, 24)
    assert kvm.tpm.commands == [COMMAND]
    assert kvm.memory.read(kvm.vm.base + ANSWER_AT, 24) == kvm.tpm.response


def test_close_needs_no_tpm(kvm: Kvm) -> None:
    kvm.hypervisor.relay = None
    assert kvm.call(HCall.SVM_TPM_COMM, CLOSE) == (HStatus.SUCCESS,)


@pytest.mark.parametrize("operation", [0, 3, (1 << 64) - 1])
def test_another_operation(kvm: Kvm, operation: int) -> None:
    assert kvm.call(HCall.SVM_TPM_COMM, operation, *ARGS[1:]) == (HStatus.FUNCTION,)


def test_no_tpm(kvm: Kvm) -> None:
    kvm.hypervisor.relay = None
    assert kvm.call(HCall.SVM_TPM_COMM, *ARGS) == (HStatus.NOT_AVAILABLE,)


def test_a_dead_tpm(kvm: Kvm) -> None:
    kvm.tpm.dead = True
    assert kvm.call(HCall.SVM_TPM_COMM, *ARGS) == (HStatus.RESOURCE,)


def test_a_vm_that_did_not_start() -> None:
    assert Kvm().call(HCall.SVM_TPM_COMM, *ARGS) == (HStatus.UNSUPPORTED,)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("command of 9 bytes", (AT, 9, ANSWER_AT, 4096)),
        ("command of 4097 bytes", (AT, 4097, ANSWER_AT, 4096)),
        ("command behind the memory", (SIZE - 11, 12, ANSWER_AT, 4096)),
        ("command at the end of all", ((1 << 64) - 12, 12, ANSWER_AT, 4096)),
        ("room for 9 bytes", (AT, 12, ANSWER_AT, 9)),
        ("room for 4097 bytes", (AT, 12, ANSWER_AT, 4097)),
        ("room behind the memory", (AT, 12, SIZE - 4095, 4096)),
        ("an answer too long", (AT, 12, ANSWER_AT, 23)),
    ],
)
def test_parameters(kvm: Kvm, name: str, args: tuple[int, ...]) -> None:
    status = kvm.call(HCall.SVM_TPM_COMM, EXECUTE, *args)
    assert status == (HStatus.PARAMETER,)
    assert bool(kvm.tpm.commands) == (name == "an answer too long")
    assert kvm.memory.read(kvm.vm.base + ANSWER_AT, 24) == b"\x11" * 24


def test_a_command_over_two_slots(kvm: Kvm) -> None:
    kvm.vm.slots = MemorySlot(0, 0, 1 << 16), MemorySlot(1, 1 << 16, SIZE - (1 << 16))
    args = (EXECUTE, AT - 4, len(COMMAND), ANSWER_AT, 4096)
    assert kvm.call(HCall.SVM_TPM_COMM, *args) == (HStatus.PARAMETER,)
    assert kvm.tpm.commands == []


def test_a_page_of_the_ultravisor_is_asked_for_first(kvm: Kvm) -> None:
    kvm.call(HCall.SVM_PAGE_IN, 2 << 16, 0, 16)
    args = (EXECUTE, 2 << 16, 12, ANSWER_AT, 4096)
    kvm.call(HCall.SVM_TPM_COMM, *args)
    assert gfns(kvm.gate.made(UvCall.PAGE_OUT)) == [2]
    assert kvm.vm.pages[2] is PageOwner.PAGED_OUT


# --- H_RTAS

BUFFER = 0x2_0000


def rtas(kvm: Kvm, *words: int, at: int = BUFFER) -> tuple[int, ...]:
    """H_RTAS with these words as its argument buffer."""
    kvm.memory.write(kvm.vm.base + BUFFER, struct.pack(f">{len(words)}I", *words))
    return kvm.call(HCall.RTAS, at)


def test_os_term_stops_the_vm_and_says_why() -> None:
    kvm = Kvm()
    raw = bytearray(0x100)
    write_call(_Into(raw), BUFFER)
    kvm.memory.write(kvm.vm.base + BUFFER, bytes(raw))
    assert kvm.call(HCall.RTAS, BUFFER) == (HStatus.SUCCESS,)
    assert kvm.vm.state is VmState.STOPPED
    last = kvm.journal[-1]
    assert (last.kind, last.detail["message"]) == ("os-term", MESSAGE.strip())
    assert kvm.memory.read(kvm.vm.base + BUFFER + 16, 4) == bytes(4)


class _Into:
    def __init__(self, raw: bytearray) -> None:
        self._raw = raw

    def write(self, gpa: int, data: bytes) -> None:
        self._raw[gpa - BUFFER : gpa - BUFFER + len(data)] = data


def test_what_a_secure_vm_says_is_not_read(kvm: Kvm) -> None:
    kvm.memory.write(kvm.vm.base + 0x3_0000, b"passphrase: secret")
    assert rtas(kvm, 0x201F, 1, 1, 0x3_0000, 0) == (HStatus.SUCCESS,)
    assert kvm.journal[-1].detail["message"] == ""


@pytest.mark.parametrize("text", [b"\x1b[2J\xff\n\0", b"x" * 200])
def test_a_message_is_bounded_and_printable(text: bytes) -> None:
    kvm = Kvm()
    kvm.memory.write(kvm.vm.base + 0x3_0000, text)
    rtas(kvm, 0x201F, 1, 1, 0x3_0000, 0)
    said = str(kvm.journal[-1].detail["message"])
    assert len(said) <= 128 and said.isprintable() and said.isascii()


def test_another_token() -> None:
    kvm = Kvm()
    assert rtas(kvm, 0x2000, 0, 1, 0) == (HStatus.PARAMETER,)
    assert kvm.memory.read(kvm.vm.base + BUFFER + 12, 4) == b"\xff\xff\xff\xfd"
    assert kvm.vm.state is VmState.NORMAL


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ((0x201F, 0, 0), SIZE - 8),
        ((0x201F, 0, 0), (1 << 64) - 4),
        ((0x201F, 16, 1), BUFFER),
        ((0x201F, 0xFFFF_FFFF, 0xFFFF_FFFF), BUFFER),
    ],
)
def test_buffers_out_of_bounds(words: tuple[int, ...], at: int) -> None:
    kvm = Kvm()
    assert rtas(kvm, *words, at=at) == (HStatus.PARAMETER,)
    assert kvm.vm.state is VmState.NORMAL


def test_arguments_behind_the_memory() -> None:
    kvm = Kvm()
    kvm.memory.write(kvm.vm.base + SIZE - 12, struct.pack(">3I", 0x201F, 1, 1))
    assert kvm.call(HCall.RTAS, SIZE - 12) == (HStatus.PARAMETER,)
    assert kvm.vm.state is VmState.NORMAL
