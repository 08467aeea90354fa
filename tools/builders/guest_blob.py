"""What is sealed for a machine: an ESM operand (v2) or an ESM blob (v1) of a guest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from pefstack.firmware.tpm_provision import Provisioned
from pefstack.hw.entropy import Entropy
from pefstack.images.esm_attachments import Attachment, write_attachments
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_digests import EsmDigests
from pefstack.images.esm_integrity import COMMAND_LINE, INITRAMFS, KERNEL, RTAS
from pefstack.images.esm_item import IV_SIZE, KEY_SIZE, Item, seal_item
from pefstack.images.esm_operand_keys import SealedData
from pefstack.images.esm_operand_open import Secret
from pefstack.images.esm_operand_toc import TYPE_CUSTOMER_DATA, TYPE_PASSPHRASE
from pefstack.tools.builders.content import content
from pefstack.tools.builders.guest_spec import ROOT_DISK, GuestImageSpec
from pefstack.tools.esm_sealing import import_slot, make_lockbox, public_pem
from pefstack.tools.guest_parts import GuestParts
from pefstack.tools.operands.making import make_operand

SEED_SIZE: Final = 32
NONCE_SIZE: Final = 16
LOCKBOX: Final = "lockbox-1"  # the one name that real machines try


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What is sealed: the parts, and what only the guest may read."""

    spec: GuestImageSpec
    parts: GuestParts

    @property
    def secrets(self) -> dict[str, bytes]:
        """By name, the passphrase of the root disk first."""
        names = sorted(self.spec.secret, key=lambda name: name != ROOT_DISK)
        return {name: content(self.spec.secret[name], name) for name in names}

    def stream(self) -> Entropy:
        """Random numbers that are others for every build: keys follow from them."""
        told = hashlib.sha256(self.spec.seed.encode())
        for kind, each in sorted(self.parts.measured().items()):
            told.update(bytes([kind]) + each.digest)
        version = self.spec.security_version, self.spec.minimum_version
        told.update(repr((self.spec.format, version)).encode())
        for name, secret in self.secrets.items():
            told.update(hashlib.sha256(name.encode()).digest())
            told.update(hashlib.sha256(secret).digest())
        return Entropy(told.hexdigest(), "guest")


def blob_of(guest: Guest, machine: Provisioned) -> bytes:
    """The blob or operand that this machine's TPM opens; errors of the formats."""
    make = _operand if guest.spec.format == "v2" else _blob
    return make(guest, machine)


def _operand(guest: Guest, machine: Provisioned) -> bytes:
    """One seed serves all builds of an image; the nonce is another in each."""
    spec, stream = guest.spec, guest.stream()
    seed = Entropy(spec.seed, "guest seed").random_bytes(SEED_SIZE)
    sealed = SealedData(seed=seed, minimum_version=spec.minimum_version)
    nonce = stream.random_bytes(NONCE_SIZE)
    slot = import_slot(machine.storage_public, machine.policy, sealed, stream)
    return make_operand(
        guest.parts,
        seed=seed,
        build_nonce=nonce,
        security_version=spec.security_version,
        secrets=[_secret(*each) for each in guest.secrets.items()],
        slots=(slot,),
        slot_count=spec.slots,
    )


def _secret(name: str, raw: bytes) -> Secret:
    kind = TYPE_PASSPHRASE if name == ROOT_DISK else TYPE_CUSTOMER_DATA
    return Secret(type=kind, name=name, content=raw)


def _blob(guest: Guest, machine: Provisioned) -> bytes:
    """As the real machines have it: a lockbox for the wrapping key, no PCR in it."""
    stream = guest.stream()
    key = stream.random_bytes(KEY_SIZE)
    pem = public_pem(machine.wrapping_public)

    def sealed(raw: bytes) -> Item:
        return seal_item(key, stream.random_bytes(IV_SIZE), raw)

    digests = sealed(_digests(guest.parts).to_bytes())
    files = tuple(
        Attachment(name=name, item=sealed(raw)) for name, raw in guest.secrets.items()
    )
    blob = EsmBlob(
        lockboxes=(make_lockbox(LOCKBOX, pem, key, stream),),
        digests=digests,
        files_fdt=write_attachments(files),
    )
    return blob.to_bytes()


def _digests(parts: GuestParts) -> EsmDigests:
    of = parts.measured()
    return EsmDigests(
        kernel_size=of[KERNEL].length,
        kernel=of[KERNEL].digest,
        initrd=of[INITRAMFS].digest,
        bootargs=of[COMMAND_LINE].digest,
        rtas=of[RTAS].digest,
    )
