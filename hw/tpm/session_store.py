"""All sessions: a few loaded, more of them saved as contexts (Part 1, "Contexts")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pefstack.hw.tpm.codes import (
    HMAC_FIRST,
    MAX_ACTIVE_SESSIONS,
    MAX_LOADED_SESSIONS,
    POLICY_FIRST,
)
from pefstack.hw.tpm.response_codes import Refusal, TpmRc

if TYPE_CHECKING:
    from pefstack.hw.tpm.session import Session

CONTEXT_GAP_MAX: Final = 0xFFFF
_NUMBER: Final = 0x00FF_FFFF


class SessionStore:
    """Sessions by their number, which is the handle without its type.

    A saved session keeps its state here, with the sequence number of its context: the
    blob outside only names both. ``exclusive`` is the exclusive audit session.
    """

    __slots__ = ("context_counter", "exclusive", "loaded", "saved")

    def __init__(self) -> None:
        self.loaded: dict[int, Session] = {}
        self.saved: dict[int, tuple[int, Session]] = {}
        self.context_counter = MAX_LOADED_SESSIONS  # as the reference counts
        self.exclusive: int | None = None

    def get(self, handle: int) -> Session | None:
        """A loaded session by its whole handle."""
        session = self.loaded.get(handle & _NUMBER)
        return session if session is not None and session.handle == handle else None

    def check_room(self) -> None:
        """Refuses when there is no free slot, or no free number."""
        if len(self.loaded) >= MAX_LOADED_SESSIONS:
            raise Refusal(TpmRc.SESSION_MEMORY)
        if self._oldest() + CONTEXT_GAP_MAX <= self.context_counter + 1:
            raise Refusal(TpmRc.CONTEXT_GAP)
        if len(self.loaded) + len(self.saved) >= MAX_ACTIVE_SESSIONS:
            raise Refusal(TpmRc.SESSION_HANDLES)

    def free_handle(self, *, is_policy: bool) -> int:
        """The lowest number that no active session has, as a handle."""
        self.check_room()
        number = next(n for n in range(MAX_ACTIVE_SESSIONS) if not self._is_active(n))
        return (POLICY_FIRST if is_policy else HMAC_FIRST) + number

    def add(self, session: Session) -> None:
        """Load a new session."""
        self.loaded[session.handle & _NUMBER] = session

    def save(self, handle: int) -> int:
        """Move a loaded session out; the sequence number of its context."""
        if self._oldest() + CONTEXT_GAP_MAX <= self.context_counter + 1:
            raise Refusal(TpmRc.CONTEXT_GAP)
        self.context_counter += 1
        session = self.loaded.pop(handle & _NUMBER)
        self.saved[handle & _NUMBER] = (self.context_counter, session)
        return self.context_counter

    def load(self, handle: int, sequence: int) -> None:
        """Bring a saved session back, once: TPM_RC_HANDLE for any other context."""
        kept = self.saved.get(handle & _NUMBER)
        if kept is None or kept[0] != sequence or kept[1].handle != handle:
            raise Refusal(TpmRc.HANDLE)
        if len(self.loaded) >= MAX_LOADED_SESSIONS:
            raise Refusal(TpmRc.SESSION_MEMORY)
        del self.saved[handle & _NUMBER]
        self.loaded[handle & _NUMBER] = kept[1]

    def is_loaded(self, handle: int) -> bool:
        """Whether a loaded session has this number, whatever its type."""
        return handle & _NUMBER in self.loaded

    def is_active(self, handle: int) -> bool:
        """Whether a session has this number, loaded or saved, whatever its type."""
        return self._is_active(handle & _NUMBER)

    def flush(self, handle: int) -> bool:
        """End a session, loaded or saved; whether there was one."""
        number = handle & _NUMBER
        if self.exclusive is not None and self.exclusive & _NUMBER == number:
            self.exclusive = None
        loaded = self.loaded.pop(number, None)
        return loaded is not None or self.saved.pop(number, None) is not None

    def end_all(self) -> None:
        """TPM Reset: no session lives on."""
        self.loaded.clear()
        self.saved.clear()
        self.exclusive = None
        self.context_counter = MAX_LOADED_SESSIONS  # as the reference counts

    def keep_saved(self) -> None:
        """Restart and Resume: only what was saved lives on."""
        self.loaded.clear()
        self.exclusive = None

    def handles(self, *, saved: bool) -> list[int]:
        """Handles for GetCapability; saved ones as if all were HMAC sessions.

        So lists them the reference, and FlushContext asks for their number alone.
        """
        if saved:
            return [HMAC_FIRST + number for number in sorted(self.saved)]
        return sorted(each.handle for each in self.loaded.values())

    def fork(self) -> SessionStore:
        """An independent copy."""
        copy = SessionStore()
        copy.loaded = {n: each.fork() for n, each in self.loaded.items()}
        copy.saved = {n: (at, each.fork()) for n, (at, each) in self.saved.items()}
        copy.context_counter, copy.exclusive = self.context_counter, self.exclusive
        return copy

    def _is_active(self, number: int) -> bool:
        return number in self.loaded or number in self.saved

    def _oldest(self) -> int:
        return min((at for at, _ in self.saved.values()), default=self.context_counter)
