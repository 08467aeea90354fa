"""Provision a TPM: one of its own in a state file, or somebody else's at an address."""

from __future__ import annotations

from pathlib import Path

from pefstack.firmware.tpm_link import TpmLink
from pefstack.firmware.tpm_prepare import Provision
from pefstack.firmware.tpm_provision import Provisioned, provision
from pefstack.hw.entropy import Entropy
from pefstack.hw.tpm import client
from pefstack.hw.tpm.client import TpmError
from pefstack.hw.tpm.crypto.stream import Stream
from pefstack.hw.tpm.foreign import ForeignTpm
from pefstack.hw.tpm.response_codes import TpmRc
from pefstack.tools.esm.randomness import SystemStream
from pefstack.tools.tpm_backends.address import open_tpm
from pefstack.tools.tpm_server.start import start_service


def provision_file(
    path: Path, seed: str | None, how: Provision, *, again: bool = False
) -> Provisioned:
    """The TPM of a state file, which is made where there is none.

    Every change is in the file before the next command. With ``seed`` everything
    random follows from it. Errors as `provision`, and those of the file.
    """
    service = start_service(seed, path, startup_clear=True)
    random: Stream = SystemStream() if seed is None else Entropy(seed, "provisioning")
    try:
        return provision(TpmLink(service, random), how, again=again)
    finally:
        service.power_off()
        service.close()


def provision_address(
    address: str, how: Provision, *, again: bool = False
) -> Provisioned:
    """A TPM that runs: its PCRs stay as they are. Errors as `provision`."""
    tpm = open_tpm(address)
    _start(tpm)
    return provision(TpmLink(tpm, SystemStream()), how, again=again)


def _start(tpm: ForeignTpm) -> None:
    """Startup, which most have behind them."""
    try:
        client.response(tpm.execute(client.startup()))
    except TpmError as refused:
        if refused.code != TpmRc.INITIALIZE:
            raise
