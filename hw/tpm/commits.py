"""Commits: random numbers that two commands share without keeping them (Part 1, C)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.crypto.curves import curve_of
from pefstack.hw.tpm.crypto.kdf import kdfa
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.structures import put_uint64

if TYPE_CHECKING:
    from pefstack.hw.tpm.state import Internals

WINDOW: Final = 128  # commits that can be open at the same time
_ALG: Final = TpmAlgId.SHA512
COUNT_MASK: Final = 0xFFFF
_EXTRA_BITS: Final = 64  # against bias, beyond the order of the curve


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


def commit_random(inner: Internals, counter: int, name: bytes, curve: int) -> int:
    """The number r of an open commit; TPM_RC_VALUE when there is none."""
    count = inner.state.commits.open_count(counter)
    return scalar(inner, count, name, curve)


def scalar(inner: Internals, count: int, name: bytes, curve: int) -> int:
    """The number from 1 to n - 1 of a count, a key's Name and a curve.

    It follows from a secret of this TPM Reset, so nothing of before can be ended.
    """
    order = curve_of(curve).n
    bits = (order.bit_length() + 7) // 8 * 8 + _EXTRA_BITS
    secret = inner.state.context_secret
    made = kdfa(_ALG, secret, b"COMMIT", name, put_uint64(count), bits)
    return 1 + int.from_bytes(made, "big") % (order - 1)
