"""The mssim and swtpm ports, byte by byte, with raw sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pefstack.tools.tpm_server import connection, framing, server
from pefstack.tools.tpm_server.framing import ProtocolError, Shape, take_request
from pefstack.tools.tpm_server.mssim import CommandPort
from tpm_kit import SHA256, STARTUP_CLEAR, command, extend, rc_of, selections, vector
from tpm_server_kit import Client, Running, serving

RECORDED = vector("swtpm_control_channel.json")
GET_RANDOM = bytes.fromhex("80010000000c0000017b0008")
READ_CLOCK = bytes.fromhex("80010000000a00000181")
# differs from swtpm, which has requests that this server does not know
OTHER_ANSWERS = {"GET_CAPABILITY": "0000000000002cff"}


@pytest.fixture
def running() -> Iterator[Running]:
    with serving() as made:
        yield made


def sent(raw: bytes, locality: int = 0) -> bytes:
    """SEND_COMMAND of mssim."""
    head = (8).to_bytes(4, "big") + locality.to_bytes(1, "big")
    return head + len(raw).to_bytes(4, "big") + raw


def answered(client: Client) -> bytes:
    """A response of mssim; what stands around it is checked."""
    size = int.from_bytes(client.receive(4), "big")
    raw = client.receive(size)
    assert client.receive(4) == bytes(4)
    return raw


def pcr(data: Client, number: int) -> bytes:
    select = (1 << number).to_bytes(3, "little").hex()
    data.send(command(0x17E, selections((SHA256, select))))
    return data.response()[30:]


# Framing, without any socket.

SHAPES = {1: Shape(), 2: Shape(3), 3: Shape(1, sized=True), 4: Shape(sized=True)}


@given(st.sampled_from(sorted(SHAPES)), st.binary(max_size=40), st.binary(max_size=9))
def test_a_request_is_taken_when_it_is_whole(
    code: int, data: bytes, rest: bytes
) -> None:
    shape = SHAPES[code]
    fixed = b"abcd"[: shape.fixed]
    sized = len(data).to_bytes(4, "big") + data if shape.sized else b""
    raw = code.to_bytes(4, "big") + fixed + sized
    for size in range(len(raw)):
        part = bytearray(raw[:size])
        assert take_request(part, SHAPES) is None
        assert part == raw[:size]
    buffer = bytearray(raw + rest)
    request = take_request(buffer, SHAPES)
    assert request == framing.Request(code, fixed, data if shape.sized else b"")
    assert buffer == rest


def test_a_length_is_bounded_before_anything_is_kept() -> None:
    most = framing.MAX_DATA_SIZE
    head = (4).to_bytes(4, "big")
    assert take_request(bytearray(head + most.to_bytes(4, "big")), SHAPES) is None
    with pytest.raises(ProtocolError):
        take_request(bytearray(head + (most + 1).to_bytes(4, "big")), SHAPES)
    with pytest.raises(KeyError):
        take_request(bytearray(bytes(4)), SHAPES)


# swtpm.


def before_startup() -> int:
    names = [row["name"] for row in RECORDED]
    return names.index("HASH_START before Startup")


def replay(control: Client, row: dict[str, Any]) -> None:
    """One recorded exchange; a request whose body is missing gets no answer."""
    expected = OTHER_ANSWERS.get(row["name"], row["response"])
    if not expected:
        with Client(control.socket.getpeername()[1]) as other:
            assert other.send(row["request"]).says_nothing()
    else:
        size = len(expected) // 2
        assert control.ask(row["request"], size) == expected, row["name"]


def localities(control: Client, data: Client, row: dict[str, Any]) -> None:
    """Which PCRs can be reset and extended at this locality."""
    for pcr_text, rc in row["reset"].items():
        area = bytes.fromhex("400000090000000000")
        data.send(command(0x13D, handles=(int(pcr_text),), area=area))
        assert rc_of(data.response()) == int(rc, 16), (row["name"], pcr_text)
    for pcr_text, rc in row["extend"].items():
        data.send(extend(int(pcr_text), (SHA256, bytes(32))))
        assert rc_of(data.response()) == int(rc, 16), (row["name"], pcr_text)


def test_recorded_control_channel_of_swtpm(running: Running) -> None:
    """Every row of the record is played; one answer is other, on purpose."""
    played = 0
    with running.client("swtpm", True) as control, running.client("swtpm") as data:
        for number, row in enumerate(RECORDED):
            if number == before_startup():
                control.ask("0000000200000000", 4)
            if "request" in row:
                replay(control, row)
            elif "reset" in row:
                localities(control, data, row)
            else:
                if row["name"].startswith("PCR0"):  # Startup is not in the record
                    assert rc_of(data.send(STARTUP_CLEAR).response()) == 0
                index = int(row["name"].split()[0].removeprefix("PCR"))
                assert pcr(data, index).hex() == row["value"], row["name"]
                if "H-CRTM" in row["name"]:
                    control.ask("0000000200000000", 4)
            played += 1
    assert played == len(RECORDED) == 40


# As swtpm 0.7.1 answered when this was written: request, answer on, answer stopped.
POWER_ROWS = [
    ("GET_CAPABILITY", "00000001", "0000000000002cff", "0000000000002cff"),
    ("GET_TPMESTABLISHED", "00000004", "0000000000000000", "0000000a"),
    ("SET_LOCALITY 0", "0000000500", "00000000", "00000000"),
    ("SET_LOCALITY 5", "0000000505", "0000003d", "0000003d"),
    ("HASH_START", "00000006", "00000000", "0000000a"),
    ("HASH_DATA", "0000000700000003616263", "00000000", "0000000a"),
    ("HASH_END", "00000008", "00000000", "0000000a"),
    ("CANCEL_TPM_CMD", "00000009", "00000000", "0000000a"),
    ("STORE_VOLATILE", "0000000a", "00000000", "0000000a"),
    ("RESET 0", "0000000b00", "0000003d", "0000000a"),
    ("RESET 2", "0000000b02", "0000003d", "0000000a"),
    ("RESET 4", "0000000b04", "00000000", "0000000a"),
    ("RESET 5", "0000000b05", "0000003d", "0000000a"),
    ("GET_CONFIG", "0000000f", "0000000000000000", "0000000000000000"),
    (
        "SET_BUFFERSIZE 0",
        "0000001100000000",
        "000000000000100000000af800001000",
        "000000000000100000000af800001000",
    ),
    (
        "SET_BUFFERSIZE 1",
        "0000001100000001",
        "0000000a",
        "000000000000100000000af800001000",
    ),
    ("STOP", "0000000e", "00000000", "00000000"),
    ("unknown", "000000ff", "0000000a", "0000000a"),
    ("GET_STATEBLOB", "0000000c", "0000000a", "0000000a"),
    ("zero", "00000000", "0000000a", "0000000a"),
]


@pytest.mark.parametrize("stopped", [False, True])
def test_control_requests_with_and_without_power(
    running: Running, stopped: bool
) -> None:
    with running.client("swtpm", True) as control:
        if stopped:
            control.ask("0000000e", 4)
        for name, request, on, off in POWER_ROWS:
            if name == "STOP" and not stopped:
                continue
            expected = off if stopped else on
            assert control.ask(request, len(expected) // 2) == expected, name


def test_a_stopped_tpm_answers_failure(running: Running) -> None:
    with running.client("swtpm", True) as control, running.client("swtpm") as data:
        control.ask("0000000e", 4)
        assert data.ask(GET_RANDOM, 10) == "80010000000a00000101"
        control.ask("0000000200000000", 4)
        assert data.ask(GET_RANDOM, 10) == "80010000000a00000100"
        assert data.ask(STARTUP_CLEAR, 10) == "80010000000a00000000"


def test_locality_of_the_data_port_is_set_for_all(running: Running) -> None:
    with running.client("swtpm", True) as control, running.client("swtpm") as data:
        control.ask("0000000503", 4)
        assert rc_of(data.send(extend(17, (SHA256, bytes(32)))).response()) == 0
        with running.client("swtpm") as other:
            assert rc_of(other.send(extend(17, (SHA256, bytes(32)))).response()) == 0
        control.ask("0000000500", 4)
        assert rc_of(data.send(extend(17, (SHA256, bytes(32)))).response()) == 0x907


def test_stored_volatile_state_comes_back(running: Running) -> None:
    with running.client("swtpm", True) as control, running.client("swtpm") as data:
        data.send(extend(16, (SHA256, b"\1" * 32))).response()
        value = pcr(data, 16)
        control.ask("0000000a", 4)
        data.send(extend(16, (SHA256, b"\2" * 32))).response()
        assert pcr(data, 16) != value
        control.ask("0000000e", 4)
        control.ask("0000000200000000", 4)
        assert pcr(data, 16) == value  # no Startup was needed
        control.ask("0000000200000001", 4)
        assert pcr(data, 16) == value
        control.ask("0000000200000000", 4)  # the one before used it up
        assert data.ask(GET_RANDOM, 10) == "80010000000a00000100"


def test_stored_volatile_state_never_sets_back_what_lasts(running: Running) -> None:
    with running.client("swtpm", True) as control, running.client("swtpm") as data:
        control.ask("0000000a", 4)
        data.send(bytes.fromhex("80010000000c000001450000")).response()  # Shutdown
        control.ask("0000000200000000", 4)
        assert data.ask(GET_RANDOM, 10) == "80010000000a00000100"


@pytest.mark.parametrize(
    "raw",
    [
        STARTUP_CLEAR[:-2],  # longer than it says
        STARTUP_CLEAR + STARTUP_CLEAR,
        b"\x80\x01\0\0\0\0" + bytes(6),
        b"\x80\x01\xff\xff\xff\xff" + bytes(6),
    ],
)
def test_a_wrong_size_is_answered_and_the_next_command_is_understood(
    running: Running, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PATIENCE", 0.05)
    with running.client("swtpm") as data:
        assert data.ask(raw, 10) == "80010000000a00000142"
        assert rc_of(data.send(GET_RANDOM).response()) == 0


def test_a_command_in_pieces_is_waited_for(running: Running) -> None:
    with running.client("swtpm") as data:
        for each in GET_RANDOM:
            data.send(bytes((each,)))
            time.sleep(0.005)
        assert rc_of(data.response()) == 0


def test_several_control_requests_in_one_write(running: Running) -> None:
    with running.client("swtpm", True) as control:
        answers = "0000000000002cff" + "00000000" + "0000000000000000"
        assert control.ask("00000001" + "00000009" + "0000000f", 20) == answers


def test_hash_data_of_too_much_ends_the_connection(running: Running) -> None:
    with running.client("swtpm", True) as control:
        assert control.ask("00000007" + "00100001", 4) == "00000003"
        assert control.is_closed()


def test_shutdown_is_answered_and_ends_the_server(running: Running) -> None:
    with running.client("swtpm", True) as control:
        assert control.ask("00000003", 4) == "00000000"
    running.join()
    assert running.error is None


# mssim.


def test_commands_with_their_locality(running: Running) -> None:
    with running.client("mssim") as client:
        assert rc_of(answered(client.send(sent(GET_RANDOM)))) == 0
        extend_17 = extend(17, (SHA256, bytes(32)))
        assert rc_of(answered(client.send(sent(extend_17, 2)))) == 0
        assert rc_of(answered(client.send(sent(extend_17, 0)))) == 0x907
        assert rc_of(answered(client.send(sent(extend_17, 9)))) == 0x907
        assert rc_of(answered(client.send(sent(b"")))) == 0x142


def test_a_whole_answer_is_one_write(running: Running) -> None:
    with running.client("mssim") as client:
        client.send(sent(READ_CLOCK))
        time.sleep(0.1)
        assert len(client.socket.recv(4096)) == 4 + 35 + 4


def test_a_hash_sequence_over_mssim(running: Running) -> None:
    with running.client("mssim") as client, running.client("swtpm") as data:
        assert client.ask("00000005", 4) == "00000000"
        assert client.ask("00000006" + "00000003" + "616263", 4) == "00000000"
        assert client.ask("00000007", 4) == "00000000"
        expected = sha256(bytes(32) + sha256(b"abc").digest()).digest()
        assert pcr(data, 17) == expected


def test_handshake(running: Running) -> None:
    with running.client("mssim") as client:
        assert client.ask("0000000f" + "00000001", 12) == "000000010000000d00000000"
        assert client.ask("00000010" + "00000007", 4) == "00000000"
    with running.client("mssim") as client:
        assert client.send("0000000f" + "00000000").is_closed()


def test_power_over_the_platform_port(running: Running) -> None:
    with running.client("mssim") as client, running.client("mssim", True) as platform:
        assert platform.ask("00000001", 4) == "00000000"  # is on: nothing happens
        assert rc_of(answered(client.send(sent(GET_RANDOM)))) == 0
        for request in ("00000011", "00000012"):  # reset, restart
            assert platform.ask(request, 4) == "00000000"
            assert rc_of(answered(client.send(sent(GET_RANDOM)))) == 0x100
            assert rc_of(answered(client.send(sent(STARTUP_CLEAR)))) == 0
        assert platform.ask("00000002", 4) == "00000000"
        assert platform.ask("00000011", 4) == "00000000"  # no power, no reset
        assert answered(client.send(sent(GET_RANDOM))) == b""
        assert platform.ask("00000001", 4) == "00000000"
        assert rc_of(answered(client.send(sent(GET_RANDOM)))) == 0x100


def test_failure_mode_until_the_power_goes(running: Running) -> None:
    with running.client("mssim") as client, running.client("mssim", True) as platform:
        assert platform.ask("0000001e", 4) == "00000000"
        assert rc_of(answered(client.send(sent(GET_RANDOM)))) == 0x101
        platform.ask("00000011", 4)
        assert rc_of(answered(client.send(sent(GET_RANDOM)))) == 0x100


@pytest.mark.parametrize("code", [3, 4, 9, 10, 11, 12, 13, 14])
def test_platform_requests_that_change_nothing(running: Running, code: int) -> None:
    with running.client("mssim", True) as platform:
        assert platform.ask(code.to_bytes(4, "big"), 4) == "00000000"


def test_sizes_and_timers(running: Running) -> None:
    with running.client("mssim") as client, running.client("mssim", True) as platform:
        assert platform.ask("0000001a" + "40000110", 8) == "00" * 8
        answered(client.send(sent(GET_RANDOM)))
        answered(client.send(sent(READ_CLOCK)))
        numbers = b"".join(
            each.to_bytes(4, "little") for each in (12, 0x17B, 35, 0x181)
        )
        assert platform.ask("00000019", 24) == "00000010" + numbers.hex() + "00000000"
        assert platform.ask("00000019", 24) == "00000010" + "00" * 20


def test_unknown_codes(running: Running) -> None:
    with running.client("mssim", True) as platform:
        assert platform.ask("00000063", 4) == "00000001"
        assert platform.is_closed()
    with running.client("mssim") as client:
        assert client.send("00000063").is_closed()
    with running.client("mssim") as client:
        assert client.send("00000008" + "00" + "00100001").is_closed()


def test_end_of_session_and_of_server(running: Running) -> None:
    for second in (False, True):
        with running.client("mssim", second) as client:
            assert client.send("00000014").is_closed()
    with running.client("mssim", True) as platform:
        assert platform.send("00000015").is_closed()
    running.join()
    assert running.error is None


# Several clients, slow ones, hostile ones.


def test_two_clients_take_turns(running: Running) -> None:
    with running.client("mssim") as one, running.client("swtpm") as other:
        for _ in range(20):
            one.send(sent(GET_RANDOM))
            other.send(GET_RANDOM)
            assert rc_of(other.response()) == rc_of(answered(one)) == 0


def test_two_servers_in_one_process_are_strangers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each in a thread of its own, and the other runs whenever bytes have come."""
    for name in ("recv", "recv_into"):
        monkeypatch.setattr(socket.socket, name, _slowly(getattr(socket.socket, name)))
    together = Barrier(2, timeout=20)

    def asks(running: Running, size: int) -> set[int]:
        with running.client("swtpm") as client:
            together.wait()
            question = GET_RANDOM[:-1] + bytes((size,))
            return {len(client.send(question).response()) for _ in range(50)}

    with serving() as one, serving() as other, ThreadPoolExecutor(2) as pool:
        sizes = pool.map(asks, (one, other), (8, 16))
        assert list(sizes) == [{12 + 8}, {12 + 16}]


def _slowly(read: Callable[..., Any]) -> Callable[..., Any]:
    def slow(*words: Any) -> Any:
        found = read(*words)
        time.sleep(0.001)
        return found

    return slow


@pytest.mark.parametrize("kind", ["part", "killed", "deaf", "flood"])
def test_a_bad_client_does_not_stop_the_others(running: Running, kind: str) -> None:
    with running.client("mssim") as bad, running.client("mssim") as good:
        if kind == "part":
            bad.send(sent(GET_RANDOM)[:7])
        if kind == "killed":
            bad.send(sent(GET_RANDOM)[:7])
            bad.close()
        if kind in ("deaf", "flood"):
            bad.socket.setblocking(False)
            with suppress(BlockingIOError):
                for _ in range(4000 if kind == "deaf" else 1):
                    bad.socket.send(sent(READ_CLOCK) * 1000)
                assert kind == "flood", "it takes in without end"
        start = time.monotonic()
        assert rc_of(answered(good.send(sent(GET_RANDOM)))) == 0
        assert time.monotonic() - start < 2.0


class Noting(CommandPort):
    """Counts what it answers."""

    count = 0

    def answer(self, buffer: bytearray) -> framing.Reply | None:
        reply = super().answer(buffer)
        self.count += reply is not None
        return reply


def connected(port: framing.Port, running: Running) -> socket.socket:
    """A connection with little room for answers; the client's end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    connection.Connection(running.server, port, accepted).begin()
    client.setblocking(False)
    return client


def test_a_client_that_does_not_read_gets_nothing_more_done(running: Running) -> None:
    """What the system does not take waits, and so do the requests behind it."""
    many = 2000

    async def talk() -> None:
        port = Noting(running.server._service)
        client = connected(port, running)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, sent(READ_CLOCK) * many)
        done = -1
        while done != port.count:  # until the system takes no more
            done = port.count
            await asyncio.sleep(0.3)
        assert 0 < done < many
        size = left = many * (4 + 35 + 4)
        while left:
            left -= len(await asyncio.wait_for(loop.sock_recv(client, size), 5))
        assert port.count == many
        client.close()
        await asyncio.sleep(0.05)

    asyncio.run(talk())


def test_the_last_answer_goes_out_before_the_end(running: Running) -> None:
    """It is too long to be sent at once."""

    class Farewell:
        pieces = False

        def answer(self, buffer: bytearray) -> framing.Reply | None:
            buffer.clear()
            return framing.Reply(bytes(1 << 18), close=True)

        def give_up(self, buffer: bytearray) -> framing.Reply | None:
            return None

    async def talk() -> None:
        client = connected(Farewell(), running)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"one")
        await asyncio.sleep(0.05)
        size = 0
        while more := await asyncio.wait_for(loop.sock_recv(client, 1 << 16), 5):
            size += len(more)
        assert size == 1 << 18
        client.close()

    asyncio.run(talk())


def test_a_client_that_is_gone_harms_nobody(running: Running) -> None:
    """Reset with a request on its way, before and behind an answer."""
    gone = struct.pack("ii", 1, 0)  # SO_LINGER: no orderly end
    for asked in (b"", GET_RANDOM[:5], GET_RANDOM, sent(GET_RANDOM) * 200):
        for protocol in ("swtpm", "mssim"):
            client = running.client(protocol)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, gone)
            client.send(asked)
            client.close()
    with running.client("swtpm") as data:
        assert rc_of(data.send(GET_RANDOM).response()) == 0


def test_what_a_flood_asked_is_answered_in_order(running: Running) -> None:
    with running.client("mssim") as client:
        client.send(sent(READ_CLOCK) * 300)
        answers = [answered(client) for _ in range(300)]
        times = [int.from_bytes(each[10:18], "big") for each in answers]
        assert times == sorted(times)


def test_connections_are_counted(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    with running.client("mssim") as one, running.client("mssim") as two:
        for each in (one, two):
            assert rc_of(answered(each.send(sent(GET_RANDOM)))) == 0
        with running.client("mssim") as three:
            assert three.is_closed()
        one.close()
        for _ in range(100):  # until the server has noticed
            with running.client("mssim") as three:
                try:
                    three.send(sent(GET_RANDOM))
                    assert rc_of(answered(three)) == 0
                    break
                except (AssertionError, OSError):
                    time.sleep(0.02)
        else:
            pytest.fail("no place was freed")


def test_the_clock_is_the_real_one(running: Running) -> None:
    with running.client("swtpm") as data:
        times = []
        for _ in range(2):
            answer = data.send(READ_CLOCK).response()
            times.append(int.from_bytes(answer[10:18], "big"))
            time.sleep(0.05)
        assert 50 <= times[1] - times[0] < 5000


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(["mssim", "swtpm"]),
    st.booleans(),
    st.lists(
        st.binary(max_size=24)
        | st.sampled_from([8, 5, 6, 7, 15, 16, 2, 1, 17, 18, 11, 14, 10]).map(
            lambda code: code.to_bytes(4, "big")
        ),
        max_size=6,
    ),
)
def test_noise_never_ends_the_server(
    running: Running, protocol: str, second: bool, parts: list[bytes]
) -> None:
    noise = b"".join(parts)
    stops = [b"\0\0\0\x15", b"\0\0\0\x03"]  # STOP, SHUTDOWN
    if not any(each in noise for each in stops):
        with running.client(protocol, second) as client:
            client.send(noise)
        with running.client("mssim", True) as platform:
            assert platform.ask("00000001", 4) == "00000000"
