"""The tree in which OPAL tells the ultravisor about the TPM (esm.md 4.1, 4.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError
from pefstack.images.fdt import Fdt, FdtNode

NAME: Final = "ibm,uv-tpm"
PATH: Final = f"/{NAME}"
PASSWORD_SIZE: Final = 16
DIGEST_SIZE: Final = 32
PUBLIC_NAME_SIZE: Final = 34  # nameAlg and SHA-256
STORAGE_KEY_PUBLIC_SIZE: Final = 314  # TPMT_PUBLIC, RSA-2048 with a policy
MAX_SIZE: Final = 0x1000
_COMPATIBLE: Final = NAME.encode() + b"\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class UvTpm:
    """Keys and passwords of one boot; the passwords are 16 bytes without a zero.

    The tree lies in secure memory and is wiped once it was copied.
    """

    wrapping_key_handle: int
    wrapping_key_password: bytes = field(repr=False)
    wrapping_key_name: bytes
    wrapping_key_policy_a: bytes
    wrapping_key_policy_b: bytes
    storage_key_handle: int
    storage_key_public: bytes
    storage_key_name: bytes
    nv_index: int
    nv_password: bytes = field(repr=False)

    @classmethod
    def from_bytes(cls, raw: Buffer) -> UvTpm:
        """The whole tree; FormatError for a size that is not the format's."""
        if len(raw) > MAX_SIZE:
            found, most = f"0x{len(raw):x} bytes", f"at most 0x{MAX_SIZE:x}"
            raise FormatError(NAME, "size", 0, found, most)
        node = Fdt.from_bytes(raw).node(PATH)
        if node.value("compatible") != _COMPATIBLE:
            found = node.value("compatible").hex()
            raise FormatError(NAME, "compatible", 0, found, _COMPATIBLE.hex())
        return cls(
            wrapping_key_handle=node.u32("wrapping-key-handle"),
            wrapping_key_password=_password(node, "wrapping-key-passwd"),
            wrapping_key_name=_sized(node, "wrapping-key-publicname", PUBLIC_NAME_SIZE),
            wrapping_key_policy_a=_sized(node, "wrapping-key-policy-a", DIGEST_SIZE),
            wrapping_key_policy_b=_sized(node, "wrapping-key-policy-b", DIGEST_SIZE),
            storage_key_handle=node.u32("storage-key-handle"),
            storage_key_public=_sized(
                node, "storage-key-public", STORAGE_KEY_PUBLIC_SIZE
            ),
            storage_key_name=_sized(node, "storage-key-publicname", PUBLIC_NAME_SIZE),
            nv_index=node.u32("nv-index"),
            nv_password=_password(node, "nv-passwd"),
        )

    def to_bytes(self) -> bytes:
        """The tree; FormatError for what `from_bytes` refuses."""
        node = FdtNode(
            name=NAME,
            properties=(
                ("compatible", _COMPATIBLE),
                ("wrapping-key-handle", _cell(self.wrapping_key_handle)),
                ("wrapping-key-passwd", self.wrapping_key_password + b"\0"),
                ("wrapping-key-publicname", self.wrapping_key_name),
                ("wrapping-key-policy-a", self.wrapping_key_policy_a),
                ("wrapping-key-policy-b", self.wrapping_key_policy_b),
                ("storage-key-handle", _cell(self.storage_key_handle)),
                ("storage-key-public", self.storage_key_public),
                ("storage-key-publicname", self.storage_key_name),
                ("nv-index", _cell(self.nv_index)),
                ("nv-passwd", self.nv_password + b"\0"),
            ),
        )
        raw = Fdt(root=FdtNode(children=(node,))).to_bytes()
        self.from_bytes(raw)
        return raw


def _cell(number: int) -> bytes:
    if not 0 <= number <= 0xFFFF_FFFF:
        raise FormatError(NAME, "handle", 0, f"0x{number:x}", "at most 0xffffffff")
    return number.to_bytes(4, "big")


def _sized(node: FdtNode, name: str, size: int) -> bytes:
    value = node.value(name)
    if len(value) != size:
        raise FormatError(NAME, name, 0, f"0x{len(value):x} bytes", f"0x{size:x} bytes")
    return value


def _password(node: FdtNode, name: str) -> bytes:
    """Its value stands in no message."""
    value = _sized(node, name, PASSWORD_SIZE + 1)
    if value.find(b"\0") != PASSWORD_SIZE:
        at = value.find(b"\0")
        found = "no NUL" if at < 0 else f"the first NUL at 0x{at:x}"
        raise FormatError(NAME, name, max(at, 0), found, f"it at 0x{PASSWORD_SIZE:x}")
    return value[:PASSWORD_SIZE]
