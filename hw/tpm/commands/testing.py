"""IncrementalSelfTest, TestParms (Part 3, "Testing", "Capability Commands")."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.algorithm_attributes import ALGORITHM_ATTRIBUTES
from pefstack.hw.tpm.codes import MAX_ALG_LIST_SIZE, TpmCc
from pefstack.hw.tpm.command import Command, Parameter
from pefstack.hw.tpm.public import TPMT_PUBLIC_PARMS, PublicParms
from pefstack.hw.tpm.response_codes import TpmRc
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import (
    UINT16,
    list_of,
    one_of,
    put_list,
    put_uint16,
)

_KNOWN: Final = one_of(UINT16, frozenset(ALGORITHM_ATTRIBUTES), TpmRc.VALUE)


def incremental_self_test(inner: Internals, to_test: list[int]) -> tuple[list[int]]:
    """toDoList: nothing in this TPM is left untested."""
    return ([],)


def test_parms(inner: Internals, parameters: PublicParms) -> tuple[()]:
    """The parameters are good when they could be read."""
    return ()


INCREMENTAL_SELF_TEST: Final = Command(
    code=TpmCc.INCREMENTAL_SELF_TEST,
    action=incremental_self_test,
    parameters=(
        Parameter(name="toTest", unmarshal=list_of(_KNOWN, MAX_ALG_LIST_SIZE)),
    ),
    results=(put_list(put_uint16),),
    writes_nv=True,
)
TEST_PARMS: Final = Command(
    code=TpmCc.TEST_PARMS,
    action=test_parms,
    parameters=(Parameter(name="parameters", unmarshal=TPMT_PUBLIC_PARMS),),
)
COMMANDS: Final = (INCREMENTAL_SELF_TEST, TEST_PARMS)
