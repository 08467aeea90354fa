"""The recorded PEF flow on our TPM: what it had before, and each command."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPublicKey,
    RSAPublicNumbers,
)

from pefstack.hw.entropy import Clock
from pefstack.hw.journal import Journal
from pefstack.hw.tpm.engine import Tpm
from tpm_client_kit import two_b
from tpm_exchange import (
    Exchange,
    GivenNonces,
    Proofs,
    credential,
    name_of,
    nonces,
    oaep,
)
from tpm_kit import (
    ALL_BANKS,
    EMPTY_PASSWORD,
    SHUTDOWN_CLEAR,
    STARTUP_CLEAR,
    VECTORS,
    capability,
    clock_info,
    command,
    power_cycle,
    rc_of,
)
from tpm_recording import Frame, Row, first, response_frame, rows, sized

LEFT_OUT = {0x0003, 0x001B, 0x0026, 0x003F}  # TDES, SM2, Camellia, CMAC
RETRY = 154  # the other TPM answers 0x922, "again please"; the next row is the same
OWNER, PLATFORM, ENDORSEMENT = 0x40000001, 0x4000000C, 0x4000000B
SK, EK, CERTIFICATE, PASSWORD = 0x81800001, 0x81010001, 0x01C00002, 0x01800006
PASSWORDS = (
    b"",
    b"boot-password-1",
    b"boot-password-2",
    b"object-auth",
    b"nonsense",
    b"wrong",
    b"wrong-password",
)
RESETS = 6  # of the TPM that was recorded

CLOCK = 0x1C3825  # at the quote, in milliseconds
BEFORE = 1500  # since the power came
FIRMWARE = bytes.fromhex("2019102300163636")


@dataclass
class Replay:
    """Our TPM in the place of the other one."""

    recorded: list[Row] = field(default_factory=rows)
    entropy: GivenNonces = field(default_factory=GivenNonces)
    clock: Clock = field(default_factory=Clock)
    exchange: Exchange = field(default_factory=Exchange)
    counts: Counter[str] = field(default_factory=Counter)
    total: int = 0
    answers: dict[int, Frame] = field(default_factory=dict)
    spoil: tuple[int, int] = (0, 0)  # change a byte of one answer

    def __post_init__(self) -> None:
        self.tpm = Tpm(
            self.entropy, self.clock, Journal(), banks=ALL_BANKS, allocated=ALL_BANKS
        )
        self.proofs = Proofs(self.exchange, PASSWORDS)
        self.keys: dict[bytes, bytes] = {}  # our public areas by their moduli

    def run(self) -> None:
        """All of it; AssertionError where an answer is another."""
        self.prepare()
        self.exchange_seeds()
        self.exchange_credentials()
        for row in self.recorded:
            if row.number != RETRY:
                self.play(row)

    def row(self, number: int) -> Row:
        return self.recorded[number - 1]

    def prepare(self) -> None:
        """Its keys, its NV indexes, its number of resets."""
        self.tpm.power_on()
        assert rc_of(self.tpm.execute(STARTUP_CLEAR)) == 0
        self._persistent(self.row(123), ENDORSEMENT, OWNER, EK)
        self._persistent(self.row(15), PLATFORM, PLATFORM, SK)
        self._index(self.row(129), first(self.row(138).response.params)[0])
        self._index(self.row(6), b"before")
        for _ in range(RESETS - 2):
            assert rc_of(self.tpm.execute(SHUTDOWN_CLEAR)) == 0
            power_cycle(self.tpm)
            assert rc_of(self.tpm.execute(STARTUP_CLEAR)) == 0
        self.clock.advance(CLOCK - BEFORE - clock_info(self.tpm)[1])
        power_cycle(self.tpm)  # without Shutdown: Clock is not safe, as recorded

    def _persistent(self, read: Row, hierarchy: int, owner: int, handle: int) -> None:
        """A primary key from the recorded template, and what it is called."""
        public, name, qualified, _ = sized(read.response.params, 3)
        template = public[:-258] + two_b(b"")
        params = two_b(bytes(4)) + two_b(template) + two_b(b"") + bytes(4)
        area = EMPTY_PASSWORD
        made = self.tpm.execute(command(0x131, params, handles=(hierarchy,), area=area))
        frame = response_frame(0x131, made)
        own = first(frame.params)[0]
        self.learn_key(public, own, hierarchy.to_bytes(4, "big"))
        assert {name, qualified} <= set(self.exchange.pairs)
        evict = command(
            0x120,
            handle.to_bytes(4, "big"),
            handles=(owner, frame.handles[0]),
            area=area,
        )
        assert rc_of(self.tpm.execute(evict)) == 0

    def _index(self, read: Row, data: bytes) -> None:
        """An NV index as it was, written."""
        public = bytearray(first(read.response.params)[0])
        handle = int.from_bytes(public[:4], "big")
        assert public[6] & 0x20  # TPMA_NV_WRITTEN
        public[6] &= ~0x20
        define = two_b(b"") + two_b(bytes(public))
        assert self._platform(0x12A, define, PLATFORM) == 0
        assert self._platform(0x137, two_b(data) + bytes(2), PLATFORM, handle) == 0

    def _platform(self, code: int, params: bytes, *handles: int) -> int:
        raw = command(code, params, handles=handles, area=EMPTY_PASSWORD)
        return rc_of(self.tpm.execute(raw))

    def learn_key(self, theirs: bytes, ours: bytes, parent: bytes) -> None:
        """A key and its Names; ``parent`` is their parent's qualified Name."""
        assert theirs[:-256] == ours[:-256]
        assert len(theirs) == len(ours)
        self.exchange.learn(theirs[-256:], ours[-256:], "key material")
        names = [name_of(each) for each in (theirs, ours)]
        own_parent = self.exchange.ours(parent)
        qualified = [
            name_of(each) for each in (parent + names[0], own_parent + names[1])
        ]
        self.exchange.learn(names[0], names[1], "Name", masked=False)
        self.exchange.learn(qualified[0], qualified[1], "qualified Name", masked=False)
        self.keys[theirs[-256:]] = ours
        self.proofs.know(0x80000000, names[0])

    def rsa(self, read: int) -> RSAPublicKey:
        """Our key in the place of the one in a recorded ReadPublic."""
        modulus = first(self.row(read).response.params)[0][-256:]
        n = int.from_bytes(self.keys[modulus][-256:], "big")
        return RSAPublicNumbers(65537, n).public_key()

    def exchange_seeds(self) -> None:
        """Both duplicates were made for the other storage key: their seeds for ours."""
        for number, folder in ((199, "sealed_A"), (245, "sealed_B")):
            known = json.loads((VECTORS / "pef" / folder / "sealed.json").read_text())
            _, _, _, theirs, _ = sized(self.row(number).command.params, 4)
            assert two_b(theirs).hex() == known["symSeed"]
            seed = bytes.fromhex(known["seed"])
            ours = self.rsa(121).encrypt(seed, oaep(b"DUPLICATE\0"))
            self.exchange.learn(theirs, ours, "seed")

    def exchange_credentials(self) -> None:
        """A credential for our keys, and one for a Name that nobody has."""
        secret = first(self.row(155).response.params)[0]
        name = self.exchange.ours(first(first(self.row(121).response.params)[1])[0])
        for number, whose in ((155, name), (174, b"\0\x0b" + b"\xaa" * 32)):
            blob, hidden, _ = sized(self.row(number).command.params, 2)
            seed = bytes(range(32))
            ours = credential(seed, whose, secret)
            assert len(ours) == len(blob)
            self.exchange.learn(blob, ours, "credential")
            own = self.rsa(123).encrypt(seed, oaep(b"IDENTITY\0"))
            self.exchange.learn(hidden, own, "seed")

    def play(self, row: Row) -> None:
        """Send it, and compare."""
        theirs = row.command
        if row.name == "Quote":
            self.clock.advance(CLOCK - clock_info(self.tpm)[1])
        params = self.exchange.ours(theirs.params)
        sent, keys = self.proofs.command(theirs, params)
        self.entropy.nonces = nonces(row)
        raw = self.tpm.execute(sent.to_bytes())
        self.entropy.nonces = []
        if row.number == self.spoil[0]:
            raw = spoiled(raw, self.spoil[1])
        self.total += len(raw)
        answer = response_frame(theirs.code, raw)
        self.answers[row.number] = answer
        self.learn(row, answer)
        self.compare(row, sent, keys, raw)

    def compare(self, row: Row, sent: Frame, keys: list[bytes], raw: bytes) -> None:
        theirs = self.expected_list(row)
        params = theirs.params
        if row.name != "NV_Read":  # its data are those that were written
            params = self.exchange.ours(params, self.counts)
        auths = theirs.auths
        if theirs.code == 0:
            code = row.command.code
            auths = self.proofs.response(code, sent, keys, theirs, params)
            self.counts["nonceTPM"] += sum(len(each.nonce) for each in auths)
        expected = replace(theirs, params=params, auths=auths)
        assert raw.hex() == expected.to_bytes().hex(), (row.number, row.name)

    def expected_list(self, row: Row) -> Frame:
        """A list of algorithms has fewer."""
        params = row.response.params
        if row.name != "GetCapability" or params[1:5] != bytes(4):
            return row.response
        kept = [
            params[at : at + 6]
            for at in range(9, len(params), 6)
            if int.from_bytes(params[at : at + 2], "big") not in LEFT_OUT
        ]
        head = params[:5] + len(kept).to_bytes(4, "big")
        return replace(row.response, params=head + b"".join(kept))

    def learn(self, row: Row, answer: Frame) -> None:
        """What only the other TPM could know, in this answer."""
        theirs = row.response
        for asked, old, new in (
            zip(row.command.auths, theirs.auths, answer.auths, strict=True)
            if theirs.code == 0 and answer.code == 0
            else ()
        ):
            self.proofs.nonces[asked.handle] = old.nonce, new.nonce
            if old.nonce != new.nonce:
                self.exchange.learn(old.nonce, new.nonce, "nonceTPM")
        step = getattr(self, f"learn_{row.name.lower()}", None)
        if step is not None and theirs.code == answer.code == 0:
            step(row, theirs, answer)

    def learn_startauthsession(self, row: Row, theirs: Frame, answer: Frame) -> None:
        old, new = first(theirs.params)[0], first(answer.params)[0]
        self.proofs.nonces[theirs.handles[0]] = old, new
        self.counts["nonceTPM"] += len(new)

    def learn_contextsave(self, row: Row, theirs: Frame, answer: Frame) -> None:
        self.exchange.learn(theirs.params[16:], answer.params[16:], "key material")

    def learn_nv_readpublic(self, row: Row, theirs: Frame, answer: Frame) -> None:
        _, name, _ = sized(theirs.params, 2)
        self.proofs.know(row.command.handles[0], name)

    def learn_load(self, row: Row, theirs: Frame, answer: Frame) -> None:
        """The child of a key; its Name is no secret of the TPM, its parent's is."""
        name = first(theirs.params)[0]
        self.proofs.know(0x80000000, name)
        read = {SK: 121, EK: 123}[row.command.handles[0]]
        parent = sized(self.row(read).response.params, 3)[2]
        old = name_of(parent + name)
        new = name_of(self.exchange.ours(parent) + self.exchange.ours(name))
        self.exchange.learn(old, new, "qualified Name", masked=False)

    def learn_import(self, row: Row, theirs: Frame, answer: Frame) -> None:
        old, new = first(theirs.params)[0], first(answer.params)[0]
        self.exchange.learn(old, new, "key material")

    def learn_createprimary(self, row: Row, theirs: Frame, answer: Frame) -> None:
        old, new = sized(theirs.params, 3), sized(answer.params, 3)
        assert self.keys[old[0][-256:]] == new[0]  # the same as before: the same seed
        self._learn_ticket(old[3], new[3])

    def learn_create(self, row: Row, theirs: Frame, answer: Frame) -> None:
        old, new = sized(theirs.params, 4), sized(answer.params, 4)
        self.exchange.learn(old[0], new[0], "key material")
        parent = sized(self.row(123).response.params, 3)[2]
        self.learn_key(old[1], new[1], parent)
        made = [sha256(each).digest() for each in (old[2], self.exchange.ours(old[2]))]
        assert made[0] == old[3]
        self.exchange.learn(made[0], made[1], "creationHash", masked=False)
        self._learn_ticket(old[4], new[4])

    def _learn_ticket(self, theirs: bytes, ours: bytes) -> None:
        old, new = first(theirs[6:])[0], first(ours[6:])[0]
        self.exchange.learn(old, new, "ticket")

    def learn_quote(self, row: Row, theirs: Frame, answer: Frame) -> None:
        old, new = (first(each.params) for each in (theirs, answer))
        asked = self.tpm.execute(capability(6, 0x10B, 2))
        own = asked[23:27] + asked[31:35]
        at = old[0].index(FIRMWARE)
        assert at == 4 + 2 + 36 + 18 + 17  # magic, type, signer, extraData, clockInfo
        self.exchange.learn(FIRMWARE, own, "firmwareVersion", masked=False)
        self.exchange.learn(old[1][6:], new[1][6:], "signature")
        key = self.rsa(396)
        key.verify(new[1][6:], new[0], padding.PKCS1v15(), hashes.SHA256())


def spoiled(raw: bytes, place: int) -> bytes:
    changed = bytearray(raw)
    changed[place] ^= 1
    return bytes(changed)
