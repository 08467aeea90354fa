"""A sensitive area before it is encrypted: TPM2B_SENSITIVE (Part 1, 22 and 23).

Its length says nothing of the authValue: zeros make that as long as the digest of the
object's nameAlg, and loading takes them off again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.hw.tpm.codes import DIGEST_SIZE
from pefstack.hw.tpm.hierarchies import trimmed
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.sensitive import TPMT_SENSITIVE, Sensitive
from pefstack.hw.tpm.structures import put_sized, whole

_SIZE: Final = 2  # bytes of the length before the area


def plain_bytes(sensitive: Sensitive, name: bytes) -> bytes:
    """Ready to be encrypted; the object's Name begins with its nameAlg."""
    size = DIGEST_SIZE.get(int.from_bytes(name[:2], "big"), 0)
    auth_value = sensitive.auth_value.ljust(size, b"\0")
    return put_sized(replace(sensitive, auth_value=auth_value))


def from_plain_bytes(data: bytes) -> Sensitive:
    """As it is kept while loaded; TPM_RC_SIZE for a wrong length."""
    if len(data) >= _SIZE and len(data) - _SIZE != int.from_bytes(data[:_SIZE], "big"):
        raise Refusal(TpmRc.SIZE)
    sensitive = whole(TPMT_SENSITIVE, data[_SIZE:])
    return replace(sensitive, auth_value=trimmed(sensitive.auth_value))
