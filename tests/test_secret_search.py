"""The search for secrets finds what is planted: each form in each place."""

from __future__ import annotations

import base64
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.memory import PAGE_SIZE, Memory
from pefstack.images.errors import FormatError, PefError
from secret_kit import built, recorded
from secret_search import (
    MIN_SIZE,
    atoms,
    everything,
    exception_texts,
    forms,
    fragments,
    in_bytes,
    in_text,
    pages,
    reachable,
)

# no two bytes of it alike, some that are no text, none that a text would hide
SECRET: Final = bytes((each * 37 + 11) % 256 for each in range(32))
NAMED: Final = {"planted": SECRET}
WORDS: Final = [int.from_bytes(SECRET[at : at + 8], "big") for at in range(0, 32, 8)]


# every form, made here in another way than the search makes it
WRITTEN: Final[dict[str, Callable[[bytes], bytes]]] = {
    "raw": lambda s: s,
    "reversed": lambda s: bytes(reversed(s)),
    "hex": lambda s: "".join(f"{each:02x}" for each in s).encode(),
    "hex upper": lambda s: "".join(f"{each:02X}" for each in s).encode(),
    "utf-8": lambda s: "".join(map(chr, s)).encode(),
    "utf-16le": lambda s: b"".join(bytes((each, 0)) for each in s),
    "utf-16be": lambda s: b"".join(bytes((0, each)) for each in s),
    "repr": lambda s: str(s).encode()[2:-1],
    "repr twice": lambda s: repr(str(s)).encode()[3:-2],
    "decimal list": lambda s: str(list(s)).encode(),
    "decimal": lambda s: str(sum(b << 8 * n for n, b in enumerate(s[::-1]))).encode(),
    "base64 0": base64.b64encode,
    "base64 1": lambda s: base64.b64encode(b"?" + s + b"??"),
    "base64 2": lambda s: base64.b64encode(b"??" + s),
    "words of 2": lambda s: b"".join(s[n : n + 2][::-1] for n in range(0, len(s), 2)),
    "words of 4": lambda s: b"".join(s[n : n + 4][::-1] for n in range(0, len(s), 4)),
    "words of 8": lambda s: b"".join(s[n : n + 8][::-1] for n in range(0, len(s), 8)),
    "registers": lambda _: str(WORDS).encode(),
    "words in hex": lambda _: " ".join(f"{each:016x}" for each in WORDS).encode(),
}


def test_there_is_a_way_to_write_every_form() -> None:
    assert set(WRITTEN) == set(forms(SECRET))
    assert len(set(forms(SECRET).values())) == len(forms(SECRET))


@pytest.mark.parametrize("form", WRITTEN)
def test_each_form_is_found_in_bytes_and_memory(form: str) -> None:
    planted = b"before " + WRITTEN[form](SECRET) + b" behind"
    assert form in {each.form for each in in_bytes("here", planted, NAMED)}
    memory = Memory(64 * PAGE_SIZE)
    memory.write(7 * PAGE_SIZE - 20, planted)  # over the end of a page
    found = in_bytes("memory", pages(memory), NAMED)
    assert ("memory", "planted", form) in found


@pytest.mark.parametrize("form", [f for f in WRITTEN if not f.startswith("utf-16")])
def test_each_form_is_found_in_texts(form: str) -> None:
    text = WRITTEN[form](SECRET).decode("latin-1")
    assert in_text("text", f"x {text} y", NAMED)
    assert in_bytes("object", atoms(reachable({"a": [text]})), NAMED)


@pytest.mark.parametrize("base", [0, 1, 2])
def test_base64_is_found_at_every_alignment(base: int) -> None:
    for behind in range(3):
        text = base64.b64encode(b"x" * base + SECRET + b"y" * behind)
        assert in_bytes("", text, NAMED)


@given(st.binary(max_size=512))
def test_nothing_is_found_where_nothing_is(other: bytes) -> None:
    assert in_bytes("", other, NAMED) == []
    assert in_text("", repr(other), NAMED) == []


def test_short_secrets_are_refused() -> None:
    with pytest.raises(ValueError, match="by accident"):
        forms(SECRET[: MIN_SIZE - 1])


@pytest.mark.parametrize("start", [0, 13, 28])
def test_a_fragment_of_four_bytes_is_found_in_texts(start: int) -> None:
    part = SECRET[start : start + 4]
    assert in_text("", f"found {part.hex()}, expected 0", NAMED)
    assert in_text("", f"found 0x{part.hex().upper()}", NAMED)
    assert in_text("", f"found {part[:3].hex()}", NAMED) == []


@pytest.mark.parametrize("start", [0, 5, 24])
def test_a_fragment_of_eight_bytes_as_they_are_is_found_in_texts(start: int) -> None:
    assert in_text("", repr(SECRET[start : start + 8]), NAMED)
    assert len(fragments(SECRET)) > 30


def test_of_pages_only_those_are_searched_that_changed() -> None:
    memory = Memory(64 * PAGE_SIZE)
    memory.write(0, SECRET)
    memory.write(5 * PAGE_SIZE, bytes(PAGE_SIZE))
    other = memory.fork()
    assert SECRET in pages(other)
    assert pages(other, memory) == b""
    other.write(PAGE_SIZE, SECRET)
    assert len(pages(other, memory)) // PAGE_SIZE == 1
    other.write(1, b"x")
    assert len(pages(other, memory)) // PAGE_SIZE == 2
    whole = memoryview(SECRET * (2 * PAGE_SIZE // len(SECRET)))
    other.write(8 * PAGE_SIZE, whole)
    assert len(pages(other, memory)) // PAGE_SIZE == 4


@dataclass(slots=True)
class Holder:
    """Something with a secret in one of its fields."""

    visible: int = 1
    hidden: Any = field(default=None, repr=False)


def closure(secret: bytes) -> Callable[[], bytes]:
    return lambda: secret


def default(secret: bytes) -> Callable[[], bytes]:
    def function(value: bytes = secret) -> bytes:
        return value

    return function


def generator(secret: bytes) -> Any:
    yield len(secret)
    yield secret


OBJECTS: Final[dict[str, Callable[[bytes], Any]]] = {
    "slots": lambda s: Holder(hidden=s),
    "deep": lambda s: [Holder(hidden={"a": (1, [Holder(hidden=s)])})],
    "key": lambda s: {s: 1},
    "set": lambda s: {(1, s)},
    "bytearray": lambda s: [bytearray(b"x" + s)],
    "view": lambda s: [memoryview(b"x" + s)[1:]],
    "text": lambda s: [s.hex()],
    "latin text": lambda s: ["".join(map(chr, s))],
    "number": lambda s: [int.from_bytes(s, "big")],
    "little number": lambda s: [int.from_bytes(s, "little")],
    "list of bytes": lambda s: [list(s)],
    "registers": lambda s: [[0, *WORDS, 0]],
    "signed registers": lambda s: ([w - (1 << 64) if w >> 63 else w for w in WORDS],),
    "closure": closure,
    "default": default,
    "bound method": lambda s: Holder(hidden=s).__repr__,
    "exception": lambda s: ValueError("a", s),
    "memory": lambda s: memory_with(s),
}


def memory_with(secret: bytes) -> Memory:
    memory = Memory(4 * PAGE_SIZE)
    memory.write(100, secret)
    return memory


@pytest.mark.parametrize("kind", OBJECTS)
def test_each_kind_of_object_is_looked_into(kind: str) -> None:
    root = {"root": OBJECTS[kind](SECRET)}
    assert in_bytes("object", atoms(reachable(root)), NAMED)


def test_the_truth_is_left_out_and_nothing_else() -> None:
    truth, other = Holder(hidden=SECRET), Holder(hidden=b"x" + SECRET)
    assert in_bytes("", atoms(reachable([truth], [truth])), NAMED) == []
    assert in_bytes("", atoms(reachable([truth, other], [truth])), NAMED)
    other.hidden = truth
    assert in_bytes("", atoms(reachable([truth, other], [truth])), NAMED) == []


def test_everything_in_the_process_is_looked_into() -> None:
    """What is planted is made out of pieces, so that this module has it nowhere."""
    word = bytes.fromhex("".join(["77", "3a", "91", "0e", "c2", "5d", "f8", "46"] * 2))
    named = {"planted": word[3:] + word[:3] * 2}
    kept = Holder(hidden={"a": [named["planted"][::-1]]})
    found = {each.form for each in in_bytes("", atoms(everything()), named)}
    assert "reversed" in found
    del kept
    gc.collect()


def test_exceptions_say_everything() -> None:
    wrong = FormatError("x", "y", 0, "found", "expected")
    wrong.__cause__ = ValueError(SECRET.hex())
    assert in_text("", exception_texts(wrong), NAMED)
    wrong.__cause__ = None
    assert in_text("", exception_texts(wrong), NAMED) == []
    for change in (
        lambda each: each.add_note(SECRET.hex()),
        lambda each: setattr(each, "field", SECRET),
        lambda each: setattr(each, "args", (1, SECRET)),
        lambda each: setattr(each, "__context__", KeyError(SECRET)),
    ):
        other = FormatError("x", "y", 0, "found", "expected")
        change(other)
        assert in_text("", exception_texts(other), NAMED), change


def test_errors_that_are_kept_are_recorded() -> None:
    with recorded() as said:
        kept = FormatError("x", SECRET.hex(), 0, "found", "expected")
        PefError("y")
    assert in_text("", "\n".join(said), NAMED)
    assert len(said) == 1
    assert kept.field == SECRET.hex()


CHILD: Final = """
import sys
from secret_search import atoms, everything
kept = [{"a": bytes.fromhex(sys.argv[1])[::-1]}]
sys.argv[1] = ""
sys.stdout.buffer.write(atoms(everything()))
"""


def test_everything_of_another_process_comes_out() -> None:
    backwards = SECRET[::-1].hex()
    tests = str(Path(__file__).parent)
    source = str(Path(__file__).parents[1] / "src")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, backwards],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([tests, source])},
        capture_output=True,
        check=True,
    )
    assert "raw" in {each.form for each in in_bytes("", done.stdout, NAMED)}


def test_json_hides_no_form() -> None:
    text = json.dumps({"a": "".join(map(chr, SECRET)), "b": SECRET.hex()})
    assert in_text("", text, NAMED)
    assert built("svm").name == "svm"
