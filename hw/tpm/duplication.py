"""Objects on their way from one parent to another (tpm.md 3, "Import / Duplicate").

The inner wrap is with a key of the caller's, the outer one for the new parent. Refusals
are bare response codes.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.crypto.protection import (
    IntegrityError,
    inner_unwrap,
    inner_wrap,
    outer_unwrap,
    outer_wrap,
)
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.plain_sensitive import from_plain_bytes, plain_bytes
from pefstack.hw.tpm.public import Public
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.sensitive import Sensitive
from pefstack.hw.tpm.symmetric_def import Symmetric
from pefstack.hw.tpm.wrapped import opened

LABEL: Final = "DUPLICATE"


def check_inner_key(symmetric: Symmetric, key: bytes) -> None:
    """TPM_RC_SIZE for a key that the algorithm does not take; none takes no key."""
    bits = 0 if symmetric.alg == TpmAlgId.NULL else symmetric.key_bits
    if len(key) * 8 != bits:
        raise Refusal(TpmRc.SIZE)


def wrapped_inside(
    public: Public, name: bytes, sensitive: Sensitive, key: bytes
) -> bytes:
    """The sensitive area under the inner key; in clear without one."""
    data = plain_bytes(sensitive, name)
    return inner_wrap(public.name_alg, key, name, data) if key else data


def unwrapped_inside(public: Public, name: bytes, blob: bytes, key: bytes) -> Sensitive:
    """The sensitive area; TPM_RC_INTEGRITY with another key or for another Name."""
    data = _opened_inside(public, name, blob, key) if key else blob
    return from_plain_bytes(data)


def _opened_inside(public: Public, name: bytes, blob: bytes, key: bytes) -> bytes:
    try:
        return inner_unwrap(public.name_alg, key, name, blob)
    except IntegrityError:
        raise Refusal(TpmRc.INTEGRITY) from None
    except ValueError:  # under another key the length is any number: too great a one
        raise Refusal(TpmRc.SIZE if blob else TpmRc.INSUFFICIENT) from None


def wrapped_outside(parent: TpmObject, name: bytes, seed: bytes, blob: bytes) -> bytes:
    """``blob`` under keys from the seed, with the algorithms of the new parent."""
    alg, bits = parent.public.name_alg, parent.public.symmetric.key_bits
    return outer_wrap(alg, bits, seed, name, blob)


def unwrapped_outside(
    parent: TpmObject, name: bytes, seed: bytes, blob: bytes
) -> bytes:
    """What is inside; TPM_RC_INTEGRITY before anything is decrypted."""
    alg, bits = parent.public.name_alg, parent.public.symmetric.key_bits
    return opened(partial(outer_unwrap, alg, bits, seed, name), blob)
