"""What each refusal means and who refuses; docs/stages.md is held to these words."""

from __future__ import annotations

from typing import Final, NamedTuple

from pefstack.firmware.stage import Refusal


class RefusalWords(NamedTuple):
    """Which stages refuse so, why, and what to do about it."""

    stages: str
    meaning: str
    mend: str


_FROM_FLASH: Final = "hostboot_*, opal"

REFUSALS: Final[dict[Refusal, RefusalWords]] = {
    Refusal.SETTINGS_DIFFER: RefusalWords(
        "all but opal",
        ".sb_settings does not say what the fuses say",
        "build the SEEPROM for this machine's fuses",
    ),
    Refusal.SEEPROM_FORMAT: RefusalWords(
        "all but opal",
        "a SEEPROM, or a section that is needed, is broken or absent",
        "build the SEEPROM images again",
    ),
    Refusal.SIGNING_MODE: RefusalWords(
        "all but opal",
        "settings ask for another mode than 0; there is no verifier",
        "set machine.fuses.signing-mode to 0, build again",
    ),
    Refusal.TPM_REFUSED: RefusalWords(
        "all",
        "the TPM is not there, or answered a command with an error",
        "look up the response code; machine.tpm sets the TPM",
    ),
    Refusal.TPM_REQUIRED: RefusalWords(
        "hostboot_ext",
        "the machine requires a TPM, security is on, and none works",
        "mend the TPM, or set machine.tpm.required to false",
    ),
    Refusal.CONTAINER_REJECTED: RefusalWords(
        "all",
        "a check of the container failed; the log word has the code",
        "`pef explain` the log word",
    ),
    Refusal.SBE_REPORTED: RefusalWords(
        "hostboot_ext",
        "the SBE recorded a rejection and went on",
        "put back the SEEPROM of this machine",
    ),
    Refusal.SECONDARY_CHIP: RefusalWords(
        "hostboot_ext",
        "the SBE of a secondary chip refused to go on",
        "put back the SEEPROM of that chip",
    ),
    Refusal.PARTITION_TABLE: RefusalWords(
        _FROM_FLASH,
        "no valid partition table in the flash",
        "pef inspect the flash, write a table",
    ),
    Refusal.PARTITION_MISSING: RefusalWords(
        _FROM_FLASH, "the table does not name the partition", "add it to the image"
    ),
    Refusal.PARTITION_SIZE: RefusalWords(
        _FROM_FLASH,
        "the partition is smaller than a container header",
        "make it larger",
    ),
    Refusal.ECC_UNCORRECTABLE: RefusalWords(
        _FROM_FLASH,
        "a word with two or more flipped bits",
        "write the partition again",
    ),
    Refusal.COMPONENT_ID: RefusalWords(
        "hostboot_*",
        "the label is not the partition's name",
        "put each container in the partition of its name",
    ),
    Refusal.CONTAINER_SIZE: RefusalWords(
        _FROM_FLASH,
        "container size outside payload and partition; security off: payload size "
        "outside the partition",
        "build the container again",
    ),
    Refusal.SW_KEY_COUNT: RefusalWords(
        "hostboot_loader", "HBB has more than one software key", "sign HBB with one"
    ),
    Refusal.HBI_SALT: RefusalWords(
        "hostboot_init",
        "HBI's hash page table begins with another salt than HBB's signatures give",
        "put HBB and HBI of one build into the flash",
    ),
    Refusal.PAGE_HASH: RefusalWords(
        "hostboot_ext",
        "a page behind a hash page table is not the one in it",
        "write that partition again",
    ),
    Refusal.KEY_TRANSITION: RefusalWords(
        "hostboot_ext",
        "SBKT is no key transition, or the new keys did not sign the SBE image",
        "build SBKT and SBE again; the machine keeps its keys",
    ),
    Refusal.LOG_FULL: RefusalWords(
        "hostboot_init, hostboot_ext, opal",
        "the next record does not fit: 7 KiB in Hostboot, 64 KiB in OPAL",
        "fewer or shorter further values",
    ),
    Refusal.LOG_BROKEN: RefusalWords(
        "hostboot_ext, opal",
        "the event log in memory is none",
        "find out who wrote over it between two stages",
    ),
    Refusal.HDAT_BROKEN: RefusalWords(
        "opal",
        "what Hostboot handed over is broken, or secure mode cannot verify with it",
        "find out who wrote over it between two stages",
    ),
    Refusal.TPM_PROVISION: RefusalWords(
        "opal",
        "the TPM could not be prepared for the ultravisor",
        "look at the response code; keys of another profile or index stay in the TPM",
    ),
    Refusal.GUEST_IMAGES: RefusalWords(
        "hypervisor",
        "there is no kernel for the VM, or what there is does not fit its memory",
        "other images, or more machine.guest.memory",
    ),
}
