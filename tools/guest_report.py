"""What ultravisor, hypervisor and guest did, as people read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from pefstack.firmware.journal_view import boots
from pefstack.hw.journal import Event
from pefstack.tools.style import clean, paint

_KIB: Final = 1 << 10
_MIB: Final = 1 << 20
REFUSED: Final = "esm-refused"


def refused(events: Iterable[Event]) -> Event | None:
    """The UV_ESM that was refused in the last boot, if one was."""
    last = boots(events)[-1]
    return next((event for event in last if event.kind == REFUSED), None)


def vm_state(events: Iterable[Event]) -> str | None:
    """``secure``, ``normal`` or ``stopped``; None where no VM was started."""
    state = None
    for event in boots(events)[-1]:
        if event.kind == "vm-loaded":
            state = "normal"
        elif event.kind == "esm-entered":
            state = "secure"
        elif event.kind in ("os-term", "machine-stopped"):
            state = "stopped"
    return state


def refusal_lines(event: Event) -> Iterator[str]:
    """The step, why, and what to do."""
    detail = event.detail
    yield _refused(detail)
    yield f"  reason    {clean(str(detail['reason']))}"
    if detail["rc"]:
        yield f"  TPM       {detail['rc']}"
    yield f"  to do     {detail['mend']}"


def guest_lines(event: Event) -> Iterator[str]:
    """The line of one event; none for most kinds."""
    line = _LINES.get(event.kind)
    if line is not None:
        yield f"  {line(event.detail)}"


def _ultravisor(detail: Any) -> str:
    taken = "has the TPM's keys" if detail["tpm"] else "has no keys of the TPM"
    size = f"{detail['secure_memory'] // _MIB} MiB of secure memory"
    return f"{size}, profile {detail['profile']}, {taken}"


def _loaded(detail: Any) -> str:
    kernel = f"kernel {_kib(detail['kernel_size'])} at 0x{detail['kbase']:x}"
    return f"VM {detail['lpid']}: {kernel}, initramfs {_kib(detail['initrd_size'])}"


def _kib(size: int) -> str:
    return f"{-(-size // _KIB)} KiB"


def _handed(detail: Any) -> str:
    return f"{detail['pages']} pages in secure memory, {detail['shared']} shared"


def _entered(detail: Any) -> str:
    return paint(f"UV_ESM: secure, goes on at 0x{detail['kbase']:x}", "good")


def _refused(detail: Any) -> str:
    text = f"UV_ESM refused at step {detail['step']}: {detail['name']}"
    return paint(text, "bad")


def _read(detail: Any) -> str:
    return f"the guest read {clean(str(detail['name']))}, {detail['size']} bytes"


def _not_read(detail: Any) -> str:
    text = f"the guest did not get {clean(str(detail['name']))}: {detail['why']}"
    return paint(text, "bad")


def _stopped(detail: Any) -> str:
    return paint(f"VM {detail['lpid']} stopped: {clean(str(detail['message']))}", "bad")


_LINES: Final[dict[str, Callable[[Any], str]]] = {
    "ultravisor": _ultravisor,
    "vm-loaded": _loaded,
    "svm-done": _handed,
    "esm-entered": _entered,
    REFUSED: _refused,
    "secret-read": _read,
    "secret-refused": _not_read,
    "console": lambda detail: f"the guest says: {clean(str(detail['text']))}",
    "running": lambda detail: f"the guest runs, a {detail['mode']} VM",
    "os-term": _stopped,
    "svm-killed": lambda detail: paint(clean(str(detail["reason"])), "bad"),
    "machine-stopped": lambda _: paint("the hypervisor came back: stopped", "bad"),
}
