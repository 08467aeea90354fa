"""A record of a VM that is forked: neither side sees what the other changes."""

from __future__ import annotations

import pytest

from pefstack.firmware.ultravisor.svm import GuestPage, PageState, Svm

SHARED = GuestPage(PageState.SHARED, 0, 0x50000)


@pytest.mark.parametrize("original_changes", [True, False])
def test_a_page_that_one_side_changes_is_its_own(original_changes: bool) -> None:
    first = Svm(lpid=1)
    for gfn in range(4):
        first.page(gfn).secure = gfn << 16 | 1 << 48
    second = first.fork()
    changing, other = (first, second) if original_changes else (second, first)
    page = changing.page(2)
    page.state, page.secure, page.normal = PageState.SHARED, 0, 0x50000
    changing.page(9).secure = 5
    assert changing.pages[2] == SHARED
    assert other.pages[2] == GuestPage(secure=2 << 16 | 1 << 48)
    assert 9 not in other.pages
    assert changing.page(2) is page


def test_a_fork_of_a_fork_is_private_as_well() -> None:
    first = Svm(lpid=1)
    first.page(0).secure = 1
    second = first.fork()
    third = second.fork()
    second.page(0).secure = 2
    third.page(0).secure = 3
    assert [each.pages[0].secure for each in (first, second, third)] == [1, 2, 3]
