"""ESM operand: the payload opened with sealed data (esm.md 5.4, 5.5, 5.7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from hmac import compare_digest

from pefstack.images.esm_integrity import IntegrityBlock
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_keys import (
    SealedData,
    crypt_block,
    encryption_key,
    mac_of,
)
from pefstack.images.esm_operand_payload import HEADER_SIZE, MAC_SIZE, PayloadHeader
from pefstack.images.esm_operand_toc import TocEntry, read_table
from pefstack.images.esm_refusal import OperandError, OperandRefusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A block that is served to the guest; prints without its content."""

    type: int
    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPayload:
    """What a payload holds, authentic and not too old; the guest is not compared yet.

    Nothing of ``secrets`` may be served before `IntegrityBlock.check_guest`.
    """

    header: PayloadHeader
    integrity: IntegrityBlock
    secrets: tuple[Secret, ...]

    def secret(self, name: str) -> Secret | None:
        """The block of this name, if there is one."""
        return next((each for each in self.secrets if each.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticPayload:
    """A payload whose HMAC was right under the seed in ``sealed``; still encrypted."""

    header: PayloadHeader
    payload: bytes
    sealed: SealedData


def open_operand(operand: EsmOperand, sealed_data: bytes) -> OpenedPayload:
    """The payload, opened with the 40 bytes that a slot gave.

    Raises `OperandError`: E_SEED, E_MAC, then what the table and the integrity block
    are refused for, and E_ROLLBACK. Nothing is decrypted before the HMAC was right.
    """
    return open_payload(authenticate(operand, sealed_data))


def authenticate(operand: EsmOperand, sealed_data: bytes) -> AuthenticPayload:
    """The first half of `open_operand`; `OperandError` E_SEED, E_MAC."""
    sealed = SealedData.from_bytes(sealed_data)
    payload = operand.payload
    header = PayloadHeader.from_prefix(payload)
    _check_mac(sealed.seed, payload, header)
    return AuthenticPayload(header=header, payload=payload, sealed=sealed)


def open_payload(authentic: AuthenticPayload) -> OpenedPayload:
    """The second half: table, integrity block, image version, secrets."""
    header, payload, sealed = authentic.header, authentic.payload, authentic.sealed
    key = encryption_key(sealed.seed, header)
    table = crypt_block(key, 0, payload[HEADER_SIZE : header.first_block])
    first, *others = read_table(table, payload)
    content = _content(first, payload)
    if not header.clear_integrity:
        content = crypt_block(key, 1, content)
    integrity = IntegrityBlock.from_bytes(content)
    integrity.check_version(sealed.minimum_version)
    secrets = (
        Secret(
            type=each.type,
            name=each.name,
            content=crypt_block(key, index, _content(each, payload)),
        )
        for index, each in enumerate(others, 2)
    )
    return OpenedPayload(header=header, integrity=integrity, secrets=tuple(secrets))


def _check_mac(seed: bytes, payload: bytes, header: PayloadHeader) -> None:
    """The expected HMAC is no part of the message: it would make any payload good."""
    end = len(payload) - MAC_SIZE
    if not compare_digest(mac_of(seed, payload[:end], header), payload[end:]):
        found = f"{payload[end:].hex()}"
        right = "the HMAC under the key of this seed"
        raise OperandError(OperandRefusal.MAC, "payload HMAC", end, found, right)


def _content(entry: TocEntry, payload: bytes) -> bytes:
    return payload[entry.offset : entry.offset + entry.size]
