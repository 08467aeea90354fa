"""The hostile relay: each attack of relay.json, with a defence left out and with it.

The relays are the product's own (`firmware/hypervisor/relay`); what they come to was
recorded with swtpm, and must be the same on our TPM and on swtpm.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from _pytest.monkeypatch import MonkeyPatch

from pef_tpm_kit import SECRET, World, model
from pefstack.firmware.hypervisor import relay as package
from pefstack.firmware.hypervisor.relay.table import RELAYS
from relay_kit import (
    RECORDED,
    Row,
    attempt,
    relay_in,
    run,
    swtpm_world,
    unsealed,
    verdict_of,
    without_hmac_check,
    without_name_check,
    without_salt,
)
from relay_lockbox_rows import LOCKBOX_ROWS, kept, use
from relay_opal_rows import OPAL_ROWS
from relay_slot_rows import SLOT_ROWS

ROWS: Final[dict[str, Row]] = SLOT_ROWS | OPAL_ROWS | LOCKBOX_ROWS
MORE: Final = {"V-change", "V-key", "deny", "silent", "flush", "generic"}


def profile_of(name: str) -> str:
    return "real" if name.startswith("V-published") else "strict"


def test_every_recorded_attack_is_here() -> None:
    assert set(ROWS) == set(RECORDED)


def test_every_relay_is_listed_and_says_what_it_does() -> None:
    assert set(RELAYS) - set(RECORDED) == MORE
    for relay in RELAYS.values():
        assert len(relay.what) > 20
        assert relay.stopped_by


def test_the_relay_shares_nothing_with_the_clients() -> None:
    for path in Path(package.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            module = node.module if isinstance(node, ast.ImportFrom) else ""
            assert "ultravisor" not in (module or ""), path
            assert "tpm.client" not in (module or ""), path


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_relay_attack(name: str, monkeypatch: MonkeyPatch) -> None:
    assert ROWS[name](model(profile_of(name)), monkeypatch) == RECORDED[name]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, World]]:
    """The same on two swtpm, prepared by our OPAL."""
    with (
        swtpm_world(tmp_path_factory.mktemp("real"), "real") as one,
        swtpm_world(tmp_path_factory.mktemp("strict"), "strict") as two,
    ):
        yield {"real": one, "strict": two}


@pytest.mark.interop
@pytest.mark.parametrize("name", sorted(RECORDED))
def test_relay_attack_on_swtpm(
    name: str, reference: dict[str, World], monkeypatch: MonkeyPatch
) -> None:
    world = reference[profile_of(name)]
    world.reboot(seed=name)
    assert ROWS[name](world, monkeypatch) == RECORDED[name]


def test_a_salt_keeps_recorded_traffic_closed() -> None:
    assert kept(model("real"), strict=True) == "nothing"


def test_without_the_name_check_a_key_of_the_relay_takes_all(
    monkeypatch: MonkeyPatch,
) -> None:
    without_name_check(monkeypatch)
    verdict, relay = run(model(), "E8")
    assert unsealed(relay.outcomes[-1]) == "seed"
    assert verdict.secret is None  # P has a newer nonce by then


def test_without_the_name_check_the_lockbox_salt_is_known(
    monkeypatch: MonkeyPatch,
) -> None:
    without_name_check(monkeypatch)
    verdict, relay = use(model(), "V-key", strict=True)
    assert verdict.secret is not None
    assert len(relay.outcomes[-1]) == 32


def test_what_a_relay_works_out_is_in_its_view(monkeypatch: MonkeyPatch) -> None:
    without_salt(monkeypatch)
    assert SECRET in run(model(), "C")[1].view


def test_without_the_hmac_check_other_data_come_out(monkeypatch: MonkeyPatch) -> None:
    without_hmac_check(monkeypatch)
    verdict, _ = run(model(), "D3-Unseal")
    assert verdict.secret not in (None, SECRET)


@pytest.mark.parametrize("name", ["deny", "silent", "flush"])
def test_a_relay_can_always_deny_and_nothing_more(name: str) -> None:
    world = model()
    relay = relay_in(world, name)
    assert attempt(world, relay).secret is None
    assert not any(SECRET[:32] in each for each in relay.view)
    assert verdict_of(run(world, "honest")[0]) == "sealed data"


def test_on_a_board_that_ties_both_resets_l1_gets_nothing() -> None:
    world = model()
    relay = relay_in(world, "L1")
    relay.known = type(relay.known)(extends=relay.known.extends)
    assert verdict_of(attempt(world, relay)) == "sealed data"
    assert unsealed(relay.outcomes[-1]) == "0x101"
