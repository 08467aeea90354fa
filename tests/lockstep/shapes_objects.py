"""Objects: made, loaded, saved, handed on."""

from __future__ import annotations

from typing import Final

from lockstep.dice import AUTHS, ENDORSEMENT, NULL, OWNER, PLATFORM
from lockstep.shape import Done, Making, Shape
from lockstep.templates import outside, sensitive_create, template
from lockstep.values import Each, Piece, alike, number, two_b, two_b_each, u16, u32
from lockstep.world import HMAC, POLICY, Kept, Thing, World

# what a template or a key from outside was, by its bytes: for the one who learns
_KIND_OF: dict[bytes, str] = {}


def _hierarchy(world: World) -> int:
    return world.hierarchy(OWNER, PLATFORM, ENDORSEMENT, NULL)


def parent(world: World) -> int:
    """A storage key."""
    return world.object("storage", "rsa storage", "external storage")


def _any_parent(world: World) -> int:
    return _hierarchy(world) if world.dice.one_in(3) else parent(world)


def _new_parent(world: World) -> int:
    return NULL if world.dice.one_in(3) else parent(world)


def _creating(m: Making) -> list[Piece]:
    dice = m.dice
    kind, raw = template(dice)
    _KIND_OF[raw] = kind
    data = dice.randbytes(dice.size(128)) if kind == "sealed" else b""
    data = dice.mostly(data, lambda: b"some data")
    sensitive = sensitive_create(dice.choice(AUTHS), data)
    pcrs = dice.mostly(bytes(4), dice.selection, 4)
    return [sensitive, two_b(raw), two_b(dice.randbytes(dice.randrange(9))), pcrs]


def _creating_loaded(m: Making) -> list[Piece]:
    return _creating(m)[:2]


def _auth_of(params: bytes) -> bytes:
    return params[4 : 4 + number(params[2:4])].rstrip(b"\0")


def _kind_of(params: bytes) -> str:
    rest = params[2 + number(params[:2]) :]
    return _KIND_OF.get(rest[2 : 2 + number(rest[:2])], "")


def _loaded(world: World, done: Done, kind: str, auth: bytes, names: Each) -> None:
    same = alike(names)
    world.objects[done.made] = Thing(done.made, kind, auth, names, same)


def _primary(world: World, done: Done) -> None:
    params = done.params[0]
    _loaded(world, done, _kind_of(params), _auth_of(params), done.fields[4])
    _creation_kept(world, done.fields[2], done.fields[3], done.fields[4])


def _creation_kept(world: World, digest: Each, ticket: Each, names: Each) -> None:
    world.keep("creation", Kept(ticket, (digest, names)))


def _created(world: World, done: Done) -> None:
    params = done.params[0]
    private, public = done.fields[0], done.fields[1]
    about = (private, public, done.names[0])
    world.keep("private", Kept(private, about, _kind_of(params), _auth_of(params)))
    world.keep("creation", Kept(done.fields[4], (done.fields[3], done.names[0])))


def _created_loaded(world: World, done: Done) -> None:
    params = done.params[0]
    _loaded(world, done, _kind_of(params), _auth_of(params), done.fields[2])


def _load(m: Making) -> list[Piece]:
    kept = m.world.kept("private")
    if kept is None:
        return [m.dice.sized(1230), m.dice.sized(300)]
    private, public, of = kept.about
    for handle, thing in m.world.objects.items():
        if thing.names == of and not m.dice.one_in(10):
            m.handles[0] = handle
    return [two_b_each(private), two_b_each(public)]


def _load_learnt(world: World, done: Done) -> None:
    params = done.params[0]
    size = number(params[:2])
    for kept in world.bag.get("private", []):
        if kept.about[0][0] == params[2 : 2 + size]:
            _loaded(world, done, kept.kind, kept.auth, done.fields[0])
            return
    _loaded(world, done, "", b"", done.fields[0])


def _external(m: Making) -> list[Piece]:
    dice = m.dice
    kind, public, sensitive, auth = outside(dice)
    if dice.one_in(6):
        sensitive = b""
    if dice.one_in(12):
        at = dice.randrange(len(public) - 1)
        public = public[:at] + dice.randbytes(2) + public[at + 2 :]
    _KIND_OF[public] = kind
    _KIND_OF[b"auth" + sensitive] = auth.decode()
    where = dice.mostly(
        NULL, lambda: dice.choice((OWNER, PLATFORM, dice.any_handle())), 4
    )
    return [two_b(sensitive), two_b(public), u32(where)]


def _external_learnt(world: World, done: Done) -> None:
    params = done.params[0]
    size = number(params[:2])
    auth = _KIND_OF.get(b"auth" + params[2 : 2 + size], "").encode()
    kind = _kind_of(params) if size else "public"
    _loaded(world, done, kind, auth, done.fields[0])


def evicted_to(m: Making) -> list[Piece]:
    """A persistent handle, mostly one that the keeper may have."""
    dice = m.dice
    thing = m.world.thing(m.handles[1])
    if thing.handle >> 24 == 0x81:
        return [u32(dice.mostly(thing.handle, dice.any_handle))]
    first = 0x81800000 if m.handles[0] == PLATFORM else 0x81000000
    return [u32(dice.mostly(first + dice.randrange(4), dice.any_handle))]


def evicted(world: World, done: Done) -> None:
    """Copied to NV, or removed from there."""
    target = number(done.params[0])
    source = world.objects.get(done.handles[1])
    if done.handles[1] == target:
        world.objects.pop(target, None)
    elif source is not None:
        new = Thing(target, source.kind, source.auth, source.names, source.determined)
        world.objects[target] = new


def _flush(m: Making) -> list[Piece]:
    world, dice = m.world, m.dice
    if len(world.objects) > 1 and dice.one_in(2):
        return [u32(world.object())]
    return [u32(world.session(HMAC, POLICY, 3))]


def _flushed(world: World, done: Done) -> None:
    handle = number(done.params[0])
    world.objects.pop(handle, None)
    world.sessions.pop(handle, None)


def _context(world: World) -> int:
    if world.dice.one_in(2):
        return world.object()
    return world.session(HMAC, POLICY, 3)


def _saved(world: World, done: Done) -> None:
    handle = done.handles[0]
    thing = world.objects.get(handle)
    kind, auth = (thing.kind, thing.auth) if thing else ("", b"")
    world.keep("context", Kept(done.fields[0], (world.names(handle),), kind, auth))


def _context_load(m: Making) -> list[Piece]:
    kept = m.world.kept("context")
    return [m.dice.randbytes(40)] if kept is None else [kept.values]


def _context_loaded(world: World, done: Done) -> None:
    if done.made >> 24 != 0x80:
        return
    for kept in world.bag.get("context", []):
        if kept.values == done.params:
            _loaded(world, done, kept.kind, kept.auth, kept.about[0])


def _credential(m: Making) -> list[Piece]:
    names = m.world.names(m.world.object())
    return [
        m.dice.digest(),
        m.dice.mostly(two_b_each(names), lambda: m.own([m.dice.sized(68)])),
    ]


def _credential_made(world: World, done: Done) -> None:
    world.keep("credential", Kept(done.fields[0], (done.fields[1],)))


def _activate(m: Making) -> list[Piece]:
    kept = m.world.kept("credential")
    if kept is None:
        return [m.dice.sized(132), m.dice.sized(256)]
    return [two_b_each(kept.values), two_b_each(kept.about[0])]


def _duplicate(m: Making) -> list[Piece]:
    dice = m.dice
    key = dice.choice((b"", b"", bytes(16), bytes(17)))
    alg = dice.choice(("0010", "0010", "000600800043", "000601000043", "000600800042"))
    return [two_b(key), bytes.fromhex(alg)]


def _duplicated(world: World, done: Done) -> None:
    names, target = done.names
    world.keep("duplicate", Kept(done.fields[1], (done.fields[2], names, target)))


def _rewrap(m: Making) -> list[Piece]:
    kept = m.world.kept("duplicate")
    if kept is None:
        return [m.dice.sized(1230), m.dice.sized(68), m.dice.sized(256)]
    return [*map(two_b_each, (kept.values, kept.about[1], kept.about[0]))]


def _import(m: Making) -> list[Piece]:
    kind, public, sensitive, _ = outside(m.dice)
    inner = two_b(sensitive)
    kept = m.world.kept("duplicate")
    if kept is None or m.dice.one_in(2):
        _KIND_OF[public] = kind
        return [two_b(b""), two_b(public), two_b(inner), two_b(b""), u16(0x10)]
    wrapped, seed = two_b_each(kept.values), two_b_each(kept.about[0])
    return [two_b(b""), two_b(public), wrapped, seed, u16(0x10)]


def _imported(world: World, done: Done) -> None:
    publics = tuple(_second(each) for each in done.params)
    kind = _KIND_OF.get(publics[0], "")
    about = (done.fields[0], publics, done.names[0])
    world.keep("private", Kept(done.fields[0], about, kind, b""))


def _second(params: bytes) -> bytes:
    rest = params[2 + number(params[:2]) :]
    return rest[2 : 2 + number(rest[:2])]


def _new_auth(m: Making) -> list[Piece]:
    return [m.dice.auth()]


_object = World.anything

SHAPES: Final = (
    Shape(0x131, (_hierarchy,), 1, _creating, "lClTl", True, _primary, 10, True, True),
    Shape(0x153, (parent,), 1, _creating, "blClT", False, _created, 8, True, True),
    Shape(
        0x191,
        (_any_parent,),
        1,
        _creating_loaded,
        "bll",
        True,
        _created_loaded,
        6,
        True,
        True,
    ),
    Shape(0x157, (parent,), 1, _load, "l", True, _load_learnt, 8, True, True),
    Shape(0x167, (), 0, _external, "B", True, _external_learnt, 14, True, True),
    Shape(0x173, (_object,), 0, results="ddd", shown=True, weight=6),
    Shape(0x15E, (World.sealed,), 1, results="B", shown=True, weight=5),
    Shape(
        0x150, (_object, parent), 1, _new_auth, "b", hidden=True, shown=True, weight=2
    ),
    Shape(0x165, (), 0, _flush, learn=_flushed, weight=16),
    Shape(0x162, (_context,), 0, results="r", learn=_saved, weight=6),
    Shape(0x161, (), 0, _context_load, "", True, _context_loaded, 6),
    Shape(
        0x168, (parent,), 0, _credential, "bb", False, _credential_made, 4, True, True
    ),
    Shape(
        0x147, (_object, parent), 2, _activate, "B", weight=4, hidden=True, shown=True
    ),
    Shape(
        0x14B,
        (_object, _new_parent),
        1,
        _duplicate,
        "lbb",
        False,
        _duplicated,
        4,
        True,
        True,
    ),
    Shape(
        0x152,
        (_new_parent, _new_parent),
        1,
        _rewrap,
        "bb",
        weight=2,
        hidden=True,
        shown=True,
    ),
    Shape(0x156, (parent,), 1, _import, "b", False, _imported, 4, True, True),
    Shape(0x120, (World.keeper, _object), 1, evicted_to, learn=evicted, weight=5),
)
