"""PCRs, banks and starts against a tiny model that shares no code with the TPM."""

import hashlib

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from tpm_kit import (
    SHA1,
    SHA256,
    SHA384,
    SHUTDOWN_CLEAR,
    SHUTDOWN_STATE,
    STARTUP_CLEAR,
    STARTUP_STATE,
    allocate,
    clock_info,
    extend,
    off_tpm,
    power_cycle,
    rc_of,
    read_one,
    reset,
)

BANKS = {SHA1: "sha1", SHA256: "sha256", SHA384: "sha384"}
PCRS = (0, 6, 15, 16, 17, 20, 22, 23)
DRTM = range(17, 23)
MAY_EXTEND = {
    0: {*range(17), 23},
    1: {*range(17), 20, 23},
    2: {*range(24)},
    3: {*range(21), 23},
    4: {*range(19), 23},
}
MAY_RESET = {0: {16, 23}, 1: {16, 23}, 2: {16, 20, 21, 22, 23}, 3: {16, 23}, 4: set()}

banks = st.sampled_from(sorted(BANKS))
pcrs = st.sampled_from(PCRS)
localities = st.integers(0, 4)


def first(pcr: int, alg: int, locality: int) -> bytes:
    """The value that Startup(CLEAR) gives."""
    size = hashlib.new(BANKS[alg]).digest_size
    if pcr in DRTM:
        return b"\xff" * size
    return bytes(size - 1) + bytes((locality if pcr == 0 else 0,))


class TpmAgainstModel(RuleBasedStateMachine):
    """Every rule does the same to both; the invariant compares what can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.tpm, self.journal, _ = off_tpm()
        self.tpm.power_on()
        self.running = False
        self.allocated = {SHA256}
        self.pending: set[int] | None = None
        self.values: dict[tuple[int, int], bytes] = {}
        self.saved: dict[tuple[int, int], bytes] | None = None
        self.locality = 0
        self.resets = self.restarts = self.events = 0

    def begin(self, locality: int) -> None:
        """Startup(CLEAR) of the model."""
        self.values = {
            (alg, pcr): first(pcr, alg, locality)
            for alg in self.allocated
            for pcr in PCRS
        }
        self.running, self.locality, self.saved = True, locality, None
        self.events += 1

    @precondition(lambda self: not self.running)
    @rule(locality=localities)
    def start_clear(self, locality: int) -> None:
        rc = rc_of(self.tpm.execute(STARTUP_CLEAR, locality))
        if locality not in (0, 3):
            assert rc == 0x907
            return
        assert rc == 0
        if self.saved is None:
            self.resets, self.restarts = self.resets + 1, 0
            self.allocated = self.pending or self.allocated
            self.pending = None
        else:
            self.restarts += 1
        self.begin(locality)

    @precondition(lambda self: not self.running)
    @rule(locality=st.sampled_from((0, 3)))
    def start_state(self, locality: int) -> None:
        rc = rc_of(self.tpm.execute(STARTUP_STATE, locality))
        if self.saved is None:
            assert rc == 0x1C4
            return
        if locality != self.locality:
            assert rc == 0x907
            return
        assert rc == 0
        kept = self.saved
        self.begin(locality)
        self.values.update(kept)
        self.restarts += 1

    @precondition(lambda self: self.running)
    @rule(alg=banks, pcr=pcrs, locality=localities, digest=st.binary(max_size=2))
    def extend(self, alg: int, pcr: int, locality: int, digest: bytes) -> None:
        size = hashlib.new(BANKS[alg]).digest_size
        padded = digest.ljust(size, b"\0")
        rc = rc_of(self.tpm.execute(extend(pcr, (alg, padded)), locality))
        if pcr not in MAY_EXTEND[locality]:
            assert rc == 0x907
            return
        assert rc == 0
        if alg in self.allocated:
            old = self.values[alg, pcr]
            self.values[alg, pcr] = hashlib.new(BANKS[alg], old + padded).digest()
            self.events += 1
            if pcr < 16:
                self.saved = None

    @precondition(lambda self: self.running)
    @rule(pcr=pcrs, locality=localities)
    def reset(self, pcr: int, locality: int) -> None:
        rc = rc_of(self.tpm.execute(reset(pcr), locality))
        if pcr not in MAY_RESET[locality]:
            assert rc == 0x907
            return
        assert rc == 0
        self.events += 1
        for alg in self.allocated:
            self.values[alg, pcr] = bytes(len(self.values[alg, pcr]))

    @precondition(lambda self: self.running)
    @rule(wanted=st.sets(banks))
    def allocate(self, wanted: set[int]) -> None:
        pairs = [(alg, "ffffff" if alg in wanted else "000000") for alg in BANKS]
        rc = rc_of(self.tpm.execute(allocate(*pairs)))
        assert rc == (0 if wanted else 0x127)
        if wanted:
            self.pending = wanted
            self.events += 1

    @precondition(lambda self: self.running)
    @rule(state=st.booleans())
    def shut_down(self, state: bool) -> None:
        rc = rc_of(self.tpm.execute(SHUTDOWN_STATE if state else SHUTDOWN_CLEAR))
        if state and self.pending is not None:
            assert rc == 0x1CA
            return
        assert rc == 0
        self.events += 1
        self.saved = (
            {key: value for key, value in self.values.items() if key[1] < 16}
            if state
            else None
        )

    @rule()
    def lose_power(self) -> None:
        power_cycle(self.tpm)
        self.running = False

    @rule()
    def go_on_with_a_fork(self) -> None:
        self.journal = self.journal.fork()
        self.tpm = self.tpm.fork(self.journal)

    @invariant()
    def agree(self) -> None:
        assert len(self.journal) == self.events
        if not self.running:
            assert rc_of(self.tpm.execute(SHUTDOWN_CLEAR)) == 0x100
            return
        assert clock_info(self.tpm)[2:4] == (self.resets, self.restarts)
        for alg in BANKS:
            for pcr in PCRS:
                expected = self.values.get((alg, pcr), b"")
                assert read_one(self.tpm, alg, pcr) == expected


TestTpmAgainstModel = TpmAgainstModel.TestCase
TestTpmAgainstModel.settings = settings(stateful_step_count=30)
