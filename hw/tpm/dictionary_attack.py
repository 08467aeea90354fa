"""Dictionary attack protection: tries, and how they heal (tpm.md 6; Part 1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from pefstack.hw.tpm.response_codes import Refusal, TpmRc

_SECOND: Final = 1000  # milliseconds


class Bound(Enum):
    """What a session is bound to, as far as guesses of an authValue count."""

    FREE = 0
    PROTECTED = 1
    LOCKOUT = 2


@dataclass(slots=True)
class DictionaryAttack:
    """The counter of wrong authValues. Times in seconds, ``now`` in milliseconds.

    A recovery time of 0 means that nothing is counted. ``lockout_blocked`` is set by a
    wrong lockoutAuth; it goes after ``lockout_recovery``, or at the next TPM Reset when
    that is 0. ``used`` says that a protected authValue was tried since Startup. A new
    value is as manufactured.
    """

    failed_tries: int = 0
    max_tries: int = 3
    recovery_time: int = 1000
    lockout_recovery: int = 1000
    lockout_blocked: bool = False
    heals_from: int = 0  # when the last try healed, or failed
    lockout_from: int = 0
    used: bool = False

    def heal(self, now: int) -> None:
        """Let time count: one try less for each recovery time that has passed."""
        if not self.recovery_time:
            self.failed_tries = 0
        healed = self._healed(now)
        self.failed_tries = max(0, self.failed_tries - healed)
        self.heals_from += healed * self.recovery_time * _SECOND
        if self.lockout_blocked and self.lockout_recovery:
            passed = now - self.lockout_from
            self.lockout_blocked = passed < self.lockout_recovery * _SECOND

    def tries(self, now: int) -> int:
        """The tries that count at a time; nothing changes."""
        return max(0, self.failed_tries - self._healed(now))

    def _healed(self, now: int) -> int:
        if not self.failed_tries or not self.recovery_time:
            return 0
        return max(0, (now - self.heals_from) // (self.recovery_time * _SECOND))

    def check(self) -> None:
        """TPM_RC_LOCKOUT for a protected entity when the tries are used up."""
        if self.failed_tries >= self.max_tries:
            raise Refusal(TpmRc.LOCKOUT)

    def check_lockout(self) -> None:
        """TPM_RC_LOCKOUT for lockoutAuth after it was wrong once."""
        if self.lockout_blocked:
            raise Refusal(TpmRc.LOCKOUT)

    def fail(self, now: int) -> None:
        """One wrong authValue of a protected entity."""
        if not self.recovery_time:
            return
        if not self.failed_tries:
            self.heals_from = now
        self.failed_tries += 1

    def fail_lockout(self, now: int) -> None:
        """A wrong lockoutAuth."""
        self.lockout_blocked = True
        self.lockout_from = now

    def startup(self, now: int, *, is_orderly: bool) -> None:
        """A start without Shutdown after a protected use counts as one failure."""
        if self.used and not is_orderly and self.failed_tries < self.max_tries:
            self.failed_tries += 1
        self.used = False
        self.heals_from = self.lockout_from = now
        if self.lockout_blocked and not self.lockout_recovery:
            self.lockout_blocked = False

    def reset(self, now: int) -> None:
        """DictionaryAttackLockReset."""
        self.failed_tries = 0
        self.heals_from = now

    def shift(self, by: int) -> None:
        """ClockSet: the clock is ahead, but no time has passed that could heal."""
        self.heals_from += by
        self.lockout_from += by
