"""gemm: a matrix product, and what follows on its result while it is in registers."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from chainrule.compiler.fuse import Group
from chainrule.compiler.ir import Value, size_of
from chainrule.compiler.targets.llvm import text
from chainrule.compiler.targets.llvm.elements import START, Index
from chainrule.compiler.targets.llvm.elementwise import TYPES, Typed
from chainrule.compiler.targets.llvm.gemm import Phase, Product, Strides, plan
from chainrule.compiler.targets.llvm.kernels.writer import Kernel, Writer
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I64, Function, Type, literal
from chainrule.compiler.views import View
from chainrule.shapes import Shape


def write_gemm(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """A matrix product, for each index of the leading axes, and what follows on its result while it is in registers."""
    instruction = group.instructions[0]
    a, b = (views[x] for x in instruction.values)
    y = instruction.result
    type = TYPES[y.dtype.name]
    batch, rows = y.shape[:-2], y.shape[-2]
    if batch and all(s == 0 or n == 1 for s, n in zip(b.strides[:-2], b.shape[:-2], strict=True)):
        joined = _joined_rows(a, batch, rows)
        if joined is not None:
            matrix = View(b.root, b.offset, b.shape[-2:], b.strides[-2:])
            return _products(group, views, machine, joined, matrix, (), prod(batch) * rows, type)
    a, b = (_with_batch(v, batch) for v in (a, b))
    return _products(group, views, machine, a, b, batch, rows, type)


def _joined_rows(a: View, batch: Shape, rows: int) -> View | None:
    """The left operand with its leading axes and rows as one axis, if they are evenly spaced."""
    sizes, strides = a.shape[:-1], a.strides[:-1]
    if sizes != (*batch, rows):
        return None
    real = [(n, s) for n, s in zip(sizes, strides, strict=True) if n != 1]
    for (_, s), (m, t) in pairwise(real):
        if s != m * t:
            return None
    step = real[-1][1] if real else 0
    return View(a.root, a.offset, (prod(sizes), a.shape[-1]), (step, a.strides[-1]))


def _with_batch(v: View, batch: Shape) -> View:
    """The view with all leading axes; stride 0 where it is stretched."""
    own = v.shape[:-2]
    lead = len(batch) - len(own)
    strides = [0 if n == 1 else s for n, s in zip(own, v.strides[:-2], strict=True)]
    return View(v.root, v.offset, (*batch, *v.shape[-2:]), (*[0] * lead, *strides, *v.strides[-2:]))


def _products(
    group: Group, views: dict[Value, View], machine: Machine, a: View, b: View, batch: Shape, rows: int, type: Type
) -> list[Kernel]:
    m, k, n = rows, a.shape[-1], b.shape[-1]
    y = group.instructions[0].result
    product = Product(
        m, n, k, Strides(a.strides[-2], a.strides[-1]), Strides(b.strides[-2], b.strides[-1]), Strides(n, 1), type
    )
    chosen = plan(product, machine)
    kernels = []
    if not batch:
        for phase in chosen.phases:
            w = Writer(group, views, machine, scratch=True)
            _write_phase(w, phase, a, b, (), w.f["begin"], w.f["end"], y, type)
            kernels.append(w.finished(phase.units, chosen.scratch_bytes))
        return kernels
    w = Writer(group, views, machine, scratch=True)
    loop = w.f.loop(w.f["begin"], w.f["end"])
    at = w.divided(loop.index, batch)
    zero = literal(0, I64)
    for phase in chosen.phases:
        _write_phase(w, phase, a, b, tuple(at), zero, literal(phase.units, I64), y, type)
    w.f.close(loop)
    return [w.finished(prod(batch), chosen.scratch_bytes, is_divisible=not chosen.scratch_bytes)]


def _write_phase(
    w: Writer, phase: Phase, a: View, b: View, at: tuple[text.Value | int, ...], begin: text.Value,
    end: text.Value, y: Value, type: Type,
) -> None:  # fmt: skip
    assert w.scratch is not None
    f, e, views = w.f, w.e, w.views
    corner = [*[Index(i) for i in at], START, START]
    e.enter()
    e.hole = None
    left, right = (e.address(v, corner[-len(v.shape) :], type) for v in (a, b))
    if y.shape[-2:] != (1, 1):  # else every place is the same, and the hole lies before the product
        e.before_loop()
    lead = y.shape[:-2]
    split: dict[tuple[str, str], list[text.Value | int]] = {}
    runs_on = bool(lead) and rows_run_on(w.group, w.views)

    far = [v for v in w.group.reads if v.shape == y.shape and 2 * size_of(v) > w.machine.l2_bytes]

    def begin_at(row: text.Value, column: text.Value) -> list[text.Value | int]:
        """The indices of a row; what is computed from here on belongs to this place."""
        if at or not lead:
            rows: list[text.Value | int] = [*at, row]
        elif runs_on:
            rows = [*[0] * len(lead), row]
        else:
            key = (row.name, f.label)
            if key not in split:
                split[key] = w.divided(row, y.shape[:-1])
            rows = split[key]
        e.enter(row, column, *[i for i in rows if isinstance(i, text.Value)])
        e.inner -= {str(i) for i in at}
        return rows

    def ahead(f: Function, row: text.Value, column: text.Value, along: str) -> None:
        if far:
            here = [*map(Index, begin_at(row, column)), Index(column)]
            for v in far:
                f.prefetch(e.address(views[v], here, TYPES[v.dtype.name]))

    def epilogue(
        f: Function, row: text.Value, column: text.Value, value: text.Value, mask: text.Value | None, along: str
    ) -> None:
        *outer, last = map(Index, begin_at(row, column))
        vector = bool(value.type.lanes)
        here = [*outer, Index(last.base, int(vector and along == "m")), Index(column, int(vector and along == "n"))]
        e.mask, e.lanes = mask, value.type.lanes or 1
        e.remember(y, here, Typed(value, y.dtype))
        w.store(here)
        e.mask = None

    phase.write(f, left, right, w.scratch, begin, end, epilogue, ahead)


def rows_run_on(group: Group, views: dict[Value, View]) -> bool:
    """True if a row's number leads to the same element as its indices: all that is read there is contiguous."""
    y = group.instructions[0].result
    for instruction in group.instructions[1:]:
        if instruction.op.kind.name != "elementwise":
            return False
        for x in [*instruction.values, *instruction.results]:
            whole_rows = x.shape == y.shape and views[x].is_contiguous and views[x].root.shape == y.shape
            if not whole_rows and prod(x.shape[:-1]) != 1:
                return False
            if x.maker is not None and x.maker not in group.instructions and views[x].root not in group.reads:
                return False  # computed here from what may be stretched along the rows
    return True
