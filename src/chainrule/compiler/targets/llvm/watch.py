"""Watch: facts looked at by machine code, in some nanoseconds for each.

A fact is a word of memory that has to have a value (a slot with a reference, the size of a dictionary, a count of
references), or an item of a dictionary. All lie in one table, which one function, compiled once, goes through.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from chainrule.compiler.facts import Facts
from chainrule.compiler.targets.llvm.entry import array_layout, make_callable, refuse_this_python
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
    words = [(id(owner) + place_of(type(owner), name), id(value)) for owner, name, value in facts.slots]
    words += [(id(d) + place_of_size(), size) for d, size in facts.sizes]
    words += [(id(x) + place_of_count(), count + 1) for x, count in facts.holders]
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
    zero, facts = literal(0, I64), f.at(table, FIRST, I64)
    _each(f, "word", facts, words, 2, lambda at: _has_value(f, at))
    _each(f, "item", f.at(facts, f.mul(words, literal(2, I64)), I64), items, 3, lambda at: _has_item(f, at))
    passed = f.at(table, PASSED, I64)
    f.store(f.add(f.load(passed, I64), literal(1, I64)), passed)
    f.return_singleton("python.None")
    f.begin("refuse")
    f.return_singleton("python.NotImplemented")
    return f
