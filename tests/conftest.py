"""Hypothesis profiles (dev, gate, ci, night), a cache of its own, machines to fork."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from pefstack import Machine
from pefstack.firmware.invariants import broken_invariants

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("gate", max_examples=50, deadline=None, derandomize=True)
settings.register_profile(
    "ci", max_examples=300, deadline=None, derandomize=True, print_blob=True
)
settings.register_profile("night", max_examples=20_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Built images go to a folder of this session, never to the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEFSTACK_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def _nobody_waits_for_the_disk() -> Iterator[None]:
    """What a test writes need not outlive the machine; who asks for it is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def _small(cache_folder: Path) -> Machine:
    return Machine("small")


@pytest.fixture
def small(_small: Machine) -> Machine:
    """The small machine, switched off; every test gets a fork of its own."""
    return _small.fork()


@pytest.fixture(scope="session")
def _booted(_small: Machine) -> Machine:
    return _small.fork().run()


@pytest.fixture
def booted(_booted: Machine) -> Machine:
    """The small machine after its boot; every test gets a fork of its own."""
    return _booted.fork()


@pytest.fixture(autouse=True)
def _invariants_hold(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every boot of a test, good or refused, every invariant is asked."""
    if request.node.get_closest_marker("breaks_invariants"):
        return
    step = Machine.step

    def checked(machine: Machine) -> str | None:
        try:
            return step(machine)
        finally:
            if machine.stage is None:
                assert broken_invariants(machine.journal) == {}

    monkeypatch.setattr(Machine, "step", checked)
