"""B, E7: the ultravisor's sessions and commands used again (relay.json)."""

from __future__ import annotations

from functools import partial
from typing import Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.honest import Attack, Honest
from pefstack.firmware.hypervisor.relay.own_session import NONCE_SIZE
from pefstack.firmware.hypervisor.relay.wire import RawCommand
from pefstack.hw.tpm.codes import TpmCc


def _unseal(hmac_size: int, relay: Honest, _: bytes) -> bytes:
    """Unseal with P, which the ultravisor has just authorized."""
    hands, course = relay.hands, relay.course
    hmac = hands.stream.random_bytes(hmac_size)
    return hands.by_policy(TpmCc.UNSEAL, (course.loaded,), course.p, hmac=hmac)


def _load(relay: Honest, command: bytes) -> bytes:
    """Load what the ultravisor loads, with its session."""
    parameters = RawCommand.from_bytes(command).parameters
    key, policy = relay.known.storage_key, relay.course.p
    return relay.hands.by_policy(TpmCc.LOAD, (key,), policy, parameters)


def _twice(relay: Honest, command: bytes) -> bytes:
    """The ultravisor gets the first answer, the relay the second."""
    first = relay.passed(command)
    relay.got(relay.hands.send(command))
    return first


STOLEN_SESSION: Final = {
    "B1": Attack(
        what="Unseals with the ultravisor's authorized session and an empty HMAC.",
        stopped_by="the salt: the session's key is secret",
        before={Step.UNSEAL: partial(_unseal, 0)},
    ),
    "B2": Attack(
        what="Unseals with the ultravisor's authorized session and a random HMAC.",
        stopped_by="the salt: the session's key is secret",
        before={Step.UNSEAL: partial(_unseal, NONCE_SIZE)},
    ),
    "B3": Attack(
        what="Loads the object with the ultravisor's authorized session.",
        stopped_by="the salt: the session's key is secret",
        before={Step.LOAD: _load},
    ),
    "B4": Attack(
        what="Sends the ultravisor's Unseal twice.",
        stopped_by="the use of P resets its policy",
        instead={Step.UNSEAL: _twice},
    ),
    "E7": Attack(
        what="Sends the ultravisor's PolicySecret twice.",
        stopped_by="A's nonce is new with each use",
        instead={Step.AUTHORIZE_IMPORT: _twice},
    ),
}
