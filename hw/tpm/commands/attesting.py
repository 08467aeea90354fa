"""What the attestation commands share: who signs, under which scheme (Part 3, 18)."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.buffers import TPM2B_DATA
from pefstack.hw.tpm.command import Handle, Parameter
from pefstack.hw.tpm.handles import TPMI_DH_OBJECT_OR_NULL
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.response_codes import RC_1, RC_P, at
from pefstack.hw.tpm.scheme import TPMT_SIG_SCHEME, Scheme
from pefstack.hw.tpm.signature import Signature
from pefstack.hw.tpm.signing import select_scheme, signing_key
from pefstack.hw.tpm.structures import put_structure, put_tpm2b

SIGN_HANDLE: Final = Handle(name="signHandle", type=TPMI_DH_OBJECT_OR_NULL)
QUALIFYING: Final = Parameter(name="qualifyingData", unmarshal=TPM2B_DATA)
SCHEME: Final = Parameter(name="inScheme", unmarshal=TPMT_SIG_SCHEME)
RESULTS: Final = (put_tpm2b, put_structure)  # the attestation, its signature
P2: Final = RC_P + 2 * RC_1

Attestation = tuple[bytes, Signature]
Signer = tuple[TpmObject | None, Scheme]


def choose(
    sign_handle: Any, handle: int, asked: Scheme, scheme_place: int = P2
) -> Signer:
    """The key behind handle number ``handle``, and the scheme it signs with."""
    signer = signing_key(sign_handle, handle * RC_1)
    return signer, at(scheme_place, select_scheme, signer, asked)
