"""Chance with a seed: parameters that are mostly good, often at a limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final, TypeVar

from lockstep.values import two_b, u8, u16, u32

T = TypeVar("T")
SHA256: Final = 0x0B
HASHES: Final = (0x04, 0x0B, 0x0B, 0x0B, 0x0C, 0x0D)
ALGORITHMS: Final = (
    *(0x00, 0x01, 0x04, 0x05, 0x06, 0x08, 0x0A, 0x0B, 0x0C, 0x0D, 0x10, 0x0F),
    *(0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1C, 0x1D, 0x20, 0x21, 0x22),
    *(0x23, 0x25, 0x27, 0x40, 0x41, 0x42, 0x43, 0x44, 0xFFFF),
)
OWNER, NULL, LOCKOUT, ENDORSEMENT, PLATFORM = (
    *(0x40000001, 0x40000007, 0x4000000A),
    *(0x4000000B, 0x4000000C),
)
HIERARCHIES: Final = (OWNER, PLATFORM, ENDORSEMENT, NULL)
DIGEST_SIZE: Final = {0x04: 20, 0x0B: 32, 0x0C: 48, 0x0D: 64}
AUTHS: Final = (b"", b"", b"one", b"\x01\0\0", b"two" * 5, bytes(range(20)))


class Dice(Random):
    """What a generator throws."""

    def one_in(self, count: int) -> bool:
        """True once in ``count`` times."""
        return self.randrange(count) == 0

    def mostly(self, good: T, other: Callable[[], T], often: int = 12) -> T:
        """``good``, but once in ``often`` times something else."""
        return other() if self.one_in(often) else good

    def hash(self) -> int:
        """TPMI_ALG_HASH."""
        return self.mostly(
            self.choice(HASHES), lambda: self.choice(ALGORITHMS), often=15
        )

    def hierarchy(self) -> int:
        """TPMI_RH_HIERARCHY."""
        return self.mostly(self.choice(HIERARCHIES), self.any_handle)

    def any_handle(self) -> int:
        """Anything that could be taken for a handle."""
        kinds = (0, 1, 2, 3, 0x40, 0x80, 0x81, 0x90, self.randrange(256))
        numbers = (0, 1, 2, 3, 7, 9, 10, 11, 12, 13, 23, 24, 63, 64, 0x800000, 0xFFFFFF)
        return self.choice(kinds) << 24 | self.choice(numbers)

    def yes_no(self) -> bytes:
        """TPMI_YES_NO."""
        return u8(self.mostly(self.randrange(2), lambda: self.choice((2, 0x80, 0xFF))))

    def size(self, limit: int) -> int:
        """A length: small, or about the limit."""
        near = (0, 1, limit - 1, limit, limit + 1, 2 * limit)
        return self.mostly(
            self.randrange(min(limit, 48) + 1), lambda: max(0, self.choice(near)), 8
        )

    def sized(self, limit: int) -> bytes:
        """TPM2B with so many bytes at most, or some more; its length may be a lie."""
        data = self.randbytes(self.size(limit))
        lie = self.choice((0, len(data) + 1, limit, limit + 1, 0xFFFF))
        return self.mostly(two_b(data), lambda: u16(lie) + data, 40)

    def digest(self, alg: int = SHA256) -> bytes:
        """TPM2B_DIGEST of the right size, mostly."""
        size = DIGEST_SIZE.get(alg, 32)
        return self.mostly(two_b(self.randbytes(size)), lambda: self.sized(64), 10)

    def auth(self) -> bytes:
        """TPM2B_AUTH."""
        return self.mostly(two_b(self.choice(AUTHS)), lambda: self.sized(64), 30)

    def selection(self) -> bytes:
        """TPML_PCR_SELECTION."""
        count = self.mostly(self.randrange(3), lambda: self.choice((4, 5, 16, 17)), 20)
        return u32(count) + b"".join(self._bank() for _ in range(count))

    def _bank(self) -> bytes:
        size = self.mostly(3, lambda: self.choice((0, 1, 2, 4)), 20)
        bits = bytes(self.choice((0, 1, 0x80, 0xFF)) for _ in range(size))
        return u16(self.hash()) + u8(size) + bits

    def digest_values(self) -> bytes:
        """TPML_DIGEST_VALUES."""
        count = self.mostly(1 + self.randrange(3), lambda: self.choice((0, 4, 5, 6)))
        items = b""
        for _ in range(count):
            alg = self.hash()
            items += u16(alg) + self.randbytes(DIGEST_SIZE.get(alg, 0))
        return u32(count) + items

    def symmetric(self) -> bytes:
        """TPMT_SYM_DEF, as for a session."""
        good = ("0010", "0010", "000600800043", "000601000043", "000a000b", "000a0004")
        bad = ("000600810043", "000600800044", "000a0010", "0006010000", "0000", "0026")
        return bytes.fromhex(self.mostly(self.choice(good), lambda: self.choice(bad)))

    def scheme(self) -> bytes:
        """TPMT_SIG_SCHEME, TPMT_RSA_DECRYPT, TPMT_KDF_SCHEME...: algorithm, details."""
        head = self.choice((0x10, 0x10, 0x14, 0x16, 0x18, 0x05, 0x15, 0x17, 0x1C))
        head = self.mostly(head, lambda: self.choice(ALGORITHMS))
        if head in (0x10, 0x15):
            return u16(head)
        if head == 0x1A:
            return u16(head) + u16(self.hash()) + u16(self.randrange(4))
        return u16(head) + u16(self.hash())

    def some(self, many: Sequence[T], other: T) -> T:
        """One of several; ``other`` when there is none."""
        return self.choice(many) if many else other
