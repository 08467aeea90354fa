"""Marshalling of the structures that commands carry: closures made once (Part 2).

An unmarshaller takes its value off a `Reader` or raises `Refusal` with the bare
response code; who called it knows whether that was a handle, session or parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, Final, TypeVar

from pefstack.hw.tpm.codes import DIGEST_SIZE, PCR_SELECT_SIZE, TpmAlgId
from pefstack.hw.tpm.response_codes import Refusal, TpmRc

_CODE: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}  # of `struct`, by size

T = TypeVar("T")
Marshal = Callable[[Any], bytes]
PcrSelect = tuple[int, int]  # TPMS_PCR_SELECTION: algorithm, and bit n for PCR n
TaggedDigest = tuple[int, bytes]  # TPMT_HA: algorithm and digest


class Reader:
    """A place in the bytes of one command, and the hashes the TPM implements."""

    __slots__ = ("digest_sizes", "end", "offset", "raw")

    def __init__(
        self, raw: bytes, offset: int, end: int, digest_sizes: Mapping[int, int]
    ) -> None:
        self.raw = raw
        self.offset = offset
        self.end = end
        self.digest_sizes = digest_sizes

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes; TPM_RC_INSUFFICIENT when they are not there."""
        start = self.offset
        stop = start + size
        if stop > self.end:
            raise Refusal(TpmRc.INSUFFICIENT)
        self.offset = stop
        return self.raw[start:stop]


Unmarshal = Callable[[Reader], T]


def uint(size: int) -> Unmarshal[int]:
    """UINT8 to UINT64: ``size`` bytes, big-endian."""
    unpack_from = Struct(f">{_CODE[size]}").unpack_from

    def unmarshal(reader: Reader) -> int:
        start = reader.offset
        if start + size > reader.end:
            raise Refusal(TpmRc.INSUFFICIENT)
        reader.offset = start + size
        value: int = unpack_from(reader.raw, start)[0]
        return value

    return unmarshal


UINT8: Final = uint(1)
UINT16: Final = uint(2)
UINT32: Final = uint(4)
UINT64: Final = uint(8)


def one_of(base: Unmarshal[int], values: frozenset[int], rc: int) -> Unmarshal[int]:
    """A TPMI: an integer that must be one of ``values``, else ``rc``."""

    def unmarshal(reader: Reader) -> int:
        value = base(reader)
        if value not in values:
            raise Refusal(rc)
        return value

    return unmarshal


def tpm2b(max_size: int) -> Unmarshal[bytes]:
    """TPM2B: a length and that many bytes; TPM_RC_SIZE above ``max_size``."""

    def unmarshal(reader: Reader) -> bytes:
        size = UINT16(reader)
        if size > max_size:
            raise Refusal(TpmRc.SIZE)
        return reader.take(size)

    return unmarshal


def sized(item: Unmarshal[T]) -> Unmarshal[T]:
    """TPM2B around a structure: TPM_RC_SIZE unless it is as long as the size says.

    As in the reference the structure is read first, and what it used compared after.
    """

    def unmarshal(reader: Reader) -> T:
        size = UINT16(reader)
        if size == 0:
            raise Refusal(TpmRc.SIZE)
        start = reader.offset
        value = item(reader)
        if reader.offset - start != size:
            raise Refusal(TpmRc.SIZE)
        return value

    return unmarshal


def sized_or_empty(item: Unmarshal[T]) -> Unmarshal[T | None]:
    """The same; None when the size is zero."""
    filled = sized(item)

    def unmarshal(reader: Reader) -> T | None:
        start = reader.offset
        if UINT16(reader) == 0:
            return None
        reader.offset = start
        return filled(reader)

    return unmarshal


def pair(item: Unmarshal[T]) -> Unmarshal[tuple[T, T]]:
    """Two of the same kind, such as x and y, or r and s."""

    def unmarshal(reader: Reader) -> tuple[T, T]:
        return item(reader), item(reader)

    return unmarshal


def list_of(item: Unmarshal[T], most: int, least: int = 0) -> Unmarshal[list[T]]:
    """TPML: a count and the items; TPM_RC_SIZE outside ``least`` to ``most``."""

    def unmarshal(reader: Reader) -> list[T]:
        count = UINT32(reader)
        if not least <= count <= most:
            raise Refusal(TpmRc.SIZE)
        return [item(reader) for _ in range(count)]

    return unmarshal


def list_of_hashes(item: Unmarshal[T]) -> Unmarshal[list[T]]:
    """TPML with at most HASH_COUNT items: as many as the TPM implements hashes."""

    def unmarshal(reader: Reader) -> list[T]:
        count = UINT32(reader)
        if count > len(reader.digest_sizes):
            raise Refusal(TpmRc.SIZE)
        return [item(reader) for _ in range(count)]

    return unmarshal


def hash_algorithm(reader: Reader) -> int:
    """TPMI_ALG_HASH: a hash that this TPM implements, else TPM_RC_HASH."""
    alg = UINT16(reader)
    if alg not in reader.digest_sizes:
        raise Refusal(TpmRc.HASH)
    return alg


def hash_or_null(reader: Reader) -> int:
    """TPMI_ALG_HASH+: such a hash or TPM_ALG_NULL, else TPM_RC_HASH."""
    alg = UINT16(reader)
    if alg != TpmAlgId.NULL and alg not in reader.digest_sizes:
        raise Refusal(TpmRc.HASH)
    return alg


def tagged_digest(reader: Reader) -> TaggedDigest:
    """TPMT_HA: the algorithm decides how long the digest is."""
    alg = hash_algorithm(reader)
    return alg, reader.take(reader.digest_sizes[alg])


def pcr_selection(reader: Reader) -> PcrSelect:
    """TPMS_PCR_SELECTION: a select of a size not ours is TPM_RC_VALUE."""
    alg = hash_algorithm(reader)
    if UINT8(reader) != PCR_SELECT_SIZE:
        raise Refusal(TpmRc.VALUE)
    return alg, int.from_bytes(reader.take(PCR_SELECT_SIZE), "little")


def whole(
    item: Unmarshal[T], raw: bytes, digest_sizes: Mapping[int, int] = DIGEST_SIZE
) -> T:
    """The structure that ``raw`` is from end to end; TPM_RC_SIZE when bytes remain."""
    reader = Reader(raw, 0, len(raw), digest_sizes)
    value = item(reader)
    if reader.offset != len(raw):
        raise Refusal(TpmRc.SIZE)
    return value


TPMI_YES_NO: Final = one_of(UINT8, frozenset((0, 1)), TpmRc.VALUE)
TPM_SU: Final = one_of(UINT16, frozenset((0, 1)), TpmRc.VALUE)
TPML_DIGEST_VALUES: Final = list_of_hashes(tagged_digest)
TPML_PCR_SELECTION: Final = list_of_hashes(pcr_selection)

put_uint8: Final[Marshal] = Struct(">B").pack
put_uint16: Final[Marshal] = Struct(">H").pack
put_uint32: Final[Marshal] = Struct(">I").pack
put_uint64: Final[Marshal] = Struct(">Q").pack


def put_raw(value: bytes) -> bytes:
    """Bytes that are marshalled already."""
    return value


def put_tpm2b(value: bytes) -> bytes:
    """TPM2B: a length and the bytes."""
    return put_uint16(len(value)) + value


def put_pair(value: tuple[bytes, bytes]) -> bytes:
    """Two TPM2B, such as x and y, or r and s."""
    return put_tpm2b(value[0]) + put_tpm2b(value[1])


def put_structure(value: Any) -> bytes:
    """A value that knows its bytes: TPMS or TPMT."""
    raw: bytes = value.to_bytes()
    return raw


def put_sized(value: Any) -> bytes:
    """TPM2B around a value that knows its bytes; None gives an empty one."""
    return put_tpm2b(b"" if value is None else value.to_bytes())


def put_list(put_item: Marshal) -> Marshal:
    """TPML: a count and the items."""

    def marshal(items: list[Any]) -> bytes:
        return put_uint32(len(items)) + b"".join([put_item(item) for item in items])

    return marshal


def put_tagged_digest(value: TaggedDigest) -> bytes:
    """TPMT_HA."""
    return put_uint16(value[0]) + value[1]


def put_pcr_selection(value: PcrSelect) -> bytes:
    """TPMS_PCR_SELECTION with a select of three bytes."""
    select = value[1].to_bytes(PCR_SELECT_SIZE, "little")
    return put_uint16(value[0]) + put_uint8(PCR_SELECT_SIZE) + select


_put_digests: Final = put_list(put_tpm2b)


def put_digests(items: list[bytes]) -> bytes:
    """TPML_DIGEST; digests of one size, as a bank has them, all at once."""
    sizes = set(map(len, items))
    if len(sizes) != 1:
        return _put_digests(items)
    head = put_uint16(sizes.pop())
    return put_uint32(len(items)) + head + head.join(items)


put_numbers: Final = put_list(put_uint32)
put_digest_values: Final = put_list(put_tagged_digest)
put_pcr_selections: Final = put_list(put_pcr_selection)
