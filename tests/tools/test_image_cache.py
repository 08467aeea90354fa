"""The cache of built images: built once for each description, and images only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pefstack import BootFailure, Machine, UsageError
from pefstack.tools import image_cache
from pefstack.tools.built import IMAGES, MACHINE_FILE, build_folder
from pefstack.tools.machine_file import BUILT_IN, Document

SMALL = BUILT_IN / "small.toml"


class Builds(list[str]):
    """Counts the builds that the cache asks for."""

    def __call__(self, path: Path, document: Document, folder: Path) -> list[Path]:
        self.append(document["name"])
        return build_folder(path, document, folder)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "deep" / "cache"
    monkeypatch.setenv("PEFSTACK_CACHE", str(folder))
    return folder


@pytest.fixture
def builds(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Builds]:
    counter = Builds()
    monkeypatch.setattr(image_cache, "build_folder", counter)
    yield counter
    assert not list(cache.glob(".building-*"))


def test_a_machine_is_built_once(builds: Builds) -> None:
    first, second = Machine("small"), Machine("small")
    assert builds == ["small"]
    assert first.run().pcrs() == second.run().pcrs()


def test_another_description_is_built_again(builds: Builds) -> None:
    Machine("small")
    for setting in (
        "image.flash.partition.HBB.content.seed=other",
        "machine.fuses.minimum-secure-version=0",
        "name=other",
    ):
        builds.clear()
        for _ in range(2):
            Machine("small", settings=[setting])
        assert len(builds) == 1, setting


def test_what_only_runs_needs_no_new_build(builds: Builds) -> None:
    Machine("small")
    for setting in ("machine.chip.smd=true", "machine.tpm.seed=x", "about=x"):
        machine = Machine("small", settings=[setting])
    assert builds == ["small"]
    assert machine.about == "x"
    machine = Machine("small", settings=["machine.chip.smd=true"])
    assert machine.board.chip.smd


def keys_machine(folder: Path) -> Path:
    """A machine whose keys and one content are files of its own."""
    shutil.copytree(BUILT_IN / "keys" / "imprint", folder / "keys")
    (folder / "code.bin").write_bytes(b"code" * 64)
    path = folder / "mine.toml"
    path.write_text(
        f"base = '{SMALL}'\nname = 'mine'\n[image.keys]\nfile = 'keys'\n"
        "[image.seeprom.hbbl.content]\nfill = 0\nfile = 'code.bin'\n"
    )
    return path


def test_a_changed_input_file_is_built_again(tmp_path: Path, builds: Builds) -> None:
    path = keys_machine(tmp_path)
    before = Machine(path).run().pcr(0)
    Machine(path)
    assert builds == ["mine"]
    (tmp_path / "code.bin").write_bytes(b"edoc" * 64)
    assert Machine(path).run().pcr(0) != before
    assert builds == ["mine", "mine"]


def test_a_renamed_key_is_built_again(tmp_path: Path, builds: Builds) -> None:
    path = keys_machine(tmp_path)
    Machine(path)
    (tmp_path / "keys" / "sw_key_r.key").rename(tmp_path / "keys" / "sw_key_rr.key")
    with pytest.raises(UsageError, match="found 2 keys, expected 3"):
        Machine(path)
    assert builds == ["mine", "mine"]


def test_a_moved_input_file_needs_no_new_build(tmp_path: Path, builds: Builds) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Machine(keys_machine(tmp_path / name))
    assert builds == ["mine"]


def test_an_empty_file_name_is_no_folder_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: Builds
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dangling").symlink_to("nowhere")  # in the way of who reads it all
    settings = ["image.keys.file=", "image.keys.seed=x"]
    assert Machine("small", settings=settings).run().stage is None
    assert builds == ["small"]


def test_only_the_newest_few_are_kept(builds: Builds, cache: Path) -> None:
    Machine("pef-off")
    for number in range(5):
        Machine("small", settings=[f"image.flash.partition.HBB.content.seed=s{number}"])
        for age, folder in enumerate(sorted(cache.iterdir(), key=os.path.getmtime)):
            os.utime(folder, (age, age))  # a clock too coarse to order them
    kept = [each.name.rpartition("-")[0] for each in cache.iterdir()]
    assert sorted(kept) == ["pef_off", "small", "small", "small"]
    builds.clear()
    for number in (4, 3, 2):
        Machine("small", settings=[f"image.flash.partition.HBB.content.seed=s{number}"])
    assert builds == []


def test_the_cache_holds_images_only(cache: Path) -> None:
    machine = Machine("small")
    (folder,) = cache.iterdir()
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    assert sorted(before) == sorted([*IMAGES.values(), MACHINE_FILE])
    machine.run()
    with pytest.raises(BootFailure):
        Machine("small", settings=["machine.fuses.signing-mode=1"]).run()
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def test_what_comes_from_the_cache_is_verified_at_each_boot(cache: Path) -> None:
    Machine("small").run()
    (folder,) = cache.iterdir()
    flash = bytearray((folder / "flash.bin").read_bytes())
    flash[0x90000 + 0x1000] ^= 1  # the first byte of PAYLOAD, which has no ECC
    (folder / "flash.bin").write_bytes(flash)
    with pytest.raises(BootFailure) as refused:
        Machine("small").run()
    assert refused.value.stage == "hostboot_ext"
    assert refused.value.log == 0xFFFFFFFFFFFF8172


def test_a_name_cannot_leave_the_cache(cache: Path, tmp_path: Path) -> None:
    for name in ("../../out", "/out", ".", "", "a" * 300, "small/x\n"):
        Machine("small", settings=[f"name='''{name}'''"])
    assert {each.parent for each in tmp_path.rglob(MACHINE_FILE)} == set(
        cache.iterdir()
    )


@pytest.mark.parametrize("lost", [*IMAGES.values(), MACHINE_FILE])
def test_what_is_not_whole_is_built_again(
    cache: Path, builds: Builds, lost: str
) -> None:
    Machine("small")
    (folder,) = cache.iterdir()
    (folder / lost).unlink()
    assert Machine("small").run().stage is None
    assert builds == ["small", "small"]
    assert list(cache.iterdir()) == [folder]


def test_a_second_builder_does_no_harm(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(path: Path, document: Document, folder: Path) -> list[Path]:
        monkeypatch.setattr(image_cache, "build_folder", build_folder)
        Machine("small")  # somebody else is faster
        return build_folder(path, document, folder)

    monkeypatch.setattr(image_cache, "build_folder", overtaken)
    assert Machine("small").run().stage is None
    assert len(list(cache.iterdir())) == 1


def test_a_failed_build_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(path: Path, document: Document, folder: Path) -> list[Path]:
        (folder / "flash.bin").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(image_cache, "build_folder", torn)
    with pytest.raises(KeyboardInterrupt):
        Machine("small")
    assert list(cache.iterdir()) == []


def test_an_unusable_cache_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PEFSTACK_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="set PEFSTACK_CACHE to another folder"):
        Machine("small")


def test_a_user_without_a_home_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("PEFSTACK_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UsageError, match="set PEFSTACK_CACHE to a folder"):
        Machine("small")


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEFSTACK_CACHE", str(tmp_path))
    assert image_cache.cache_folder() == tmp_path
    monkeypatch.delenv("PEFSTACK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert image_cache.cache_folder() == tmp_path / "pefstack"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert image_cache.cache_folder() == tmp_path / ".cache" / "pefstack"
