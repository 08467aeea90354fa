"""A search for secrets in whatever a program leaves behind.

A secret is looked for in many forms, in memory pages, texts and in whole graphs of
Python objects. What is found is told by name of the secret, its form and the place;
never its bytes.
"""

from __future__ import annotations

import base64
import gc
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from pefstack.hw.memory import PAGE_SIZE, Memory

MIN_SIZE: Final = 8  # shorter secrets would be found by accident
FRAGMENT: Final = 4  # bytes of a secret that a text must not have
REGISTER: Final = (1 << 64) - 1
SEPARATOR: Final = b"\xff\0\xfe\1"
_BLANK: Final = bytes(PAGE_SIZE)
_ATOMS: Final = (bytes, bytearray, str, int, memoryview)
_NOT_FOLLOWED: Final = (type, types.ModuleType, types.FrameType, types.CodeType)

Secrets = Mapping[str, bytes]


class Found(NamedTuple):
    """A secret that lies open."""

    place: str
    secret: str
    form: str


@cache
def forms(secret: bytes) -> dict[str, bytes]:
    """Every way in which the whole of a secret is looked for, by name."""
    if len(secret) < MIN_SIZE:
        raise ValueError(f"a secret of {len(secret)} bytes is found by accident")
    latin = secret.decode("latin-1")
    found = {
        "raw": secret,
        "reversed": secret[::-1],
        "hex": secret.hex().encode(),
        "hex upper": secret.hex().upper().encode(),
        "utf-8": latin.encode(),
        "utf-16le": latin.encode("utf-16-le"),
        "utf-16be": latin.encode("utf-16-be"),
        "repr": _printed(secret).encode(),
        "repr twice": repr(_printed(secret))[1:-1].encode(),
        "decimal list": ", ".join(map(str, secret)).encode(),
        "decimal": str(int.from_bytes(secret, "big")).encode(),
    }
    found |= {f"base64 {skip}": _base64(secret, skip) for skip in range(3)}
    found |= {f"words of {size}": _turned(secret, size) for size in (2, 4, 8)}
    # as registers print: each of eight bytes, the last one filled up
    words = [secret[at : at + 8].ljust(8, b"\0") for at in range(0, len(secret), 8)]
    numbers = [int.from_bytes(each, "big") for each in words]
    found["registers"] = ", ".join(map(str, numbers)).encode()
    found["words in hex"] = b" ".join(each.hex().encode() for each in words)
    return found


@cache
def fragments(secret: bytes) -> dict[str, bytes]:
    """What not even a text may have of it: four bytes in hex, eight as they are."""
    hexed = secret.hex()
    ends = range(0, len(hexed) - 2 * FRAGMENT + 1, 2)
    found = {f"hex of byte {at // 2}": hexed[at:][: 2 * FRAGMENT] for at in ends}
    # pieces of six at every third byte: eight bytes in a row hold one of them
    pieces = {at: secret[at : at + 6] for at in range(0, len(secret) - 5, 3)}
    found |= {f"byte {at}": _printed(piece) for at, piece in pieces.items()}
    twice = {at: repr(_printed(piece))[1:-1] for at, piece in pieces.items()}
    found |= {f"byte {at}, twice": piece for at, piece in twice.items()}
    return {form: text.encode() for form, text in found.items()}


def in_bytes(place: str, raw: bytes, secrets: Secrets) -> list[Found]:
    """Whole secrets in any form; case of hex does not matter."""
    needles = {
        needle: (name, form)
        for name, secret in secrets.items()
        for form, needle in forms(secret).items()
    }
    return [Found(place, *what) for needle, what in needles.items() if needle in raw]


def in_text(place: str, text: str, secrets: Secrets) -> list[Found]:
    """As `in_bytes`, and fragments."""
    raw = SEPARATOR.join(_encoded(text))
    hexed = _hex_windows(raw.lower())
    found = in_bytes(place, raw, secrets)
    for name, secret in secrets.items():
        for form, needle in fragments(secret).items():
            if needle in (hexed if form.startswith("hex") else raw):
                found.append(Found(place, name, f"fragment, {form}"))
    return found


def _hex_windows(text: bytes) -> set[bytes]:
    """Every run of as many digits as a fragment has."""
    size = 2 * FRAGMENT
    runs = re.findall(rb"[0-9a-f]{%d,}" % size, text)
    return {run[at : at + size] for run in runs for at in range(len(run) - size + 1)}


def pages(memory: Memory, searched: Memory | None = None) -> bytes:
    """All pages with something in them, in their order; neighbours stay together.

    Those that another memory has as well, the same objects, were searched there.
    """
    parts: list[bytes] = []
    known = searched._pages if searched else {}
    blank: dict[int, bool] = {}
    last = -1
    for number, page in sorted(memory._pages.items()):
        if known.get(number) is page or _is_blank(page, blank):
            continue
        parts += [] if number == last + 1 else [SEPARATOR]
        parts.append(bytes(page))
        last = number
    return b"".join(parts)


def _is_blank(page: bytes | bytearray | memoryview, known: dict[int, bool]) -> bool:
    """Many pages are views of one object: each object is looked at once."""
    whole: Any = page.obj if isinstance(page, memoryview) else page
    if len(whole) != PAGE_SIZE:
        return bytes(page) == _BLANK
    return known.setdefault(id(whole), bool(whole == _BLANK))


def reachable(root: object, truth: Iterable[object] = ()) -> Iterator[Any]:
    """Every object that can be reached, but for ``truth`` and what is behind it.

    Of a function its closure and its defaults count; types and modules do not.
    """
    seen = {id(each) for each in truth}
    waiting: list[Any] = [root]
    kept: list[Any] = []  # while it is walked nothing may get the number of another
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, _NOT_FOLLOWED):
            continue
        seen.add(id(each))
        kept.append(each)
        yield each
        waiting.extend(_behind(each))


def everything() -> Iterator[Any]:
    """Every object of this process that the collector knows, and what they refer to.

    It does not know containers of atoms only; those are reached from others.
    """
    gc.collect()
    seen: set[int] = set()
    waiting: list[Any] = [each for each in gc.get_objects() if _is_followed(each)]
    while waiting:
        holder = waiting.pop()
        yield holder
        for each in gc.get_referents(holder):
            if isinstance(each, _ATOMS):
                yield each
            elif not gc.is_tracked(each) and id(each) not in seen:
                seen.add(id(each))
                waiting.append(each)


def _is_followed(each: object) -> bool:
    return not isinstance(each, type)


def atoms(objects: Iterable[Any]) -> bytes:
    """The bytes, texts and numbers among objects in one piece, to be searched.

    Of a view the whole that it shows a part of. Lists of numbers that fit a register
    stand there as registers do. What is all zeros is left out.
    """
    seen: dict[int, Any] = {}  # they live on, or another would get their number
    parts: list[bytes] = []
    for each in objects:
        whole = _whole(each)
        if id(whole) not in seen and isinstance(whole, (*_ATOMS, list, tuple)):
            seen[id(whole)] = whole
            parts.extend(_as_bytes(whole))
    return SEPARATOR.join(parts)


def _whole(each: Any) -> Any:
    if not isinstance(each, memoryview):
        return each
    try:
        return each.obj if isinstance(each.obj, bytes | bytearray) else bytes(each)
    except ValueError:  # a view that was released
        return b""


def _printed(raw: bytes) -> str:
    return repr(raw)[2:-1]


def _base64(secret: bytes, skip: int) -> bytes:
    """What does not depend on the bytes before and behind it."""
    text = base64.b64encode(bytes(skip) + secret)
    whole = (skip + len(secret)) // 3 * 4
    return text[-(-skip // 3) * 4 : whole]


def _turned(secret: bytes, size: int) -> bytes:
    """Whole words only, each with its bytes reversed."""
    ends = range(0, len(secret) - size + 1, size)
    return b"".join(secret[at : at + size][::-1] for at in ends)


def _behind(each: Any) -> Iterable[Any]:
    if isinstance(each, types.FunctionType):
        return (each.__closure__, each.__defaults__, each.__kwdefaults__)
    return gc.get_referents(each)


def _as_bytes(each: Any) -> Iterator[bytes]:
    if isinstance(each, str):
        yield from _encoded(each)
    elif isinstance(each, bool):
        return
    elif isinstance(each, int):
        yield from _number(each)
    elif isinstance(each, bytes | bytearray):
        if each.count(0) != len(each):
            yield bytes(each)
    elif each and all(isinstance(part, int) for part in each):
        if all(0 <= part <= 0xFF for part in each):
            yield bytes(each)
        yield b"".join((part & REGISTER).to_bytes(8, "big") for part in each)


def _encoded(text: str) -> Iterator[bytes]:
    """As it is printed; and the bytes for which its characters may stand."""
    yield text.encode("utf-8", "surrogatepass")
    if not text.isascii():
        yield text.encode("latin-1", "replace")


def _number(each: int) -> Iterator[bytes]:
    size = (each.bit_length() + 7) // 8
    if size >= MIN_SIZE:
        yield abs(each).to_bytes(size, "big")


def exception_texts(wrong: BaseException) -> str:
    """Everything that an exception says, and those that it came from."""
    parts: list[str] = []
    seen: set[int] = set()
    waiting: list[BaseException | None] = [wrong]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        notes = getattr(each, "__notes__", [])
        fields = getattr(each, "__dict__", {})
        parts += [str(each), repr(each), repr(each.args), repr(notes), repr(fields)]
        waiting += [each.__cause__, each.__context__]
    return "\n".join(parts)
