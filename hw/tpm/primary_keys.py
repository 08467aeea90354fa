"""Primary objects follow from a seed and a template (tpm.md 3, "Primary keys").

How they follow is ours: two streams by KDFa from the seed and H(TPMT_PUBLIC || data),
one for the seedValue and symmetric keys, one for an asymmetric key. That is remembered.
"""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.crypto.kdf import KdfaStream
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.key_creation import create_parts, new_key
from pefstack.hw.tpm.key_maker import KeyMaker
from pefstack.hw.tpm.public import Public
from pefstack.hw.tpm.sensitive import Sensitive, SensitiveCreate
from pefstack.hw.tpm.structures import put_tpm2b

ALG: Final = int(TpmAlgId.SHA512)
_ASYMMETRIC: Final = (TpmAlgId.RSA, TpmAlgId.ECC)


def create_primary_parts(
    keys: KeyMaker, hierarchy: Hierarchy, template: Public, given: SensitiveCreate
) -> tuple[Public, Sensitive]:
    """The same for the same seed, template and data; authValue plays no part."""
    written = put_tpm2b(template.to_bytes()) + put_tpm2b(given.data)
    context = digest(ALG, written)
    key = None
    if template.type in _ASYMMETRIC:
        known_by = digest(ALG, hierarchy.seed, context)  # the seed stays in one place
        key = keys.cached(known_by)
        if key is None:
            stream = KdfaStream(ALG, hierarchy.seed, context)
            key = new_key(keys, stream, template)
            keys.keep(known_by, key)
    secrets = KdfaStream(ALG, hierarchy.seed, context, b"SECRETS")
    return create_parts(keys, secrets, template, given, key=key)
