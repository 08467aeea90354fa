"""`pef boot` on a terminal and into a pipe: width and colour."""

from __future__ import annotations

import re

import pytest

from cli_kit import on_terminal, pef, surroundings

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
HEX = "[0-9a-f]{64}"
EXTEND = re.compile(rf"  PCR(\d+) +(\S.*?) +({HEX}) -> ({HEX})")


def test_a_narrow_terminal_wraps_between_the_values() -> None:
    code, text = on_terminal("boot", "small", columns=80)
    plain = ESCAPE.sub("", text).split("\n")
    assert code == 0
    assert max(map(len, plain)) <= 80
    at = plain.index("  PCR6   HW KEY HASH".ljust(47))
    assert re.fullmatch(rf" {{9}}{HEX}", plain[at + 1])
    assert re.fullmatch(rf" {{9}}-> {HEX}", plain[at + 2])


@pytest.mark.parametrize(("columns", "wraps"), [(179, True), (180, False)])
def test_the_width_at_which_a_line_is_enough(columns: int, wraps: bool) -> None:
    _, text = on_terminal("boot", "small", columns=columns)
    plain = ESCAPE.sub("", text).split("\n")
    assert max(map(len, plain)) <= columns
    assert (re.search(EXTEND, "\n".join(plain)) is None) is wraps


def test_colour_on_a_terminal_unless_it_is_not_wanted() -> None:
    _, text = on_terminal("boot", "wrong-key", columns=200)
    assert "\x1b[1mwrong-key: profile patent, security on\x1b[0m, PEF on\n" in text
    assert "\x1b[1;31mhostboot_loader refused: container-rejected\x1b[0m\n" in text
    env = surroundings(NO_COLOR="1")
    code, plain = on_terminal("boot", "wrong-key", columns=200, env=env)
    assert (code, plain) == (4, ESCAPE.sub("", text))
    _, text = on_terminal("boot", "wrong-key", "--json", columns=200)
    assert "\x1b" not in text
    _, text = on_terminal("boot", "--list", columns=200, env=env)
    assert "\x1b" not in text


def test_a_pipe_has_no_width() -> None:
    done = pef("boot", "small", env=surroundings(COLUMNS="40"))
    assert done.returncode == 0
    assert len(re.findall(EXTEND, done.stdout)) > 20
    assert "\x1b" not in done.stdout
