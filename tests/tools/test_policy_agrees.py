"""The expected policy: computed offline, by our TPM, by a real one (checklist P9)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pefstack import Machine
from pefstack.hw.tpm.codes import TpmAlgId, TpmRh
from pefstack.hw.tpm.policy import policy_pcr, policy_secret
from tpm2_tools_kit import TPMS, tools_on

CODES = {"secret": 0x151, "pcr": 0x17F}


def hashed(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def by_hand(pcr6: bytes) -> bytes:
    """PolicySecret(owner), PolicyPCR(sha256:6), out of tpm.md 3, with hashlib alone."""
    owner = (0x40000001).to_bytes(4, "big")
    first = hashed(bytes(32), CODES["secret"].to_bytes(4, "big"), owner)
    selection = bytes.fromhex("00000001 000b 03 400000")
    code = CODES["pcr"].to_bytes(4, "big")
    return hashed(hashed(first), code, selection, hashed(pcr6))


@pytest.fixture(scope="module")
def booted() -> Machine:
    return Machine("small").run()


def test_p9_offline_the_formulas_give_it(booted: Machine) -> None:
    pcr6 = booted.pcr(6)
    digest = policy_secret(bytes(32), TpmRh.OWNER.to_bytes(4, "big"))
    selection = {int(TpmAlgId.SHA256): (6,)}
    assert policy_pcr(digest, selection, [pcr6]) == by_hand(pcr6)


@pytest.mark.interop
@pytest.mark.parametrize("which", TPMS)
def test_p9_our_tpm_and_a_real_one_give_it(
    which: str, booted: Machine, tmp_path: Path
) -> None:
    """After the same extends, in a policy session that checks them."""
    with tools_on(which, tmp_path) as tools:
        for event in booted.journal:
            if event.kind == "extend" and event.detail["pcr"] == 6:
                tools(f"pcrextend 6:sha256={event.detail['digest']}")
        with tools.session() as name:
            tools(f"policysecret -S {name} -c o -L policy")
            tools(f"policypcr -S {name} -l sha256:6 -L policy")
        assert tools.read("policy") == by_hand(booted.pcr(6))
