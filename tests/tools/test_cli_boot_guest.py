"""`pef boot` with a VM: options, what it says of it, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pefstack import Machine, UsageError
from pefstack.tools.cli.app import main
from sealed_guest_kit import guest_of

Caught = pytest.CaptureFixture[str]
ENTERED = "  UV_ESM: secure, goes on at 0x400000"
READ = "  the guest read rootfs-passphrase, 28 bytes"
OTHER = "svm=on single"


def shown(capsys: Caught, *words: str, code: int = 0) -> list[str]:
    assert main(["boot", *words]) == code
    output = capsys.readouterr()
    assert output.err == ""
    return output.out.splitlines()


def told(capsys: Caught, *words: str, code: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shown(capsys, *words, "--json", code=code)]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Kernel and initramfs of the machine svm, as files."""
    folder = tmp_path_factory.mktemp("guest")
    guest = guest_of(Machine("svm"))
    kernel, initrd = folder / "vmlinux", folder / "initrd.img"
    kernel.write_bytes(guest.kernel)
    initrd.write_bytes(guest.initrd)
    return str(kernel), str(initrd)


def test_a_boot_ends_in_a_secure_vm(capsys: Caught) -> None:
    lines = shown(capsys, "svm")
    assert ENTERED in lines
    assert READ in lines
    assert "guest            end of the chain" in lines
    assert not any("made-up" in line for line in lines)


def test_the_result_says_what_became_of_the_vm(capsys: Caught) -> None:
    assert told(capsys, "svm")[-1]["detail"]["vm"] == "secure"
    normal = told(capsys, "svm", "--append", "quiet")
    assert normal[-1]["detail"]["vm"] == "normal"
    assert normal[-2]["source"] == "guest"
    assert told(capsys, "svm", "--no-guest")[-1]["detail"]["vm"] is None
    stopped = told(capsys, "svm", "--append", OTHER, code=1)
    assert stopped[-1]["detail"]["vm"] == "stopped"


def test_a_refusal_says_step_reason_and_what_to_do(capsys: Caught) -> None:
    lines = shown(capsys, "svm", "--append", OTHER, code=1)
    at = lines.index("UV_ESM refused at step 18: E_DIGEST")
    assert "found another command line" in lines[at + 1]
    assert lines[at + 2].startswith("  to do     boot the kernel, initramfs, command")
    assert "  the guest says: Returned -4 from switching to secure mode." in lines
    (event,) = (
        each
        for each in told(capsys, "svm", "--append", OTHER, code=1)
        if each["kind"] == "esm-refused"
    )
    assert event["detail"]["name"] == "E_DIGEST"
    assert event["detail"]["step"] == 18
    assert event["detail"]["mend"]


def test_quiet_prints_the_refusal_alone(capsys: Caught) -> None:
    lines = shown(capsys, "svm", "--append", OTHER, "--quiet", code=1)
    assert [line[:9] for line in lines] == ["UV_ESM re", "  reason ", "  to do  "]


def test_without_pef_there_is_no_ultravisor(capsys: Caught) -> None:
    lines = shown(capsys, "svm", "--set", "machine.chip.pef-enable=false")
    assert not any(line.startswith("ultravisor") for line in lines)
    assert "  the guest says: Returned -2 from switching to secure mode." in lines


def test_the_same_images_from_files(capsys: Caught, images: tuple[str, str]) -> None:
    kernel, initrd = images
    assert READ in shown(capsys, "svm", "--kernel", kernel, "--initrd", initrd)


def test_another_initramfs_has_another_digest(
    capsys: Caught, images: tuple[str, str], tmp_path: Path
) -> None:
    longer = tmp_path / "longer.img"
    longer.write_bytes(Path(images[1]).read_bytes() + b"\0")
    lines = shown(capsys, "svm", "--initrd", str(longer), code=1)
    assert "found another initramfs" in lines[-2]


def test_a_zimage_brings_everything(capsys: Caught, tmp_path: Path) -> None:
    zimage = tmp_path / "zImage"
    zimage.write_bytes(guest_of(Machine("svm-zimage")).kernel)
    assert READ in shown(capsys, "svm-zimage", "--zimage", str(zimage))


def test_a_kernel_that_does_not_fit_is_no_boot(capsys: Caught) -> None:
    memory = "machine.guest.memory=0x4000000"
    lines = shown(
        capsys, "svm", "--set", memory, "--set", "image.guest.kernel.fill=0x4000000",
        code=4,
    )  # fmt: skip
    assert "hypervisor refused: guest-images" in lines


@pytest.mark.parametrize(
    "words",
    [
        ("--zimage", "a", "--kernel", "b"),
        ("--zimage", "a", "--initrd", "b"),
        ("--no-guest", "--append", "x"),
    ],
)
def test_options_that_exclude_each_other(
    capsys: Caught, words: tuple[str, ...]
) -> None:
    assert main(["boot", "svm", *words]) == 2
    assert capsys.readouterr().err.startswith("pef: --")


def test_a_file_that_is_not_there_is_wrong_use(capsys: Caught) -> None:
    assert main(["boot", "svm", "--kernel", "/nowhere/vmlinux"]) == 2
    assert "/nowhere/vmlinux" in capsys.readouterr().err


def test_a_machine_without_ultravisor_in_its_flash(
    capsys: Caught, images: tuple[str, str]
) -> None:
    lines = shown(capsys, "small", "--kernel", images[0], code=4)
    assert "opal refused: partition-missing" in lines


def test_machine_without_its_guest() -> None:
    machine = Machine("svm", guest=False).run()
    assert machine.journal[-1].source == "opal"
    with pytest.raises(UsageError):
        machine.run(until="nowhere")


def test_a_second_boot_has_new_passwords_and_the_same_vm(capsys: Caught) -> None:
    lines = shown(capsys, "svm", "--boots", "2")
    assert lines.count(READ) == 2
