"""What a call of UV_ESM knows and nobody else may."""

from __future__ import annotations

import hashlib
import hmac

from pefstack.firmware.ultravisor import tpm_client
from pefstack.firmware.ultravisor.esm_state import EsmState
from pefstack.firmware.ultravisor.lockbox_client import LockboxState
from pefstack.firmware.ultravisor.tpm_client import SlotState
from pefstack.images.esm_operand_keys import SEED_SIZE, encryption_key
from pefstack.images.esm_operand_payload import PayloadHeader
from pefstack.images.kdfa import kdfa


def secrets_of(state: EsmState) -> dict[str, bytes]:
    """What a call knows at this moment and nobody else may."""
    found: dict[str, bytes] = {}
    if state.secret:
        found["opened by the TPM"] = state.secret[: tpm_client.RANDOM_SIZE]
    if isinstance(state.client, SlotState):
        found |= _of_slot(state.client)
    if isinstance(state.client, LockboxState):
        found |= _of_lockbox(state.client)
    if state.operand and state.client and state.client.secret:
        found |= keys_of(state.client.secret[:SEED_SIZE], state.operand.payload)
    if state.payload:
        found |= {each.name: each.content for each in state.payload.secrets}
    return found


def keys_of(seed: bytes, payload: bytes) -> dict[str, bytes]:
    """A seed, the keys from it, and the HMAC that a changed payload should have."""
    header, body, mac = PayloadHeader.from_prefix(payload), payload[:-64], payload[-64:]
    nonces = header.svm_id, header.build_nonce
    key = kdfa(hashlib.sha256, seed, b"ESM-MAC", *nonces, 512)
    found = {
        "seed": seed,
        "encryption key": encryption_key(seed, header),
        "HMAC key": key,
    }
    expected = hmac.digest(key, body, hashlib.sha512)
    alike = sum(a == b for a, b in zip(mac, expected, strict=True))
    # one that was changed a little says the rest of the expected one by itself
    return found if alike > 32 else found | {"expected HMAC": expected}


def _of_slot(client: SlotState) -> dict[str, bytes]:
    size = tpm_client.RANDOM_SIZE
    drawn = [client.random[at * size :][:size] for at in range(6)]
    found = {"salt A": drawn[0], "padding A": drawn[1]}
    found |= {"salt P": drawn[3], "padding P": drawn[4]}
    for name, each in (("A", client.a), ("P", client.p)):
        if each:
            found[f"session key {name}"] = each.session_key
    return found


def _of_lockbox(client: LockboxState) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    if client.strict:
        found["salt"] = client.random[: tpm_client.RANDOM_SIZE]
    if client.session and client.session.session_key:
        found["session key"] = client.session.session_key
    if client.secret:
        found["master key"] = client.secret[:SEED_SIZE]
    return found
