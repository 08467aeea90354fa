"""What UV_ESM measures is what lies in secure memory, part by part, byte by byte.

The same tests as those of a real guest, on made-up ones: nothing but us is needed.
"""

from __future__ import annotations

from typing import Final

import pytest

from loaded_guest_kit import BYTES, LINE, WORDS, LoadedGuest, changed_page
from pefstack import Machine
from pefstack.firmware.ultravisor.codes import PAGE_SHIFT, PAGE_SIZE

MACHINES: Final = {"svm": "v2", "svm-v1": "v1", "svm-zimage": "v2"}


@pytest.fixture(scope="module", params=list(MACHINES))
def loaded_guest(request: pytest.FixtureRequest) -> LoadedGuest:
    return LoadedGuest.loaded(Machine(request.param), MACHINES[request.param])


@pytest.fixture
def guest(loaded_guest: LoadedGuest) -> LoadedGuest:
    return loaded_guest.fork()


def test_an_unchanged_guest_reads_its_passphrase(guest: LoadedGuest) -> None:
    guest.run().check_secure()


@pytest.mark.parametrize(("part", "at"), BYTES)
def test_one_changed_byte_refuses(guest: LoadedGuest, part: str, at: str) -> None:
    """The hypervisor writes into the VM's memory before the VM calls."""
    guest.flip(guest.byte(part, at))
    guest.run().check_refused(part)


@pytest.mark.parametrize(("part", "at"), BYTES)
def test_another_page_at_page_in_refuses(
    guest: LoadedGuest, part: str, at: str
) -> None:
    """The VM's memory is as it should be; the page that is handed over is not."""
    address = guest.byte(part, at)
    guest.hands_over(address >> PAGE_SHIFT, changed_page(guest, address))
    guest.run().check_refused(part)


def test_a_good_page_counts_more_than_where_it_lay(guest: LoadedGuest) -> None:
    """A changed VM whose hypervisor hands over the right page is the right VM."""
    address = guest.byte("kernel", "middle")
    number = address >> PAGE_SHIFT
    guest.hands_over(number, guest.normal(number << PAGE_SHIFT, PAGE_SIZE))
    guest.flip(address)
    guest.run().check_secure()


@pytest.mark.parametrize("after", ["page-in", "digests"])
def test_a_change_after_page_in_changes_nothing(guest: LoadedGuest, after: str) -> None:
    """Of the normal pages, before the digests are taken and behind that."""
    addresses = [guest.byte(part, "middle") for part in WORDS]
    original = [guest.normal(address, 1) for address in addresses]
    guest.run_until(lambda state: state.step == 18 and "rtas" in state.measured)
    if after == "digests":
        guest.run_until(lambda state: state.step == 19)
    for address in addresses:
        guest.flip(address)
    guest.run().check_secure()
    assert guest.bootargs == LINE + b"\0"  # in the tree that was written back
    there = [guest.secure(address, 1) for address in addresses]
    assert there[:2] + there[3:] == original[:2] + original[3:]


def test_behind_the_parts_nothing_is_measured(guest: LoadedGuest) -> None:
    """The witness for the bytes that refuse: first and last are the bounds."""
    for part in ("kernel", "initrd", "rtas"):
        guest.flip(guest.part(part).stop)
    guest.run().check_secure()
