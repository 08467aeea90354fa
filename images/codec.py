"""The single place where construct meets the rest of the code."""

from __future__ import annotations

import io
from typing import Any

from construct import Construct, ConstructError

from pefstack.images.errors import FormatError

Buffer = bytes | bytearray | memoryview


def parse_all(name: str, layout: Construct[Any, Any], raw: Buffer) -> dict[str, Any]:
    """Parse every byte of ``raw``; leftover bytes are a `FormatError`."""
    fields, size = parse_prefix(name, layout, raw)
    if rest := len(raw) - size:
        raise FormatError(name, "end", size, f"{rest} bytes left over", "no more bytes")
    return fields


def parse_prefix(
    name: str, layout: Construct[Any, Any], raw: Buffer
) -> tuple[dict[str, Any], int]:
    """Parse the start of ``raw``: the fields, and how many bytes they took.

    Fields whose name begins with an underscore are checked and left out.
    """
    stream = io.BytesIO(raw)
    try:
        fields = layout.parse_stream(stream)
    except ConstructError as exc:
        field = (getattr(exc, "path", None) or "").rpartition("-> ")[2] or "?"
        problem = str(exc).splitlines()[-1]
        raise FormatError(name, field, stream.tell(), problem, "see layout") from exc
    kept = {key: value for key, value in fields.items() if not key.startswith("_")}
    return kept, stream.tell()


def build_bytes(
    name: str, layout: Construct[Any, Any], values: dict[str, Any]
) -> bytes:
    """The bytes of these fields; a value that does not fit is a `FormatError`."""
    try:
        raw: bytes = layout.build(values)
    except ConstructError as exc:
        field = (getattr(exc, "path", None) or "").rpartition("-> ")[2] or "?"
        problem = str(exc).splitlines()[-1]
        raise FormatError(name, field, 0, problem, "a value that fits") from exc
    return raw
