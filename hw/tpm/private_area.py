"""TPM2B_PRIVATE: the sensitive area of a child, protected by its parent (Part 1, 22).

The layout is ours: only the TPM that made it reads it.
"""

from __future__ import annotations

from functools import partial

from pefstack.hw.entropy import Entropy
from pefstack.hw.tpm.crypto.protection import (
    unwrap_private,
    wrap_private,
)
from pefstack.hw.tpm.crypto.symmetric import BLOCK_SIZE
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.plain_sensitive import from_plain_bytes, plain_bytes
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.sensitive import Sensitive
from pefstack.hw.tpm.wrapped import opened


def to_private(
    entropy: Entropy, parent: TpmObject, name: bytes, sensitive: Sensitive
) -> bytes:
    """The blob, bound to the object's Name and to the parent's seedValue."""
    iv = entropy.random_bytes(BLOCK_SIZE)
    seed = _seed(parent)
    alg, bits = parent.public.name_alg, parent.public.symmetric.key_bits
    data = plain_bytes(sensitive, name)
    return wrap_private(alg, bits, seed, name, data, iv)


def from_private(parent: TpmObject, name: bytes, private: bytes) -> Sensitive:
    """The sensitive area: TPM_RC_INTEGRITY before anything is decrypted."""
    alg, bits = parent.public.name_alg, parent.public.symmetric.key_bits
    unwrap = partial(unwrap_private, alg, bits, _seed(parent), name)
    return from_plain_bytes(opened(unwrap, private))


def _seed(parent: TpmObject) -> bytes:
    if parent.sensitive is None:
        raise Refusal(TpmRc.TYPE)
    return parent.sensitive.seed_value
