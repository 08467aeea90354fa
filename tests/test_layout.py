"""One file, one module name; layers by their full names; no path of one machine."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pefstack
from cli_kit import ROOT, surroundings

LAYERS = ("images", "hw", "firmware", "tools")
MODULES = sorted(
    each.name for each in pkgutil.walk_packages(pefstack.__path__, "pefstack.")
)
SOURCES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
TEXTS = [
    path
    for pattern in ("*.md", "*.toml", "Makefile", "*.lock", "docs/**/*", ".ci/*")
    for path in ROOT.glob(pattern)
    if path.is_file()
]
HOMES = r"/(home|root|Users|work|tmp|mnt|data|workspace)/|[A-Z]:\\"


def names_in(path: Path) -> set[str]:
    """What a file imports, by full name; relative imports begin with a dot."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def test_each_file_is_one_module() -> None:
    seen: dict[Path, str] = {}
    for name in MODULES:
        if name.endswith("__main__"):
            continue
        file = importlib.import_module(name).__file__
        assert file is not None
        real = Path(file).resolve()
        assert real not in seen, f"{real.name} is {name} and {seen.get(real)}"
        seen[real] = name
    scripts = {path for path in SOURCES if path.name == "__main__.py"}
    assert set(seen) == {path.resolve() for path in SOURCES} - scripts


def test_what_is_loaded_comes_from_one_place() -> None:
    places: dict[Path, set[str]] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name.partition(".")[0] in (*LAYERS, "pefstack"):
            places.setdefault(Path(file).resolve(), set()).add(name)
    assert [names for names in places.values() if len(names) > 1] == []


@pytest.mark.parametrize("layer", LAYERS)
def test_the_bare_name_of_a_layer_is_refused(layer: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {layer}"],
        cwd=ROOT,
        env=surroundings(PYTHONPATH=None),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"ImportError: import pefstack.{layer}, not {layer}\n" in done.stderr


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_are_links_inside_the_repository(layer: str) -> None:
    link = ROOT / "src" / "pefstack" / layer
    assert link.is_symlink()
    assert str(link.readlink()) == f"../../{layer}"


def test_imports_are_in_full_and_point_downward() -> None:
    for path in SOURCES:
        layer = path.relative_to(ROOT).parts[0]
        below = LAYERS[: LAYERS.index(layer) + 1]
        for name in names_in(path):
            first, _, rest = name.partition(".")
            assert first not in ("", "tests", *LAYERS), f"{path}: {name}"
            if first == "pefstack":
                assert rest.partition(".")[0] in below, f"{path}: {name}"


def test_only_tools_may_touch_the_world() -> None:
    banned = {"os", "pathlib", "time", "random", "secrets", "subprocess", "tempfile"}
    banned |= {"socket", "shutil", "datetime", "threading", "logging", "sys"}
    for path in SOURCES:
        if path.is_relative_to(ROOT / "tools"):
            continue
        assert not names_in(path) & banned, path


def test_no_module_is_named_like_one_of_the_library() -> None:
    """The banned place is a script's folder: it is first on the path."""
    beside = {path.stem for path in (ROOT / "tools").glob("*.py")}
    assert not beside & sys.stdlib_module_names
    assert not {path.stem for path in SOURCES} & sys.stdlib_module_names


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_no_path_of_one_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.search(HOMES, text) is None


@pytest.mark.parametrize("folder", [*LAYERS, "machines", "tests", "benchmarks"])
def test_no_source_names_a_place_of_one_machine(folder: str) -> None:
    suffixes = (".py", ".toml", ".md", ".txt")
    for path in (ROOT / folder).rglob("*"):
        if path.suffix in suffixes and path != Path(__file__):
            text = path.read_text(encoding="utf-8")
            assert str(ROOT) not in text, path
            assert re.search(r"/(home|root|Users)/\w", text) is None, path


def test_a_module_says_what_it_is() -> None:
    for path in SOURCES:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert docstring, path
