"""Guests as they were built, and the ultravisor's TPM work for them."""

from __future__ import annotations

from typing import Final

from pef_tpm_kit import open_lockbox
from pefstack import Machine
from pefstack.firmware.tpm_link import TpmLink
from pefstack.firmware.tpm_prepare import Provision, prepare
from pefstack.firmware.ultravisor import tpm_client
from pefstack.firmware.ultravisor.conversation import Verdict
from pefstack.firmware.ultravisor.sealed_object import SealedObject
from pefstack.firmware.uv_hand_over import take_uv_tpm
from pefstack.hw.entropy import Entropy
from pefstack.hw.guest_spec import GuestImages
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_blob_refusal import EsmProfile
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.initramfs import find_blob
from pefstack.images.uv_tpm import UvTpm
from pefstack.images.zimage import Zimage

MOVED: Final = 0x99D  # POLICY_FAIL: the PCR is another one
PASSPHRASE: Final = b"made-up root-disk passphrase"


def guest_of(machine: Machine) -> GuestImages:
    """The files that the board has for its VM."""
    images = machine.board.guest_images
    assert images is not None
    return images


def sealed_bytes(images: GuestImages) -> bytes:
    """Blob or operand, where the ultravisor finds it."""
    if images.initrd:
        place = find_blob(images.initrd)
        return bytes(images.initrd[place.offset : place.offset + place.room])
    blob = Zimage.from_bytes(images.kernel).esm_blob
    assert blob is not None
    return bytes(blob)


def operand_of(machine: Machine) -> EsmOperand:
    """The operand of the machine's guest."""
    return EsmOperand.from_bytes(sealed_bytes(guest_of(machine)))


def asked(
    machine: Machine, operand: EsmOperand, taken: UvTpm | None = None, pcr: int = 6
) -> Verdict:
    """A slot for this machine, imported and unsealed by its TPM, or not."""
    taken = taken or take_uv_tpm(machine.board)
    (number,) = operand.candidates({1: taken.storage_key_name[2:]})
    public, duplicate, seed = operand.slots[number].parts()
    sealed = SealedObject(public=public, duplicate=duplicate, seed=seed)
    random = Entropy("guest", "ultravisor").random_bytes(tpm_client.RANDOM_BYTES)
    state = tpm_client.begin(taken, sealed, random, pcr)
    return tpm_client.SCRIPT.run(state, machine.board.tpm.execute)


def master_key(machine: Machine, *, strict: bool) -> bytes:
    """What the machine's TPM finds in its lockbox."""
    profile = EsmProfile.STRICT if strict else EsmProfile.REAL
    blob = EsmBlob.from_bytes(sealed_bytes(guest_of(machine)), profile)
    (lockbox,) = blob.lockboxes
    taken = take_uv_tpm(machine.board)
    verdict = open_lockbox(
        machine.board.tpm.execute, taken, lockbox.encrypted_symkey, strict=strict
    )
    assert verdict.secret is not None
    return verdict.secret


def prepared_by_whoever(machine: Machine, profile: str = "strict") -> UvTpm:
    """Who has the TPM while the platform hierarchy is open makes passwords himself."""
    how = Provision(profile=profile)
    return prepare(TpmLink(machine.board.tpm, Entropy("whoever", "processor")), how)


def rc_of_refused(verdict: Verdict) -> int:
    """With which code the TPM refused."""
    assert verdict.secret is None
    assert verdict.failure is not None
    return verdict.failure.rc
