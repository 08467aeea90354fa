"""The YAML file of `esm make`, with the entries that IBM's svm-tool knows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pefstack.tools.errors import UsageError
from pefstack.tools.files import read_bytes

MAX_SIZE: Final = 1 << 20
# entry -> (what it must have, what it may have)
ENTRIES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "origin": (("pubkey",), ("seckey", "comment")),
    "recipient": (("pubkey",), ("comment",)),
    "digest": (("args", "initramfs", "kernel"), ("comment",)),
    "file": (("path",), ("name", "comment")),
}
Entry = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeConfig:
    """What is to be in a blob; paths count from the working folder, as IBM's do.

    ``digest`` is missing only for a blob with neither recipients nor files.
    """

    origin: Entry
    recipients: tuple[Entry, ...] = ()
    digest: Entry | None = None
    files: tuple[Entry, ...] = ()


def read_config(path: Path) -> MakeConfig:
    """The entries of the file; `UsageError` says what is wrong and where."""
    found = _entries(path, _document(path))
    digests = found["digest"]
    if len(found["origin"]) != 1 or len(digests) > 1:
        raise UsageError(f"{path}: expected one origin entry and one digest entry")
    if not digests and (found["recipient"] or found["file"]):
        raise UsageError(f"{path}: a digest entry is missing")
    return MakeConfig(
        origin=found["origin"][0],
        recipients=tuple(found["recipient"]),
        digest=digests[0] if digests else None,
        files=tuple(found["file"]),
    )


def _entries(path: Path, document: object) -> dict[str, list[Entry]]:
    if not isinstance(document, list):
        raise UsageError(f"{path}: expected a list of entries")
    found: dict[str, list[Entry]] = {kind: [] for kind in ENTRIES}
    for number, item in enumerate(document, start=1):
        place = f"{path}: entry {number}"
        if not isinstance(item, dict) or len(item) != 1:
            raise UsageError(
                f"{place}: expected one of {', '.join(ENTRIES)}, and a colon"
            )
        ((kind, content),) = item.items()
        if kind not in ENTRIES:
            raise UsageError(f"{place}: {kind!r}, expected one of {', '.join(ENTRIES)}")
        found[kind].append(_checked(f"{place} ({kind})", kind, content))
    return found


def _checked(place: str, kind: str, content: object) -> Entry:
    needed, more = ENTRIES[kind]
    known = ", ".join((*needed, *more))
    if not isinstance(content, dict):
        raise UsageError(f"{place}: expected keys with values; there are: {known}")
    for key, value in content.items():
        if key not in (*needed, *more):
            raise UsageError(f"{place}: {key!r} is no key; there are: {known}")
        if not isinstance(value, str):
            raise UsageError(f"{place}: {key}: expected a text")
    if missing := [key for key in needed if key not in content]:
        raise UsageError(f"{place}: {missing[0]} is missing")
    return content


def _document(path: Path) -> object:
    """Lists, mappings and texts: nothing is taken for a number or a truth value."""
    import yaml  # only `make` needs it

    class Loader(yaml.BaseLoader):
        """A key that stands twice is refused."""

        def construct_mapping(
            self, node: yaml.MappingNode, deep: bool = False
        ) -> dict[Hashable, Any]:
            found = super().construct_mapping(node, deep=deep)
            if len(found) != len(node.value):
                raise yaml.YAMLError(f"a key twice{node.start_mark}")
            return found

    raw = read_bytes(path)
    if len(raw) > MAX_SIZE:
        raise UsageError(f"{path}: larger than 1 MiB")
    try:
        return yaml.load(raw.decode(), Loader)  # noqa: S506  # a safe one: texts alone
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as exc:
        words = " ".join(str(exc).split())
        raise UsageError(f"{path}: no YAML: {words}") from None
