"""The PCR banks: pure state, no commands (tpm.md 4)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, PCR_COUNT
from pefstack.hw.tpm.crypto.hashes import HASH as HASH
from pefstack.hw.tpm.structures import PcrSelect

ALL_PCRS: Final = (1 << PCR_COUNT) - 1

# PCR attributes of the platform profile: bit n stands for PCR n, one mask a locality
EXTEND_MASKS: Final = (0x81FFFF, 0x91FFFF, 0xFFFFFF, 0x9FFFFF, 0x87FFFF)
RESET_MASKS: Final = (0x810000, 0x810000, 0xF10000, 0x810000, 0x000000)
SAVED_MASK: Final = 0x00FFFF  # kept by Shutdown(STATE)
NO_INCREMENT_MASK: Final = 0xE10000
DRTM_MASK: Final = 0x7E0000  # all ones after Startup, zeros after the hash sequence
HCRTM_PCR: Final = 0
DRTM_PCR: Final = 17

Bank = list[bytes]


class PcrBanks:
    """The values of every allocated PCR, and the counter of their changes."""

    __slots__ = ("allocated", "update_counter", "values")

    def __init__(self, allocated: Mapping[int, int]) -> None:
        self.allocated = dict(allocated)  # for each implemented bank: mask of its PCRs
        self.update_counter = 0
        self.values: dict[int, Bank] = {}
        self.start(saved=None, startup_locality=0)

    def start(self, saved: Mapping[int, Bank] | None, startup_locality: int) -> None:
        """Give every PCR its first value; those below 16 from ``saved`` on Resume."""
        for alg in self.allocated:
            bank = [
                _first_value(pcr, alg, startup_locality) for pcr in range(PCR_COUNT)
            ]
            if saved is not None:
                bank[: len(saved[alg])] = saved[alg]
            self.values[alg] = bank
        set_now = ALL_PCRS & ~NO_INCREMENT_MASK & ~(SAVED_MASK if saved else 0)
        self.update_counter += set_now.bit_count()

    def extend(self, alg: int, pcr: int, digest: bytes) -> bytes | None:
        """H(old || digest); None, and no change, when there is no such PCR."""
        if not self.allocated.get(alg, 0) >> pcr & 1:
            return None
        bank = self.values[alg]
        value: bytes = HASH[alg](bank[pcr] + digest).digest()
        bank[pcr] = value
        self._count(pcr)
        return value

    def reset(self, pcr: int) -> None:
        """Zeros in every bank."""
        for alg, bank in self.values.items():
            bank[pcr] = bytes(DIGEST_SIZE[alg])
        self._count(pcr)

    def start_drtm(self, values: Mapping[int, bytes]) -> None:
        """Dynamic launch: PCR 17 to 22 become zeros, then PCR 17 its new value.

        Counted are the banks where PCR 17 is set.
        """
        launched = [pcr for pcr in range(PCR_COUNT) if DRTM_MASK & 1 << pcr]
        for alg, bank in self.values.items():
            for pcr in launched:
                bank[pcr] = bytes(DIGEST_SIZE[alg])
        for alg, value in values.items():
            self.values[alg][DRTM_PCR] = value
            self._count(DRTM_PCR)

    def read(
        self, selections: list[PcrSelect], max_count: int
    ) -> tuple[list[PcrSelect], list[bytes]]:
        """The first ``max_count`` selected values, and which PCRs they are of."""
        digests: list[bytes] = []
        answered: list[PcrSelect] = []
        for alg, mask in selections:
            mask &= self.allocated.get(alg, 0)
            wanted = _pcrs_in(mask)
            room = max_count - len(digests)
            if len(wanted) > room:
                wanted = wanted[:room]
                mask = sum(1 << pcr for pcr in wanted)
            bank = self.values.get(alg, [])
            digests += [bank[pcr] for pcr in wanted]
            answered.append((alg, mask))
        return answered, digests

    def select(
        self, selections: list[PcrSelect]
    ) -> tuple[list[PcrSelect], list[bytes]]:
        """All values selected, and the selection without PCRs that there are not."""
        return self.read(selections, PCR_COUNT * len(DIGEST_SIZE))

    def saved(self) -> dict[int, Bank]:
        """What Shutdown(STATE) keeps: PCR 0 to 15."""
        count = SAVED_MASK.bit_length()
        return {alg: bank[:count] for alg, bank in self.values.items()}

    def fork(self) -> PcrBanks:
        """An independent copy."""
        copy = PcrBanks.__new__(PcrBanks)
        copy.allocated = dict(self.allocated)
        copy.update_counter = self.update_counter
        copy.values = {alg: bank[:] for alg, bank in self.values.items()}
        return copy

    def count_change(self) -> None:
        """Policies over PCRs that were begun before hold no more."""
        self.update_counter = self.update_counter + 1 & 0xFFFFFFFF

    def _count(self, pcr: int) -> None:
        if not NO_INCREMENT_MASK >> pcr & 1:
            self.count_change()


@lru_cache(maxsize=256)
def _pcrs_in(mask: int) -> tuple[int, ...]:
    """The numbers of the PCRs that a mask names."""
    return tuple(pcr for pcr in range(PCR_COUNT) if mask >> pcr & 1)


def _first_value(pcr: int, alg: int, startup_locality: int) -> bytes:
    size = DIGEST_SIZE[alg]
    if DRTM_MASK >> pcr & 1:
        return b"\xff" * size
    last = startup_locality if pcr == HCRTM_PCR else 0
    return last.to_bytes(size, "big")
