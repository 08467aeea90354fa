"""An emulated OpenPOWER machine: real boot, TPM and secure-VM bytes.

The public API is small: `Machine` boots, forks and breaks a machine; `Event` and
`Journal` tell what happened; the rest are the errors that people can act on.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pefstack.firmware.stage import BootFailure, Refusal
    from pefstack.hw.errors import DeviceError
    from pefstack.hw.journal import Event, Journal
    from pefstack.images.errors import FormatError, PefError
    from pefstack.images.rejection import Rejection, VerificationError
    from pefstack.tools.errors import UsageError
    from pefstack.tools.machine import Machine

__all__ = [
    "BootFailure",
    "DeviceError",
    "Event",
    "FormatError",
    "Journal",
    "Machine",
    "PefError",
    "Refusal",
    "Rejection",
    "UsageError",
    "VerificationError",
]

_HOME: Final = {
    "BootFailure": "pefstack.firmware.stage",
    "DeviceError": "pefstack.hw.errors",
    "Event": "pefstack.hw.journal",
    "FormatError": "pefstack.images.errors",
    "Journal": "pefstack.hw.journal",
    "Machine": "pefstack.tools.machine",
    "PefError": "pefstack.images.errors",
    "Refusal": "pefstack.firmware.stage",
    "Rejection": "pefstack.images.rejection",
    "UsageError": "pefstack.tools.errors",
    "VerificationError": "pefstack.images.rejection",
}


def __getattr__(name: str) -> object:
    """Load a public name's module when the name is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'pefstack' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
