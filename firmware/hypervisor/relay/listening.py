"""C: a relay that only listens, and tries what it hears with an empty key."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.honest import Attack, Honest
from pefstack.firmware.hypervisor.relay.own_session import opened
from pefstack.firmware.hypervisor.relay.protocol import Exchange
from pefstack.firmware.hypervisor.relay.wire import (
    RawCommand,
    code_of,
    parameters_of,
    rc_of,
    sessions_of,
)


def heard(exchange: Exchange, key: bytes = b"") -> bytes:
    """The first parameter of an answer that a session encrypts, under some key.

    ``key``: session key and authValue; empty where there was neither salt nor secret.
    """
    command, answer = exchange.command, exchange.answer
    if rc_of(answer):
        return b""
    code = code_of(command)
    parameters, area = parameters_of(code, answer), sessions_of(code, answer)
    (use, *_) = RawCommand.from_bytes(command).uses
    return opened(parameters, area, use.nonce, key)


def _listen(relay: Honest, command: bytes) -> bytes:
    answer = relay.passed(command)
    relay.got(heard(Exchange(command, answer)))
    return answer


LISTENING: Final = {
    "C": Attack(
        what="Hands everything on, and decrypts what it hears with an empty key.",
        stopped_by="the salt: without it what encrypts the answer is empty",
        instead={Step.UNSEAL: _listen, Step.RSA_DECRYPT: _listen},
    ),
}
