"""G1, N1, O: what OPAL does before any relay stands there, as relay.json has it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from _pytest.monkeypatch import MonkeyPatch

from pef_tpm_kit import Recorder, World, link, policy_secret, restart
from pefstack.firmware import tpm_prepare
from relay_kit import Row, run, verdict_of
from tpm_client_kit import ClientSession, two_b
from tpm_kit import NULL, PLATFORM, command, rc_of, session

NV: Final = 0x01C101A0
SHA256: Final = 0x000B


def old_password(world: World, _: MonkeyPatch) -> str:
    """The hand-over has the password of the last boot."""
    old = world.before.nv_password
    assert old != world.machine.nv_password
    world.machine = replace(world.machine, nv_password=old)
    return verdict_of(run(world, "honest")[0])


def index_change(world: World, recorder: Recorder, how: str) -> None:
    """OPAL's change of the index's password alone, after a power cycle."""
    restart(world.tpm)
    profile = tpm_prepare.Provision(profile=how)
    talk = link(recorder, "opal")
    hiding = tpm_prepare.hiding_session(talk, profile, world.machine.storage_key_public)
    password = world.machine.nv_password[::-1]
    tpm_prepare._change_nv(talk, profile, password, hiding)
    if hiding:
        talk.flush(hiding.handle)
    world.machine = replace(world.machine, nv_password=password)


def in_traffic(how: str) -> Row:
    def row(world: World, _: MonkeyPatch) -> str:
        recorder = Recorder(world.tpm)
        index_change(world, recorder, how)
        there = world.machine.nv_password in recorder.traffic
        return "in clear" if there else "not in the traffic"

    return row


def opened_after(how: str) -> Row:
    def row(world: World, _: MonkeyPatch) -> str:
        index_change(world, Recorder(world.tpm), how)
        return verdict_of(run(world, "honest")[0])

    return row


def policy_decrypts(world: World, _: MonkeyPatch) -> str:
    """The policy session decrypts, by a client that takes the authValue for empty."""
    restart(world.tpm)
    params = two_b(bytes(32)) + two_b(b"") + b"\1" + bytes.fromhex("000600800043000b")
    raw = world.tpm.execute(command(0x176, params, handles=(NULL, NULL)))
    own = ClientSession(int.from_bytes(raw[10:14], "big"), SHA256, b"", raw[16:])
    world.tpm.execute(command(0x16C, b"\0\0\1\x3b", handles=(own.handle,)))
    assert rc_of(policy_secret(world.tpm, own.handle, b"", PLATFORM)) == 0
    password = b"password of OPAL"
    hidden = own.crypt(password, own.nonce_caller, own.nonce_tpm, decrypt=False)
    area = session(own.handle, own.nonce_caller, 0x21)
    raw = world.tpm.execute(command(0x13B, two_b(hidden), handles=(NV,), area=area))
    assert rc_of(raw) == 0
    world.machine = replace(world.machine, nv_password=password)
    return verdict_of(run(world, "honest")[0])


def index_name(world: World, _: MonkeyPatch) -> str:
    raw = world.tpm.execute(command(0x169, handles=(NV,)))
    return str(raw[-34:].hex())


OPAL_ROWS: Final[dict[str, Row]] = {
    "G1": old_password,
    "N1": index_name,
    "O1-weak": in_traffic("real"),
    "O1-weak-use": opened_after("real"),
    "O2-weak": policy_decrypts,
    "O3": in_traffic("strict"),
    "O3-use": opened_after("strict"),
}
