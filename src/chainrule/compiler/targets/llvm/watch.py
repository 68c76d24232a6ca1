"""Watch: facts looked at by machine code, in some nanoseconds for each.

A fact is a word of memory that has to have a value (a slot with a reference, the size of a dictionary, a count of
references), or an item of a dictionary. All lie in one table, which one function, compiled once, goes through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from chainrule.compiler.facts import Facts
from chainrule.compiler.targets.llvm.entry import (
    array_layout,
    make_callable,
    place_of,
    require,
    return_singleton,
    unknown_python,
    word_of,
)
from chainrule.compiler.targets.llvm.machine import host
from chainrule.compiler.targets.llvm.native import Native, compile_text
from chainrule.compiler.targets.llvm.text import I8, I64, PTR, Function, Value, literal, module_text
from chainrule.tensor.graph import Array

WORDS, ITEMS, PASSED, FIRST = 0, 1, 2, 3
"""The table: how many words and items, how often all held; then (address, value), then (dictionary, key, value)."""

COUNT, USED = 0, 16
"""Where an object has its count of references, and a dictionary the number of its items, in bytes from its start."""


@dataclass(frozen=True)
class Watch:
    """Facts under watch. `kept` are the objects whose addresses stand in the table."""

    table: Array
    kept: Facts
    holds: Callable[[], Any]

    @property
    def passed(self) -> int:
        """How often the facts held."""
        return int(self.table[PASSED])


def watch(facts: Facts) -> Watch:
    """Machine code that tells whether facts still hold.

    Raises:
        UnsupportedError: this Python lays its objects out in another way than 64-bit CPython with the GIL.
    """
    _checked_layout()
    words = [(id(owner) + place_of(owner.__class__, name), id(value)) for owner, name, value in facts.slots]
    words += [(id(d) + USED, size) for d, size in facts.sizes]
    words += [(id(x) + COUNT, count) for x, count in facts.holders]
    items = [(id(d), id(name), id(value)) for d, name, value in facts.items]
    numbers = [len(words), len(items), 0, *[n for fact in (*words, *items) for n in fact]]
    table = np.array(numbers, np.uint64)
    return Watch(table, facts, make_callable(_native(), "watch", table))


# ---- the function -----------------------------------------------------------------------------------------------


@cache
def _native() -> Native:
    f = _write_watch()
    singletons = "@python.None = external global i8\n@python.NotImplemented = external global i8"
    return compile_text(module_text([f], singletons), host())


def _write_watch() -> Function:
    """`PyObject *watch(PyObject *self, PyObject *const *args, Py_ssize_t n)`; `make_callable` says what self is."""
    f = Function("watch", [("self", PTR), ("args", PTR), ("n", I64)], PTR, linkage="dso_local")
    table = f.load(f.load(f.at(f["self"], array_layout().data, I8), PTR), PTR)
    words, items = (f.load(f.at(table, place, I64), I64) for place in (WORDS, ITEMS))
    facts = f.at(table, FIRST, I64)

    def word(at: Value) -> Value:
        return f.compare("eq", f.load(f.load(at, PTR), I64), f.load(f.at(at, 1, I64), I64))

    def item(at: Value) -> Value:
        dictionary, key, value = (f.load(f.at(at, place, PTR), PTR) for place in range(3))
        return f.compare("eq", f.call("PyDict_GetItemWithError", PTR, dictionary, key), value)

    _require_each(f, facts, words, 2, word)
    _require_each(f, f.at(facts, f.mul(words, literal(2, I64)), I64), items, 3, item)
    passed = f.at(table, PASSED, I64)
    f.store(f.add(f.load(passed, I64), literal(1, I64)), passed)
    return_singleton(f, "python.None")
    f.begin("refuse")
    return_singleton(f, "python.NotImplemented")
    return f


def _require_each(f: Function, start: Value, count: Value, size: int, holds: Callable[[Value], Value]) -> None:
    """Go on if each of the facts of so many words from `start` on holds, else refuse."""
    some, after = f.fresh("some"), f.fresh("all")
    f.branch(f.compare("eq", count, literal(0, I64)), after, some)
    f.begin(some)
    loop = f.loop(0, count)
    require(f, holds(f.at(start, f.mul(loop.index, literal(size, I64)), I64)))
    f.close(loop)
    f.jump(after)
    f.begin(after)


# ---- the layout of objects --------------------------------------------------------------------------------------


@cache
def _checked_layout() -> None:
    """Raises UnsupportedError unless COUNT and USED are what they are called."""
    mark = object()
    before = word_of(mark, COUNT)
    three = dict.fromkeys("abc", mark)
    if word_of(mark, COUNT) - before != 3 or word_of(three, USED) != 3:
        raise unknown_python("references and dictionaries")
