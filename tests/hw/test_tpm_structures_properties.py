"""Every structure: round trip, cut short, noise."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.tpm import (
    attest,
    attested,
    clock_info,
    context,
    creation,
    nv_public,
    public,
    scheme,
    sensitive,
    signature,
    symmetric_def,
    ticket,
)
from pefstack.hw.tpm.codes import TpmaNv, TpmaObject
from pefstack.hw.tpm.decode import decode
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.scheme import Scheme
from pefstack.hw.tpm.structures import Reader, Unmarshal, put_sized, sized, whole
from pefstack.hw.tpm.symmetric_def import Symmetric
from pefstack.images.errors import FormatError
from tpm_kit import SHA1, SHA256, SHA384, SHA512, SIZE

NULL = 0x10
hashes = st.sampled_from((SHA1, SHA256, SHA384, SHA512))
names = st.binary(max_size=68)
digests = st.binary(max_size=64)
u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
u8 = st.integers(0, 255)
hierarchies = st.sampled_from((0x40000001, 0x40000007, 0x4000000B, 0x4000000C))

aes = st.builds(
    Symmetric,
    alg=st.just(6),
    key_bits=st.sampled_from((128, 256)),
    mode=st.sampled_from((NULL, *range(0x40, 0x45))),
)
no_symmetric = st.just(Symmetric())
xor_symmetric = st.builds(Symmetric, alg=st.just(0x0A), key_bits=hashes)
no_scheme = st.just(Scheme())


def hashed(*algs: int) -> st.SearchStrategy[Scheme]:
    return st.builds(Scheme, alg=st.sampled_from(algs), hash_alg=hashes)


ecdaa = st.builds(Scheme, alg=st.just(0x1A), hash_alg=hashes, count=u16)
kdfs = hashed(0x07, 0x20, 0x21, 0x22) | no_scheme
xor_scheme = st.builds(
    Scheme,
    alg=st.just(0x0A),
    hash_alg=hashes,
    kdf=st.sampled_from((NULL, 0x07, 0x20, 0x21, 0x22)),
)
rsaes = st.just(Scheme(alg=0x15))
rsa_schemes = no_scheme | rsaes | hashed(0x14, 0x16, 0x17)
ecc_schemes = no_scheme | ecdaa | hashed(0x18, 0x19, 0x1C, 0x1D)
sig_schemes = no_scheme | ecdaa | hashed(0x05, 0x14, 0x16, 0x18, 0x1C)
rsa_parms = st.builds(
    public.RsaParms,
    symmetric=aes | no_symmetric,
    scheme=rsa_schemes,
    key_bits=st.sampled_from((1024, 2048, 3072)),
    exponent=u32,
)
ecc_parms = st.builds(
    public.EccParms,
    symmetric=aes | no_symmetric,
    scheme=ecc_schemes,
    curve=st.sampled_from((3, 4, 5)),
    kdf=kdfs,
)
keyed_hash_parms = st.builds(
    public.KeyedHashParms, scheme=no_scheme | hashed(5) | xor_scheme
)
sym_parms = st.builds(public.SymCipherParms, symmetric=aes)
params = st.binary(max_size=66)
pairs = st.tuples(params, params)
modulus = st.binary(max_size=384)
object_attributes = u32.map(lambda bits: bits & ~int(TpmaObject.RESERVED))
nv_attributes = u32.map(lambda bits: bits & ~int(TpmaNv.RESERVED))
KINDS: list[tuple[int, st.SearchStrategy[Any], st.SearchStrategy[Any]]] = [
    (0x01, rsa_parms, modulus),
    (0x23, ecc_parms, pairs),
    (0x08, keyed_hash_parms, digests),
    (0x25, sym_parms, digests),
]


def publics(
    name_algs: st.SearchStrategy[int], *, derived: bool = False
) -> st.SearchStrategy[public.Public]:
    label = st.binary(max_size=32)
    return st.one_of(
        [
            st.builds(
                public.Public,
                type=st.just(kind),
                name_alg=name_algs,
                attributes=object_attributes,
                auth_policy=digests,
                parameters=parms,
                unique=st.tuples(label, label) if derived else unique,
            )
            for kind, parms, unique in KINDS
        ]
    )


public_parms = st.one_of(
    [
        st.builds(public.PublicParms, type=st.just(kind), parameters=parms)
        for kind, parms, _ in KINDS
    ]
)
sensitives = st.one_of(
    [
        st.builds(
            sensitive.Sensitive,
            type=st.just(kind),
            auth_value=digests,
            seed_value=digests,
            sensitive=st.binary(max_size=most),
        )
        for kind, most in ((0x01, 192), (0x23, 66), (0x08, 128), (0x25, 32))
    ]
)
sensitive_creates = st.builds(
    sensitive.SensitiveCreate, user_auth=digests, data=st.binary(max_size=128)
)
rsa_signatures = st.builds(
    signature.Signature,
    alg=st.sampled_from((0x14, 0x16)),
    hash_alg=hashes,
    signature=modulus,
)
ecc_signatures = st.builds(
    signature.Signature,
    alg=st.sampled_from((0x18, 0x1A, 0x1C)),
    hash_alg=hashes,
    signature=pairs,
)
hmac_signatures = hashes.flatmap(
    lambda alg: st.builds(
        signature.Signature,
        alg=st.just(5),
        hash_alg=st.just(alg),
        signature=st.binary(min_size=SIZE[alg], max_size=SIZE[alg]),
    )
)
signatures = rsa_signatures | ecc_signatures | hmac_signatures


def tickets(*tags: int) -> st.SearchStrategy[ticket.Ticket]:
    return st.builds(
        ticket.Ticket, tag=st.sampled_from(tags), hierarchy=hierarchies, digest=digests
    )


nv_publics = st.builds(
    nv_public.NvPublic,
    index=st.integers(0x01000000, 0x01FFFFFF),
    name_alg=hashes,
    attributes=nv_attributes,
    auth_policy=digests,
    data_size=st.integers(0, 2048),
)
saved = st.sampled_from((0x80000000, 0x80000002, 0x02000000, 0x0200003F, 0x03000001))
contexts = st.builds(
    context.Context,
    sequence=u64,
    saved_handle=saved,
    hierarchy=hierarchies,
    blob=st.binary(max_size=300),
)
selections = st.lists(st.tuples(hashes, st.integers(0, 2**24 - 1)), max_size=4).map(
    tuple
)
creations = st.builds(
    creation.CreationData,
    pcr_select=selections,
    pcr_digest=digests,
    locality=u8,
    parent_name_alg=u16,
    parent_name=names,
    parent_qualified_name=names,
    outside_info=params,
)
clocks = st.builds(
    clock_info.ClockInfo,
    clock=u64,
    reset_count=u32,
    restart_count=u32,
    safe=st.booleans(),
)
times = st.builds(clock_info.TimeInfo, time=u64, clock_info=clocks)
ATTESTED: dict[int, st.SearchStrategy[Any]] = {
    0x8014: st.builds(
        attested.NvCertifyInfo,
        index_name=names,
        offset=u16,
        nv_contents=st.binary(max_size=99),
    ),
    0x8015: st.builds(
        attested.CommandAuditInfo,
        audit_counter=u64,
        digest_alg=u16,
        audit_digest=digests,
        command_digest=digests,
    ),
    0x8016: st.builds(
        attested.SessionAuditInfo,
        exclusive_session=st.booleans(),
        session_digest=digests,
    ),
    0x8017: st.builds(attested.CertifyInfo, name=names, qualified_name=names),
    0x8018: st.builds(attested.QuoteInfo, pcr_select=selections, pcr_digest=digests),
    0x8019: st.builds(attested.TimeAttestInfo, time=times, firmware_version=u64),
    0x801A: st.builds(attested.CreationInfo, object_name=names, creation_hash=digests),
    0x801C: st.builds(attested.NvDigestInfo, index_name=names, nv_digest=digests),
}
attests = st.one_of(
    [
        st.builds(
            attest.Attest,
            type=st.just(kind),
            qualified_signer=names,
            extra_data=params,
            clock_info=clocks,
            firmware_version=u64,
            attested=what,
        )
        for kind, what in ATTESTED.items()
    ]
)

Row = tuple[Unmarshal[Any], st.SearchStrategy[Any]]
STRUCTURES: dict[str, Row] = {
    "TPMT_PUBLIC": (public.TPMT_PUBLIC, publics(hashes)),
    "TPMT_PUBLIC_OR_NULL": (
        public.TPMT_PUBLIC_OR_NULL,
        publics(hashes | st.just(NULL)),
    ),
    "TPMT_PUBLIC_DERIVED": (public.TPMT_PUBLIC_DERIVED, publics(hashes, derived=True)),
    "TPMT_PUBLIC_PARMS": (public.TPMT_PUBLIC_PARMS, public_parms),
    "TPMT_SENSITIVE": (sensitive.TPMT_SENSITIVE, sensitives),
    "TPMS_SENSITIVE_CREATE": (sensitive.sensitive_create, sensitive_creates),
    "TPMT_SYM_DEF": (symmetric_def.TPMT_SYM_DEF, aes | no_symmetric | xor_symmetric),
    "TPMT_SYM_DEF_OBJECT": (symmetric_def.TPMT_SYM_DEF_OBJECT, aes | no_symmetric),
    "TPMT_RSA_DECRYPT": (scheme.TPMT_RSA_DECRYPT, no_scheme | rsaes | hashed(0x17)),
    "TPMT_SIG_SCHEME": (scheme.TPMT_SIG_SCHEME, sig_schemes),
    "TPMT_SIGNATURE": (signature.TPMT_SIGNATURE, signatures),
    "TPMT_SIGNATURE_OR_NULL": (
        signature.TPMT_SIGNATURE_OR_NULL,
        signatures | st.just(signature.Signature()),
    ),
    "TPMT_TK_CREATION": (ticket.TPMT_TK_CREATION, tickets(0x8021)),
    "TPMT_TK_VERIFIED": (ticket.TPMT_TK_VERIFIED, tickets(0x8022)),
    "TPMT_TK_AUTH": (ticket.TPMT_TK_AUTH, tickets(0x8023, 0x8025)),
    "TPMT_TK_HASHCHECK": (ticket.TPMT_TK_HASHCHECK, tickets(0x8024)),
    "TPMS_NV_PUBLIC": (nv_public.TPMS_NV_PUBLIC, nv_publics),
    "TPMS_CONTEXT": (context.TPMS_CONTEXT, contexts),
    "TPMS_CREATION_DATA": (creation.TPMS_CREATION_DATA, creations),
    "TPMS_TIME_INFO": (clock_info.TPMS_TIME_INFO, times),
    "TPMS_ATTEST": (attest.TPMS_ATTEST, attests),
}


@pytest.mark.parametrize("name", STRUCTURES)
@given(data=st.data())
def test_round_trip(name: str, data: st.DataObject) -> None:
    unmarshal, values = STRUCTURES[name]
    value = data.draw(values)
    raw = value.to_bytes()
    assert whole(unmarshal, raw) == value
    assert whole(sized(unmarshal), put_sized(value)) == value
    assert decode(name, unmarshal, raw) == value


@pytest.mark.parametrize("name", STRUCTURES)
@given(data=st.data())
def test_cut_short(name: str, data: st.DataObject) -> None:
    unmarshal, values = STRUCTURES[name]
    raw = data.draw(values).to_bytes()
    size = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(Refusal) as refused:
        whole(unmarshal, raw[:size])
    assert refused.value.rc == TpmRc.INSUFFICIENT
    with pytest.raises(FormatError, match=f"{name}: structure.*INSUFFICIENT"):
        decode(name, unmarshal, raw[:size])


@pytest.mark.parametrize("name", STRUCTURES)
@given(data=st.data())
def test_bytes_left_over(name: str, data: st.DataObject) -> None:
    unmarshal, values = STRUCTURES[name]
    raw = data.draw(values).to_bytes()
    with pytest.raises(Refusal) as refused:
        whole(unmarshal, raw + b"\0")
    assert refused.value.rc == TpmRc.SIZE
    with pytest.raises(FormatError, match=f"{name}: end.*0x1 bytes left over"):
        decode(name, unmarshal, raw + b"\0")


@pytest.mark.parametrize("name", STRUCTURES)
@given(data=st.data())
def test_noise(name: str, data: st.DataObject) -> None:
    """One byte changed, or nothing but noise: a Refusal, or bytes that come back."""
    unmarshal, values = STRUCTURES[name]
    raw = bytearray(data.draw(values.map(lambda value: value.to_bytes())))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(u8)
    for content in (bytes(raw), data.draw(st.binary(max_size=80))):
        reader = Reader(content, 0, len(content), SIZE)
        try:
            value = unmarshal(reader)
        except Refusal as refusal:
            assert refusal.rc in TpmRc.__members__.values()
        else:
            assert value.to_bytes() == content[: reader.offset]
