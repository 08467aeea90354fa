"""An ESAPI flow of our own: `python flow.py TCTI` prints what it saw, in JSON.

It runs in a Python that has tpm2-pytss. What it prints is the same on any TPM: names,
digests, response codes, secrets that came back; never what a TPM makes at random.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

tss: Any = import_module("tpm2_pytss")
utils: Any = import_module("tpm2_pytss.utils")

Found = dict[str, Any]
SECRET, PASSWORD = b"the seed of a locked box", b"object-auth"
NONE = tss.ESYS_TR.NONE
NO_CIPHER = tss.TPMT_SYM_DEF(algorithm=tss.TPM2_ALG.NULL)
CFB = tss.TPMT_SYM_DEF(
    algorithm=tss.TPM2_ALG.AES,
    keyBits=tss.TPMU_SYM_KEY_BITS(aes=128),
    mode=tss.TPMU_SYM_MODE(aes=tss.TPM2_ALG.CFB),
)
XOR = tss.TPMT_SYM_DEF(
    algorithm=tss.TPM2_ALG.XOR, keyBits=tss.TPMU_SYM_KEY_BITS(exclusiveOr=0xB)
)
BOTH = tss.TPMA_SESSION.DECRYPT | tss.TPMA_SESSION.ENCRYPT
KEPT = tss.TPMA_SESSION.CONTINUESESSION
PCR = "sha256:16"
SEALED = tss.TPMA_OBJECT.USERWITHAUTH | tss.TPMA_OBJECT.NODA


def session(
    tpm: Any, kind: str, key: Any = NONE, cipher: Any = NO_CIPHER, bind: Any = NONE
) -> Any:
    """A session; salted with ``key``, and with both kinds of encryption."""
    made = tpm.start_auth_session(
        key, bind, getattr(tss.TPM2_SE, kind), cipher, tss.TPM2_ALG.SHA256
    )
    if key != NONE:
        tpm.trsess_set_attributes(made, KEPT | BOTH)
    return made


def refused(action: Callable[..., Any], *words: Any, **more: Any) -> str:
    """The response code."""
    try:
        action(*words, **more)
    except tss.TSS2_Exception as error:
        return hex(error.rc)
    return "0x0"


@contextmanager
def policy(
    tpm: Any, kind: str, *steps: Callable[[Any], Any], **more: Any
) -> Iterator[Any]:
    """A policy session after its steps, gone at the end."""
    made = session(tpm, kind, **more)
    try:
        for step in steps:
            step(made)
        yield made
    finally:
        tpm.flush_context(made)


def digest(tpm: Any, *steps: Callable[[Any], Any]) -> Any:
    """The policy of these steps."""
    with policy(tpm, "TRIAL", *steps) as trial:
        return tpm.policy_get_digest(trial)


def sensitive(auth: bytes = b"", data: bytes = b"") -> Any:
    return tss.TPM2B_SENSITIVE_CREATE(
        tss.TPMS_SENSITIVE_CREATE(userAuth=auth, data=data)
    )


def extension(byte: bytes) -> Any:
    area = tss.TPMT_HA(hashAlg=tss.TPM2_ALG.SHA256)
    area.digest.sha256 = byte * 32
    return tss.TPML_DIGEST_VALUES([area])


def text(value: Any) -> str:
    return bytes(value).hex()


def sealing(tpm: Any, parent: Any, found: Found) -> None:
    """Seal under a PCR and a password, everything encrypted in a salted session."""

    def of_pcr(made: Any) -> None:
        tpm.policy_pcr(made, b"", PCR)

    tpm.pcr_reset(tss.ESYS_TR.PCR16)
    tpm.pcr_extend(tss.ESYS_TR.PCR16, extension(b"\x11"))
    rule = digest(tpm, of_pcr, tpm.policy_auth_value)
    template = tss.TPM2B_PUBLIC.parse(
        "keyedhash",
        objectAttributes=SEALED ^ tss.TPMA_OBJECT.USERWITHAUTH,
        authPolicy=rule,
    )
    hidden = session(tpm, "HMAC", parent, CFB)
    private, public, *_ = tpm.create(
        parent, sensitive(PASSWORD, SECRET), template, session1=hidden
    )
    sealed = tpm.load(parent, private, public, session1=hidden)
    found["policy"] = text(rule)
    steps = of_pcr, tpm.policy_auth_value
    for name, auth in (("right", PASSWORD), ("wrong", b"x")):
        tpm.tr_set_auth(sealed, auth)
        with policy(tpm, "POLICY", *steps, key=parent, cipher=CFB) as allowed:
            found[f"unseal, {name} password"] = refused(
                tpm.unseal, sealed, session1=allowed
            )
    tpm.tr_set_auth(sealed, PASSWORD)
    with policy(tpm, "POLICY", *steps, key=parent, cipher=CFB) as allowed:
        found["unsealed"] = text(tpm.unseal(sealed, session1=allowed))
    tpm.pcr_extend(tss.ESYS_TR.PCR16, extension(b"\x22"))
    with policy(tpm, "POLICY", *steps, key=parent, cipher=CFB) as allowed:
        found["unseal, other PCR"] = refused(tpm.unseal, sealed, session1=allowed)
    for each in (sealed, hidden):
        tpm.flush_context(each)


def indexes(tpm: Any, parent: Any, found: Found) -> None:
    """NV of each type; in a salted session with XOR, bound to the index's password."""
    for number, kind in enumerate(("ORDINARY", "COUNTER", "BITS", "EXTEND")):
        attributes = tss.TPMA_NV.AUTHREAD | tss.TPMA_NV.AUTHWRITE | tss.TPMA_NV.NO_DA
        attributes |= getattr(tss.TPM2_NT, kind) << tss.TPMA_NV.TPM2_NT_SHIFT
        area = tss.TPMS_NV_PUBLIC(
            nvIndex=0x01500010 + number,
            nameAlg=tss.TPM2_ALG.SHA256,
            attributes=attributes,
            dataSize={"ORDINARY": 24, "EXTEND": 32}.get(kind, 8),
        )
        index = tpm.nv_define_space(b"nvpw", tss.TPM2B_NV_PUBLIC(area))
        found[f"{kind}, unwritten"] = refused(
            tpm.nv_read, index, area.dataSize, 0, auth_handle=index
        )
        use = {"session1": session(tpm, "HMAC", parent, XOR, bind=index)}
        write(tpm, kind, index, use)
        read = tpm.nv_read(index, area.dataSize, 0, auth_handle=index, **use)
        _, name = tpm.nv_read_public(index)
        found[kind] = [text(read) if kind != "COUNTER" else len(read), text(name)]
        tpm.flush_context(use["session1"])
        tpm.nv_undefine_space(index)


def write(tpm: Any, kind: str, index: Any, use: dict[str, Any]) -> None:
    if kind == "ORDINARY":
        tpm.nv_write(index, SECRET, 0, auth_handle=index, **use)
    elif kind == "COUNTER":
        tpm.nv_increment(index, auth_handle=index, **use)
    elif kind == "BITS":
        tpm.nv_set_bits(index, 0x8001, auth_handle=index, **use)
    else:
        tpm.nv_extend(index, SECRET, auth_handle=index, **use)


def quoting(tpm: Any, parent: Any, found: Found) -> None:
    """Quotes with RSA and ECC, verified by another library."""
    restricted = tss.TPMA_OBJECT.DEFAULT_TPM2_TOOLS_CREATEPRIMARY_ATTRS
    restricted ^= tss.TPMA_OBJECT.DECRYPT | tss.TPMA_OBJECT.SIGN_ENCRYPT
    for kind in ("rsa2048:rsassa-sha256:null", "ecc256:ecdsa-sha256:null"):
        template = tss.TPM2B_PUBLIC.parse(kind, objectAttributes=restricted)
        private, public, *_ = tpm.create(parent, None, template)
        key = tpm.load(parent, private, public)
        attest, signature = tpm.quote(key, PCR, b"qualifying")
        signature.verify_signature(public, bytes(attest))
        said = tss.TPMS_ATTEST.unmarshal(bytes(attest))[0]
        found[kind] = [
            text(said.extraData),
            text(said.attested.quote.pcrDigest),
            len(bytes(private.buffer)),
        ]
        tpm.flush_context(key)


def moving(tpm: Any, parent: Any, found: Found) -> None:
    """A duplicate to another parent, and a key from outside."""
    rule = digest(
        tpm, lambda made: tpm.policy_command_code(made, tss.TPM2_CC.Duplicate)
    )
    template = tss.TPM2B_PUBLIC.parse(
        "keyedhash", objectAttributes=SEALED, authPolicy=rule
    )
    private, public, *_ = tpm.create(parent, sensitive(PASSWORD, SECRET), template)
    moved = tpm.load(parent, private, public)
    other = tpm.create_primary(None, "ecc256", tss.ESYS_TR.ENDORSEMENT)[0]
    with policy(
        tpm, "POLICY", lambda made: tpm.policy_command_code(made, tss.TPM2_CC.Duplicate)
    ) as allowed:
        key, blob, seed = tpm.duplicate(
            moved,
            other,
            None,
            tss.TPMT_SYM_DEF_OBJECT.parse("aes128cfb"),
            session1=allowed,
        )
    tpm.flush_context(moved)
    symmetric = tss.TPMT_SYM_DEF_OBJECT.parse("aes128cfb")
    private = tpm.import_(other, key, public, blob, seed, symmetric)
    moved = tpm.load(other, private, public)
    tpm.tr_set_auth(moved, PASSWORD)
    found["moved"] = [text(tpm.unseal(moved)), len(bytes(blob.buffer)), len(key)]
    tpm.flush_context(moved)
    outside(tpm, other, found)
    tpm.flush_context(other)


def outside(tpm: Any, parent: Any, found: Found) -> None:
    """A key of this program, wrapped here, that signs there."""
    numbers = import_module("cryptography.hazmat.primitives.asymmetric.ec")
    coding = import_module("cryptography.hazmat.primitives.serialization")
    own = numbers.derive_private_key(0xC0FFEE, numbers.SECP256R1())
    pem = own.private_bytes(
        coding.Encoding.PEM,
        coding.PrivateFormat.TraditionalOpenSSL,
        coding.NoEncryption(),
    )
    public = tss.TPM2B_PUBLIC.from_pem(
        pem,
        objectAttributes=tss.TPMA_OBJECT.USERWITHAUTH | tss.TPMA_OBJECT.SIGN_ENCRYPT,
    )
    area = tss.TPM2B_SENSITIVE.from_pem(pem)
    area.sensitiveArea.authValue = PASSWORD
    around = tpm.read_public(parent)[0]
    _, blob, seed = utils.wrap(around.publicArea, public, area)
    bare = tss.TPMT_SYM_DEF_OBJECT(algorithm=tss.TPM2_ALG.NULL)
    private = tpm.import_(parent, b"", public, blob, seed, bare)
    key = tpm.load(parent, private, public)
    tpm.tr_set_auth(key, PASSWORD)
    hashed, ticket = tpm.hash(b"message", tss.TPM2_ALG.SHA256)
    scheme = tss.TPMT_SIG_SCHEME(scheme=tss.TPM2_ALG.ECDSA)
    scheme.details.ecdsa.hashAlg = tss.TPM2_ALG.SHA256
    signature = tpm.sign(key, hashed, scheme, ticket)
    signature.verify_signature(public, b"message")
    found["from outside"] = text(tpm.read_public(key)[1])
    context = tpm.context_save(key)
    tpm.flush_context(key)
    again = tpm.context_load(context)
    found["context"] = text(tpm.read_public(again)[1])
    tpm.flush_context(again)


def credentials(tpm: Any, parent: Any, found: Found) -> None:
    """A credential made here for a key there."""
    public, name, _ = tpm.read_public(parent)
    blob, hidden = utils.make_credential(public, SECRET, name)
    found["credential"] = text(tpm.activate_credential(parent, parent, blob, hidden))
    blob, hidden = utils.make_credential(public, SECRET, b"\0\x0b" + b"\xaa" * 32)
    found["another's credential"] = refused(
        tpm.activate_credential, parent, parent, blob, hidden
    )


def main(tcti: str) -> None:
    found: Found = {}
    with tss.ESAPI(tcti) as tpm:
        tpm.startup(tss.TPM2_SU.CLEAR)
        parent = tpm.create_primary(None, "rsa2048")[0]
        for part in (sealing, indexes, quoting, moving, credentials):
            part(tpm, parent, found)
        tpm.flush_context(parent)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
