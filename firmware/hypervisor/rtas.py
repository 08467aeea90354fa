"""H_RTAS: the calls of a guest's RTAS, of which one is modelled: ibm,os-term.

The argument buffer is of 32-bit words, big-endian: token, number of arguments, number
of results, arguments, results (PAPR 7.2.1; the limit is QEMU's).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pefstack.firmware.hypervisor.vm import Vm
from pefstack.firmware.ultravisor.codes import HStatus
from pefstack.images.rtas import OS_TERM_TOKEN

if TYPE_CHECKING:
    from pefstack.firmware.hypervisor.kvm import Hypervisor

MAX_WORDS: Final = 16  # arguments and results together
MAX_MESSAGE: Final = 128
RTAS_SUCCESS: Final = 0
RTAS_PARAMETER: Final = -3

_HEADER: Final = struct.Struct(">III")
_WORD: Final = struct.Struct(">i")


def call(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> tuple[int, ...]:
    """H_RTAS: the address of the argument buffer.

    ibm,os-term stops the VM. H_PARAMETER for a buffer outside one memory slot, more
    words than there is room for, and another token: its first result is then -3.
    """
    buffer = args[0]
    if not vm.holds(buffer, _HEADER.size):
        return (HStatus.PARAMETER,)
    raw = hypervisor.read_guest(vm, buffer, _HEADER.size)
    token, argument_count, result_count = _HEADER.unpack(raw)
    words = argument_count + result_count
    arguments = buffer + _HEADER.size
    if words > MAX_WORDS or not vm.holds(arguments, words * _WORD.size):
        return (HStatus.PARAMETER,)
    known = token == OS_TERM_TOKEN
    if result_count:
        at = arguments + argument_count * _WORD.size
        status = RTAS_SUCCESS if known else RTAS_PARAMETER
        hypervisor.write_guest(vm, at, _WORD.pack(status))
    if not known:
        return (HStatus.PARAMETER,)
    text = _message(hypervisor, vm, arguments) if argument_count else ""
    hypervisor.stop(vm, text)
    return (HStatus.SUCCESS,)


def _message(hypervisor: Hypervisor, vm: Vm, argument: int) -> str:
    """What the guest says; nothing of a secure one, whose memory is its own."""
    if vm.is_started:
        return ""
    raw = hypervisor.read_guest(vm, argument, _WORD.size)
    at = int.from_bytes(raw, "big")
    if not vm.holds(at, MAX_MESSAGE):
        return ""
    text = hypervisor.read_guest(vm, at, MAX_MESSAGE).partition(b"\0")[0]
    letters = text.decode("ascii", "replace").strip()
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in letters)
