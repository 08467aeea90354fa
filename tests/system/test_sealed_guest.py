"""Guests that are sealed to a machine: which boots open them, and which do not."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import pytest

from pef_tpm_kit import own_session
from pefstack import BootFailure, Machine
from pefstack.firmware.pef_objects import NV_INDEX, storage_policy
from pefstack.firmware.uv_hand_over import take_uv_tpm
from pefstack.images.errors import FormatError
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_blob_refusal import EsmProfile
from pefstack.images.esm_integrity import TYPE_WORDS
from pefstack.images.esm_operand_keys import SealedData
from pefstack.images.esm_operand_open import open_operand
from pefstack.images.esm_refusal import OperandError, OperandRefusal
from pefstack.tools.guest_parts import GuestParts, initramfs_rest, kernel_parts
from sealed_guest_kit import (
    MOVED,
    PASSPHRASE,
    asked,
    guest_of,
    master_key,
    operand_of,
    prepared_by_whoever,
    rc_of_refused,
    sealed_bytes,
)
from tpm_kit import SHA256, command, extend, rc_of

FLIP_HBI = "image.flash.partition.HBI.flip=[{offset=0x2000, bit=1}]"


@cache
def made(name: str, *settings: str) -> Machine:
    return Machine(name, settings=settings)


def booted(name: str, *settings: str) -> Machine:
    """A fork of the machine after its whole boot."""
    return made(name, *settings).fork().run(until="opal")


@pytest.mark.parametrize("name", ["svm", "svm-zimage"])
def test_the_tpm_opens_the_operand_and_all_parts_are_the_guests(name: str) -> None:
    machine = booted(name)
    verdict = asked(machine, operand_of(machine))
    assert verdict.failure is None
    opened = open_operand(operand_of(machine), verdict.secret or b"")
    assert [(each.type, each.name) for each in opened.secrets] == [
        (2, "rootfs-passphrase"),
        (3, "customer-data"),
    ]
    assert opened.secrets[0].content == PASSPHRASE
    images = guest_of(machine)
    parts = kernel_parts(images.kernel)
    initrd = images.initrd or parts.initramfs
    assert initrd is not None
    guest = GuestParts(
        kernel=parts.kernel,
        initramfs=initramfs_rest(initrd),
        command_line=machine.board.spec.guest.command_line.encode()
        if machine.board.spec.guest
        else b"",
    )
    opened.integrity.check_guest(guest.measured())
    assert set(opened.integrity.parts) == set(TYPE_WORDS)
    assert bool(images.initrd) is (name == "svm")


def test_the_blob_of_the_real_machines_opens() -> None:
    machine = booted("svm-v1")
    key = master_key(machine, strict=False)
    blob = EsmBlob.from_bytes(sealed_bytes(guest_of(machine)))
    digests = blob.open_digests(key)
    images = guest_of(machine)
    flat = bytes(kernel_parts(images.kernel).kernel or b"")
    assert digests.kernel_size == len(flat)
    assert digests.kernel == hashlib.sha512(flat).digest()
    rest = initramfs_rest(images.initrd)
    assert digests.initrd == hashlib.sha512(rest).digest()
    assert digests.bootargs == hashlib.sha512(b"console=hvc0 svm=on").digest()
    assert blob.open_file("rootfs-passphrase", key) == PASSPHRASE
    assert blob.open_file("customer-data", key, EsmProfile.REAL).startswith(b"made-up")


def test_the_second_boot_only_changes_passwords() -> None:
    """The keys that the guest is sealed to are there before the first one."""
    machine = booted("svm")
    persisted = [each for each in machine.journal if each.kind == "persist"]
    assert [each.detail["handle"] for each in persisted] == [0x81800001]
    first = take_uv_tpm(machine.board)
    machine.power_cycle().run(until="opal")
    second = take_uv_tpm(machine.board)
    assert first.storage_key_public == second.storage_key_public
    assert first.wrapping_key_name == second.wrapping_key_name
    assert first.nv_password != second.nv_password
    assert asked(machine, operand_of(machine), second).failure is None


def test_p6_after_a_failed_signature_the_seed_stays_sealed() -> None:
    """No hand-over; and who takes the open TPM has a PCR 6 that is too short."""
    machine = made("svm").fork()
    machine.flash["HBI"].write(b"\xff\x00", 0x2000)
    with pytest.raises(BootFailure):
        machine.run()
    with pytest.raises(FormatError):
        take_uv_tpm(machine.board)
    taken = prepared_by_whoever(machine)
    assert rc_of_refused(asked(machine, operand_of(machine), taken)) == MOVED


def test_p8_a_guest_is_sealed_to_further_values_too() -> None:
    machine = booted("svm", site("c0ffee"))
    assert machine.pcr(6) != booted("svm").pcr(6)
    assert asked(machine, operand_of(machine)).failure is None
    kept = f"image.guest.pcr-value={machine.pcr(6).hex()}"
    elsewhere = booted("svm", site("c0ffef"), kept)
    assert rc_of_refused(asked(elsewhere, operand_of(elsewhere))) == MOVED


def site(value: str) -> str:
    return f'machine.measure.further=[{{text="SITE", value="{value}"}}]'


def test_p8_the_storage_key_can_ask_for_another_pcr() -> None:
    machine = booted("svm", "machine.measure.pcr=14", site("c0ffee"))
    taken = take_uv_tpm(machine.board)
    policy = storage_policy(NV_INDEX, 14, machine.pcr(14))
    assert taken.storage_key_public[10:42] == policy
    assert asked(machine, operand_of(machine), taken, pcr=14).failure is None
    assert rc_of_refused(asked(machine, operand_of(machine), taken)) == MOVED


def test_p49_with_the_jumper_off_the_same_guest_stays_sealed() -> None:
    off, on = booted("svm", "machine.chip.smd=true"), booted("svm")
    assert sealed_bytes(guest_of(on)) == sealed_bytes(guest_of(off))
    assert take_uv_tpm(on.fork().board).storage_key_name == (
        take_uv_tpm(off.fork().board).storage_key_name
    )
    assert asked(on, operand_of(on)).failure is None
    assert rc_of_refused(asked(off, operand_of(off))) == MOVED


def test_p50_recorded_only_a_bad_signature_opens_the_seed_all_the_same() -> None:
    """No verified image is in PCR 6; a policy that also names PCR 0 refuses."""
    good = booted("svm")
    machine = booted("svm", "machine.verify.policy=record-only", FLIP_HBI)
    verdict = asked(machine, operand_of(machine))
    assert verdict.secret == asked(good, operand_of(good)).secret
    both = hashlib.sha256(good.pcr(0) + good.pcr(6)).digest()
    six = hashlib.sha256(good.pcr(6)).digest()
    assert [policy_pcr(good, *each) for each in ((b"\x41", both), (b"\x40", six))] == [
        0,
        0,
    ]
    assert policy_pcr(machine, b"\x40", six) == 0
    assert policy_pcr(machine, b"\x41", both) == 0x1C4  # VALUE, first parameter


def policy_pcr(machine: Machine, selected: bytes, digest: bytes) -> int:
    """PolicyPCR that expects a digest; what the TPM says."""
    tpm: Any = machine.board.tpm
    params = b"\0\x20" + digest + bytes.fromhex("00000001000b03") + selected + b"\0\0"
    raw = command(0x17F, params, handles=(own_session(tpm).handle,))
    return rc_of(tpm.execute(raw))


def test_one_more_extend_and_nothing_opens() -> None:
    machine = booted("svm")
    machine.board.tpm.execute(extend(6, (SHA256, bytes(32))))
    assert rc_of_refused(asked(machine, operand_of(machine))) == MOVED


def test_p61_one_seed_for_all_builds_and_an_older_one_still_starts() -> None:
    """Each build has keys of its own; what sealed it before still opens it."""
    old, new = booted("svm"), booted("svm", *newer())
    seeds = [asked(each, operand_of(each)).secret or b"" for each in (old, new)]
    assert seeds[0][:32] == seeds[1][:32]
    nonces = {operand_of(each).payload[40:56] for each in (old, new)}
    assert len(nonces) == 2
    assert open_operand(operand_of(old), seeds[0]).secrets[0].content == PASSPHRASE


def test_p61_newer_sealed_data_stops_an_older_build() -> None:
    old, new = booted("svm"), booted("svm", *newer())
    sealed = asked(new, operand_of(new)).secret or b""
    assert SealedData.from_bytes(sealed).minimum_version == 2
    assert open_operand(operand_of(new), sealed).integrity.security_version == 2
    with pytest.raises(OperandError) as caught:
        open_operand(operand_of(old), sealed)
    assert caught.value.refusal is OperandRefusal.ROLLBACK


def newer() -> tuple[str, ...]:
    """A build of a later version that asks for itself."""
    return (
        "image.guest.kernel.seed=newer",
        "image.guest.security-version=2",
        "image.guest.minimum-version=2",
    )


def test_p61_a_build_below_its_own_floor_is_refused() -> None:
    machine = booted("svm", "image.guest.minimum-version=2")
    verdict = asked(machine, operand_of(machine))
    with pytest.raises(OperandError) as caught:
        open_operand(operand_of(machine), verdict.secret or b"")
    assert caught.value.refusal is OperandRefusal.ROLLBACK
