"""The operands of the vectors as guests, each with how UV_ESM ends for it."""

from __future__ import annotations

from typing import Final

from esm_case_kit import Case, operand, raw_operand
from esm_kit import V2

NOT_FOUND: Final = {"empty.bin": (14, "operand-place"), "magic.bin": (15, "B_TREE")}
AT_THE_END: Final = ("digest-kernel.bin", "digest-length.bin")


def step_of(name: str) -> int:
    """The step in which an operand is refused with this name (esm.md 2.1, 5.7)."""
    if name in ("E_NO_SLOT", "E_UNSEAL", "E_SEED", "E_MAC"):
        return 16
    if name == "E_DIGEST":
        return 18
    late = ("E_TOC", "E_INTEGRITY", "E_MUST_UNDERSTAND", "E_ROLLBACK")
    return 17 if name.startswith(late) else 15


def operand_case(file: str, verdict: str) -> Case:
    """A file of the vectors; sealed for this machine where a key is needed at all."""
    if file in NOT_FOUND:
        step, name = NOT_FOUND[file]
        return Case(step, name, file, guest=raw_operand(file))
    name = "E_DIGEST" if file in AT_THE_END else verdict
    made = raw_operand(file) if step_of(name) == 15 else operand(file)
    return Case(step_of(name), name, file, guest=made)


OPERANDS: Final[tuple[Case, ...]] = tuple(
    operand_case(file, verdict)
    for file, verdict in V2["verdicts"].items()
    if verdict != "OK" or file in AT_THE_END
)
ACCEPTED: Final = tuple(
    file
    for file, verdict in V2["verdicts"].items()
    if verdict == "OK" and file not in AT_THE_END
)
