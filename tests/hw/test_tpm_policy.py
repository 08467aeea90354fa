"""Policy digests as formulas."""

import hashlib
from collections.abc import Callable

import pytest

from pefstack.hw.tpm import policy
from pefstack.hw.tpm.codes import TpmAlgId, TpmEo
from pefstack.hw.tpm.names import handle_name
from pefstack.hw.tpm.policy import policy_pcr
from tpm_kit import SHA256, selections, vector

PCR6 = bytes(32)


def test_digest_of_the_reference() -> None:
    row = vector("formulas.json")["policy"]["PolicyPCR(sha256:6)"]
    digest = policy_pcr(
        bytes(32), {TpmAlgId.SHA256: (6,)}, [bytes.fromhex(row["pcr6"])]
    )
    assert digest.hex() == row["digest"]


def test_two_banks_and_another_hash() -> None:
    """Values are hashed bank by bank, PCRs rising, however the caller wrote them."""
    values = [b"\1" * 20, b"\2" * 20, b"\3" * 32]
    select = selections((TpmAlgId.SHA1, "810000"), (SHA256, "000080"))
    old = b"\7" * 48
    expected = hashlib.sha384(
        old + b"\0\0\x01\x7f" + select + hashlib.sha384(b"".join(values)).digest()
    ).digest()
    selection = {TpmAlgId.SHA1: (7, 0), TpmAlgId.SHA256: (23,)}
    assert policy_pcr(old, selection, values, alg=TpmAlgId.SHA384) == expected


def test_old_digest_counts() -> None:
    selection = {TpmAlgId.SHA256: (6,)}
    once = policy_pcr(bytes(32), selection, [PCR6])
    assert policy_pcr(once, selection, [PCR6]) != once


@pytest.mark.parametrize(
    ("old", "pcrs", "values", "message"),
    [
        (bytes(20), (6,), [PCR6], "policy digest of 20 bytes"),
        (bytes(32), (6,), [], "not those of the selected"),
        (bytes(32), (6,), [PCR6, PCR6], "not those of the selected"),
        (bytes(32), (6,), [bytes(20)], "not those of the selected"),
        (bytes(32), (24,), [PCR6], "no PCR 24"),
        (bytes(32), (-1,), [PCR6], "no PCR -1"),
    ],
)
def test_refusals(
    old: bytes, pcrs: tuple[int, ...], values: list[bytes], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        policy_pcr(old, {TpmAlgId.SHA256: pcrs}, values)


POLICIES = vector("formulas.json")["policy"]
INDEX = bytes.fromhex(POLICIES["PolicySecret(NV)"]["name"])
START = bytes(32)
OF_X = hashlib.sha256(b"x").digest()


def row(name: str, key: str = "digest") -> bytes:
    """A recorded value of the reference."""
    return bytes.fromhex(POLICIES[name][key])


def of_pcr6() -> bytes:
    return policy.policy_pcr(START, {TpmAlgId.SHA256: (6,)}, [PCR6])


REFERENCE: dict[str, Callable[[], bytes]] = {
    "PolicyPCR(sha256:6)": of_pcr6,
    "PolicySecret(owner)": lambda: policy.policy_secret(START, handle_name(0x40000001)),
    "PolicySecret(endorsement)": lambda: policy.policy_secret(
        START, handle_name(0x4000000B)
    ),
    "PolicySecret(owner,ref)": lambda: policy.policy_secret(
        START, handle_name(0x40000001), b"ref"
    ),
    "PolicySecret(NV)": lambda: policy.policy_secret(START, INDEX),
    "PolicyPCR+PolicySecret(NV)": lambda: policy.policy_secret(of_pcr6(), INDEX),
    "PolicyAuthValue": lambda: policy.policy_auth_value(START),
    "PolicyPassword": lambda: policy.policy_auth_value(START),
    "PolicyCommandCode(Unseal)": lambda: policy.policy_command_code(START, 0x15E),
    "PolicyOR(PCR,AuthValue)": lambda: policy.policy_or(
        of_pcr6(), [of_pcr6(), policy.policy_auth_value(START)]
    ),
    "PolicyLocality(0x1f)": lambda: policy.policy_locality(START, 0x1F),
    "PolicyNvWritten(yes)": lambda: policy.policy_nv_written(START, True),
    "PolicyNvWritten(no)": lambda: policy.policy_nv_written(START, False),
    "PolicyNV(eq)": lambda: policy.policy_nv(
        START, INDEX, row("PolicyNV(eq)", "operandB"), 0, TpmEo.EQ
    ),
    "PolicyDuplicationSelect(with object)": lambda: policy.policy_duplication_select(
        START,
        row("PolicyDuplicationSelect(with object)", "objectName"),
        row("PolicyDuplicationSelect(with object)", "newParentName"),
        True,
    ),
    "PolicyDuplicationSelect(without object)": lambda: policy.policy_duplication_select(
        START,
        b"never looked at",
        row("PolicyDuplicationSelect(with object)", "newParentName"),
        False,
    ),
    "PolicyAuthorize": lambda: policy.policy_authorize(
        of_pcr6(), row("PolicyAuthorize", "keyName"), b"pref"
    ),
    "PolicySigned": lambda: policy.policy_signed(
        START, row("PolicySigned", "keyName"), b"sref"
    ),
    "PolicyAuthorizeNV": lambda: policy.policy_authorize_nv(
        of_pcr6(), row("PolicyAuthorizeNV", "name")
    ),
    # what went into these four is not recorded; it was found by trying
    "PolicyCpHash": lambda: policy.policy_cp_hash(START, OF_X),
    "PolicyNameHash": lambda: policy.policy_name_hash(START, OF_X),
    "PolicyTemplate": lambda: policy.policy_template(START, OF_X),
    "PolicyCounterTimer": lambda: policy.policy_counter_timer(
        START, bytes(8), 0, TpmEo.SIGNED_LT
    ),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_digests_of_the_reference(name: str) -> None:
    assert REFERENCE[name]().hex() == POLICIES[name]["digest"]


def test_every_recorded_policy_is_computed() -> None:
    assert set(POLICIES) == set(REFERENCE)


EVERY: dict[str, Callable[[bytes, int], bytes]] = {
    "secret": lambda old, alg: policy.policy_secret(old, b"n", b"r", alg=alg),
    "signed": lambda old, alg: policy.policy_signed(old, b"n", b"r", alg=alg),
    "authorize": lambda old, alg: policy.policy_authorize(old, b"n", b"r", alg=alg),
    "auth_value": lambda old, alg: policy.policy_auth_value(old, alg=alg),
    "command_code": lambda old, alg: policy.policy_command_code(old, 1, alg=alg),
    "or": lambda old, alg: policy.policy_or(old, [b"b", b"c"], alg=alg),
    "nv": lambda old, alg: policy.policy_nv(old, b"n", b"o", 2, 3, alg=alg),
    "timer": lambda old, alg: policy.policy_counter_timer(old, b"o", 2, 3, alg=alg),
    "locality": lambda old, alg: policy.policy_locality(old, 2, alg=alg),
    "presence": lambda old, alg: policy.policy_physical_presence(old, alg=alg),
    "written": lambda old, alg: policy.policy_nv_written(old, True, alg=alg),
    "cp_hash": lambda old, alg: policy.policy_cp_hash(old, b"h", alg=alg),
    "name_hash": lambda old, alg: policy.policy_name_hash(old, b"h", alg=alg),
    "template": lambda old, alg: policy.policy_template(old, b"h", alg=alg),
    "select": lambda old, alg: policy.policy_duplication_select(
        old, b"o", b"p", True, alg=alg
    ),
    "authorize_nv": lambda old, alg: policy.policy_authorize_nv(old, b"n", alg=alg),
    "pcr": lambda old, alg: policy.policy_pcr_digest(old, b"s", b"d", alg=alg),
}
AFRESH = {"authorize", "or", "authorize_nv"}
SHA_384 = TpmAlgId.SHA384


def sha384(*parts: bytes) -> bytes:
    return hashlib.sha384(b"".join(parts)).digest()


OLD = b"\7" * 48
ARGUMENTS = sha384(b"o", b"\0\2", b"\0\3")
IN_SHA384 = {
    "secret": sha384(sha384(OLD, b"\0\0\x01\x51", b"n"), b"r"),
    "signed": sha384(sha384(OLD, b"\0\0\x01\x60", b"n"), b"r"),
    "authorize": sha384(sha384(bytes(48), b"\0\0\x01\x6a", b"n"), b"r"),
    "auth_value": sha384(OLD, b"\0\0\x01\x6b"),
    "command_code": sha384(OLD, b"\0\0\x01\x6c", b"\0\0\0\1"),
    "or": sha384(bytes(48), b"\0\0\x01\x71", b"bc"),
    "nv": sha384(OLD, b"\0\0\x01\x49", ARGUMENTS, b"n"),
    "timer": sha384(OLD, b"\0\0\x01\x6d", ARGUMENTS),
    "locality": sha384(OLD, b"\0\0\x01\x6f", b"\2"),
    "presence": sha384(OLD, b"\0\0\x01\x87"),
    "written": sha384(OLD, b"\0\0\x01\x8f", b"\1"),
    "cp_hash": sha384(OLD, b"\0\0\x01\x6e", b"h"),
    "name_hash": sha384(OLD, b"\0\0\x01\x70", b"h"),
    "template": sha384(OLD, b"\0\0\x01\x90", b"h"),
    "select": sha384(OLD, b"\0\0\x01\x88", b"op", b"\1"),
    "authorize_nv": sha384(bytes(48), b"\0\0\x01\x92", b"n"),
    "pcr": sha384(OLD, b"\0\0\x01\x7f", b"sd"),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_formula_in_another_hash(name: str) -> None:
    assert EVERY[name](OLD, SHA_384) == IN_SHA384[name]


@pytest.mark.parametrize("name", EVERY)
def test_old_digest_counts_unless_it_starts_afresh(name: str) -> None:
    same = EVERY[name](OLD, SHA_384) == EVERY[name](bytes(48), SHA_384)
    assert same is (name in AFRESH)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("size", [0, 20, 47, 49])
def test_old_digest_of_another_size(name: str, size: int) -> None:
    with pytest.raises(ValueError, match=f"policy digest of {size} bytes"):
        EVERY[name](bytes(size), SHA_384)


@pytest.mark.parametrize("count", [0, 1, 9])
def test_number_of_branches(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} branches"):
        policy.policy_or(bytes(32), [bytes(32)] * count)
    assert policy.policy_or(bytes(32), [bytes(32)] * 8)
