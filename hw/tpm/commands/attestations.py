"""Certify, CertifyCreation, Quote, GetTime, NV_Certify (Part 3, "Attestation")."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm import tickets
from pefstack.hw.tpm.attestation import attest
from pefstack.hw.tpm.attested import (
    CertifyInfo,
    CreationInfo,
    NvCertifyInfo,
    NvDigestInfo,
    QuoteInfo,
    TimeAttestInfo,
)
from pefstack.hw.tpm.buffers import TPM2B_DIGEST
from pefstack.hw.tpm.codes import MAX_NV_BUFFER_SIZE, TpmAlgId, TpmCc, TpmSt
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.commands.attesting import (
    P2,
    QUALIFYING,
    RESULTS,
    SCHEME,
    SIGN_HANDLE,
    Attestation,
    choose,
)
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.handles import (
    TPMI_DH_OBJECT,
    TPMI_RH_ENDORSEMENT,
    TPMI_RH_NV_AUTH,
    TPMI_RH_NV_INDEX,
)
from pefstack.hw.tpm.nv import NvIndex
from pefstack.hw.tpm.nv_access import check_read
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.properties import FIRMWARE_VERSION
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.scheme import Scheme
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import TPML_PCR_SELECTION, UINT16, PcrSelect
from pefstack.hw.tpm.ticket import TPMT_TK_CREATION, Ticket
from pefstack.hw.tpm.time_info import time_info

_P3, _P4 = RC_P + 3 * RC_1, RC_P + 4 * RC_1


def certify(
    inner: Internals, certified: Any, sign_key: Any, qualifying: bytes, asked: Scheme
) -> Attestation:
    """An object with this Name is loaded, and its qualified Name is this."""
    signer, scheme = choose(sign_key, 2, asked)
    if isinstance(certified, TpmObject):
        names = certified.name, certified.qualified_name
    else:
        names = b"", b""  # a sequence has none
    info = CertifyInfo(name=names[0], qualified_name=names[1])
    return attest(inner, signer, scheme, TpmSt.ATTEST_CERTIFY, qualifying, info)


def certify_creation(
    inner: Internals,
    sign_key: Any,
    certified: Any,
    qualifying: bytes,
    creation_hash: bytes,
    asked: Scheme,
    creation_ticket: Ticket,
) -> Attestation:
    """This TPM made the object, with creation data of this digest: so its ticket."""
    signer, scheme = choose(sign_key, 1, asked, _P3)
    if not tickets.check(inner, creation_ticket, certified.name, creation_hash):
        raise Refusal(TpmRc.TICKET + _P4)
    info = CreationInfo(object_name=certified.name, creation_hash=creation_hash)
    return attest(inner, signer, scheme, TpmSt.ATTEST_CREATION, qualifying, info)


def quote(
    inner: Internals,
    sign_key: Any,
    qualifying: bytes,
    asked: Scheme,
    selections: list[PcrSelect],
) -> Attestation:
    """H of the selected PCR values, under the hash of the scheme."""
    signer, scheme = choose(sign_key, 1, asked)
    if scheme.hash_alg == TpmAlgId.NULL:
        raise Refusal(TpmRc.SCHEME + P2)
    selected, values = inner.state.pcrs.select(selections)
    pcr_digest = digest(scheme.hash_alg, *values)
    info = QuoteInfo(pcr_select=tuple(selected), pcr_digest=pcr_digest)
    inner.journal.add("tpm", "quote", pcrs=len(values), digest=pcr_digest.hex())
    return attest(inner, signer, scheme, TpmSt.ATTEST_QUOTE, qualifying, info)


def get_time(
    inner: Internals, privacy: Any, sign_key: Any, qualifying: bytes, asked: Scheme
) -> Attestation:
    """Time, Clock and counts in clear: the privacy administrator has agreed."""
    signer, scheme = choose(sign_key, 2, asked)
    info = TimeAttestInfo(time=time_info(inner), firmware_version=FIRMWARE_VERSION)
    return attest(inner, signer, scheme, TpmSt.ATTEST_TIME, qualifying, info)


def nv_certify(
    inner: Internals,
    sign_key: Any,
    authorizing: Any,
    index: NvIndex,
    qualifying: bytes,
    asked: Scheme,
    size: int,
    offset: int,
) -> Attestation:
    """A part of an index; with size and offset 0 the digest of all of it."""
    signer, scheme = choose(sign_key, 1, asked)
    check_read(authorizing, index)
    if size + offset > index.public.data_size:
        raise Refusal(TpmRc.NV_RANGE)
    if size > MAX_NV_BUFFER_SIZE:
        raise Refusal(TpmRc.VALUE + _P3)
    if size == offset == 0:
        hashed = digest(scheme.hash_alg, index.data) if signer else b""
        whole = NvDigestInfo(index_name=index.name, nv_digest=hashed)
        kind = TpmSt.ATTEST_NV_DIGEST
        return attest(inner, signer, scheme, kind, qualifying, whole)
    data = index.data[offset : offset + size]
    part = NvCertifyInfo(index_name=index.name, offset=offset, nv_contents=data)
    return attest(inner, signer, scheme, TpmSt.ATTEST_NV, qualifying, part)


CERTIFY: Final = Command(
    code=TpmCc.CERTIFY,
    action=certify,
    handles=(
        Handle(name="objectHandle", type=TPMI_DH_OBJECT, role=AuthRole.ADMIN),
        SIGN_HANDLE,
    ),
    parameters=(QUALIFYING, SCHEME),
    results=RESULTS,
    decrypts=True,
    encrypts=True,
)
CERTIFY_CREATION: Final = Command(
    code=TpmCc.CERTIFY_CREATION,
    action=certify_creation,
    handles=(
        SIGN_HANDLE,
        Handle(name="objectHandle", type=TPMI_DH_OBJECT, role=AuthRole.NONE),
    ),
    parameters=(
        QUALIFYING,
        Parameter(name="creationHash", unmarshal=TPM2B_DIGEST),
        SCHEME,
        Parameter(name="creationTicket", unmarshal=TPMT_TK_CREATION),
    ),
    results=RESULTS,
    decrypts=True,
    encrypts=True,
)
QUOTE: Final = Command(
    code=TpmCc.QUOTE,
    action=quote,
    handles=(SIGN_HANDLE,),
    parameters=(
        QUALIFYING,
        SCHEME,
        Parameter(name="PCRselect", unmarshal=TPML_PCR_SELECTION),
    ),
    results=RESULTS,
    decrypts=True,
    encrypts=True,
)
GET_TIME: Final = Command(
    code=TpmCc.GET_TIME,
    action=get_time,
    handles=(Handle(name="privacyAdminHandle", type=TPMI_RH_ENDORSEMENT), SIGN_HANDLE),
    parameters=(QUALIFYING, SCHEME),
    results=RESULTS,
    decrypts=True,
    encrypts=True,
)
NV_CERTIFY: Final = Command(
    code=TpmCc.NV_CERTIFY,
    action=nv_certify,
    handles=(
        SIGN_HANDLE,
        Handle(name="authHandle", type=TPMI_RH_NV_AUTH),
        Handle(name="nvIndex", type=TPMI_RH_NV_INDEX, role=AuthRole.NONE),
    ),
    parameters=(
        QUALIFYING,
        SCHEME,
        Parameter(name="size", unmarshal=UINT16),
        Parameter(name="offset", unmarshal=UINT16),
    ),
    results=RESULTS,
    decrypts=True,
    encrypts=True,
)
COMMANDS: Final = (CERTIFY, CERTIFY_CREATION, QUOTE, GET_TIME, NV_CERTIFY)
