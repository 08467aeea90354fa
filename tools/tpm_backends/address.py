"""Which TPM a machine runs on: the text behind ``--tpm`` becomes a TPM."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pefstack.hw.tpm.foreign import ForeignTpm
from pefstack.tools.errors import UsageError
from pefstack.tools.tpm_backends.device import DeviceTpm
from pefstack.tools.tpm_backends.mssim import MssimTpm
from pefstack.tools.tpm_backends.swtpm import SwtpmTpm
from pefstack.tools.tpm_server.framing import MAX_PORT

FORMS: Final = "swtpm:HOST:PORT, mssim:HOST:PORT, dev:/dev/tpmrm0"


def open_tpm(text: str) -> ForeignTpm:
    """The TPM of an address; UsageError for no address, BackendError for no device."""
    kind, _, place = text.partition(":")
    if kind == "dev" and place:
        return ForeignTpm(DeviceTpm(Path(place)), always_on=True)
    host, _, port = place.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    number = int(port) if port.isascii() and port.isdecimal() else 0
    if not host or not 0 < number <= MAX_PORT or kind not in ("swtpm", "mssim"):
        raise UsageError(f"--tpm {text}: expected one of {FORMS}")
    tpm = SwtpmTpm(host, number) if kind == "swtpm" else MssimTpm(host, number)
    return ForeignTpm(tpm)
