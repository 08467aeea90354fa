"""Commits: random numbers that two commands share without keeping them (Part 1, C)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.response_codes import Refusal, TpmRc

WINDOW: Final = 128  # commits that can be open at the same time
COUNT_MASK: Final = 0xFFFF


class Commits:
    """The count of the next commit, and the open ones among the last `WINDOW`."""

    __slots__ = ("count", "opened")

    def __init__(self) -> None:
        self.count = 0
        self.opened: frozenset[int] = frozenset()

    def begin(self) -> int:
        """Open a commit; its count modulo 65536."""
        count = self.count
        self.count += 1
        kept = {each for each in self.opened if each > count - WINDOW}
        self.opened = frozenset(kept | {count})
        return count & COUNT_MASK

    def open_count(self, counter: int) -> int:
        """The whole count of an open commit; TPM_RC_VALUE when there is none."""
        for each in self.opened:
            if each & COUNT_MASK == counter:
                return each
        raise Refusal(TpmRc.VALUE)

    def end(self, counter: int) -> None:
        """Each commit is good for one signature."""
        self.opened -= {self.open_count(counter)}

    def fork(self) -> Commits:
        """An independent copy."""
        copy = Commits()
        copy.count, copy.opened = self.count, self.opened
        return copy
