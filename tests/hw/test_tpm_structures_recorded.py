"""Every structure in a recorded flow of real clients: read, and written the same."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pefstack.hw.tpm.attest import TPM2B_ATTEST, TPMS_ATTEST
from pefstack.hw.tpm.buffers import (
    TPM2B_AUTH,
    TPM2B_DATA,
    TPM2B_DIGEST,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_MAX_NV_BUFFER,
    TPM2B_NAME,
    TPM2B_NONCE,
    TPM2B_PRIVATE,
    TPM2B_SENSITIVE_DATA,
    TPM2B_TIMEOUT,
)
from pefstack.hw.tpm.context import TPMS_CONTEXT
from pefstack.hw.tpm.creation import TPM2B_CREATION_DATA, TPMS_CREATION_DATA
from pefstack.hw.tpm.decode import decode
from pefstack.hw.tpm.interface_types import (
    TPM_SE,
    TPMI_ALG_HASH,
    TPMI_DH_CONTEXT,
    TPMI_DH_PERSISTENT,
)
from pefstack.hw.tpm.names import nv_name, object_name, qualified_name
from pefstack.hw.tpm.nv_public import TPM2B_NV_PUBLIC, NvPublic
from pefstack.hw.tpm.public import TPM2B_PUBLIC, TPMT_PUBLIC, Public
from pefstack.hw.tpm.scheme import TPMT_SIG_SCHEME
from pefstack.hw.tpm.sensitive import TPM2B_SENSITIVE, TPM2B_SENSITIVE_CREATE
from pefstack.hw.tpm.signature import TPMT_SIGNATURE
from pefstack.hw.tpm.structures import (
    TPML_DIGEST_VALUES,
    TPML_PCR_SELECTION,
    UINT16,
    UINT32,
    Reader,
    Unmarshal,
    list_of,
    put_digest_values,
    put_digests,
    put_pcr_selections,
    put_sized,
    put_structure,
    put_tpm2b,
    put_uint8,
    put_uint16,
    put_uint32,
)
from pefstack.hw.tpm.symmetric_def import TPMT_SYM_DEF, TPMT_SYM_DEF_OBJECT
from pefstack.hw.tpm.ticket import TPMT_TK_AUTH, TPMT_TK_CREATION
from tpm_kit import SIZE, VECTORS, vector

Put = Callable[[Any], bytes]
Part = tuple[Unmarshal[Any], Put]

U16: Part = (UINT16, put_uint16)
U32: Part = (UINT32, put_uint32)
HANDLE = U32
PCRS: Part = (TPML_PCR_SELECTION, put_pcr_selections)
PUBLIC: Part = (TPM2B_PUBLIC, put_sized)
CREATION: Part = (TPM2B_CREATION_DATA, put_sized)
NV: Part = (TPM2B_NV_PUBLIC, put_sized)


def plain(unmarshal: Unmarshal[Any]) -> Part:
    return unmarshal, put_tpm2b


def structure(unmarshal: Unmarshal[Any]) -> Part:
    return unmarshal, put_structure


DIGEST, NAME, NONCE = plain(TPM2B_DIGEST), plain(TPM2B_NAME), plain(TPM2B_NONCE)
PRIVATE, SECRET = plain(TPM2B_PRIVATE), plain(TPM2B_ENCRYPTED_SECRET)
SENSITIVE: Part = (TPM2B_SENSITIVE_CREATE, put_sized)
TEMPLATE = [SENSITIVE, PUBLIC, plain(TPM2B_DATA), PCRS]
CREATED = [PUBLIC, CREATION, DIGEST, structure(TPMT_TK_CREATION)]
SYM, SYM_OBJECT = structure(TPMT_SYM_DEF), structure(TPMT_SYM_DEF_OBJECT)
BUFFER = plain(TPM2B_MAX_NV_BUFFER)

# number of handles, parameters of the command; handles out, parameters of the response
Row = tuple[int, list[Part], int, list[Part]]
COMMANDS: dict[str, Row] = {
    "StartAuthSession": (
        2,
        [NONCE, SECRET, (TPM_SE, put_uint8), SYM, (TPMI_ALG_HASH, put_uint16)],
        1,
        [NONCE],
    ),
    "FlushContext": (0, [(TPMI_DH_CONTEXT, put_uint32)], 0, []),
    "NV_ReadPublic": (1, [], 0, [NV, NAME]),
    "ContextLoad": (0, [structure(TPMS_CONTEXT)], 1, []),
    "ContextSave": (1, [], 0, [structure(TPMS_CONTEXT)]),
    "ReadPublic": (1, [], 0, [PUBLIC, NAME, NAME]),
    "PolicyGetDigest": (1, [], 0, [DIGEST]),
    "PCR_Read": (0, [PCRS], 0, [U32, PCRS, (list_of(TPM2B_DIGEST, 8), put_digests)]),
    "PolicyPCR": (1, [DIGEST, PCRS], 0, []),
    "PolicySecret": (
        2,
        [NONCE, DIGEST, NONCE, U32],
        0,
        [plain(TPM2B_TIMEOUT), structure(TPMT_TK_AUTH)],
    ),
    "PCR_Extend": (1, [(TPML_DIGEST_VALUES, put_digest_values)], 0, []),
    "Load": (1, [PRIVATE, PUBLIC], 1, [NAME]),
    "EvictControl": (2, [(TPMI_DH_PERSISTENT, put_uint32)], 0, []),
    "NV_DefineSpace": (1, [plain(TPM2B_AUTH), NV], 0, []),
    "NV_Write": (2, [BUFFER, U16], 0, []),
    "NV_Read": (2, [U16, U16], 0, [BUFFER]),
    "Import": (
        1,
        [plain(TPM2B_DATA), PUBLIC, PRIVATE, SECRET, SYM_OBJECT],
        0,
        [PRIVATE],
    ),
    "Unseal": (1, [], 0, [plain(TPM2B_SENSITIVE_DATA)]),
    "CreatePrimary": (1, TEMPLATE, 1, [*CREATED, NAME]),
    "Create": (1, TEMPLATE, 0, [PRIVATE, *CREATED]),
    "ActivateCredential": (2, [plain(TPM2B_ID_OBJECT), SECRET], 0, [DIGEST]),
    "Quote": (
        1,
        [plain(TPM2B_DATA), structure(TPMT_SIG_SCHEME), PCRS],
        0,
        [(TPM2B_ATTEST, put_sized), structure(TPMT_SIGNATURE)],
    ),
}
FLOW = [
    json.loads(line)
    for line in (VECTORS / "pef_flow_commands.jsonl").read_text().splitlines()
]
DECRYPT, ENCRYPT = 0x20, 0x40
ATTESTATIONS = vector("swtpm_attestations.json")["attestations"]
KINDS = [(key, kind) for key, made in ATTESTATIONS.items() for kind in made]


def parameters(raw: bytes, handles: int) -> tuple[bytes, int]:
    """The parameters of a command, and the attributes of all its sessions."""
    offset, attributes = 10 + 4 * handles, 0
    if raw[:2] == b"\x80\x01":
        return raw[offset:], 0
    end = offset + 4 + int.from_bytes(raw[offset : offset + 4], "big")
    offset += 4
    while offset < end:
        offset += 6 + int.from_bytes(raw[offset + 4 : offset + 6], "big")
        attributes |= raw[offset]
        offset += 3 + int.from_bytes(raw[offset + 1 : offset + 3], "big")
    return raw[end:], attributes


def results(raw: bytes, handles: int) -> bytes:
    """The parameters of a response."""
    offset = 10 + 4 * handles
    if raw[:2] == b"\x80\x01":
        return raw[offset:]
    size = int.from_bytes(raw[offset : offset + 4], "big")
    return raw[offset + 4 : offset + 4 + size]


def read(raw: bytes, parts: list[Part], *, encrypted: bool = False) -> list[Any]:
    """Every part of ``raw``, which they fill, and which they give again."""
    if encrypted and parts:
        parts = [plain(TPM2B_PRIVATE), *parts[1:]]
    reader = Reader(raw, 0, len(raw), SIZE)
    values = [unmarshal(reader) for unmarshal, _ in parts]
    pairs = zip(parts, values, strict=True)
    assert b"".join(put(value) for (_, put), value in pairs) == raw
    return values


@pytest.mark.parametrize("name", COMMANDS)
def test_read_and_written_again(name: str) -> None:
    handles, sent, handles_out, got = COMMANDS[name]
    rows = [row for row in FLOW if row["name"] == name]
    assert rows
    for row in rows:
        content, attributes = parameters(bytes.fromhex(row["cmd"]), handles)
        read(content, sent, encrypted=bool(attributes & DECRYPT))
        if row["rc"] == "0x0":
            content = results(bytes.fromhex(row["rsp"]), handles_out)
            read(content, got, encrypted=bool(attributes & ENCRYPT))


def test_no_command_of_the_flow_is_left_out() -> None:
    """Those without parameters to speak of are named here."""
    rest = {row["name"] for row in FLOW} - set(COMMANDS)
    assert rest == {
        "DictionaryAttackLockReset",
        "GetCapability",
        "NV_UndefineSpace",
        "NV_WriteLock",
        "PolicyAuthValue",
        "Startup",
    }


def test_names_of_the_flow() -> None:
    """What ReadPublic and NV_ReadPublic say is what we compute."""
    count = 0
    for row in FLOW:
        if row["rc"] != "0x0" or row["name"] not in ("ReadPublic", "NV_ReadPublic"):
            continue
        raw = bytes.fromhex(row["rsp"])
        area, name, *qualified = read(results(raw, 0), COMMANDS[row["name"]][3])
        if isinstance(area, NvPublic):
            assert nv_name(area) == name
        else:
            assert isinstance(area, Public)
            assert object_name(area) == name
            assert len(qualified[0]) == 34
        count += 1
    assert count == 84


def test_public_areas_of_the_flow() -> None:
    for name in ("sk.pub", "ek.pub"):
        raw = (VECTORS / "pef" / name).read_bytes()
        assert put_sized(decode("TPM2B_PUBLIC", TPM2B_PUBLIC, raw)) == raw
    storage = decode(
        "TPM2B_PUBLIC", TPM2B_PUBLIC, (VECTORS / "pef" / "sk.pub").read_bytes()
    )
    assert object_name(storage) == (VECTORS / "pef" / "sk.name").read_bytes()
    assert storage.auth_policy == (VECTORS / "pef" / "sk.policy").read_bytes()


@pytest.mark.parametrize("name", ["sealed_A", "sealed_B"])
def test_sealed_objects_of_the_flow(name: str) -> None:
    sealed = vector(f"pef/{name}/sealed.json")
    public = decode("public", TPM2B_PUBLIC, bytes.fromhex(sealed["public"]))
    assert object_name(public).hex() == sealed["name"]
    assert isinstance(public.unique, bytes)
    assert public.unique.hex() == sealed["unique"]
    secret = decode("sensitive", TPM2B_SENSITIVE, bytes.fromhex(sealed["sensitive"]))
    assert put_sized(secret).hex() == sealed["sensitive"]
    assert secret is not None
    assert secret.seed_value.hex() == sealed["obfuscation"]


def test_quote_of_the_flow() -> None:
    raw = (VECTORS / "pef" / "q.msg").read_bytes()
    quote = decode("TPMS_ATTEST", TPMS_ATTEST, raw)
    assert quote.to_bytes() == raw
    assert quote.type == 0x8018
    assert quote.extra_data.hex() == "00112233445566778899aabbccddeeff"
    raw = (VECTORS / "pef" / "q.sig").read_bytes()
    signature = decode("TPMT_SIGNATURE", TPMT_SIGNATURE, raw)
    assert (signature.alg, signature.hash_alg) == (0x14, 0x0B)
    assert signature.to_bytes() == raw


@pytest.mark.parametrize(("key", "kind"), KINDS)
def test_attestations_of_a_real_tpm(key: str, kind: str) -> None:
    """Signed with RSA, with ECC and by HMAC; and the creation of the keys."""
    raw = bytes.fromhex(ATTESTATIONS[key][kind])
    if kind == "create":
        public, creation, _, _, name = read(results(raw, 1), [*CREATED, NAME])
        assert object_name(public) == name
        assert creation.parent_name.hex() == "40000001"
        return
    parts: list[Part] = [(TPM2B_ATTEST, put_sized), structure(TPMT_SIGNATURE)]
    attest, signature = read(results(raw, 0), parts)
    assert attest.extra_data == b"extra"
    assert signature.alg == {"rsa sign": 0x14, "ecc sign": 0x18, "hmac": 5}[key]
    created = bytes.fromhex(ATTESTATIONS[key]["create"])
    signer = read(results(created, 1), [*CREATED, NAME])[4]
    owner = bytes.fromhex("40000001")
    assert attest.qualified_signer == qualified_name(owner, signer)


def test_attestations_are_of_every_kind() -> None:
    kinds = {0x8014, 0x8015, 0x8016, 0x8017, 0x8018, 0x8019, 0x801A, 0x801C}
    seen = set()
    for key, kind in KINDS:
        if kind != "create":
            raw = results(bytes.fromhex(ATTESTATIONS[key][kind]), 0)
            seen.add(int.from_bytes(raw[6:8], "big"))
    assert seen == kinds


def test_primary_key_of_the_reference() -> None:
    made = vector("formulas.json")["create_primary"]
    public = decode("public", TPMT_PUBLIC, bytes.fromhex(made["public"]))
    template = decode("template", TPMT_PUBLIC, bytes.fromhex(made["template"]))
    assert object_name(public).hex() == made["name"]
    assert (template.parameters, template.unique) == (public.parameters, b"")
    raw = bytes.fromhex(made["creationData"])
    assert decode("data", TPMS_CREATION_DATA, raw).to_bytes() == raw
