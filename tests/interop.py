"""Programs and files of other people that a test needs: a path, or a skipped test."""

from __future__ import annotations

import os
import shutil
from ctypes.util import find_library
from pathlib import Path
from typing import NoReturn

import pytest

from pefstack.tools.image_cache import cache_folder

# looked up before a session has a cache folder of its own
KERNEL = cache_folder() / "debian" / "vmlinux"
INITRAMFS = KERNEL.with_name("initramfs.cpio")
PYTSS = cache_folder() / "pytss-3.0.0" / "venv" / "bin" / "python"
SKIBOOT = Path("/usr/share/qemu/skiboot.lid")


def need(program: str, package: str) -> str:
    """The path of a program; without it the test is skipped.

    With PEFSTACK_REQUIRE_INTEROP=1 in the environment it fails instead. ``package`` is
    the Debian package that has the program.
    """
    places = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    found = shutil.which(program, path=places)
    if found is None:
        _missing(f"needs {program} of the Debian package {package}")
    return found


def need_library(name: str, package: str) -> None:
    """A shared library that a program loads by itself; without it as `need`."""
    if find_library(name) is None:
        _missing(f"needs the library {name} of the Debian package {package}")


def need_file(path: Path, source: str) -> Path:
    """A file that is there; without it as `need`. ``source``: where it comes from."""
    if not path.is_file():
        _missing(f"needs {path.name} {source}")
    return path


def _missing(what: str) -> NoReturn:
    if os.environ.get("PEFSTACK_REQUIRE_INTEROP") == "1":
        pytest.fail(what)
    pytest.skip(what)
