"""The PCRs that can have an authorization of their own (Part 1, "PCR Attributes").

They are one group: what is set for one of them holds for all.
"""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import TpmAlgId

GROUP_MASK: Final = 0x700000  # PCR 20 to 22, as the reference has them


class PcrGroup:
    """authValue, which goes at Startup(CLEAR), and policy, which lasts."""

    __slots__ = ("auth_policy", "auth_value", "policy_alg")

    def __init__(self) -> None:
        self.auth_value = b""
        self.auth_policy = b""
        self.policy_alg = int(TpmAlgId.NULL)

    def fork(self) -> PcrGroup:
        """An independent copy."""
        copy = PcrGroup()
        copy.auth_value = self.auth_value
        copy.auth_policy, copy.policy_alg = self.auth_policy, self.policy_alg
        return copy

    def __repr__(self) -> str:
        return f"PcrGroup(has_policy={bool(self.auth_policy)})"


def in_group(pcr: int) -> bool:
    """Whether a PCR belongs to the group."""
    return bool(GROUP_MASK >> pcr & 1)
