"""tpm2-tools behind the resource manager tpm2-abrmd, on a bus of its own."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interop import need, need_library
from swtpm_kit import SECONDS
from tpm2_tools_kit import TPMS, Tools, tools_on

pytestmark = pytest.mark.interop

NAME = "com.intel.tss2.Tabrmd"


@contextmanager
def bus(folder: Path) -> Iterator[str]:
    """A session bus of dbus-daemon; its address."""
    program = need("dbus-daemon", "dbus-daemon")
    with subprocess.Popen(
        [program, "--session", "--print-address", f"--address=unix:dir={folder}"],
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            yield child.stdout.readline().strip()
        finally:
            child.terminate()


@pytest.fixture(params=TPMS)
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tools]:
    """Tools whose TCTI is the manager; objects and sessions are its business."""
    program = need("tpm2-abrmd", "tpm2-abrmd")
    need_library("tss2-tcti-tabrmd", "libtss2-tcti-tabrmd0")
    with (
        tools_on(request.param, tmp_path) as direct,
        bus(tmp_path) as address,
        subprocess.Popen(
            [program, "--session", "--allow-root", f"--tcti={direct.tcti}"],
            env=os.environ | {"DBUS_SESSION_BUS_ADDRESS": address},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as child,
    ):
        tcti = f"tabrmd:bus_name={NAME},bus_type=session"
        managed = Tools(tcti, tmp_path, flush=False, bus=address)
        try:
            wait_for(managed, child)
            yield managed
        finally:
            child.terminate()


def wait_for(tools: Tools, child: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS
    while tools.run("getrandom 1 --hex").returncode:
        assert child.poll() is None, "tpm2-abrmd did not start"
        assert time.monotonic() < end
        time.sleep(0.05)


def test_more_objects_than_there_is_room_for(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    for number in range(6):
        tools(f"create -C p.ctx -u {number}.pub -r {number}.priv -c {number}.ctx")
    for number in range(6):
        tools(f"readpublic -c {number}.ctx -n {number}.name")
    assert len({tools.read(f"{number}.name") for number in range(6)}) == 6
    assert tools("getcap handles-transient").strip() == ""


def test_sessions_across_programs(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    tools.write("secret", b"secret")
    with tools.session("") as name:
        tools(f"policypcr -S {name} -l sha256:6 -L policy")
    tools(
        "create -C p.ctx -i secret -L policy -a fixedtpm|fixedparent -u u -r r -c s.ctx"
    )
    for _ in range(4):
        with tools.session() as name:
            tools(f"policypcr -S {name} -l sha256:6")
            assert tools(f"unseal -c s.ctx -p session:{name}") == "secret"
    tools(f"pcrextend 6:sha256={'11' * 32}")
    with tools.session() as name:
        tools(f"policypcr -S {name} -l sha256:6")
        assert tools.refused(f"unseal -c s.ctx -p session:{name}") & 0xFFF == 0x99D


def test_many_programs_at_a_time(tools: Tools) -> None:
    tools("createprimary -c p.ctx")
    tools("create -C p.ctx -u k.pub -r k.priv")
    program = need("tpm2_load", "tpm2-tools")
    children = [
        subprocess.Popen(
            [program, "-C", "p.ctx", "-u", "k.pub", "-r", "k.priv", "-c", f"{n}.ctx"],
            cwd=tools.folder,
            env=tools.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(8)
    ]
    names = {child.communicate(timeout=SECONDS)[0] for child in children}
    assert len(names) == 1
    assert re.fullmatch("name: 000b[0-9a-f]{64}\n", names.pop())
