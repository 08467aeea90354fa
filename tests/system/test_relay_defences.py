"""The table of defences, one by one: what each is for, against the relays it stops.

Slots are sealed by the product and the TPM is prepared by it, so that a policy or an
attribute left out there lets these relays through.
"""

from __future__ import annotations

from typing import Final

import pytest

from pef_tpm_kit import BOOT_MEASUREMENT, PCR6, SECRET, World, model
from pefstack.firmware.hypervisor.relay.honest import Honest
from pefstack.firmware.hypervisor.relay.table import RELAYS
from pefstack.firmware.pef_objects import NV_INDEX, storage_policy
from pefstack.firmware.ultravisor.conversation import Verdict
from pefstack.firmware.ultravisor.sealed_object import SealedObject
from pefstack.hw.entropy import Entropy
from pefstack.hw.tpm.sealing import import_body, read_key
from relay_kit import RECORDED, attempt, relay_in, result, slot_of, verdict_of
from relay_lockbox_rows import use
from traces import traces

ATTEMPTS: Final = {"E1": 2, "E5": 3, "E10": 3}


def sealed_for(world: World) -> SealedObject:
    """As `pef esm` seals: by the storage key's public area, index number and PCR 6."""
    key = read_key(world.machine.storage_key_public)
    policy = storage_policy(NV_INDEX, 6, PCR6)
    return slot_of(import_body(key, policy, SECRET, Entropy("seal", "customer")))


def against(name: str) -> tuple[Verdict, Honest]:
    """As many attempts as the relay needs; the last verdict. It saw no secret."""
    world = model()
    relay, sealed = relay_in(world, name), sealed_for(world)
    assert BOOT_MEASUREMENT in relay.known.extends
    for _ in range(ATTEMPTS.get(name, 1)):
        verdict = attempt(world, relay, sealed)
    secrets = {"sealed data": SECRET, "password": world.machine.nv_password}
    assert traces(relay.view, secrets) == []
    return verdict, relay


def stopped(name: str) -> None:
    """The ultravisor gets what is recorded, and no secret."""
    verdict = against(name)[0]
    assert verdict.secret is None
    assert verdict_of(verdict) == RECORDED[name]


def in_vain(name: str) -> None:
    """The relay itself gets what is recorded."""
    assert result(against(name)[1].outcomes[-1]) == RECORDED[name]


def test_the_slot_opens_through_an_honest_relay() -> None:
    assert against("honest")[0].secret == SECRET


@pytest.mark.parametrize("name", ["A1", "A2", "A5", "A8"])
def test_the_password_is_in_the_policies(name: str) -> None:
    in_vain(name)


def test_the_password_is_new_at_each_boot() -> None:
    in_vain("A3")


@pytest.mark.parametrize("name", ["D4", "D5", "G2"])
def test_pcr_6_is_in_the_policies(name: str) -> None:
    stopped(name)


def test_no_auth_value_opens_the_object() -> None:
    in_vain("A4")


def test_no_auth_value_uses_the_storage_key() -> None:
    in_vain("A6")


@pytest.mark.parametrize("name", ["A7", "A9"])
def test_no_auth_value_changes_the_object(name: str) -> None:
    in_vain(name)


@pytest.mark.parametrize("name", ["A10", "A11"])
def test_the_platform_is_closed(name: str) -> None:
    in_vain(name)


def test_the_salt_keeps_a_listener_out() -> None:
    verdict, relay = against("C")
    assert verdict.secret == SECRET
    assert SECRET not in relay.outcomes


@pytest.mark.parametrize("name", ["B1", "B2", "B3"])
def test_the_salt_keeps_the_session_for_the_ultravisor(name: str) -> None:
    in_vain(name)


@pytest.mark.parametrize("name", ["E1", "E2", "E3", "E10"])
def test_p_is_proven_before_it_is_authorized(name: str) -> None:
    stopped(name)


def test_a_is_bound_to_the_password() -> None:
    stopped("E9")


@pytest.mark.parametrize("name", ["E5", "E6"])
def test_policy_secret_is_for_p_and_its_newest_nonce(name: str) -> None:
    stopped(name)


def test_no_ticket_comes_back() -> None:
    in_vain("F1")


def test_unseal_answers_encrypted() -> None:
    stopped("B5")
    against("honest")


@pytest.mark.parametrize(
    "name", ["E4", *sorted(each for each in RELAYS if each.startswith("D3-"))]
)
def test_each_answers_hmac_is_checked(name: str) -> None:
    stopped(name)


@pytest.mark.parametrize("name", ["D1", "D2"])
def test_no_other_object_answers(name: str) -> None:
    verdict, relay = against(name)
    assert verdict.secret is None
    found = result(relay.outcomes[-1]) if relay.outcomes else verdict_of(verdict)
    assert found == RECORDED[name]


def test_the_salt_goes_to_the_key_with_the_name() -> None:
    stopped("E8")


def test_the_lockbox_salt_goes_to_the_key_with_the_name() -> None:
    verdict, relay = use(model(), "V-key", strict=True)
    assert verdict.failure is not None
    assert verdict.failure.step == 1
    assert relay.outcomes == []


def test_strict_asks_for_the_platform_in_branch_b() -> None:
    relay = use(model("strict"), "V-change")[1]
    assert result(relay.outcomes[-1]) == RECORDED["V-strict-change"]


@pytest.mark.parametrize("name", ["B4", "E7"])
def test_a_use_is_good_once(name: str) -> None:
    in_vain(name)
