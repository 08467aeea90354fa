"""What the TPM tests share: a TPM, command bytes made by hand, its whole state."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.journal import Journal
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.interface import TpmInterface

VECTORS: Final = Path(__file__).parent / "vectors" / "tpm"
SHA1, SHA256, SHA384, SHA512 = 0x0004, 0x000B, 0x000C, 0x000D
SIZE: Final = {SHA1: 20, SHA256: 32, SHA384: 48, SHA512: 64}
ALL_BANKS: Final = (SHA1, SHA256, SHA384, SHA512)
NULL, PLATFORM, PW = 0x40000007, 0x4000000C, 0x40000009
STARTUP_CLEAR: Final = bytes.fromhex("80010000000c000001440000")
STARTUP_STATE: Final = bytes.fromhex("80010000000c000001440001")
SHUTDOWN_CLEAR: Final = bytes.fromhex("80010000000c000001450000")
SHUTDOWN_STATE: Final = bytes.fromhex("80010000000c000001450001")
EMPTY_PASSWORD: Final = bytes.fromhex("400000090000000000")

Session = tuple[int, bytes, int, bytes]  # handle, nonce, attributes, auth


def vector(name: str) -> Any:
    """A JSON file of the foreign vectors."""
    return json.loads((VECTORS / name).read_text())


def off_tpm(seed: str = "test", **settings: Any) -> tuple[Tpm, Journal, Clock]:
    """A TPM without power."""
    journal, clock = Journal(), Clock()
    return Tpm(Entropy(seed, "tpm"), clock, journal, **settings), journal, clock


def started(seed: str = "test", **settings: Any) -> tuple[Tpm, Journal, Clock]:
    """A TPM after Startup(CLEAR)."""
    tpm, journal, clock = off_tpm(seed, **settings)
    tpm.power_on()
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    return tpm, journal, clock


def command(
    code: int,
    params: bytes = b"",
    *,
    handles: Iterable[int] = (),
    area: bytes | None = None,
) -> bytes:
    """A command; with an authorization area (without its length) or without one."""
    body = b"".join(handle.to_bytes(4, "big") for handle in handles)
    if area is not None:
        body += len(area).to_bytes(4, "big") + area
    body += params
    tag = b"\x80\x01" if area is None else b"\x80\x02"
    return tag + (10 + len(body)).to_bytes(4, "big") + code.to_bytes(4, "big") + body


def session(
    handle: int = PW, nonce: bytes = b"", attributes: int = 0, auth: bytes = b""
) -> bytes:
    """One session of an authorization area."""
    head = handle.to_bytes(4, "big") + len(nonce).to_bytes(2, "big") + nonce
    return head + bytes((attributes,)) + len(auth).to_bytes(2, "big") + auth


def digests(*pairs: tuple[int, bytes]) -> bytes:
    """TPML_DIGEST_VALUES."""
    items = b"".join(alg.to_bytes(2, "big") + digest for alg, digest in pairs)
    return len(pairs).to_bytes(4, "big") + items


def selections(*pairs: tuple[int, str]) -> bytes:
    """TPML_PCR_SELECTION from (bank, select bytes in hex)."""
    items = b"".join(
        alg.to_bytes(2, "big") + b"\x03" + bytes.fromhex(select)
        for alg, select in pairs
    )
    return len(pairs).to_bytes(4, "big") + items


def extend(pcr: int, *pairs: tuple[int, bytes]) -> bytes:
    """PCR_Extend with an empty password."""
    return command(0x182, digests(*pairs), handles=(pcr,), area=EMPTY_PASSWORD)


def event(pcr: int, data: bytes) -> bytes:
    """PCR_Event with an empty password."""
    params = len(data).to_bytes(2, "big") + data
    return command(0x13C, params, handles=(pcr,), area=EMPTY_PASSWORD)


def reset(pcr: int) -> bytes:
    """PCR_Reset with an empty password."""
    return command(0x13D, handles=(pcr,), area=EMPTY_PASSWORD)


def allocate(*pairs: tuple[int, str]) -> bytes:
    """PCR_Allocate with the platform's empty password."""
    params = selections(*pairs)
    return command(0x12B, params, handles=(PLATFORM,), area=EMPTY_PASSWORD)


def capability(cap: int, first: int, count: int) -> bytes:
    """GetCapability."""
    return command(0x17A, b"".join(n.to_bytes(4, "big") for n in (cap, first, count)))


def read_one(tpm: Tpm, alg: int, pcr: int) -> bytes:
    """One PCR value, read by a command; empty when the bank does not have it."""
    select = (1 << pcr).to_bytes(3, "little").hex()
    answer = tpm.execute(command(0x17E, selections((alg, select))))
    assert rc_of(answer) == 0
    return answer[30:]


def update_counter(tpm: Tpm) -> int:
    """pcrUpdateCounter, read by a command that selects nothing."""
    return int.from_bytes(tpm.execute(command(0x17E, selections()))[10:14], "big")


def clock_info(tpm: Tpm) -> tuple[int, int, int, int, int]:
    """time, clock, resetCount, restartCount, safe, read by a command."""
    raw = tpm.execute(command(0x181))[10:]
    assert len(raw) == 25
    first = tuple(int.from_bytes(raw[at : at + 8], "big") for at in (0, 8))
    counts = tuple(int.from_bytes(raw[at : at + 4], "big") for at in (16, 20))
    return first[0], first[1], counts[0], counts[1], raw[24]


def power_cycle(tpm: Tpm) -> None:
    """Power off and on."""
    tpm.power_off()
    tpm.power_on()


def rc_of(response: bytes) -> int:
    """The response code."""
    return int.from_bytes(response[6:10], "big")


def refusal(rc: int) -> bytes:
    """The only form an error response has."""
    return bytes.fromhex("80010000000a") + rc.to_bytes(4, "big")


def whole_state(tpm: Tpm) -> dict[str, Any]:
    """Everything that a command could change, as comparable values."""
    inner = tpm._inner
    return {
        "state": plain(inner.state),
        "entropy": (inner.entropy._key, inner.entropy._position),
        "clock": inner.clock.now,
        "events": len(inner.journal),
    }


def plain(value: Any) -> Any:
    """Any state as lists, dicts and numbers, whatever classes it is made of."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if hasattr(value, "hexdigest"):
        return value.hexdigest()
    names = [n for kind in type(value).__mro__ for n in getattr(kind, "__slots__", ())]
    if isinstance(value, int) or not names:
        return value
    return {name: plain(getattr(value, name)) for name in names}


class PassingTpm(TpmInterface):
    """Hands everything on to another TPM; a test overrides what it wants to see."""

    def __init__(self, tpm: TpmInterface) -> None:
        self.tpm = tpm

    def power_on(self) -> None:
        self.tpm.power_on()

    def power_off(self) -> None:
        self.tpm.power_off()

    def read_id(self) -> bytes:
        return self.tpm.read_id()

    def request_locality(self, locality: int) -> bool:
        return self.tpm.request_locality(locality)

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        return self.tpm.execute(command, locality)
