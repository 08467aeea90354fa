"""The random numbers of commits (Part 1, C)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.crypto.curves import curve_of
from pefstack.hw.tpm.crypto.kdf import kdfa
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_uint64

_ALG: Final = TpmAlgId.SHA512
_EXTRA_BITS: Final = 64  # against bias, beyond the order of the curve


def commit_random(inner: Internals, counter: int, name: bytes, curve: int) -> int:
    """The number r of an open commit; TPM_RC_VALUE when there is none."""
    count = inner.state.commits.open_count(counter)
    return scalar(inner, count, name, curve)


def scalar(inner: Internals, count: int, name: bytes, curve: int) -> int:
    """The number from 1 to n - 1 of a count, a key's Name and a curve.

    It follows from a secret of this TPM Reset, so nothing of before can be ended.
    """
    order = curve_of(curve).n
    bits = (order.bit_length() + 7) // 8 * 8 + _EXTRA_BITS
    secret = inner.state.context_secret
    made = kdfa(_ALG, secret, b"COMMIT", name, put_uint64(count), bits)
    return 1 + int.from_bytes(made, "big") % (order - 1)
