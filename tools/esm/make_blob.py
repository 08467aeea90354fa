"""A whole blob from a configuration: what `create`, `authorize`, … do one by one."""

from __future__ import annotations

from pathlib import Path

from pefstack.hw.tpm.crypto.stream import Stream
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_digests import EsmDigests
from pefstack.tools.errors import UsageError
from pefstack.tools.esm.blob_edit import attach, authorize, new_blob, put_digests
from pefstack.tools.esm.config import Entry, MakeConfig
from pefstack.tools.esm.guest_digests import guest_digests
from pefstack.tools.esm.keys import PublicKey, read_public_key, read_secret_key
from pefstack.tools.esm.password import Password
from pefstack.tools.files import map_bytes, read_bytes


def make_blob(config: MakeConfig, password: Password, stream: Stream) -> EsmBlob:
    """The blob; randomness is drawn in the order of the entries.

    The secret key opens nothing here: it only has to be the other half of ``pubkey``,
    since without it nobody could change the blob later. Raises `UsageError`, and
    `FormatError` for a kernel that is none.
    """
    owner = read_public_key(Path(config.origin["pubkey"]))
    _check_pair(config.origin, owner, password)
    blob, key = new_blob(owner, stream, _comment(config.origin))
    for each in config.recipients:
        machine = read_public_key(Path(each["pubkey"]))
        blob = _authorized(blob, each, machine, key, stream)
    if config.digest is not None:
        digests = _digests(config.digest)
        blob = put_digests(blob, digests, key, stream, _comment(config.digest))
    for each in config.files:
        path = Path(each["path"])
        named = each.get("name") or path.name, read_bytes(path)
        blob = attach(blob, named, key, stream, _comment(each))
    return blob


def _check_pair(origin: Entry, owner: PublicKey, password: Password) -> None:
    if "seckey" not in origin:
        return
    secret = read_secret_key(Path(origin["seckey"]), password)
    if secret.public.fingerprint != owner.fingerprint:
        names = f"{origin['pubkey']} and {origin['seckey']}"
        raise UsageError(f"{names} are not two halves of one key")


def _authorized(
    blob: EsmBlob, entry: Entry, machine: PublicKey, key: bytes, stream: Stream
) -> EsmBlob:
    try:
        return authorize(blob, machine, key, stream, _comment(entry))
    except UsageError as exc:
        raise UsageError(f"{entry['pubkey']}: {exc}") from None


def _digests(entry: Entry) -> EsmDigests:
    kernel, initramfs = (map_bytes(Path(entry[key])) for key in ("kernel", "initramfs"))
    return guest_digests(kernel, initramfs, entry["args"])


def _comment(entry: Entry) -> str:
    return entry.get("comment", "")
