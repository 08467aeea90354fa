"""Made-up ELF files, put together with struct alone."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

ESM = Path(__file__).parent / "vectors" / "esm"
PROGBITS, STRTAB, NOBITS = 1, 3, 8
WRITE, ALLOC, EXEC = 1, 2, 4


@dataclass
class Part:
    """A section: where it lies in the file, where in memory, what it holds."""

    name: str
    offset: int
    data: bytes
    addr: int = 0
    type: int = PROGBITS
    flags: int = ALLOC
    size: int | None = None


@dataclass
class Load:
    """A program header."""

    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    type: int = 1


@dataclass
class Made:
    """An ELF file in the making; numbers in `header` go over those that fit."""

    parts: list[Part] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    bits: int = 64
    order: str = "<"
    machine: int = 21
    type: int = 2
    header: dict[str, int] = field(default_factory=dict)

    @property
    def wide(self) -> bool:
        return self.bits == 64

    def to_bytes(self) -> bytes:
        """Header, program headers, contents, names, section headers."""
        header_size, load_size, row_size = (64, 56, 64) if self.wide else (52, 32, 40)
        names = b"\0" + b"".join(p.name.encode() + b"\0" for p in self.parts)
        names += b".shstrtab\0"
        end = max([each.offset + len(each.data) for each in self.parts], default=0)
        names_at = max(end, header_size + load_size * len(self.loads))
        rows_at = -(-(names_at + len(names)) // 8) * 8
        rows = [bytes(row_size)]
        rows += [self._row(names, part) for part in self.parts]
        table = Part(".shstrtab", names_at, names, type=STRTAB, flags=0)
        rows.append(self._row(names, table))
        raw = bytearray(rows_at)
        for part in self.parts:
            raw[part.offset : part.offset + len(part.data)] = part.data
        raw[names_at : names_at + len(names)] = names
        values = {
            "type": self.type,
            "machine": self.machine,
            "version": 1,
            "entry": 0,
            "phoff": header_size,
            "shoff": rows_at,
            "flags": 2,
            "ehsize": header_size,
            "phentsize": load_size,
            "phnum": len(self.loads),
            "shentsize": row_size,
            "shnum": len(rows),
            "shstrndx": len(rows) - 1,
        } | self.header
        ident = b"\x7fELF" + bytes([self.bits // 32, 1 + (self.order == ">"), 1])
        layout = "HHIQQQIHHHHHH" if self.wide else "HHIIIIIHHHHHH"
        raw[:16] = ident.ljust(16, b"\0")
        raw[16:header_size] = struct.pack(self.order + layout, *values.values())
        for number, load in enumerate(self.loads):
            at = header_size + number * load_size
            raw[at : at + load_size] = self._load(load)
        return bytes(raw) + b"".join(rows)

    def _row(self, names: bytes, part: Part) -> bytes:
        layout = self.order + ("IIQQQQIIQQ" if self.wide else "IIIIIIIIII")
        start = names.index(part.name.encode() + b"\0")
        size = len(part.data) if part.size is None else part.size
        place = (part.addr, part.offset, size)
        return struct.pack(layout, start, part.type, part.flags, *place, 0, 0, 1, 0)

    def _load(self, load: Load) -> bytes:
        place = (load.offset, load.vaddr, load.paddr, load.filesz, load.memsz)
        if self.wide:
            return struct.pack(self.order + "IIQQQQQQ", load.type, 7, *place, 1)
        return struct.pack(self.order + "IIIIIIII", load.type, *place, 7, 1)


def kernel(**changes: object) -> Made:
    """Two segments with a gap, .bss, a section that is not loaded, one of no size."""
    text, data = b"text" * 8, b"data" * 5
    base = 0xC000000000000000
    made = Made(
        parts=[
            Part(".text", 0x1000, text, base),
            Part(".empty", 0x1020, b"", base + 0x20),
            Part(".data", 0x2040, data, base + 0x140),
            Part(".bss", 0x2054, b"", base + 0x154, NOBITS, size=0x500),
            Part(".comment", 0x2060, b"nothing", flags=0),
        ],
        loads=[
            Load(0x1000, base, 0, 0x20, 0x20),
            Load(0x2040, base + 0x140, 0x140, 0x14, 0x514),
        ],
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


FLAT = b"text" * 8 + bytes(0x120) + b"data" * 5
