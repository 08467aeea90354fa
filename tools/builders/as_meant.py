"""A machine as its owner means it: what a guest is sealed to, whatever happens to it.

Jumper, BMC, faults, and what was damaged or left out in an image are not meant.
"""

from __future__ import annotations

from dataclasses import replace

from pefstack.hw.machine import ChipSpec, FaultSpec, MachineSpec, VerifySpec
from pefstack.hw.pef_spec import PefSpec
from pefstack.tools.builders.spec import (
    ImageSpec,
    PartitionSpec,
    SectionSpec,
)


def machine_as_meant(machine: MachineSpec) -> MachineSpec:
    """Security and PEF on, no fault anywhere, one chip: what others do not change."""
    return replace(
        machine,
        chip=ChipSpec(pvr=machine.chip.pvr, node_id=machine.chip.node_id),
        tpm=replace(machine.tpm, dies_at=0, fails_at=""),
        verify=VerifySpec(),
        fault=FaultSpec(),
        pef=PefSpec(),
        guest=None,
        secondary_chips=(),
        backup_tpm=None,
    )


def image_as_meant(image: ImageSpec) -> ImageSpec:
    """Nothing flipped, everything signed, every partition there."""
    seeprom = image.seeprom
    return replace(
        image,
        seeprom=replace(
            seeprom,
            base=_whole(seeprom.base),
            sb_verification=_whole(seeprom.sb_verification),
            hbbl=_whole(seeprom.hbbl),
        ),
        flash=replace(
            image.flash,
            partition={
                name: _in_place(each) for name, each in image.flash.partition.items()
            },
        ),
    )


def _whole(section: SectionSpec) -> SectionSpec:
    return replace(section, flip=())


def _in_place(partition: PartitionSpec) -> PartitionSpec:
    return replace(partition, flip=(), flip_raw=(), signed=True, absent=False)
