"""The command audit: a digest over commands that somebody chose (Part 1, "Audit")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId, TpmCc
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.structures import put_uint32

ALWAYS: Final = int(TpmCc.SET_COMMAND_CODE_AUDIT_STATUS)
_NEVER: Final = int(TpmCc.SHUTDOWN)


class CommandAudit:
    """Which commands are audited, under which hash, and their digest so far.

    ``counter`` counts the digests that were begun; ``digest`` is empty between two of
    them, and None while the command that changed the hash is not over.
    """

    __slots__ = ("alg", "codes", "counter", "digest")

    def __init__(self) -> None:
        self.alg = int(TpmAlgId.SHA512)
        self.codes: frozenset[int] = frozenset((ALWAYS,))
        self.counter = 0
        self.digest: bytes | None = b""

    def change_algorithm(self, alg: int) -> None:
        """Another hash: the digest begins anew, and not with this command."""
        self.alg = alg
        self.digest = None

    def change_codes(self, added: Iterable[int], removed: Iterable[int]) -> None:
        """Audit more, then fewer commands; Shutdown never, the change itself always."""
        codes = self.codes | frozenset(added) - {_NEVER}
        self.codes = codes - frozenset(removed) | {ALWAYS}

    def extend(self, cp_hash: bytes, rp_hash: bytes) -> bool:
        """Note one command; whether a new digest was begun, which outlives power."""
        if self.digest is None:
            self.digest = b""
            return False
        begins = not self.digest
        old = self.digest or bytes(DIGEST_SIZE[self.alg])
        self.counter += begins
        self.digest = digest(self.alg, old, cp_hash, rp_hash)
        return begins

    def codes_digest(self) -> bytes:
        """H of the audited command codes in rising order."""
        return digest(self.alg, *map(put_uint32, sorted(self.codes)))

    def restart(self) -> None:
        """TPM Reset, or a signed GetCommandAuditDigest: the digest begins anew."""
        self.digest = b""

    def fork(self) -> CommandAudit:
        """An independent copy."""
        copy = CommandAudit()
        copy.alg, copy.codes = self.alg, self.codes
        copy.counter, copy.digest = self.counter, self.digest
        return copy
