"""`pef tpm provision`: state files and swtpm, once and again, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from pef_tpm_kit import NV_NAME, PCR6, POLICY, SECRET, open_slot, public_key, seal
from pefstack.firmware.tpm_link import TpmLink
from pefstack.firmware.tpm_prepare import Provision, prepare
from pefstack.hw.entropy import Entropy
from pefstack.hw.tpm import client
from pefstack.images.uv_tpm import UvTpm
from pefstack.tools import provisioning
from pefstack.tools.cli.app import main
from pefstack.tools.tpm_backends.address import open_tpm
from pefstack.tools.tpm_server.service import TpmService
from pefstack.tools.tpm_server.start import start_service
from swtpm_kit import swtpm, tpm2
from tpm_kit import SHA256, command, extend, rc_of

Caught = pytest.CaptureFixture[str]
OTHER: Final = hashlib.sha256(b"another boot").hexdigest()
BOOT: Final = hashlib.sha256(b"made-up boot measurement").digest()


def provision(path: Path, *words: str) -> int:
    own = () if "--pcr6" in words else ("--pcr6", PCR6.hex())
    return main(["tpm", "provision", "--state", str(path), "--seed", "x", *own, *words])


def described(caught: Caught) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(caught.readouterr().out)
    return found


@pytest.fixture
def state(tmp_path: Path, capsys: Caught) -> Path:
    """The file of a TPM that was provisioned for `PCR6`."""
    path = tmp_path / "tpm.state"
    assert provision(path) == 0
    capsys.readouterr()
    return path


@pytest.fixture
def served(state: Path) -> Iterator[TpmService]:
    service = start_service("x", state, startup_clear=True)
    yield service
    service.close()


def booted(service: Any, profile: str = "strict") -> UvTpm:
    """What OPAL does with it in a boot that measures what was expected."""
    assert rc_of(service.execute(extend(6, (SHA256, BOOT)))) == 0
    how = Provision(profile=profile)
    return prepare(TpmLink(service, Entropy("opal", "processor")), how)


def test_p10_provisioned_before_any_boot(tmp_path: Path, capsys: Caught) -> None:
    """The index with its policy, its Name computed by hand in esm.md 4.2."""
    path = tmp_path / "tpm.state"
    assert provision(path, "--json") == 0
    shown = described(capsys)
    assert shown["made"] == ["index", "parent", "storage key", "wrapping key"]
    assert shown["index_name"] == NV_NAME.hex()
    assert (shown["nv_index"], shown["pcr"]) == (0x01C101A0, 6)
    assert (shown["value"], shown["policy"]) == (PCR6.hex(), POLICY.hex())
    service = start_service("x", path, startup_clear=True)
    assert service.execute(command(0x169, handles=(0x01C101A0,)))[-34:] == NV_NAME
    service.close()


def test_p11_the_storage_key_has_the_policy_that_was_computed_before(
    tmp_path: Path, capsys: Caught
) -> None:
    files = [tmp_path / name for name in ("state", "storage", "wrapping", "pem")]
    words = ("--public", "--wrapping-public", "--wrapping-pem")
    outputs = zip(words, map(str, files[1:]), strict=True)
    assert provision(files[0], "--json", *(w for each in outputs for w in each)) == 0
    shown = described(capsys)
    raw = files[1].read_bytes()
    public = raw[2:]
    assert (raw[:2].hex(), len(public)) == ("013a", 314)
    assert raw.hex() == shown["storage_key"]["public"]
    assert public[:10].hex() == "0001000b000304320020"
    assert public[10:42] == POLICY
    name = "000b" + hashlib.sha256(public).hexdigest()
    assert (shown["storage_key"]["handle"], shown["storage_key"]["name"]) == (
        0x81800002,
        name,
    )
    wrapping = files[2].read_bytes()[2:]
    assert wrapping[:8].hex() == "0001000b00020c20"
    pem = files[3].read_bytes()
    assert pem.startswith(b"-----BEGIN PUBLIC KEY-----\n")
    assert load_pem_public_key(pem) == public_key(wrapping)


def test_a_second_run_makes_nothing(state: Path, capsys: Caught) -> None:
    assert provision(state, "--json") == 0
    again = described(capsys)
    assert again["made"] == []
    assert provision(state) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-2 if "000b" in line else -1] for line in lines[:4]] == [
        "already"
    ] * 4
    assert again["storage_key"]["name"] in lines[2]
    assert lines[4:] == [f"policy        {POLICY.hex()}", f"PCR 6         {PCR6.hex()}"]


@pytest.mark.parametrize("profile", ["real", "strict"])
def test_a_boot_takes_it_over_and_opens_what_was_sealed_before(
    tmp_path: Path, capsys: Caught, profile: str
) -> None:
    path = tmp_path / "tpm.state"
    assert provision(path, "--profile", profile, "--json") == 0
    shown = described(capsys)
    sealed = seal(bytes.fromhex(shown["storage_key"]["public"])[2:])
    service = start_service("x", path, startup_clear=True)
    machine = booted(service, profile)
    assert machine.storage_key_name.hex() == shown["storage_key"]["name"]
    assert machine.wrapping_key_name.hex() == shown["wrapping_key"]["name"]
    assert open_slot(service.execute, machine, sealed).secret == SECRET
    service.close()


def test_the_same_seed_gives_the_same_keys(tmp_path: Path, capsys: Caught) -> None:
    found = []
    for name in ("one", "two"):
        assert provision(tmp_path / name, "--json") == 0
        found.append(described(capsys))
    assert found[0] == found[1]


def test_no_password_is_shown_or_kept(
    tmp_path: Path, capsys: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[bytes] = []
    password = TpmLink.password

    def noted(link: TpmLink, *, from_tpm: bool) -> bytes:
        drawn.append(password(link, from_tpm=from_tpm))
        return drawn[-1]

    monkeypatch.setattr(TpmLink, "password", noted)
    assert provision(tmp_path / "s", "--json", "--public", str(tmp_path / "p")) == 0
    shown = capsys.readouterr().out.encode() + (tmp_path / "p").read_bytes()
    assert len(drawn) == 1
    for form in (drawn[0], drawn[0].hex().encode()):
        assert form not in shown


REFUSED: Final = {
    "another value of the PCR": (
        ["--pcr6", OTHER],
        r"storage key 0x81800002: policy, found 8521688b.*, expected [0-9a-f]{64}$",
    ),
    "another PCR": (["--pcr", "8"], r"storage key 0x81800002: policy, found 8521688b"),
    "another index": (["--nv-index", "0x01c101a1"], r"storage key 0x81800002: policy"),
    "another profile": (
        ["--profile", "real"],
        r"wrapping key 0x81800001: policy, found 0b393cdf.*, expected e86c7354",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_keys_for_something_else_are_refused(
    state: Path, capsys: Caught, case: str
) -> None:
    words, says = REFUSED[case]
    assert provision(state, *words) == 1
    reason, mend = capsys.readouterr().out.splitlines()
    assert re.search(says, reason.removeprefix("not provisioned: "))
    assert mend.startswith("  to do  name the settings that it was made for")
    assert provision(state, *words, "--json") == 1
    shown = described(capsys)
    assert [*shown] == ["refused", "mend"]
    assert reason == f"not provisioned: {shown['refused']}"
    assert provision(state, "--json") == 0  # nothing was made or removed
    assert described(capsys)["made"] == []


def test_replace_makes_the_key_anew_and_only_that(state: Path, capsys: Caught) -> None:
    assert provision(state, "--pcr6", OTHER, "--replace", "--json") == 0
    assert described(capsys)["made"] == ["storage key"]
    assert provision(state, "--pcr6", OTHER, "--json") == 0
    assert described(capsys)["made"] == []
    assert provision(state, "--pcr6", OTHER, "--profile", "real", "--replace") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "made" in lines[3]
    assert not any(" made" in line for line in lines[:3])


def test_nothing_measured_is_refused(tmp_path: Path, capsys: Caught) -> None:
    words = ["tpm", "provision", "--state", str(tmp_path / "s")]
    assert main(words) == 1
    shown = capsys.readouterr().out
    assert "PCR 6 is all zeros" in shown
    assert "--pcr6" in shown


def test_after_firmware_the_platform_is_closed(
    served: TpmService, monkeypatch: pytest.MonkeyPatch, capsys: Caught
) -> None:
    """On the TPM of a machine that is on."""
    booted(served)
    monkeypatch.setattr(provisioning, "open_tpm", lambda _: served)
    words = ["tpm", "provision", "--tpm", "swtpm:x:1", "--pcr6", OTHER, "--replace"]
    assert main(words) == 1
    shown = capsys.readouterr().out
    assert "platform hierarchy: tpm: " in shown
    assert "0x9a2" in shown.lower()
    assert "reset the TPM" in shown


def test_a_foreign_index_is_refused(tmp_path: Path, capsys: Caught) -> None:
    path = tmp_path / "s"
    service = start_service("x", path, startup_clear=True)
    public = bytes.fromhex("01c101a0000b4204000600000008")
    params = b"\0\0" + len(public).to_bytes(2, "big") + public
    area = bytes.fromhex("400000090000000000")
    raw = command(0x12A, params, handles=(0x4000000C,), area=area)
    assert rc_of(service.execute(raw)) == 0
    service.close()
    assert provision(path) == 1
    shown = capsys.readouterr().out
    assert "index 0x01c101a0: found 01c101a0000b42040006" in shown
    assert "name another index" in shown
    assert provision(path, "--nv-index", "0x01c101a1") == 0


def test_a_foreign_parent_is_never_removed(tmp_path: Path, capsys: Caught) -> None:
    """In its place: a storage key without userWithAuth."""
    path = tmp_path / "s"
    service = start_service("x", path, startup_clear=True)
    template = bytes.fromhex("0001000b0003043200000006008000430010080000000000")
    template += b"\0\0"
    sensitive = b"\0\4" + bytes(4)
    params = sensitive + len(template).to_bytes(2, "big") + template + bytes(6)
    area = bytes.fromhex("400000090000000000")
    made = service.execute(command(0x131, params, handles=(0x4000000C,), area=area))
    assert rc_of(made) == 0
    handle = int.from_bytes(made[10:14], "big")
    params = (0x81800000).to_bytes(4, "big")
    handles = (0x4000000C, handle)
    kept = service.execute(command(0x120, params, handles=handles, area=area))
    assert rc_of(kept) == 0
    service.close()
    for words in ((), ("--replace",)):
        assert provision(path, *words) == 1
        shown = capsys.readouterr().out
        assert "parent 0x81800000: found 0001000b00030432" in shown
        assert "--replace" not in shown


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--state", "x", "--tpm", "swtpm:x:1"],
        ["--state", "x", "--pcr6", "00"],
        ["--state", "x", "--pcr6", "zz" * 32],
        ["--state", "x", "--pcr", "24"],
        ["--state", "x", "--nv-index", "0x02000000"],
        ["--state", "x", "--profile", "off"],
    ],
)
def test_wrong_use(words: list[str], capsys: Caught) -> None:
    with pytest.raises(SystemExit) as left:
        main(["tpm", "provision", *words])
    assert left.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--tpm", "swtpm:x:1", "--seed", "x"], 2, "--seed goes with --state"),
        (["--tpm", "nowhere"], 2, "expected one of"),
        (["--tpm", "swtpm:127.0.0.1:1"], 2, "refused"),
        (["--state", "/no/such/folder/x"], 2, "/no/such/folder"),
    ],
)
def test_what_cannot_be_reached(
    words: list[str], code: int, says: str, capsys: Caught
) -> None:
    assert main(["tpm", "provision", "--pcr6", OTHER, *words]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err


def test_a_damaged_state_file_is_malformed_input(state: Path, capsys: Caught) -> None:
    raw = bytearray(state.read_bytes())
    raw[-1] ^= 1
    state.write_bytes(raw)
    assert provision(state) == 3
    assert "SHA-256" in capsys.readouterr().err


@pytest.mark.interop
def test_swtpm_is_provisioned_and_opens(tmp_path: Path, capsys: Caught) -> None:
    """And `tpm2_readpublic -f tss` writes the very file that we write."""
    with swtpm(tmp_path) as port:
        address = f"swtpm:127.0.0.1:{port}"
        public = tmp_path / "storage.pub"
        words = ["tpm", "provision", "--tpm", address, "--pcr6", PCR6.hex(), "--json"]
        assert main([*words, "--public", str(public)]) == 0
        first = described(capsys)
        assert first["made"] == ["index", "parent", "storage key", "wrapping key"]
        assert first["policy"] == POLICY.hex()
        assert main(words) == 0
        assert described(capsys)["made"] == []
        theirs = tmp_path / "theirs.pub"
        tcti = f"swtpm:host=127.0.0.1,port={port}"
        handle = ("-c", "0x81800002", "-f", "tss", "-o", str(theirs))
        shown = tpm2(tcti, "readpublic", *handle)
        assert theirs.read_bytes() == public.read_bytes()
        assert first["storage_key"]["name"] in shown
        tpm = open_tpm(address)
        machine = booted(tpm)
        sealed = seal(public.read_bytes()[2:])
        assert open_slot(tpm.execute, machine, sealed).secret == SECRET
        assert main([*words, "--replace"]) == 0  # nothing to replace: nothing asked
        capsys.readouterr()
        closed = [*words[:-2], OTHER, "--replace"]
        assert main(closed) == 1
        assert "platform hierarchy" in capsys.readouterr().out


@pytest.mark.interop
def test_pcrs_of_a_running_tpm_stay_as_they_are(tmp_path: Path, capsys: Caught) -> None:
    with swtpm(tmp_path) as port:
        address = f"swtpm:127.0.0.1:{port}"
        tpm = open_tpm(address)
        client.response(tpm.execute(client.startup()))
        assert rc_of(tpm.execute(extend(6, (SHA256, BOOT)))) == 0
        assert main(["tpm", "provision", "--tpm", address, "--json"]) == 0
        assert described(capsys)["value"] == PCR6.hex()
