"""Programs of other people that a test needs: their path, or a skipped test."""

from __future__ import annotations

import os
import shutil

import pytest


def need(program: str, package: str) -> str:
    """The path of a program; without it the test is skipped.

    With PEFSTACK_REQUIRE_INTEROP=1 in the environment it fails instead. ``package`` is
    the Debian package that has the program.
    """
    places = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    found = shutil.which(program, path=places)
    if found is None:
        missing = f"needs {program} of the Debian package {package}"
        if os.environ.get("PEFSTACK_REQUIRE_INTEROP") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found
