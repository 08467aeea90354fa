"""GetRandom, StirRandom (Part 3, "Random Number Generator")."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import MAX_DIGEST_SIZE, MAX_SYM_DATA, TpmCc
from pefstack.hw.tpm.command import Command, Parameter
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import UINT16, put_tpm2b, tpm2b


def get_random(inner: Internals, bytes_requested: int) -> tuple[bytes]:
    """At most as many bytes as the largest digest has, even if more are wanted."""
    return (inner.entropy.random_bytes(min(bytes_requested, MAX_DIGEST_SIZE)),)


def stir_random(inner: Internals, in_data: bytes) -> tuple[()]:
    """Mix the caller's bytes into the generator."""
    inner.entropy.stir(in_data)
    return ()


GET_RANDOM: Final = Command(
    code=TpmCc.GET_RANDOM,
    action=get_random,
    parameters=(Parameter(name="bytesRequested", unmarshal=UINT16),),
    results=(put_tpm2b,),
    encrypts=True,
)
STIR_RANDOM: Final = Command(
    code=TpmCc.STIR_RANDOM,
    action=stir_random,
    parameters=(Parameter(name="inData", unmarshal=tpm2b(MAX_SYM_DATA)),),
    writes_nv=True,
    decrypts=True,
)
COMMANDS: Final = (
    GET_RANDOM,
    STIR_RANDOM,
)
