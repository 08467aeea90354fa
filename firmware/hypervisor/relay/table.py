"""Every relay by its id; those of esm.md 4.3 bear the ids of its recorded attacks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from pefstack.firmware.hypervisor.relay.altered import ALTERED
from pefstack.firmware.hypervisor.relay.denying import DENYING
from pefstack.firmware.hypervisor.relay.empty_auth import EMPTY_AUTH
from pefstack.firmware.hypervisor.relay.generic.script import SCRIPTED
from pefstack.firmware.hypervisor.relay.honest import Attack
from pefstack.firmware.hypervisor.relay.listening import LISTENING
from pefstack.firmware.hypervisor.relay.lockbox import LOCKBOX
from pefstack.firmware.hypervisor.relay.other_state import OTHER_STATE
from pefstack.firmware.hypervisor.relay.own_key import OWN_KEY
from pefstack.firmware.hypervisor.relay.own_object import OWN_OBJECT
from pefstack.firmware.hypervisor.relay.own_policy import OWN_POLICY
from pefstack.firmware.hypervisor.relay.protocol import (
    NOTHING_MORE,
    Carrier,
    Known,
    Relay,
)
from pefstack.firmware.hypervisor.relay.stolen_session import STOLEN_SESSION
from pefstack.firmware.hypervisor.relay.substituted import SUBSTITUTED
from pefstack.firmware.hypervisor.relay.ticket import TICKET
from pefstack.hw.tpm.crypto.stream import Stream


class RelayKind(Protocol):
    """A row of the table."""

    @property
    def what(self) -> str:
        """What the relay does, in one sentence."""
        ...

    @property
    def stopped_by(self) -> str:
        """The defence of esm.md 4.3 (V: 4.1) that stops it, or that nothing does."""
        ...

    def make(self, tpm: Carrier, stream: Stream, known: Known = NOTHING_MORE) -> Relay:
        """A relay in front of a TPM; it lives as long as the hypervisor runs."""
        ...


HONEST: Final = Attack(
    what="Hands every command and every answer on.", stopped_by="nothing: no attack"
)
RELAYS: Final[Mapping[str, RelayKind]] = MappingProxyType(
    {
        "honest": HONEST,
        **LISTENING,
        **OWN_POLICY,
        **EMPTY_AUTH,
        **STOLEN_SESSION,
        **OWN_OBJECT,
        **ALTERED,
        **SUBSTITUTED,
        **OWN_KEY,
        **TICKET,
        **OTHER_STATE,
        **LOCKBOX,
        **DENYING,
        **SCRIPTED,
    }
)


def relay_named(
    name: str, tpm: Carrier, stream: Stream, known: Known = NOTHING_MORE
) -> Relay:
    """A relay by its id; KeyError for an id that `RELAYS` does not have."""
    return RELAYS[name].make(tpm, stream, known)
