"""What unpickling would cost, counted before anything is built.

A few bytes of a pickle can name one tuple twice in the next, thirty times over: to hash it, or to walk through it,
takes 2^30 steps.  The pickle's operations are walked through once, with sizes instead of objects.  Where nothing is
shared (most pickles), the size is that of the file; elsewhere what it expands to must stay within a multiple of it.
"""

from __future__ import annotations

import pickletools
from typing import Any

from orvpe.errors import InputError

_STEPS = 1_000_000  # that any pickle may take
_SHARE = 20  # and for each of its operations

# kinds of operations by what they do to the stack
_PUSH, _OPEN, _PUT, _MEMO, _GET, _START, _SUM, _MARKED, _ADD_ALL, _ADD, _DUP, _POP, _POP_ALL, _STOP, _SKIP = range(15)
_NAMES = {
    _PUSH: "INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES "
    "BINBYTES8 BYTEARRAY8 NONE NEWTRUE NEWFALSE UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 FLOAT BINFLOAT "
    "EMPTY_TUPLE GLOBAL",
    _OPEN: "EMPTY_LIST EMPTY_DICT EMPTY_SET",
    _PUT: "PUT BINPUT LONG_BINPUT",
    _MEMO: "MEMOIZE",
    _GET: "GET BINGET LONG_BINGET",
    _START: "MARK",
    _SUM: "TUPLE1 TUPLE2 TUPLE3 REDUCE BUILD NEWOBJ NEWOBJ_EX STACK_GLOBAL",
    _MARKED: "TUPLE LIST DICT FROZENSET OBJ INST",
    _ADD_ALL: "APPENDS ADDITEMS SETITEMS",
    _ADD: "APPEND SETITEM",
    _DUP: "DUP",
    _POP: "POP",
    _POP_ALL: "POP_MARK",
    _STOP: "STOP",
    _SKIP: "PROTO FRAME",
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_TAKES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "NEWOBJ_EX": 3}  # the others of their kind take two
_SMALL = 64  # what is shared below that cannot grow before it is larger
_MARK: Any = None


def check_cost(data: bytes) -> bool:
    """Refuse a pickle whose few bytes stand for endless work or memory.

    Returns:
        Whether containers are shared, so that `check_expanded` has to look at what is built.

    Raises:
        InputError: too many steps, or a kind of operation that no data needs.
        ValueError, IndexError: it is damaged (unpickling will say how).
    """
    stack: list[Any] = []  # of each object a list with its size, which those that share it share
    memo: dict[int, Any] = {}
    operations = hashed = 0
    shares = False

    def popped() -> list[Any]:
        items = []
        while (item := stack.pop()) is not _MARK:
            items.append(item)
        return items

    argument: Any
    for code, argument, _ in pickletools.genops(data):
        kind = _KINDS.get(code.name)
        operations += 1
        if kind == _PUSH:
            stack.append([1, False])
            continue
        if kind == _MEMO:
            memo[len(memo)] = stack[-1]
            continue
        if kind == _PUT:
            if not 0 <= argument <= len(data):  # unpickling would make room for so many
                raise InputError("refused: a memory place beyond the length of the pickle")
            memo[argument] = stack[-1]
            continue
        if kind in (_GET, _DUP):
            stack.append(memo[argument] if kind == _GET else stack[-1])
            shares |= stack[-1][1] or stack[-1][0] > _SMALL
            continue
        if kind == _START:
            stack.append(_MARK)
            continue
        if kind == _OPEN:
            stack.append([1, True])
        elif kind == _SUM:
            count = _TAKES.get(code.name, 2)
            stack[-count:] = [[1 + sum(item[0] for item in stack[-count:]), False]]
        elif kind == _MARKED:
            stack.append([1 + sum(item[0] for item in popped()), code.name in ("LIST", "DICT")])
        elif kind in (_ADD, _ADD_ALL):
            lone = 1 if code.name == "APPEND" else 2
            items = popped() if kind == _ADD_ALL else [stack.pop() for _ in range(lone)]
            added = sum(item[0] for item in items)
            stack[-1][0] += added
            hashed += 0 if code.name in ("APPEND", "APPENDS") else added
        elif kind == _POP:
            stack.pop()
        elif kind == _POP_ALL:
            popped()
        elif kind == _STOP:
            return shares
        elif kind != _SKIP:
            raise InputError(f"refused: the operation {code.name} in a pickle")
        allowed = _STEPS + _SHARE * operations
        if hashed > allowed or (stack and stack[-1] is not _MARK and stack[-1][0] > allowed):
            raise InputError("refused: a few bytes that stand for endless repetitions")
    return shares


def check_expanded(data: Any, length: int) -> None:
    """Refuse containers that hold themselves, or each other so often that walking through them would not end.

    Args:
        data: what was unpickled.
        length: of the pickle.

    Raises:
        InputError: it does.
    """
    sizes: dict[int, int] = {}
    open_: set[int] = set()
    todo: list[tuple[Any, bool]] = [(data, False)]
    while todo:
        thing, seen = todo.pop()
        inside = list(thing.values()) if isinstance(thing, dict) else thing
        if not isinstance(inside, (list, tuple, set, frozenset)):
            continue
        if seen:
            open_.discard(id(thing))
            sizes[id(thing)] = size = 1 + sum(sizes.get(id(v), 1) for v in inside)
            if size > _STEPS + _SHARE * length:
                raise InputError("refused: a few bytes that stand for endless repetitions")
        elif id(thing) not in sizes:
            if id(thing) in open_:
                raise InputError("refused: a container that holds itself")
            open_.add(id(thing))
            todo.append((thing, True))
            todo += [(v, False) for v in inside if isinstance(v, (list, tuple, dict, set, frozenset))]
