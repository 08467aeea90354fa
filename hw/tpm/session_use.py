"""A session as one command carries it (Part 1, "Authorization Area")."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pefstack.hw.tpm.codes import TpmaSession

if TYPE_CHECKING:
    from pefstack.hw.tpm.session import Session

# of a password in a response: no nonce, no HMAC
PASSWORD_RESPONSE: Final = bytes((0, 0, TpmaSession.CONTINUE_SESSION, 0, 0))


@dataclass(slots=True, kw_only=True)
class SessionUse:
    """A session as one command carries it; ``session`` is None for a password.

    ``auth`` is the HMAC, or the password. ``is_bound``: to what it authorizes here.
    """

    handle: int
    session: Session | None
    nonce_caller: bytes
    attributes: int
    auth: bytes = field(repr=False)
    is_bound: bool = False

    def has(self, attribute: TpmaSession) -> bool:
        """Whether an attribute is set for this command."""
        return bool(self.attributes & attribute)
