"""The hierarchies and lockout: seeds, proofs, authorizations (Part 1, "Hierarchies").

Seeds and proofs never leave: not in `repr`, not in answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pefstack.hw.entropy import Entropy
from pefstack.hw.tpm.codes import MAX_DIGEST_SIZE, TpmAlgId, TpmRh

SEED_SIZE: Final = 64
PROOF_SIZE: Final = 64
WITH_SEED: Final = (TpmRh.OWNER, TpmRh.ENDORSEMENT, TpmRh.PLATFORM, TpmRh.NULL)


class Hierarchy:
    """One hierarchy, or lockout (which has neither seed nor proof).

    As an entity its Name is its handle, and only lockout is protected against guessing.
    """

    __slots__ = (
        "auth_policy",
        "auth_value",
        "enabled",
        "handle",
        "policy_alg",
        "proof",
        "seed",
    )

    def __init__(self, handle: int, seed: bytes = b"", proof: bytes = b"") -> None:
        self.handle: Final = handle
        self.seed = seed
        self.proof = proof
        self.auth_value = b""
        self.policy_alg = int(TpmAlgId.NULL)
        self.auth_policy = b""
        self.enabled = True

    @property
    def name(self) -> bytes:
        """The Name of a permanent handle: its four bytes."""
        return self.handle.to_bytes(4, "big")

    def clear_auth(self) -> None:
        """Empty authValue, no policy."""
        self.auth_value = self.auth_policy = b""
        self.policy_alg = int(TpmAlgId.NULL)

    def new_seed(self, entropy: Entropy) -> None:
        """Another seed and proof: every key below this hierarchy is gone."""
        self.seed = entropy.random_bytes(SEED_SIZE)
        self.proof = entropy.random_bytes(PROOF_SIZE)

    def fork(self) -> Hierarchy:
        """An independent copy."""
        copy = Hierarchy(self.handle, self.seed, self.proof)
        copy.auth_value, copy.enabled = self.auth_value, self.enabled
        copy.policy_alg, copy.auth_policy = self.policy_alg, self.auth_policy
        return copy

    def __repr__(self) -> str:
        return f"Hierarchy(0x{self.handle:08x}, enabled={self.enabled})"


class Hierarchies:
    """Owner, endorsement, platform, null, and lockout, by handle."""

    __slots__ = ("_by_handle", "disable_clear", "platform_nv_enabled")

    def __init__(self, entropy: Entropy | None) -> None:
        """Manufacture: seeds from the entropy; with None an empty frame for `fork`."""
        self._by_handle = {
            int(handle): Hierarchy(handle) for handle in (*WITH_SEED, TpmRh.LOCKOUT)
        }
        if entropy is not None:
            for handle in WITH_SEED:
                self._by_handle[handle].new_seed(entropy)
        self.disable_clear = False
        self.platform_nv_enabled = True

    def __getitem__(self, handle: int) -> Hierarchy:
        return self._by_handle[handle]

    def __iter__(self) -> Iterator[Hierarchy]:
        return iter(self._by_handle.values())

    def restart(self, entropy: Entropy, *, is_reset: bool) -> None:
        """Startup(CLEAR): everything enabled, platform authorization empty.

        At a TPM Reset the null hierarchy gets another seed, so that nothing of before
        can be used.
        """
        for each in self:
            each.enabled = True
        self.platform_nv_enabled = True
        self._by_handle[TpmRh.PLATFORM].clear_auth()
        if is_reset:
            self._by_handle[TpmRh.NULL].new_seed(entropy)

    def fork(self) -> Hierarchies:
        """An independent copy."""
        copy = Hierarchies(None)
        copy._by_handle = {each.handle: each.fork() for each in self}
        copy.disable_clear = self.disable_clear
        copy.platform_nv_enabled = self.platform_nv_enabled
        return copy


def trimmed(auth_value: bytes) -> bytes:
    """An authValue as it is stored and compared: without zeros at its end."""
    return auth_value[:MAX_DIGEST_SIZE].rstrip(b"\0")
