"""Other people's TPMs behind our interface: servers of ours, odd ones, a device."""

from __future__ import annotations

import os
import pickle
import pty
import socket
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from pefstack import BootFailure, DeviceError, Machine, Refusal, UsageError
from pefstack.firmware.invariants import broken_invariants
from pefstack.hw.tpm.foreign import ForeignTpm
from pefstack.hw.tpm.interface import TpmInterface
from pefstack.tools.tpm_backends.address import open_tpm
from pefstack.tools.tpm_backends.device import DeviceTpm
from pefstack.tools.tpm_backends.mssim import MssimTpm
from pefstack.tools.tpm_backends.swtpm import SwtpmTpm
from pefstack.tools.tpm_backends.wire import BackendError
from tpm_kit import SHA256, STARTUP_CLEAR, command, extend, rc_of, selections, started
from tpm_server_kit import Running, serving

GET_RANDOM = bytes.fromhex("80010000000c0000017b0008")
PROTOCOLS = ["swtpm", "mssim"]


@pytest.fixture
def running() -> Iterator[Running]:
    with serving(startup=False) as made:
        yield made


def backend(protocol: str, port: int) -> SwtpmTpm | MssimTpm:
    return (SwtpmTpm if protocol == "swtpm" else MssimTpm)("127.0.0.1", port)


def pcr(tpm: TpmInterface, index: int) -> bytes:
    select = (1 << index).to_bytes(3, "little").hex()
    return tpm.execute(command(0x17E, selections((SHA256, select))))[30:]


# Our server.


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_power_locality_and_commands(running: Running, protocol: str) -> None:
    tpm = backend(protocol, running.port(protocol))
    tpm.power_on()
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    tpm.power_on()  # it is on
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0x100
    seventeen = extend(17, (SHA256, bytes(32)))
    assert rc_of(tpm.execute(seventeen)) == 0x907
    assert rc_of(tpm.execute(seventeen, 2)) == 0
    assert rc_of(tpm.execute(seventeen)) == 0x907
    tpm.power_off()
    if protocol == "swtpm":
        assert rc_of(tpm.execute(GET_RANDOM)) == 0x101
    else:
        with pytest.raises(BackendError, match="0x0 bytes"):
            tpm.execute(GET_RANDOM)
    tpm.power_on()
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_power_on_means_a_reset_whatever_was_before(
    running: Running, protocol: str
) -> None:
    first = backend(protocol, running.port(protocol))
    first.power_on()
    first.execute(STARTUP_CLEAR)
    first.execute(extend(0, (SHA256, bytes(32))))
    with running.client("swtpm", True) as control:
        control.ask("0000000a", 4)  # somebody stores volatile state
    second = backend(protocol, running.port(protocol))
    second.power_on()
    if protocol == "swtpm":
        assert rc_of(second.execute(STARTUP_CLEAR)) == 0
        assert pcr(second, 0) == bytes(32)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_hash_lines(running: Running, protocol: str) -> None:
    tpm = backend(protocol, running.port(protocol))
    tpm.power_on()
    tpm.execute(STARTUP_CLEAR)
    tpm.hash_start()
    tpm.hash_data(b"abc")
    tpm.hash_end()
    assert pcr(tpm, 17) == sha256(bytes(32) + sha256(b"abc").digest()).digest()


def test_the_establishment_bit(running: Running) -> None:
    tpm = SwtpmTpm("127.0.0.1", running.port("swtpm"))
    assert not tpm.established()
    tpm.hash_start()
    assert tpm.established()
    assert not tpm.reset_established(1)
    assert tpm.established()
    assert tpm.reset_established(4)
    assert not tpm.established()
    tpm.power_off()
    with pytest.raises(DeviceError, match="RESET_TPMESTABLISHED"):
        tpm.reset_established(4)
    simulator = MssimTpm("127.0.0.1", running.port("mssim"))
    for asked in (simulator.established, lambda: simulator.reset_established(4)):
        with pytest.raises(BackendError, match="no request"):
            asked()


# Servers that are odd.


@contextmanager
def odd_server(*answers: bytes) -> Iterator[int]:
    """Gives each connection the next answer, whatever it asks, and ends it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "closed by the TPM"),
        (b"\0\0\0", "closed by the TPM"),
        (b"\0\0\0\0", "response of 0x0 bytes"),
        (b"\0\0\x10\1", "response of 0x1001 bytes"),
        (b"\0\0\0\x0a" + bytes(9), "closed by the TPM"),
        (b"\0\0\0\1x\0\0\0\1", "mssim refused SEND_COMMAND"),
    ],
)
def test_nonsense_of_a_simulator(answer: bytes, words: str) -> None:
    with odd_server(answer) as port, pytest.raises(DeviceError, match=words):
        MssimTpm("127.0.0.1", port).execute(GET_RANDOM)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\x80\1\0\0", "closed by the TPM"),
        (b"\x80\1\0\0\0\x09\0\0\0\0", "response of 0x9 bytes"),
        (b"\x80\1\0\0\x10\1\0\0\0\0", "response of 0x1001 bytes"),
        (b"\x80\1\0\0\0\x0b\0\0\0\0", "closed by the TPM"),
    ],
)
def test_nonsense_of_an_swtpm(
    answer: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SwtpmTpm, "_ask", lambda *_: b"")
    with odd_server(answer) as port, pytest.raises(DeviceError, match=words):
        SwtpmTpm("127.0.0.1", port).execute(GET_RANDOM)


def test_an_error_can_travel() -> None:
    error = BackendError("place", "why")
    assert str(error) == "tpm: place: why"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# Addresses.


@pytest.mark.parametrize(
    "text",
    [
        "",
        "swtpm",
        "swtpm:",
        "swtpm:localhost",
        "swtpm:localhost:",
        "swtpm:localhost:x",
        "swtpm:localhost:0",
        "swtpm:localhost:65535",
        "swtpm::2321",
        "swtpm:localhost:²",
        "tcp:localhost:2321",
        "dev:",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="swtpm:HOST:PORT, mssim:HOST:PORT, dev:"):
        open_tpm(text)


@pytest.mark.parametrize("text", ["swtpm:::1:2321", "mssim:[::1]:2321", "swtpm:x:1"])
def test_addresses(text: str) -> None:
    tpm = open_tpm(text)
    assert isinstance(tpm, ForeignTpm)
    assert not tpm.always_on


# Boots.


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ["small", "p9", "p10"])
def test_the_same_boot_on_another_tpm(
    running: Running, protocol: str, name: str
) -> None:
    address = f"{protocol}:127.0.0.1:{running.port(protocol)}"
    machine = Machine(name, tpm=address).run()
    model = Machine(name).run()
    assert machine.pcrs() == model.pcrs()
    assert machine.event_log == model.event_log
    assert machine.journal[0].detail["tpm"] == "foreign"
    assert [each for each in machine.journal if each.source == "tpm"] == []
    ours = [each.detail for each in model.journal if each.kind == "measure"]
    assert [e.detail for e in machine.journal if e.kind == "measure"] == ours
    assert broken_invariants(machine.journal) == {}


def test_a_second_boot_starts_from_zeros(running: Running) -> None:
    address = f"swtpm:127.0.0.1:{running.port('swtpm')}"
    one, two = (Machine("small", tpm=address).run().pcrs() for _ in range(2))
    assert one == two


def test_a_machine_on_a_foreign_tpm_cannot_be_forked(running: Running) -> None:
    machine = Machine("small", tpm=f"mssim:127.0.0.1:{running.port('mssim')}")
    with pytest.raises(DeviceError, match="can't be forked"):
        machine.fork()


def test_a_tpm_that_goes_away_is_one_that_refuses(running: Running) -> None:
    machine = Machine("small", tpm=f"mssim:127.0.0.1:{running.port('mssim')}")
    machine.run(until="hostboot_loader")
    running.end()
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.refusal is Refusal.TPM_REFUSED
    assert "refused" in caught.value.reason


# A device file: a terminal in raw mode stands for it.


@contextmanager
def device(answer: Callable[[bytes], bytes]) -> Iterator[Path]:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)

    def serve() -> None:
        try:
            while raw := os.read(ours, 4096):
                os.write(ours, answer(raw))
        except OSError:
            return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield Path(os.ttyname(theirs))
    finally:
        os.close(theirs)
        thread.join(5)
        os.close(ours)


def test_one_write_and_one_read() -> None:
    asked: list[bytes] = []

    def answer(raw: bytes) -> bytes:
        asked.append(raw)
        return b"response"

    with device(answer) as path:
        tpm = DeviceTpm(path)
        assert tpm.execute(GET_RANDOM) == b"response"
        assert asked == [GET_RANDOM]
        tpm.close()


def test_what_a_device_cannot_do() -> None:
    with device(lambda _: b"x") as path:
        tpm = DeviceTpm(path)
        lines: list[tuple[str, Callable[[], object]]] = [
            ("PCRs are as they are", tpm.power_on),
            ("power", tpm.power_off),
            ("locality 3", lambda: tpm.execute(GET_RANDOM, 3)),
            ("hash sequence", tpm.hash_start),
            ("hash sequence", lambda: tpm.hash_data(b"")),
            ("hash sequence", tpm.hash_end),
            ("establishment", tpm.established),
            ("establishment", lambda: tpm.reset_established(4)),
        ]
        for words, asked in lines:
            with pytest.raises(BackendError, match=words):
                asked()
        tpm.close()


@pytest.mark.parametrize("name", ["no-such-device", "a\0b"])
def test_a_device_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(BackendError, match=r"No such file|null"):
        DeviceTpm(tmp_path / name)


def test_a_device_that_ends() -> None:
    ours, theirs = pty.openpty()
    tpm = DeviceTpm(Path(os.ttyname(theirs)))
    os.close(theirs)
    os.close(ours)
    with pytest.raises(BackendError, match="error"):
        tpm.execute(GET_RANDOM)
    tpm.close()


def test_a_boot_on_a_device_adds_to_what_is_there() -> None:
    """No Startup, no PCR_Allocate; the extends go on from the values before."""
    real, _, _ = started()
    real.execute(extend(6, (SHA256, b"\5" * 32)))
    value = pcr(real, 6)
    codes: list[int] = []

    def answer(raw: bytes) -> bytes:
        codes.append(int.from_bytes(raw[6:10], "big"))
        return real.execute(raw)

    with device(answer) as path:
        machine = Machine("p10", tpm=f"dev:{path}").run()
        assert isinstance(machine.board.tpm, ForeignTpm)
        device_tpm = machine.board.tpm._tpm
        assert isinstance(device_tpm, DeviceTpm)
        device_tpm.close()
    assert {*codes} == {0x182}
    assert machine.journal[0].detail["tpm"] == "foreign-running"
    for each in machine.journal:
        if each.kind == "measure" and each.detail["pcr"] == 6:
            digest = bytes.fromhex(str(each.detail["digest"]))
            value = sha256(value + digest).digest()
    assert pcr(real, 6) == value
