"""A slot of `pef esm` on TPMs: imported, loaded, unsealed; on ours and on a swtpm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from esm_kit import V2
from operand_kit import NAMED, Esm
from pef_tpm_kit import (
    PCR6,
    World,
    first_boots,
    model,
    open_lockbox,
    open_slot,
)
from pefstack.firmware.ultravisor.conversation import Verdict
from pefstack.firmware.ultravisor.sealed_object import SealedObject
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_open import open_operand
from pefstack.tools.operands.authorising import operand_in
from pefstack.tools.tpm_backends.swtpm import SwtpmTpm
from swtpm_kit import swtpm, tpm2
from tpm_kit import extend

SHA256: Final = 0x000B
STORAGE, WRAPPING = 0x81800002, 0x81800001


@pytest.fixture
def esm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Esm:
    return Esm(tmp_path, capsys)


@pytest.fixture
def reference(tmp_path: Path) -> Iterator[tuple[World, int]]:
    """A real swtpm that OPAL prepared, and its port."""
    folder = tmp_path / "swtpm"
    folder.mkdir()
    with swtpm(folder) as port:
        tpm = SwtpmTpm("127.0.0.1", port)
        tpm.power_on()
        tpm.execute(bytes.fromhex("80010000000c000001440000"))
        yield first_boots(tpm, "strict"), port


def authorised(esm: Esm, key: Path, *more: object) -> EsmOperand:
    """An image with two secrets, authorised for this storage key."""
    words = ("--passphrase-file", esm.path("rootd"), "--security-version", 3)
    esm.build(*words)
    options = ("--storage-key", key, "--pcr6", PCR6.hex(), "--minimum-version", 2)
    esm("add", esm.path("guest.img"), *options, *esm.seed, *more)
    return operand_in(esm.read("guest.img"))


def on_machine(world: World, operand: EsmOperand) -> Verdict:
    """The ultravisor's work: find the slot, then Import, Load, Unseal."""
    machine_id = world.machine.storage_key_name[2:]
    (number,) = operand.candidates({1: machine_id})
    public, duplicate, seed = operand.slots[number].parts()
    sealed = SealedObject(public=public, duplicate=duplicate, seed=seed)
    return open_slot(world.tpm.execute, world.machine, sealed)


def opens(world: World, operand: EsmOperand) -> None:
    """The seed comes out, and with it the payload; not once PCR 6 has moved."""
    verdict = on_machine(world, operand)
    assert verdict.failure is None
    assert verdict.secret == bytes.fromhex(V2["seed"]) + bytes.fromhex(
        "0000000200000000"
    )
    (secret,) = open_operand(operand, verdict.secret).secrets
    assert secret.content == NAMED[0][1]
    world.reboot(seed="three")
    assert on_machine(world, operand).secret == verdict.secret
    world.tpm.execute(extend(6, (SHA256, bytes(32))))
    refused = on_machine(world, operand)
    assert refused.secret is None
    assert refused.failure is not None
    assert refused.failure.rc == 0x99D


def test_p22_added_slot_opens_on_our_tpm(esm: Esm) -> None:
    world = model()
    key = esm.put("key.pub", world.machine.storage_key_public)
    opens(world, authorised(esm, key))


@pytest.mark.interop
def test_added_slot_opens_on_swtpm_for_a_key_that_tpm2_tools_read(
    esm: Esm, reference: tuple[World, int]
) -> None:
    world, port = reference
    key = esm.path("key.pub")
    tcti = f"swtpm:host=127.0.0.1,port={port}"
    tpm2(tcti, "readpublic", "-c", f"0x{STORAGE:x}", "-o", str(key))
    assert key.read_bytes()[2:] == world.machine.storage_key_public
    opens(world, authorised(esm, key))


def test_a_slot_of_another_machine_does_not_open(esm: Esm) -> None:
    """Also not when its id is left out, so that every machine tries it."""
    world, other = model("strict"), model("real")
    key = esm.put("key.pub", other.machine.storage_key_public)
    operand = authorised(esm, key, "--any-machine")
    assert on_machine(other, operand).failure is None
    refused = on_machine(world, operand)
    assert refused.secret is None
    assert refused.failure is not None


def lockbox(esm: Esm, world: World, key: Path) -> None:
    """A slot of kind 2 gives the same 40 bytes."""
    esm.build()
    esm("add", esm.path("guest.img"), "--wrapping-key", key, *esm.seed)
    operand = operand_in(esm.read("guest.img"))
    mine = {2: world.machine.wrapping_key_name[2:]}
    (number,) = operand.candidates(mine)
    (cipher_text,) = operand.slots[number].parts()
    relay = world.tpm.execute
    verdict = open_lockbox(relay, world.machine, cipher_text, strict=True)
    assert verdict.secret == bytes.fromhex(V2["seed"]) + bytes(8)


def wrapping_public(tpm: Any) -> bytes:
    """ReadPublic of the wrapping key."""
    answer: bytes = tpm.execute(bytes.fromhex("80010000000e00000173") + b"\x81\x80\0\1")
    size = int.from_bytes(answer[10:12], "big")
    return answer[10 : 12 + size]


def test_lockbox_opens_on_our_tpm(esm: Esm) -> None:
    world = model()
    lockbox(esm, world, esm.put("key.pub", wrapping_public(world.tpm)))


@pytest.mark.interop
def test_lockbox_opens_on_swtpm(esm: Esm, reference: tuple[World, int]) -> None:
    world, port = reference
    key = esm.path("key.pub")
    tcti = f"swtpm:host=127.0.0.1,port={port}"
    tpm2(tcti, "readpublic", "-c", f"0x{WRAPPING:x}", "-o", str(key))
    lockbox(esm, world, key)
