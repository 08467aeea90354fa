"""PP_Commands, SetAlgorithmSet (Part 3, "Miscellaneous Management Functions")."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.buffers import TPML_CC
from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.command import Command, Handle, Parameter
from pefstack.hw.tpm.handles import TPMI_RH_PLATFORM
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.response_codes import RC_1, RC_S, Refusal, TpmRc
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import UINT32

NEED_PRESENCE: Final = (int(TpmCc.PP_COMMANDS),)  # GetCapability(PP_COMMANDS)


def pp_commands(
    inner: Internals, auth: Hierarchy, set_list: list[int], clear_list: list[int]
) -> tuple[()]:
    """TPM_RC_PP: the list is changed with a hand on the button, and there is none."""
    raise Refusal(TpmRc.PP + RC_S + RC_1)


def set_algorithm_set(
    inner: Internals, auth: Hierarchy, algorithm_set: int
) -> tuple[()]:
    """Keep a number for TPM_PT_ALGORITHM_SET; here it means nothing."""
    inner.state.algorithm_set = algorithm_set
    inner.state.note_change()
    return ()


_PLATFORM: Final = (Handle(name="authHandle", type=TPMI_RH_PLATFORM),)
PP_COMMANDS: Final = Command(
    code=TpmCc.PP_COMMANDS,
    action=pp_commands,
    handles=_PLATFORM,
    parameters=(
        Parameter(name="setList", unmarshal=TPML_CC),
        Parameter(name="clearList", unmarshal=TPML_CC),
    ),
    writes_nv=True,
)
SET_ALGORITHM_SET: Final = Command(
    code=TpmCc.SET_ALGORITHM_SET,
    action=set_algorithm_set,
    handles=_PLATFORM,
    parameters=(Parameter(name="algorithmSet", unmarshal=UINT32),),
    writes_nv=True,
)
COMMANDS: Final = (PP_COMMANDS, SET_ALGORITHM_SET)
