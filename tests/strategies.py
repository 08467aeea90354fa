"""Hypothesis strategies for the values of a container, and the imprint keys."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from pefstack.images.container import (
    ContainerHeader,
    HardwareHeader,
    PrefixHeader,
    SoftwareHeader,
)
from pefstack.images.signing import FileSigner, KeySet

PEM = Path(__file__).parent / "vectors" / "boot-chain" / "keys" / "pem-named-curve"
U8 = st.integers(0, 0xFF)
U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)


def exactly(size: int) -> st.SearchStrategy[bytes]:
    """So many bytes, few of which are random: whole keys would be slow to draw."""
    short = st.binary(max_size=8)
    return st.tuples(short, short, U8).map(
        lambda ends: (
            (ends[0] + bytes([ends[2]]) * size)[: size - 8] + ends[1].rjust(8, b"\0")
        )
    )


def pairs(count: int) -> st.SearchStrategy[tuple[bytes, ...]]:
    """So many keys or signatures."""
    return st.tuples(*[exactly(132)] * count)


def hardware_headers() -> st.SearchStrategy[HardwareHeader]:
    return st.builds(
        HardwareHeader,
        container_size=U64,
        target_hrmor=U64,
        stack_pointer=U64,
        hw_keys=pairs(3),
    )


def prefix_headers(count: int, ecids: int) -> st.SearchStrategy[PrefixHeader]:
    return st.builds(
        PrefixHeader,
        version=U16,
        hash_alg=U8,
        sig_alg=U8,
        code_start_offset=U64,
        reserved=U64,
        flags=U32,
        sw_key_count=st.just(count),
        payload_size=U64,
        payload_hash=exactly(64),
        ecid_count=st.just(ecids),
    )


def software_headers(ecids: int) -> st.SearchStrategy[SoftwareHeader]:
    return st.builds(
        SoftwareHeader,
        version=U16,
        hash_alg=U8,
        sig_alg=U8,
        code_start_offset=U64,
        component_id=st.binary(min_size=8, max_size=8),
        flags=U32,
        security_version=U8,
        payload_size=U64,
        payload_hash=exactly(64),
        ecid_count=st.just(ecids),
    )


@st.composite
def container_headers(draw: st.DrawFn) -> ContainerHeader:
    """Any header whose parts fit into 4096 bytes, ECIDs and odd counts included."""
    count = draw(st.integers(0, 5))
    prefix_ecids, software_ecids = draw(st.tuples(*[st.integers(0, 20)] * 2))
    return ContainerHeader(
        hardware=draw(hardware_headers()),
        prefix=draw(prefix_headers(count, prefix_ecids)),
        prefix_ecids=draw(exactly(16 * prefix_ecids)) if prefix_ecids else b"",
        hw_signatures=draw(pairs(3)),
        sw_keys=draw(pairs(count)),
        software=draw(software_headers(software_ecids)),
        software_ecids=draw(exactly(16 * software_ecids)) if software_ecids else b"",
        sw_signatures=draw(pairs(count)),
        padding=draw(st.binary(max_size=64)).rstrip(b"\0"),
    )


def imprint_signer(name: str) -> FileSigner:
    """One of the published development keys."""
    return FileSigner.from_pem(name, (PEM / f"{name}.key").read_bytes())


def imprint_keys() -> KeySet:
    """All of them."""
    a, b, c, p, q, r = map(
        imprint_signer,
        ("hw_key_a", "hw_key_b", "hw_key_c", "sw_key_p", "sw_key_q", "sw_key_r"),
    )
    return KeySet(hardware=(a, b, c), software=(p, q, r))
