"""Attestations as a verifier reads them, and a key of the tests that signs them."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from pefstack.hw.tpm.engine import Tpm
from tpm_key_kit import HMAC_KEY, NO_DA, SIGN, USER, hmac_areas, put_in
from tpm_kit import rc_of

OWNER, ENDORSEMENT, NULL = 0x40000001, 0x4000000B, 0x40000007
HMAC_SHA256: Final = bytes.fromhex("0005000b")
NO_SCHEME: Final = b"\0\x10"
USES: Final = SIGN | USER | NO_DA


class Attest:
    """TPMS_ATTEST read by hand, and the signature after it."""

    def __init__(self, answer: bytes) -> None:
        assert rc_of(answer) == 0, hex(rc_of(answer))
        size = int.from_bytes(answer[14:16], "big")
        self.raw, self.signature = answer[16 : 16 + size], answer[16 + size :]
        assert self.raw[:4] == b"\xffTCG"
        self.type = int.from_bytes(self.raw[4:6], "big")
        self.at = 6
        self.signer, self.extra = self.sized(), self.sized()
        self.clock, self.resets, self.restarts = (self.number(n) for n in (8, 4, 4))
        self.safe, self.firmware = self.number(1), self.number(8)

    def number(self, size: int) -> int:
        self.at += size
        return int.from_bytes(self.raw[self.at - size : self.at], "big")

    def sized(self) -> bytes:
        size = self.number(2)
        self.at += size
        return self.raw[self.at - size : self.at]

    @property
    def rest(self) -> bytes:
        return self.raw[self.at :]

    def check_hmac(self) -> None:
        """Signed by the key of the kit."""
        digest = hashlib.sha256(self.raw).digest()
        expected = HMAC_SHA256 + hmac.digest(HMAC_KEY, digest, "sha256")
        assert self.signature[: len(expected)] == expected


def signer(tpm: Tpm, hierarchy: int = ENDORSEMENT) -> int:
    return put_in(tpm, hmac_areas(USES), hierarchy=hierarchy)
