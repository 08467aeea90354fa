"""A TPM provisioned at build: what the boot policy's PCR will hold, keys, its state."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from pefstack.firmware.boot import power_on, step
from pefstack.firmware.opal import STAGE as LAST_STAGE
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.stage import BootFailure, stage_name
from pefstack.firmware.tpm_link import TpmLink
from pefstack.firmware.tpm_prepare import Provision, pcr_value
from pefstack.firmware.tpm_provision import Provisioned, provision
from pefstack.hw.board import Board
from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.flash import Content
from pefstack.hw.journal import Journal
from pefstack.hw.machine import MachineSpec
from pefstack.hw.mapping import SettingError
from pefstack.hw.tpm import client
from pefstack.hw.wiring import wire_tpm
from pefstack.images.errors import FormatError
from pefstack.tools.builders.as_meant import machine_as_meant

MAX_BOOTS: Final = 3  # after an update or a key transition the next boot goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What customers seal to, and what the TPM keeps without power: a secret."""

    provisioned: Provisioned
    state: bytes = field(repr=False)


def expected_pcr(
    machine: MachineSpec, flash: Content, seeprom: bytes, measurement: bytes
) -> bytes:
    """What the boot policy's PCR holds after this firmware booted as it is meant.

    See `machine_as_meant`. Raises `SettingError` when the firmware refuses to boot so.
    """
    meant = machine_as_meant(machine)
    board = meant.build("expected", flash, seeprom, measurement)
    try:
        if not any(_boots(board) for _ in range(MAX_BOOTS)):
            raise SettingError(
                "image.guest.pcr-value", _unknown("it never gets past Hostboot")
            )
        link = TpmLink(board.tpm, board.entropy)
        return pcr_value(link, profile_of(meant.measure).policy_pcr)
    except BootFailure as failure:
        reason = f"{failure.refusal} in {failure.stage}"
        raise SettingError("image.guest.pcr-value", _unknown(reason)) from None
    except FormatError:
        problem = "the TPM has no SHA-256 bank allocated"
        raise SettingError("machine.tpm.allocated", problem) from None


def _boots(board: Board) -> bool:
    """One boot, from off; whether it came to the end of the measuring stages."""
    board.power_off()
    stage = power_on(board)
    while stage_name(stage) != LAST_STAGE:
        following = step(board, stage)
        if following is None:
            return False
        stage = following
    step(board, stage)
    return True


def _unknown(reason: str) -> str:
    return f"this firmware does not boot ({reason}), so its PCR is unknown; give it"


def prepare_tpm(machine: MachineSpec, value: bytes) -> Prepared:
    """The machine's own TPM, new from its seed, provisioned for this value.

    Raises `SettingError` where the machine does not use its keys.
    """
    if machine.pef.provision == "off":
        problem = "found off; a provisioned TPM needs real or strict"
        raise SettingError("machine.pef.provision", problem)
    how = Provision(
        profile=machine.pef.provision,
        nv_index=machine.pef.nv_index,
        pcr=profile_of(machine.measure).policy_pcr,
        value=value,
    )
    tpm = wire_tpm(replace(machine.tpm, dies_at=0), "", Clock(), Journal())
    tpm.power_on()
    client.response(tpm.execute(client.startup()))
    link = TpmLink(tpm, Entropy(machine.tpm.seed, "provisioning"))
    done = provision(link, how)
    client.response(tpm.execute(client.shutdown()))
    tpm.power_off()
    return Prepared(provisioned=done, state=tpm.save_state())
