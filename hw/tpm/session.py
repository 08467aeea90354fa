"""One authorization session: HMAC, policy or trial (Part 1, "Session-based …")."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, POLICY_FIRST, TpmAlgId
from pefstack.hw.tpm.dictionary_attack import Bound

if TYPE_CHECKING:
    from pefstack.hw.tpm.symmetric_def import Symmetric

ALL_LOCALITIES: Final = 0


@dataclass(slots=True, kw_only=True)
class PolicyState:
    """What a policy session has gathered; empty values are no condition.

    ``timeout`` is in milliseconds of the TPM's time, ``pcr_counter`` the counter of PCR
    changes at the first PolicyPCR, ``locality`` a TPMA_LOCALITY.
    """

    digest: bytes
    needs_auth_value: bool = False
    needs_password: bool = False
    needs_presence: bool = False
    command_code: int = 0
    locality: int = ALL_LOCALITIES
    cp_hash: bytes = b""
    name_hash: bytes = b""
    template_hash: bytes = b""
    pcr_counter: int | None = None
    nv_written: bool | None = None
    timeout: int | None = None

    @property
    def has_other_hash(self) -> bool:
        """Whether a Name hash or a template hash is there: a session holds one hash."""
        return bool(self.name_hash or self.template_hash)


@dataclass(slots=True, kw_only=True)
class Session:
    """A session in one of the loaded slots.

    ``bound`` is the Name and a digest of the authValue of the entity it is bound to, or
    empty. ``policy`` is None for an HMAC session.
    """

    handle: int
    auth_hash: int
    symmetric: Symmetric
    session_key: bytes = field(repr=False)
    nonce_tpm: bytes
    bound: bytes = field(default=b"", repr=False)
    bound_kind: Bound = Bound.FREE
    policy: PolicyState | None = None
    is_trial: bool = False
    audit_digest: bytes = b""
    started_at: int = 0

    @property
    def name(self) -> bytes:
        """The Name of a session: its four bytes."""
        return self.handle.to_bytes(4, "big")

    @property
    def is_policy(self) -> bool:
        """Whether its handle is one of a policy session; trial ones are, too."""
        return self.handle >= POLICY_FIRST

    @property
    def can_encrypt(self) -> bool:
        """Whether it was started with a symmetric algorithm."""
        return self.symmetric.alg != TpmAlgId.NULL

    def restart_policy(self) -> None:
        """A policy as at the start; nonces and keys stay."""
        if self.policy is not None:
            self.policy = PolicyState(digest=bytes(DIGEST_SIZE[self.auth_hash]))

    def fork(self) -> Session:
        """An independent copy."""
        policy = None if self.policy is None else replace(self.policy)
        return replace(self, policy=policy)
