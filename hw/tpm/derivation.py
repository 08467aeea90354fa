"""Derived objects: what CreateLoaded makes below a derivation parent (Part 1, 28).

A key follows from the parent's secret, a label and a context by KDFa, as a stream; its
bytes are no other TPM's (project decision: the reference's way is its own, too).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.hw.tpm.buffers import TPMS_DERIVE
from pefstack.hw.tpm.codes import TpmAlgId, TpmaObject
from pefstack.hw.tpm.crypto.kdf import KdfaStream
from pefstack.hw.tpm.key_creation import (
    check_sizes,
    create_parts,
    keyed_hash_alg,
)
from pefstack.hw.tpm.key_maker import KeyMaker
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.public import TPMT_PUBLIC, TPMT_PUBLIC_DERIVED, Public
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc, at
from pefstack.hw.tpm.sensitive import Sensitive, SensitiveCreate
from pefstack.hw.tpm.structures import put_pair, whole
from pefstack.hw.tpm.template_checks import check_attributes

_PUBLIC: Final = RC_P + 2 * RC_1


def read_template(template: bytes, *, derives: bool) -> Public:
    """TPMT_TEMPLATE; below a derivation parent ``unique`` is (label, context)."""
    return whole(TPMT_PUBLIC_DERIVED if derives else TPMT_PUBLIC, template)


def check_derived(parent: TpmObject, template: Public, given: SensitiveCreate) -> None:
    """What CreateLoaded asks of a derived object; no RSA key can be derived."""
    if template.type == TpmAlgId.RSA:
        raise Refusal(TpmRc.TYPE + _PUBLIC)
    if template.has(TpmaObject.SENSITIVE_DATA_ORIGIN):
        raise Refusal(TpmRc.ATTRIBUTES)  # without a place, as the reference
    at(_PUBLIC, check_attributes, parent, template)
    _label_and_context(template, given)
    check_sizes(template, b"")


def create_derived(
    keys: KeyMaker, parent: TpmObject, template: Public, given: SensitiveCreate
) -> tuple[Public, Sensitive]:
    """The same for the same parent, label and context; after `check_derived`."""
    label, context = _label_and_context(template, given)
    secret = b"" if parent.sensitive is None else parent.sensitive.sensitive
    alg = keyed_hash_alg(parent.public)
    stream = KdfaStream(alg, secret, put_pair((label, context)), b"DERIVED")
    ordinary = replace(template, unique=b"")
    own = SensitiveCreate(user_auth=given.user_auth)
    return create_parts(keys, stream, ordinary, own)


def _label_and_context(template: Public, given: SensitiveCreate) -> tuple[bytes, bytes]:
    """Those of the template; where they are empty, those of the caller's data."""
    if isinstance(template.unique, bytes):  # not read as TPMS_DERIVE
        raise Refusal(TpmRc.VALUE)
    label, context = template.unique
    if not given.data:
        return label, context
    own_label, own_context = whole(TPMS_DERIVE, given.data)
    return label or own_label, context or own_context
