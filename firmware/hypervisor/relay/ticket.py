"""F: a ticket from PolicySecret's answer, for a session of the relay (relay.json)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.hands import EMPTY
from pefstack.firmware.hypervisor.relay.honest import Attack, Honest
from pefstack.firmware.hypervisor.relay.wire import (
    code_of,
    parameters_of,
    rc_of,
    sized_values,
    take_sized,
)
from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.structures import put_tpm2b


def policy_ticket(relay: Honest, secret_answer: bytes, policy: int) -> bytes:
    """PolicyTicket with what PolicySecret answered, in any session."""
    body = parameters_of(TpmCc.POLICY_SECRET, secret_answer)
    _, at = take_sized(body, 0)
    raw = relay.hands.plain(TpmCc.NV_READ_PUBLIC, (relay.known.nv_index,))
    name = sized_values(parameters_of(TpmCc.NV_READ_PUBLIC, raw), 2)[1]
    parameters = body[:at] + EMPTY * 2 + put_tpm2b(name) + body[at:]
    return relay.hands.plain(TpmCc.POLICY_TICKET, (policy,), parameters)


def _unseal(relay: Honest, _: bytes) -> bytes:
    codes = [code_of(each.command) for each in relay.seen]
    secret = relay.seen[codes.index(TpmCc.POLICY_SECRET)].answer
    own = relay.hands.start().handle
    answer = policy_ticket(relay, secret, own)
    if rc_of(answer):
        return answer
    relay.hands.policy_pcr(own, relay.known.pcr)
    return relay.hands.by_policy(TpmCc.UNSEAL, (relay.course.loaded,), own)


TICKET: Final = {
    "F1": Attack(
        what="Takes the ticket out of PolicySecret's answer for a session of its own.",
        stopped_by="expiration 0: the ticket is null",
        before={Step.AUTHORIZE_UNSEAL: _unseal},
    ),
}
