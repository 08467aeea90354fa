"""OPAL and the TPM: the numbers of esm.md 4.1 and 4.2, and what each profile does."""

from __future__ import annotations

from typing import Final

import pytest

from pef_tpm_kit import (
    BOOT_MEASUREMENT,
    NV_NAME,
    PCR6,
    POLICY,
    Recorder,
    link,
    model,
    restart,
)
from pefstack.firmware.pef_objects import (
    NV_INDEX,
    either,
    nv_index_name,
    nv_policy,
    storage_policy,
    wrapping_policies,
)
from pefstack.firmware.tpm_link import TpmLink
from pefstack.firmware.tpm_prepare import Provision, make_once, prepare
from pefstack.hw.tpm.client import TpmError
from pefstack.images.errors import FormatError
from tpm_kit import SHA256, command, extend, rc_of, started

A: Final = "8dbd2aa10f701b1eda230fa8a38803d342f3b48c2ffcbed56c04674c79dff00f"
REAL: Final = (
    "9795d78f53de94401899cc2d5ba76007b3d4dad85bf95cabeeba04d0f98b502e",
    "e86c7354251aa8e6ce27fddc541946f48120ff95c3d7a4d343f463321bd3e55c",
)
STRICT: Final = (
    "742965e4d5bc3372d0f5e86cc69884352b791a68a860a69058a9388704302c41",
    "0b393cdf87237e27ba026c1fc0f14fc5237b97c41eaf1d9d0cb34ed617d00923",
)
NV_POLICY: Final = "ed9a42240b37aebed0dd5464abafaf067b66a028ad83d336e9280551da810b33"


def public_of(tpm: object, handle: int) -> bytes:
    raw: bytes = tpm.execute(command(0x173, handles=(handle,)))  # type: ignore[attr-defined]
    assert rc_of(raw) == 0
    return raw[12 : 12 + int.from_bytes(raw[10:12], "big")]


@pytest.mark.parametrize(("profile", "numbers"), [("real", REAL), ("strict", STRICT)])
def test_policies_of_the_wrapping_key(profile: str, numbers: tuple[str, str]) -> None:
    use, change = wrapping_policies(profile)
    assert (use.hex(), change.hex()) == (A, numbers[0])
    assert either((use, change)).hex() == numbers[1]
    public = public_of(model(profile).tpm, 0x81800001)
    assert public[:8].hex() == "0001000b00020c20"
    assert public[10:42].hex() == numbers[1]
    assert public[42:50].hex() == "00100017000b0800"


def test_policies_of_index_and_storage_key() -> None:
    assert nv_policy().hex() == NV_POLICY
    assert nv_index_name() == NV_NAME
    assert storage_policy(NV_INDEX, 6, PCR6) == POLICY
    assert nv_index_name(NV_INDEX + 1) != NV_NAME
    world = model()
    public = public_of(world.tpm, 0x81800002)
    assert public == world.machine.storage_key_public
    assert public[:10].hex() == "0001000b000304320020"
    assert public[10:42] == POLICY
    assert public[42:56].hex() == "0006008000430010080000000000"
    assert public_of(world.tpm, 0x81800000)[:10].hex() == "0001000b000304720000"


@pytest.mark.parametrize("profile", ["real", "strict"])
def test_later_boots_change_passwords_alone(profile: str) -> None:
    world = model(profile)
    old, new = world.machine, world.reboot()
    passwords = [
        each
        for one in (old, new)
        for each in (one.nv_password, one.wrapping_key_password)
    ]
    assert len(set(passwords)) == 4
    assert all(len(each) == 16 and 0 not in each for each in passwords)
    assert old.storage_key_public == new.storage_key_public
    assert old.wrapping_key_name == new.wrapping_key_name


def test_strict_shows_no_password_on_the_bus_and_real_shows_both() -> None:
    for profile, shown in (("real", True), ("strict", False)):
        world = model(profile)
        recorder = Recorder(world.tpm)
        machine = world.reboot(tpm=recorder)
        for password in (machine.nv_password, machine.wrapping_key_password):
            assert (password in recorder.traffic) == shown


def test_strict_at_provisioning_shows_none_either() -> None:
    tpm, _, _ = started("fresh")
    recorder = Recorder(tpm)
    machine = prepare(link(recorder, "one"), Provision(profile="strict"))
    for password in (machine.nv_password, machine.wrapping_key_password):
        assert password not in recorder.traffic


def test_made_for_a_given_value() -> None:
    """Provisioning ahead of the boot that it is for."""
    tpm, _, _ = started("ahead")
    public = make_once(link(tpm, "one"), Provision(value=PCR6))
    assert public[10:42] == POLICY
    tpm.execute(extend(6, (SHA256, BOOT_MEASUREMENT)))
    assert make_once(link(tpm, "two"), Provision()) == public


def test_keys_of_another_profile_are_refused() -> None:
    world = model("real")
    with pytest.raises(TpmError):
        world.reboot("strict")


def test_an_index_of_somebody_else_is_refused() -> None:
    tpm, _, _ = started("other")
    talk = link(tpm, "one")
    make_once(talk, Provision())
    raw = command(0x169, handles=(NV_INDEX,))
    assert tpm.execute(raw)[-34:] == NV_NAME
    public = bytes.fromhex("01c101a1000b4204000600000008")
    params = b"\0\0" + len(public).to_bytes(2, "big") + public
    area = bytes.fromhex("400000090000000000")
    assert (
        rc_of(tpm.execute(command(0x12A, params, handles=(0x4000000C,), area=area)))
        == 0
    )
    with pytest.raises(FormatError, match="nvPublic"):
        make_once(talk, Provision(nv_index=0x01C101A1))


def test_an_index_that_was_never_written_is_written() -> None:
    """Power went between the two commands."""
    tpm, _, _ = started("torn")
    public = bytes.fromhex("01c101a0000b420400040020" + NV_POLICY + "0008")
    params = b"\0\0" + len(public).to_bytes(2, "big") + public
    area = bytes.fromhex("400000090000000000")
    assert (
        rc_of(tpm.execute(command(0x12A, params, handles=(0x4000000C,), area=area)))
        == 0
    )
    make_once(link(tpm, "one"), Provision())
    assert tpm.execute(command(0x169, handles=(NV_INDEX,)))[-34:] == NV_NAME


class Zeros:
    """A broken source."""

    def random_bytes(self, count: int) -> bytes:
        return bytes(count)


def test_a_source_of_zeros_ends_the_search() -> None:
    tpm, _, _ = started()
    with pytest.raises(FormatError, match="zeros"):
        TpmLink(tpm, Zeros()).password(from_tpm=False)


class OneByte:
    """Zeros and a counter, so that zeros must be skipped."""

    def __init__(self) -> None:
        self.count = 0

    def random_bytes(self, count: int) -> bytes:
        self.count += 1
        return bytes(count - 1) + bytes((self.count,))


def test_zero_bytes_are_skipped() -> None:
    tpm, _, _ = started()
    password = TpmLink(tpm, OneByte()).password(from_tpm=False)
    assert password == bytes(range(1, 17))


def test_nothing_stays_loaded() -> None:
    """Each session and object is flushed: the TPM has three places for objects."""
    world = model()
    for handle in (0x80000000, 0x02000000, 0x03000000):
        raw = world.tpm.execute(
            bytes.fromhex("8001000000160000017a00000001")
            + handle.to_bytes(4, "big")
            + b"\0\0\0\x10"
        )
        assert raw[15:19] == bytes(4)


def test_after_a_restart_without_opal_the_platform_is_open() -> None:
    """The limit: who resets the TPM alone has platform authority."""
    world = model()
    change = command(
        0x129, b"\0\0", handles=(0x4000000C,), area=bytes.fromhex("400000090000000000")
    )
    assert rc_of(world.tpm.execute(change)) == 0x9A2
    restart(world.tpm)
    assert rc_of(world.tpm.execute(change)) == 0
