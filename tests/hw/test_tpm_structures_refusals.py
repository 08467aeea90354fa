"""What structures refuse and hide, case by case."""

from typing import Any

import pytest

from pefstack.hw.tpm.attest import TPMS_ATTEST
from pefstack.hw.tpm.buffers import TPM2B_ECC_POINT, TPML_DIGEST
from pefstack.hw.tpm.codes import (
    BANK_NAME,
    TpmaNv,
    TpmaObject,
    TpmCc,
    TpmEcc,
    TpmNt,
    TpmRh,
)
from pefstack.hw.tpm.context import Context
from pefstack.hw.tpm.decode import decode
from pefstack.hw.tpm.ecc_detail import EccDetail
from pefstack.hw.tpm.interface_types import (
    TPM_CLOCK_ADJUST,
    TPMI_DH_CONTEXT,
    TPMI_DH_SAVED,
    TPMI_RH_NV_INDEX,
)
from pefstack.hw.tpm.nv_public import NvPublic
from pefstack.hw.tpm.public import TPM2B_PUBLIC, TPM2B_PUBLIC_OR_NULL
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.scheme import Scheme
from pefstack.hw.tpm.sensitive import (
    TPM2B_SENSITIVE,
    TPM2B_SENSITIVE_CREATE,
    Sensitive,
    SensitiveCreate,
)
from pefstack.hw.tpm.signature import TPMT_SIGNATURE, TPMT_SIGNATURE_OR_NULL
from pefstack.hw.tpm.structures import (
    TPMI_YES_NO,
    Unmarshal,
    hash_or_null,
    put_sized,
    whole,
)
from pefstack.images.errors import FormatError
from tpm_kit import SHA1, SHA256, vector

SEALED = "0008000b00000040000000100000"  # a sealed object without policy and unique
ATTEST = "ff544347801700000000" + "00" * 25 + "00000000"


def rc(unmarshal: Unmarshal[Any], raw: str, sizes: dict[int, int] | None = None) -> int:
    """The response code, or zero."""
    content = bytes.fromhex(raw)
    try:
        whole(unmarshal, content, sizes) if sizes else whole(unmarshal, content)
    except Refusal as refusal:
        return refusal.rc
    return 0


@pytest.mark.parametrize(
    ("unmarshal", "raw", "code"),
    [
        (TPM2B_PUBLIC, "000e" + SEALED, TpmRc.SUCCESS),
        (TPM2B_PUBLIC, "0000", TpmRc.SIZE),
        (TPM2B_PUBLIC, "000d" + SEALED, TpmRc.SIZE),
        (TPM2B_PUBLIC, "000f" + SEALED, TpmRc.SIZE),
        (TPM2B_PUBLIC, "000e" + SEALED.replace("000b", "0010", 1), TpmRc.HASH),
        (TPM2B_PUBLIC_OR_NULL, "000e" + SEALED.replace("000b", "0010", 1), 0),
        (TPM2B_PUBLIC_OR_NULL, "000e" + SEALED.replace("000b", "0012", 1), TpmRc.HASH),
        (TPM2B_SENSITIVE_CREATE, "0000", TpmRc.SIZE),
        (TPM2B_SENSITIVE, "0000", TpmRc.SUCCESS),
        (TPM2B_SENSITIVE, "000800080000000000", TpmRc.INSUFFICIENT),
        (TPM2B_SENSITIVE, "00080008000000000000", TpmRc.SUCCESS),
        (TPM2B_SENSITIVE, "00070008000000000000", TpmRc.SIZE),
        (TPM2B_ECC_POINT, "0000", TpmRc.SIZE),
        (TPM2B_ECC_POINT, "000400000000", TpmRc.SUCCESS),
        (TPML_DIGEST, "00000001" + "0000", TpmRc.SIZE),
        (TPML_DIGEST, "00000009" + "0000" * 9, TpmRc.SIZE),
        (TPML_DIGEST, "00000008" + "0000" * 8, TpmRc.SUCCESS),
        (TPMT_SIGNATURE, "0010", TpmRc.SCHEME),
        (TPMT_SIGNATURE_OR_NULL, "0010", TpmRc.SUCCESS),
        (TPM_CLOCK_ADJUST, "fd", TpmRc.SUCCESS),
        (TPM_CLOCK_ADJUST, "fc", TpmRc.VALUE),
        (TPM_CLOCK_ADJUST, "03", TpmRc.SUCCESS),
        (TPM_CLOCK_ADJUST, "04", TpmRc.VALUE),
        (TPMI_DH_CONTEXT, "0200003f", TpmRc.SUCCESS),
        (TPMI_DH_CONTEXT, "02000040", TpmRc.VALUE),
        (TPMI_DH_CONTEXT, "0300003f", TpmRc.SUCCESS),
        (TPMI_DH_CONTEXT, "03000040", TpmRc.VALUE),
        (TPMI_DH_CONTEXT, "80ffffff", TpmRc.SUCCESS),
        (TPMI_DH_CONTEXT, "81000000", TpmRc.VALUE),
        (TPMI_DH_CONTEXT, "00000000", TpmRc.VALUE),
        (TPMI_DH_SAVED, "80000002", TpmRc.SUCCESS),
        (TPMI_DH_SAVED, "80000003", TpmRc.VALUE),
        (TPMI_DH_SAVED, "02000040", TpmRc.VALUE),
        (TPMI_RH_NV_INDEX, "01ffffff", TpmRc.SUCCESS),
        (TPMI_RH_NV_INDEX, "02000000", TpmRc.VALUE),
        (TPMS_ATTEST, ATTEST, TpmRc.SUCCESS),
        (TPMS_ATTEST, ATTEST.replace("ff54", "ff55"), TpmRc.VALUE),
        (TPMS_ATTEST, ATTEST.replace("8017", "801b"), TpmRc.SELECTOR),
        (TPMI_YES_NO, "0100", TpmRc.SIZE),
    ],
)
def test_codes(unmarshal: Unmarshal[Any], raw: str, code: int) -> None:
    assert rc(unmarshal, raw) == code


def test_hashes_are_those_that_the_tpm_implements() -> None:
    only = {SHA1: 20}
    assert rc(hash_or_null, "0004", only) == 0
    assert rc(hash_or_null, "0010", only) == 0
    assert rc(hash_or_null, "000b", only) == TpmRc.HASH
    assert rc(TPM2B_PUBLIC, "000e" + SEALED, only) == TpmRc.HASH


def test_no_secret_in_what_is_printed() -> None:
    secret = b"do not show"
    values: list[Sensitive | SensitiveCreate | Context] = [
        Sensitive(type=8, auth_value=secret, seed_value=secret, sensitive=secret),
        SensitiveCreate(user_auth=secret, data=secret),
        Context(sequence=1, saved_handle=0x80000000, hierarchy=1, blob=secret),
    ]
    for value in values:
        assert "show" not in repr(value)
        assert secret in value.to_bytes()


def test_nothing_is_an_empty_tpm2b() -> None:
    assert put_sized(None) == b"\0\0"


def test_type_of_an_index_is_in_its_attributes() -> None:
    for kind in TpmNt:
        bits = 0xFFFFFF0F & ~int(TpmaNv.RESERVED) | kind << 4
        index = NvPublic(index=1 << 24, name_alg=SHA256, attributes=bits, data_size=8)
        assert index.nv_type == kind


def test_decode_says_where_and_what() -> None:
    assert decode("key", TPM2B_PUBLIC, bytes.fromhex("000e" + SEALED)).type == 8
    with pytest.raises(FormatError) as refused:
        decode("key", TPM2B_PUBLIC, bytes.fromhex("000e0009" + SEALED[4:]))
    assert str(refused.value) == (
        "key: structure, at 0x4: found what a TPM refuses with TPM_RC_TYPE, "
        "expected key"
    )


def test_commands_of_a_real_tpm_by_code_and_name() -> None:
    """As GetCapability(COMMANDS) lists them; every name of ours is one of them."""
    listed = {
        int(row["code"], 16): row["name"].replace("_", "").upper()
        for row in vector("swtpm_capabilities.json")["commands"]
    }
    named = {int(code): code.name.replace("_", "") for code in TpmCc}
    assert len(named) == 110
    assert named.items() <= listed.items()


def test_constants_that_lists_are_made_of() -> None:
    assert BANK_NAME == {4: "sha1", 0xB: "sha256", 0xC: "sha384", 0xD: "sha512"}
    assert [int(handle) for handle in TpmRh] == [
        0x40000001,
        0x40000007,
        *range(0x40000009, 0x4000000E),
    ]
    objects = [bit for bit in TpmaObject if bit is not TpmaObject.RESERVED]
    assert sum(objects) == 0xFFFFFFFF ^ TpmaObject.RESERVED
    masks = (TpmaNv.RESERVED,)
    assert sum(bit for bit in TpmaNv if bit not in masks) == 0xFE0FFCFF


@pytest.mark.parametrize("curve", TpmEcc)
def test_parameters_of_a_curve_as_a_real_tpm_gives_them(curve: int) -> None:
    answer = bytes.fromhex(
        vector("swtpm_attestations.json")["ecc_parameters"][str(int(curve))]
    )
    kdf = Scheme(alg=0x20, hash_alg=int.from_bytes(answer[6:8], "big"))
    numbers, at = [], 10  # curve, size, kdf with a hash, no scheme
    if curve == TpmEcc.BN_P256:
        kdf, at = Scheme(alg=0x10), 8
    while at < len(answer):
        size = int.from_bytes(answer[at : at + 2], "big")
        numbers.append(answer[at + 2 : at + 2 + size])
        at += 2 + size
    p, a, b, g_x, g_y, n, h = numbers
    detail = EccDetail(
        curve=curve,
        key_size=int.from_bytes(answer[2:4], "big"),
        kdf=kdf,
        p=p,
        a=a,
        b=b,
        g_x=g_x,
        g_y=g_y,
        n=n,
        h=h,
    )
    assert detail.to_bytes() == answer
