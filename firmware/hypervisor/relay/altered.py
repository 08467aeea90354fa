"""B5, D3 to D5, E6: commands and answers changed on their way (relay.json)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.honest import Attack, Honest
from pefstack.firmware.hypervisor.relay.own_session import ALG, CONTINUE
from pefstack.firmware.hypervisor.relay.wire import SUCCESS, RawCommand
from pefstack.hw.tpm.selections import selection_bytes

OTHER_PCR: Final = 23
_IN_PARAMETERS: Final = 20  # an offset that lies there in each of these answers
Change = Callable[[Honest, RawCommand], RawCommand]


def _changed(change: Change, relay: Honest, command: bytes) -> bytes:
    return relay.passed(change(relay, RawCommand.from_bytes(command)).to_bytes())


def _in_clear(_: Honest, command: RawCommand) -> RawCommand:
    uses = tuple(replace(use, attributes=CONTINUE) for use in command.uses)
    return replace(command, uses=uses)


def _other_pcr(_: Honest, command: RawCommand) -> RawCommand:
    selection = selection_bytes({ALG: (OTHER_PCR,)})
    head = command.parameters[: -len(selection)]
    return replace(command, parameters=head + selection)


def _own_session(relay: Honest, command: RawCommand) -> RawCommand:
    own = relay.hands.start().handle
    return replace(command, handles=(command.handles[0], own))


def _swallowed(_: Honest, __: bytes) -> bytes:
    return SUCCESS


def flipped(relay: Honest, command: bytes) -> bytes:
    """The answer with one bit of its parameters changed."""
    answer = bytearray(relay.passed(command))
    if len(answer) > _IN_PARAMETERS:
        answer[_IN_PARAMETERS] ^= 1
    return bytes(answer)


_PCRS: Final = (Step.PCR_IMPORT, Step.PCR_LOAD, Step.PCR_UNSEAL)
_FLIPPED: Final = {
    "ReadPublic": Step.READ_PUBLIC,
    "PolicySecret": Step.AUTHORIZE_IMPORT,
    "Import": Step.IMPORT,
    "Load": Step.LOAD,
    "Unseal": Step.UNSEAL,
}
ALTERED: Final = {
    "B5": Attack(
        what="Clears the encrypt attribute in the ultravisor's Unseal.",
        stopped_by="the attributes are under the command's HMAC",
        instead={Step.UNSEAL: partial(_changed, _in_clear)},
    ),
    **{
        f"D3-{name}": Attack(
            what=f"Flips one bit of the answer to {name}.",
            stopped_by="the HMAC of each answer, checked before its use",
            instead={step: flipped},
        )
        for name, step in _FLIPPED.items()
    },
    "D4": Attack(
        what="Swallows every PolicyPCR and answers success.",
        stopped_by="PCR 6 in the policies: the TPM misses it at Import",
        instead=dict.fromkeys(_PCRS, _swallowed),
    ),
    "D5": Attack(
        what="Changes PolicyPCR to another PCR.",
        stopped_by="PCR 6 in the policies: the TPM misses it at Import",
        instead={Step.PCR_IMPORT: partial(_changed, _other_pcr)},
    ),
    "E6": Attack(
        what="Redirects PolicySecret to a session of its own.",
        stopped_by="the Name of P's handle is under A's HMAC",
        instead={Step.AUTHORIZE_IMPORT: partial(_changed, _own_session)},
    ),
}
