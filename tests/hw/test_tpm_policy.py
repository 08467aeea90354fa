"""PolicyPCR as a formula."""

import hashlib

import pytest

from pefstack.hw.tpm.codes import TpmAlgId
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
