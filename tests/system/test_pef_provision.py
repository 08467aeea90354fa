"""Rows P10 to P13 of the checklist: the TPM as whole boots leave it."""

from __future__ import annotations

import pytest

from pef_tpm_kit import (
    NV_NAME,
    SECRET,
    open_slot,
    own_session,
    policy_secret,
    seal,
)
from pefstack import Machine
from pefstack.firmware.memory_map import UV_TPM_ADDRESS, UV_TPM_SIZE
from pefstack.firmware.pef_objects import NV_INDEX, storage_policy
from pefstack.firmware.uv_hand_over import take_uv_tpm
from pefstack.images.errors import FormatError
from pefstack.images.uv_tpm import UvTpm
from tpm_client_kit import two_b
from tpm_kit import EMPTY_PASSWORD, PLATFORM, SHA256, command, extend, rc_of, session

PROFILES = ["real", "strict"]


@pytest.fixture(scope="module", params=PROFILES)
def booted(request: pytest.FixtureRequest) -> Machine:
    settings = [f"machine.pef.provision={request.param}"]
    return Machine("small", settings=settings).run()


def opened(machine: Machine, taken: UvTpm) -> bytes | None:
    policy = storage_policy(NV_INDEX, 6, machine.pcr(6))
    sealed = seal(taken.storage_key_public, policy=policy)
    return open_slot(machine.board.tpm.execute, taken, sealed).secret


def test_p10_the_index_is_there_and_only_platform_authority_changes_its_password(
    booted: Machine,
) -> None:
    machine = booted.fork()
    tpm = machine.board.tpm
    taken = take_uv_tpm(machine.board)
    assert tpm.execute(command(0x169, handles=(NV_INDEX,)))[-34:] == NV_NAME
    changed = two_b(b"of the relay")
    by_auth = session(auth=taken.nv_password)  # ADMIN wants a policy, whoever asks
    raw = command(0x13B, changed, handles=(NV_INDEX,), area=by_auth)
    assert rc_of(tpm.execute(raw)) == 0x124
    own = own_session(tpm)
    raw = command(0x16C, b"\0\0\1\x3b", handles=(own.handle,))
    assert rc_of(tpm.execute(raw)) == 0
    refused = policy_secret(tpm, own.handle, b"", PLATFORM)
    assert rc_of(refused) == 0x9A2
    area = session(own.handle, bytes(16), 1)
    raw = command(0x13B, changed, handles=(NV_INDEX,), area=area)
    assert rc_of(tpm.execute(raw)) == 0x99D


def test_p11_the_storage_key_is_locked_to_this_tpm_and_its_policy(
    booted: Machine,
) -> None:
    taken = take_uv_tpm(booted.fork().board)
    public = taken.storage_key_public
    assert public[:2] == b"\0\1"
    attributes = int.from_bytes(public[4:8], "big")
    assert attributes & 0x12 == 0x12  # fixedTPM, fixedParent
    assert attributes & 0x30000 == 0x30000  # restricted, decrypt: a parent
    assert not attributes & 0x40  # no userWithAuth
    assert public[10:42] == storage_policy(NV_INDEX, 6, booted.pcr(6))
    assert int.from_bytes(public[50:52], "big") == 2048
    assert opened(booted.fork(), taken) == SECRET


def test_p12_a_new_password_each_boot_for_the_ultravisor_alone(
    booted: Machine,
) -> None:
    machine = booted.fork()
    first = take_uv_tpm(machine.board)
    assert not any(machine.board.secure.read(UV_TPM_ADDRESS, UV_TPM_SIZE))
    with pytest.raises(FormatError):
        take_uv_tpm(machine.board)
    machine.power_cycle().run()
    second = take_uv_tpm(machine.board)
    assert first.nv_password != second.nv_password
    assert first.wrapping_key_password != second.wrapping_key_password
    journal = "".join(map(repr, machine.journal))
    for each in (first, second):
        for password in (each.nv_password, each.wrapping_key_password):
            assert password.hex() not in journal
            assert repr(password)[2:-1] not in journal
    raw = command(0x129, two_b(b""), handles=(PLATFORM,), area=EMPTY_PASSWORD)
    assert rc_of(machine.board.tpm.execute(raw)) == 0x9A2
    assert opened(machine, second) == SECRET


def test_p13_last_boots_password_or_another_pcr6_opens_nothing(
    booted: Machine,
) -> None:
    machine = booted.fork()
    first = take_uv_tpm(machine.board)
    machine.power_cycle().run()
    second = take_uv_tpm(machine.board)
    sealed = seal(
        second.storage_key_public, policy=storage_policy(NV_INDEX, 6, machine.pcr(6))
    )
    perform = machine.board.tpm.execute
    stale = open_slot(perform, first, sealed)
    assert stale.secret is None
    assert stale.failure is not None
    assert (stale.failure.step, stale.failure.rc) == (4, 0x9A2)
    assert open_slot(perform, second, sealed).secret == SECRET
    perform(extend(6, (SHA256, b"\1" * 32)))
    moved = open_slot(perform, second, sealed)
    assert moved.failure is not None
    assert (moved.failure.step, moved.failure.rc) == (6, 0x99D)


def test_another_index_gives_another_policy() -> None:
    settings = ["machine.pef.provision=strict", "machine.pef.nv-index=0x01c101a1"]
    machine = Machine("small", settings=settings).run()
    taken = take_uv_tpm(machine.board)
    assert taken.nv_index == 0x01C101A1
    policy = storage_policy(0x01C101A1, 6, machine.pcr(6))
    assert taken.storage_key_public[10:42] == policy
    sealed = seal(taken.storage_key_public, policy=policy)
    assert open_slot(machine.board.tpm.execute, taken, sealed).secret == SECRET
    assert opened(machine, taken) is None


def test_with_pef_off_only_the_platform_is_closed() -> None:
    settings = ["machine.pef.provision=strict", "machine.chip.pef-enable=false"]
    machine = Machine("small", settings=settings).run()
    with pytest.raises(FormatError):
        take_uv_tpm(machine.board)
    raw = command(0x129, two_b(b""), handles=(PLATFORM,), area=EMPTY_PASSWORD)
    assert rc_of(machine.board.tpm.execute(raw)) == 0x9A2
    kinds = [event.kind for event in machine.journal]
    assert "platform-closed" in kinds
    assert "tpm-prepared" not in kinds


def test_without_the_setting_nothing_is_asked_of_the_tpm() -> None:
    machine = Machine("small").run()
    raw = command(0x129, two_b(b""), handles=(PLATFORM,), area=EMPTY_PASSWORD)
    assert rc_of(machine.board.tpm.execute(raw)) == 0
    assert not any(machine.board.secure.read(UV_TPM_ADDRESS, UV_TPM_SIZE))


def test_a_fork_draws_the_same_passwords() -> None:
    machine = Machine("small", settings=["machine.pef.provision=strict"])
    machine.run(until="hostboot_ext")
    both = [machine.fork().run() for _ in range(2)]
    first, second = (take_uv_tpm(each.board) for each in both)
    assert first == second


@pytest.mark.parametrize(
    "setting",
    ["machine.pef.provision=maybe", "machine.pef.nv-index=1"],
)
def test_settings_are_checked(setting: str) -> None:
    with pytest.raises(Exception, match=r"machine\.pef\."):
        Machine("small", settings=[setting])
