"""pef esm display: what is in a blob."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any, Final

from pefstack.images.esm_attachments import read_attachments
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_blob_refusal import EsmProfile
from pefstack.images.esm_item import Item
from pefstack.images.esm_lockbox import ORIGIN, Lockbox
from pefstack.tools.cli.app import YES
from pefstack.tools.cli.esm.digest import plain
from pefstack.tools.cli.esm.options import (
    add_blob,
    add_secret_key,
    add_verbose,
    master_key_of,
)
from pefstack.tools.esm.blob_file import BlobFile, read_blob_file
from pefstack.tools.esm_place import BARE
from pefstack.tools.style import clean

_EPILOG: Final = """
A line for each lockbox, the digests, and each attachment, in the words of svm-tool.
With a key the digests are shown, too. `pef inspect` says what every byte is.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    add_blob(parser, text="the blob, or the image that it is in")
    add_secret_key(parser, required=False)
    add_verbose(parser, text="name the lockboxes")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """The owner's lockbox first, then the others by their numbers."""
    file = read_blob_file(options.blob)
    found = _described(options, file)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(*_lines(found, options.verbose), sep="\n")
    return YES


def _described(options: argparse.Namespace, file: BlobFile) -> dict[str, Any]:
    """All that can be seen; ``values`` of the digests only with a key."""
    blob = file.blob
    files = read_attachments(blob.files_fdt, EsmProfile.STRICT)
    return {
        "form": "blob" if file.form == BARE else file.form,
        "lockboxes": [
            {
                "name": each.name,
                "fingerprint": each.fingerprint.hex(),
                "comment": _text(each.comment),
            }
            for each in sorted(blob.lockboxes, key=_number)
        ],
        "digests": _digests(options, blob),
        "files": [{"name": each.name, **_item(each.item)} for each in files],
    }


def _number(lockbox: Lockbox) -> tuple[int, str]:
    """The owner's, then by number, then what has another name."""
    if lockbox.name == ORIGIN:
        return 0, ""
    number = lockbox.name.removeprefix("lockbox-")
    digits = number.isascii() and number.isdigit()
    return (int(number[:9]) if digits else 1 << 31), lockbox.name


def _digests(options: argparse.Namespace, blob: EsmBlob) -> dict[str, Any] | None:
    if blob.digests is None:
        return None
    found = _item(blob.digests)
    if options.secret_key is not None:
        opened = blob.open_digests(master_key_of(options, blob))
        found["values"] = plain(opened)
    return found


def _item(item: Item) -> dict[str, Any]:
    return {"size": len(item.ciphertext), "comment": _text(item.comment)}


def _text(comment: bytes) -> str:
    return comment.decode("utf-8", "replace")


def _lines(found: dict[str, Any], verbose: int) -> Iterator[str]:
    for box in found["lockboxes"]:
        word = "origin" if box["name"] == ORIGIN else "recipient"
        parts = [word, *([box["name"]] if verbose else []), box["fingerprint"]]
        yield _line(parts, box)
    if digests := found["digests"]:
        yield _line(["digest", "digests-fdt"], digests)
    else:
        yield "no digests: no guest starts with this blob yet"
    for name, value in (digests or {}).get("values", {}).items():
        yield f"digest {name} {value}"
    for each in found["files"]:
        yield _line(["file", each["name"]], each)


def _line(parts: list[str], item: dict[str, Any]) -> str:
    words = " ".join((*parts, "untrusted-comment", item["comment"]))
    return clean(words.rstrip())
