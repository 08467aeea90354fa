"""One command on its way through the checks: entities, sessions, hashes of it."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.command import AuthRole, Command
from pefstack.hw.tpm.crypto.hashes import cp_hash, rp_hash


class Invocation:
    """What a command names, and what it carries.

    ``parameters`` are the bytes as sent, so encrypted ones are still encrypted.
    ``has_keys`` says that a session of it is more than a password.
    """

    __slots__ = (
        "_cp_hashes",
        "command",
        "entities",
        "handles",
        "has_keys",
        "parameters",
    )

    def __init__(
        self, command: Command, handles: list[int], entities: list[Any]
    ) -> None:
        self.command: Final = command
        self.handles: Final = handles
        self.entities: Final = entities
        self.parameters = b""
        self.has_keys = False
        self._cp_hashes: dict[int, bytes] = {}

    def names(self) -> bytes:
        """The Names of all entities, one after the other."""
        return b"".join([entity.name for entity in self.entities])

    def cp_hash(self, alg: int) -> bytes:
        """H(commandCode || Names || parameters)."""
        known = self._cp_hashes.get(alg)
        if known is None:
            known = cp_hash(alg, self.command.code, self.names(), self.parameters)
            self._cp_hashes[alg] = known
        return known

    def rp_hash(self, alg: int, results: bytes) -> bytes:
        """H(rc 0 || commandCode || response parameters)."""
        return rp_hash(alg, self.command.code, results)

    def authorized(self, index: int) -> Any | None:
        """The entity that session ``index`` authorizes; None for a further session."""
        return self.entities[index] if index < self.command.auth_count else None

    def role(self, index: int) -> AuthRole:
        """The role in which session ``index`` authorizes its entity."""
        return self.command.handles[index].role
