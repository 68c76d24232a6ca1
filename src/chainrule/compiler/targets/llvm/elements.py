"""Elements: the instructions that compute a value of the graph at one place, or at a vector of places.

Asked for a value, it loads it where it is in memory, and else computes it from its inputs at the same place: so a
kernel only says where, and what to do with the result. What does not change in the innermost loop is written into
the hole before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, TypeAlias

from chainrule.compiler.fuse import REDUCTIONS, Group
from chainrule.compiler.ir import Instruction, Operand, Value, abstract
from chainrule.compiler.selection import Line, Part, selection
from chainrule.compiler.targets.llvm import philox, text
from chainrule.compiler.targets.llvm.elementwise import TYPES, Typed, emit
from chainrule.compiler.targets.llvm.text import I64, Function, Type, literal
from chainrule.compiler.views import View, contiguous_strides
from chainrule.dtypes import DType, int64
from chainrule.ops.shape_maths import operand_type
from chainrule.shapes import Shape, normal_axis


@dataclass(frozen=True)
class Index:
    """A place along one axis: a number or a register, and by how much it grows from lane to lane.

    A register's value is known to be a multiple of `step`.
    """

    base: text.Value | int
    lane: int = 0
    step: int = 1

    @property
    def key(self) -> tuple[str, int]:
        return str(self.base), self.lane


Place = Sequence[Index]
START = Index(0)
Chosen: TypeAlias = Index | text.Value
"""A place along one axis as an Index, or as a vector of what each lane's is."""


class Elements:
    """Values at places, within one kernel function.

    `pointers` has the address of each value in memory, `mask` the lanes that exist (None: all), `inner` the
    registers that change in the innermost loop; code that needs none of them goes to `hole`.
    """

    def __init__(
        self, f: Function, group: Group, views: dict[Value, View], pointers: dict[Value, text.Value], lanes: int
    ) -> None:
        self.f, self.group, self.views, self.pointers, self.lanes = f, group, views, pointers, lanes
        self.mask: text.Value | None = None
        self.inner: set[str] = set()
        self.hole: list[Any] | None = None
        self.known: dict[Any, Typed] = {}
        self.fixed: dict[Any, Any] = {}

    # ---- scopes ---------------------------------------------------------------------------------------------

    def enter(self, *inner: text.Value) -> None:
        """Begin an innermost loop's body: these registers change in it; what was computed in another is unknown."""
        self.inner = {str(v) for v in inner}
        self.known = {}

    def before_loop(self) -> None:
        """A new hole, for what the loop that follows needs once."""
        self.hole = self.f.hole()
        self.fixed = dict(self.fixed)

    # ---- values ----------------------------------------------------------------------------------------------

    def at(self, value: Value, place: Place) -> Typed:
        """The value at a place: one element, or a vector of them if an index grows with the lane."""
        place = stretched(place, value.shape, value.shape)
        fixed = (value, tuple([i.key for i in place]))
        key = (*fixed, str(self.mask))
        if key in self.known:
            return self.known[key]
        if self.hole is not None and self.is_fixed(place):
            if fixed not in self.fixed:
                with self.f.within(self.hole):
                    self.fixed[fixed] = self.computed(value, place)
            return self.fixed[fixed]  # type: ignore[no-any-return]
        typed = self.computed(value, place)
        self.known[key] = typed
        return typed

    def remember(self, value: Value, place: Place, typed: Typed, *, fixed: bool = False) -> None:
        """Note what the value at a place is: here, or (fixed) wherever the present hole's code is seen."""
        key = (value, tuple([i.key for i in stretched(place, value.shape, value.shape)]))
        if fixed:
            self.fixed[key] = typed
        self.known[(*key, str(self.mask))] = typed

    def is_fixed(self, place: Place) -> bool:
        """True if a place is the same all through the innermost loop."""
        return all(not i.lane and (isinstance(i.base, int) or str(i.base) not in self.inner) for i in place)

    def computed(self, value: Value, place: Place) -> Typed:
        view = self.views[value]
        if view.root in self.pointers and view.root.maker not in self.group.instructions:
            return self.load(view, place, value.dtype)
        constant = value.graph.constants.get(value)
        if constant is not None and constant.size == 1:
            return Typed(literal(constant.reshape(-1)[0].item(), TYPES[value.dtype.name]), value.dtype)
        instruction = value.maker
        assert instruction is not None, f"{value!r} is not in memory"
        name = instruction.op.name
        if name in ("broadcast_to", "reshape", "clone", "permute", "mT", "slice"):
            return self.at(instruction.values[0], self.behind(instruction, place))
        if name in REDUCTIONS:
            raise AssertionError(f"the reduction {value!r} is asked for before it is computed")
        if name in INDEXED:
            return INDEXED[name](self, instruction, place)
        common = operand_type(instruction.op, [abstract(x) for x in instruction.inputs])
        operands = [self.operand(x, place, instruction.result.shape, common) for x in instruction.inputs]
        return Typed(emit(self.f, name, self.same_lanes(operands), value.dtype), value.dtype)

    def operand(self, x: Operand, place: Place, shape: Shape, common: DType | None) -> Typed:
        """An input at the place of a result: the last axes correspond, axes of size 1 are stretched."""
        if isinstance(x, Value):
            return self.at(x, stretched(place, shape, x.shape))
        assert x is not None
        dtype = common or int64
        return Typed(literal(x, TYPES[dtype.name]), dtype)

    def same_lanes(self, operands: list[Typed]) -> list[Typed]:
        lanes = max([t.value.type.lanes for t in operands], default=0)
        return [self.splat(t, lanes) for t in operands]

    def splat(self, t: Typed, lanes: int) -> Typed:
        if t.value.type.lanes == lanes:
            return t
        if not t.value.name.startswith("%") or self.hole is None:
            return Typed(self.f.splat(t.value, lanes), t.dtype)
        key = ("splat", t.value.name, lanes)
        if key in self.fixed:
            return self.fixed[key]  # type: ignore[no-any-return]
        if self.is_hoisted(t):
            with self.f.within(self.hole):
                self.fixed[key] = Typed(self.f.splat(t.value, lanes), t.dtype)
            return self.fixed[key]  # type: ignore[no-any-return]
        return Typed(self.f.splat(t.value, lanes), t.dtype)

    def behind(self, instruction: Instruction, place: Place) -> list[Index]:
        """The place in a movement's input that comes to a place of its result."""
        x, y = instruction.values[0], instruction.result
        name = instruction.op.name
        if name == "clone":
            return list(place)
        if name == "broadcast_to":
            return stretched(place, y.shape, x.shape)
        if name == "permute":
            order = instruction.params["order"]
            return [place[order.index(i)] for i in range(x.ndim)]
        if name == "mT":
            return [*place[:-2], place[-1], place[-2]]
        if name == "reshape":
            if tuple(n for n in x.shape if n != 1) != tuple(n for n in y.shape if n != 1):
                raise AssertionError(f"{instruction!r} has to be in memory")
            real = iter([i for i, n in zip(place, y.shape, strict=True) if n != 1])
            return [START if n == 1 else next(real) for n in x.shape]
        raise AssertionError(f"{instruction!r} has to be in memory")

    # ---- arithmetic of places -----------------------------------------------------------------------------------

    def number(self, x: text.Value | int) -> text.Value:
        return literal(x, I64) if isinstance(x, int) else x

    def scaled(self, terms: Sequence[tuple[text.Value | int, int]]) -> text.Value | int:
        """The sum of bases times strides."""
        constant = sum([base * stride for base, stride in terms if isinstance(base, int)])
        total: text.Value | None = None
        for base, stride in terms:
            if isinstance(base, int) or not stride:
                continue
            term = base if stride == 1 else self.f.mul(base, literal(stride, I64))
            total = term if total is None else self.f.add(total, term)
        if total is None:
            return constant
        return total if not constant else self.f.add(total, literal(constant, I64))

    def lanes_of(self, index: Index) -> Typed:
        """An index as a number, or as a vector of them."""
        base = self.number(index.base)
        if not index.lane:
            return Typed(base, int64)
        steps = ", ".join([f"i64 {i * index.lane}" for i in range(self.lanes)])
        return Typed(self.f.add(self.f.splat(base, self.lanes), text.Value(f"<{steps}>", I64.of(self.lanes))), int64)

    # ---- memory -----------------------------------------------------------------------------------------------

    def address(self, view: View, place: Place, type: Type) -> text.Value:
        """Where the first lane's element lies; the part that the innermost loop does not change is computed once."""
        terms = [(i.base, s) for i, s in zip(place, view.strides, strict=True)]
        start: list[tuple[text.Value | int, int]] = [(view.offset, 1)]
        still = start + [t for t in terms if isinstance(t[0], int) or str(t[0]) not in self.inner]
        moving = [t for t in terms if not (isinstance(t[0], int) or str(t[0]) not in self.inner)]
        pointer = self.pointers[view.root]
        if self.hole is not None:
            key = (view.root, tuple([(str(b), s) for b, s in still]))
            if key not in self.fixed:
                with self.f.within(self.hole):
                    self.fixed[key] = self.stepped(pointer, self.scaled(still), type)
            return self.stepped(self.fixed[key], self.scaled(moving), type)
        return self.stepped(pointer, self.scaled([*still, *moving]), type)

    def stepped(self, pointer: text.Value, offset: text.Value | int, type: Type) -> text.Value:
        return pointer if isinstance(offset, int) and not offset else self.f.at(pointer, offset, type)

    def load(self, view: View, place: Place, dtype: DType) -> Typed:
        type = TYPES[dtype.name]
        grows = sum([i.lane * s for i, s in zip(place, view.strides, strict=True)])
        address = self.address(view, place, type)
        if not grows:
            return Typed(self.f.load(address, type), dtype)
        if grows == 1:
            return Typed(self.f.load(address, type.of(self.lanes), mask=self.mask), dtype)
        return Typed(self.f.gather(self.lane_addresses(address, grows, type), type.of(self.lanes), self.mask), dtype)

    def lane_addresses(self, address: text.Value, grows: int, type: Type) -> text.Value:
        steps = ", ".join([f"i64 {i * grows}" for i in range(self.lanes)])
        places = text.Value(f"<{steps}>", I64.of(self.lanes))
        return self.f.addresses(address, places, type)

    # ---- places that indices say ------------------------------------------------------------------------------

    def clamped(self, index: Typed, size: int) -> Chosen:
        """An index as a place along an axis: a negative one counts from the end; beyond the axis, its nearest place."""
        if self.hole is None or not self.is_hoisted(index):
            i = clamped(self.f, index, size)
            return i if i.type.lanes else self.here(i)
        key = ("clamped", index.value.name, size)
        if key not in self.fixed:
            with self.f.within(self.hole):
                self.fixed[key] = clamped(self.f, index, size)
        return Index(self.fixed[key])

    def is_hoisted(self, t: Typed) -> bool:
        """True for a register that the hole's code has computed."""
        return any(t.value.name == known.value.name for known in self.fixed.values() if isinstance(known, Typed))

    def on_line(self, start: int, step: int, index: Index) -> Index:
        """The place start + step index."""
        base = self.scaled([(start, 1), (index.base, step)])
        if isinstance(base, text.Value) and (start or step != 1):
            return self.here(base, index.lane * step)
        return Index(base, index.lane * step, index.step)

    def here(self, base: text.Value, lane: int = 0) -> Index:
        """A place that is known only where it is computed: nothing that follows from it goes to the hole."""
        self.inner.add(str(base))
        return Index(base, lane)

    def chosen(self, value: Value, places: Sequence[Chosen]) -> Typed:
        """The value at a place of which a vector may say the part along some axis, lane by lane."""
        if all(isinstance(part, Index) for part in places):
            return self.at(value, [part for part in places if isinstance(part, Index)])
        constant = value.graph.constants.get(self.views[value].root)
        if constant is not None and constant.size == 1:
            return Typed(literal(constant.reshape(-1)[0].item(), TYPES[value.dtype.name]), value.dtype)
        return self.loaded(value, places)

    def loaded(self, value: Value, places: Sequence[Chosen]) -> Typed:
        """What lies in memory at such a place."""
        view, type = self.views[value], TYPES[value.dtype.name]
        if all(isinstance(part, Index) for part in places):
            return self.load(view, [part for part in places if isinstance(part, Index)], value.dtype)
        assert view.root in self.pointers, f"{value!r} has to be in memory"
        return Typed(self.f.gather(self.addresses(view, places, type), type.of(self.lanes), self.mask), value.dtype)

    def addresses(self, view: View, places: Sequence[Chosen], type: Type) -> text.Value:
        """Where the elements of all lanes lie."""
        pairs = list(zip(places, view.strides, strict=True))
        address = self.address(view, [part if isinstance(part, Index) else START for part in places], type)
        grows = sum([part.lane * s for part, s in pairs if isinstance(part, Index)])
        vectors = [(part, s) for part, s in pairs if not isinstance(part, Index)]
        if not vectors:
            return self.lane_addresses(address, grows, type)
        steps = ", ".join([f"i64 {k * grows}" for k in range(self.lanes)])
        offset = text.Value(f"<{steps}>", I64.of(self.lanes))
        for vector, s in vectors:
            offset = self.f.add(self.f.mul(vector, literal(s, vector.type)), offset)
        return self.f.addresses(address, offset, type)

    def put(self, value: Value, places: Sequence[Chosen], t: Typed) -> None:
        """Store to a place of which a vector may say the part along some axis: those of the lanes all differ."""
        if all(isinstance(part, Index) for part in places):
            self.store(value, [part for part in places if isinstance(part, Index)], t)
            return
        t = self.splat(t, self.lanes)
        self.f.scatter(t.value, self.addresses(self.views[value], places, TYPES[value.dtype.name]), self.mask)

    def store(self, value: Value, place: Place, t: Typed) -> None:
        """Put an element, or a vector of them, to a value's place in memory."""
        type = TYPES[value.dtype.name]
        view = self.views[value]
        grows = sum([i.lane * s for i, s in zip(place, view.strides, strict=True)])
        address = self.address(view, place, type)
        if not grows:
            assert not t.value.type.lanes, f"a vector for one place of {value!r}"
            self.f.store(t.value, address)
        elif grows == 1:
            self.f.store(self.splat(t, self.lanes).value, address, mask=self.mask)
        else:
            t = self.splat(t, self.lanes)
            self.f.scatter(t.value, self.lane_addresses(address, grows, type), self.mask)


def stretched(place: Place, shape: Shape, of: Shape) -> list[Index]:
    """The place in a value of the shape `of` that stands behind a place of the shape it was stretched to."""
    lead = len(shape) - len(of)
    return [START if n == 1 else i for i, n in zip(place[lead:], of, strict=True)]


def clamped(f: Function, index: Typed, size: int) -> text.Value:
    """An index in [-size, size) as a place along an axis of that size; one out of range as the nearest."""
    i = emit(f, "cast", [index], int64)
    i = f.select(f.compare("slt", i, literal(0, i.type)), f.add(i, literal(size, i.type)), i)
    return f.intrinsic("smin", i.type, f.intrinsic("smax", i.type, i, literal(0, i.type)), literal(size - 1, i.type))


# ---- elements that follow from their place ---------------------------------------------------------------------


def _triangle(elements: Elements, instruction: Instruction, place: Place) -> Typed:
    """x on and below the k-th diagonal (tril), or on and above it (triu); else 0."""
    f, y = elements.f, instruction.result
    row, column = (elements.lanes_of(i) for i in place[-2:])
    row, column = elements.same_lanes([row, column])
    k = literal(instruction.params["diagonal"], row.value.type)
    inside = f.compare("sle" if instruction.op.name == "tril" else "sge", f.sub(column.value, row.value), k)
    x = elements.at(instruction.values[0], place)
    lanes = max(inside.type.lanes, x.value.type.lanes)
    inside_all = elements.splat(Typed(inside, int64), lanes).value
    x = elements.splat(x, lanes)
    return Typed(f.select(inside_all, x.value, literal(0, x.value.type)), y.dtype)


def _one_hot(elements: Elements, instruction: Instruction, place: Place) -> Typed:
    f, y = elements.f, instruction.result
    label = elements.at(instruction.values[0], place[:-1])
    wide = (
        label.value
        if label.value.type.scalar == "i64"
        else f.convert("sext", label.value, I64.of(label.value.type.lanes))
    )
    label, column = elements.same_lanes([Typed(wide, int64), elements.lanes_of(place[-1])])
    return _number_of(elements, f.compare("eq", label.value, column.value), y.dtype)


def _eye(elements: Elements, instruction: Instruction, place: Place) -> Typed:
    row, column = elements.same_lanes([elements.lanes_of(i) for i in place[-2:]])
    return _number_of(elements, elements.f.compare("eq", row.value, column.value), instruction.result.dtype)


def _number_of(elements: Elements, bools: text.Value, dtype: DType) -> Typed:
    type = TYPES[dtype.name].of(bools.type.lanes)
    if type.scalar == "i1":
        return Typed(bools, dtype)
    return Typed(elements.f.select(bools, literal(1, type), literal(0, type)), dtype)


def _zeros(elements: Elements, instruction: Instruction, place: Place) -> Typed:
    dtype = instruction.result.dtype
    return Typed(literal(0, TYPES[dtype.name]), dtype)


def _gather(elements: Elements, instruction: Instruction, place: Place) -> Typed:
    return elements.chosen(instruction.values[0], along(elements, instruction, place))


def along(elements: Elements, instruction: Instruction, place: Place) -> list[Chosen]:
    """Where gather, put_along and scatter read or write: at the index along one axis, at the place along the others."""
    index, axis = instruction.values[1], instruction.params["axis"]
    shape = instruction.params.get("shape", instruction.values[0].shape)
    axis = normal_axis(axis, len(shape))
    return [*place[:axis], elements.clamped(elements.at(index, place), shape[axis]), *place[axis + 1 :]]


def _take(elements: Elements, instruction: Instruction, place: Place) -> Typed:
    x, *indices = instruction.values
    return elements.chosen(x, selected(elements, x.shape, instruction.params["key"], indices, place))


def selected(
    elements: Elements, shape: Shape, key: Sequence[Any], indices: Sequence[Value], place: Place
) -> list[Chosen]:
    """The place in a value of that shape of the element x[key] at a place; see `selection`."""
    keyed = selection(shape, key, [i.shape for i in indices])
    joint = place[keyed.first : keyed.first + len(keyed.joint)]

    def chosen(part: Part, n: int) -> Chosen:
        if isinstance(part, Line):
            return elements.on_line(part.start, part.step, START if part.axis is None else place[part.axis])
        index = indices[part.number]
        return elements.clamped(elements.at(index, stretched(joint, keyed.joint, index.shape)), n)

    return [chosen(part, n) for part, n in zip(keyed.parts, shape, strict=True)]


def _draw(elements: Elements, instruction: Instruction, place: Place) -> Typed:
    """Random numbers: the word of each place is a function of the key and of how many places are before it."""
    f, y, params = elements.f, instruction.result, instruction.params
    key, counter = (elements.operand(x, [], (), int64).value for x in instruction.inputs)
    strides = contiguous_strides(y.shape)
    first = elements.number(elements.scaled([(i.base, s) for i, s in zip(place, strides, strict=True)]))
    grows = sum([i.lane * s for i, s in zip(place, strides, strict=True)])
    step = gcd(*[(i.base if isinstance(i.base, int) else i.step) * s for i, s in zip(place, strides, strict=True)])
    if grows > 1:
        places = [f.add(first, literal(lane * grows, I64)) for lane in range(elements.lanes)]
        words = philox.vector_of(f, [philox.words(f, key, counter, i, 0, 1) for i in places])
    else:
        words = philox.words(f, key, counter, first, elements.lanes * grows, step)
    if instruction.op.name == "uniform":
        return Typed(philox.uniform(f, words, y.dtype), y.dtype)
    return Typed(philox.random_integers(f, words, params["low"], params["high"]), y.dtype)


INDEXED = {
    "uniform": _draw, "random_integers": _draw,
    "gather": _gather, "take": _take, "tril": _triangle, "triu": _triangle, "one_hot": _one_hot, "eye": _eye,
    "zeros": _zeros,
}  # fmt: skip
