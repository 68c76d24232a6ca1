"""Fusion: the graph's instructions in groups, each of which becomes one kernel.

A group is a matrix product with what follows on its result (gemm); elementwise work over one shape (map); the same
with reductions over the last axis in between (rows: softmax, layer norm, losses); a reduction over other axes with
what stands before and after it (columns); or one instruction that runs on its own. Elementwise work goes to the last
group that makes one of its inputs, where that keeps the groups in an order. What is cheap and reads only what is in
memory anyway is computed again in each group that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import prod

from chainrule.compiler.ir import Graph, Instruction, Operand, Value
from chainrule.compiler.views import View, views_of
from chainrule.ops.op import Op
from chainrule.shapes import Shape, normal_axes

REDUCTIONS = frozenset(("sum", "prod", "amax", "amin", "any", "all"))
DRAWS = frozenset(("uniform", "random_integers"))
"""Random numbers: each follows from a key, a counter and its place."""
INDEXED = frozenset(("tril", "triu", "one_hot", "eye", "zeros", "gather", "take", *DRAWS))
"""Elements that follow from their place, or are read at a place that an index says."""
PIECES = frozenset(("cat", "embed", "pad"))
"""What is put together from parts, each copied to its place."""
SCANS, SORTS = frozenset(("cumsum", "cumprod")), frozenset(("argsort",))
PUTS = frozenset(("put_add", "put_along", "assign", "scatter"))
"""Elements written, or added, at places that indices say."""
CONVOLUTIONS = frozenset(("conv2d", "conv2d_input", "conv2d_weight"))
POOLS = frozenset(("max_pool2d", "max_pool2d_input", "avg_pool2d", "avg_pool2d_input"))
OWN = {"pieces": PIECES, "puts": PUTS, "scans": SCANS, "sorts": SORTS}
"""Operators that are groups of their own, by kind."""
WINDOWED = CONVOLUTIONS | POOLS
EXPENSIVE = frozenset(
    (
        "exp", "expm1", "log", "log1p", "sin", "cos", "asin", "acos", "atan", "atan2", "tanh", "erf", "pow", "sqrt",
        "div", "remainder", "floor_divide", *DRAWS,
    )
)  # fmt: skip
"""What is rather stored than computed again."""


def is_whole(op: Op, inputs: Iterable[Operand]) -> bool:
    """True unless it is a convolution or pooling that has to be taken apart: of float16, or of nothing."""
    values = [x for x in inputs if isinstance(x, Value)]
    is_one_type = len({x.dtype for x in values}) == 1 and all(x.dtype.itemsize >= 4 for x in values)
    return op.name not in WINDOWED or (is_one_type and all(prod(x.shape) for x in values))


def read_in_place(instruction: Instruction) -> list[Value]:
    """The inputs that are read at the place of the result; the others at a place that an index says."""
    if instruction.op.name == "gather":
        return instruction.values[1:]
    return [] if instruction.op.name == "take" or instruction.op.name in PUTS else instruction.values


def labels(group: Group, shape: Shape) -> list[int | None]:
    """Which of the group's axes the axes of one of its values are."""
    if len(shape) == len(group.space):
        return list(range(len(shape)))
    return [i for i in range(len(group.space)) if i not in group.axes]


def stretched_labels(place: list[int | None], shape: Shape) -> list[int | None]:
    """The labels of the last axes; None for an axis of size 1, which is read at its only place."""
    return [None if n == 1 else i for i, n in zip(place[len(place) - len(shape) :], shape, strict=True)]


@dataclass(eq=False)
class Group:
    """Instructions of one kernel in order. `space` is the shape that the kernel runs over.

    Of rows and columns it is the shape before the reduction; `axes` are the reduced ones. `stored` are the
    values that other groups, or the graph's outputs, read. `in_place` says of puts that their result lies where
    what they write into was; `placed` has those inputs of a `cat` that are computed where its result has them.
    """

    kind: str
    space: Shape
    instructions: list[Instruction]
    axes: tuple[int, ...] = ()
    number: int = 0
    stored: list[Value] = field(default_factory=list)
    reads: list[Value] = field(default_factory=list)
    in_place: bool = False
    placed: frozenset[int] = frozenset()

    @property
    def result_shapes(self) -> set[Shape]:
        """The shapes of values after a reduction: with and without the reduced axes."""
        kept = tuple([1 if i in self.axes else n for i, n in enumerate(self.space)])
        return {kept, tuple([n for i, n in enumerate(self.space) if i not in self.axes])}


@dataclass
class Fused:
    """The groups in an order in which they can run, the views, and the values that are computed where they are used."""

    groups: list[Group]
    views: dict[Value, View]
    inlined: set[Value]


def structure(group: Group, views: dict[Value, View], inlined: set[Value]) -> object:
    """What a group's kernel depends on: equal for groups that do the same to other memory.

    Brings `reads` into an order that equal groups share.
    """
    numbers: dict[Value, int] = {}

    def reference(x: object) -> object:
        if not isinstance(x, Value):
            return (type(x), x)
        view = views[x]
        place = (view.offset, view.strides, x.shape, x.dtype.name, view.root.shape)
        constant = x.graph.constants.get(view.root)
        if constant is not None and constant.size == 1:  # it stands in the kernel's text
            return (place, constant.tobytes())
        if view.root in inlined and view.root not in numbers:
            numbers[view.root] = len(numbers)
            assert view.root.maker is not None
            return (place, numbers[view.root], described(view.root.maker))
        return (place, numbers.setdefault(view.root, len(numbers)))

    def described(instruction: Instruction) -> object:
        inputs = tuple([reference(x) for x in instruction.inputs])
        return (instruction.op.name, repr(instruction.params), inputs, tuple(map(reference, instruction.results)))

    body = tuple(map(described, group.instructions))
    group.reads.sort(key=lambda value: numbers.get(value, -1))
    settled = (group.in_place, group.placed)
    return (group.kind, group.space, group.axes, settled, body, tuple([numbers[y] for y in group.stored]))


def fuse(graph: Graph, *, is_elementwise: Callable[[Instruction], bool]) -> Fused:
    """Group the instructions of a graph of primitives."""
    return _Fusion(graph, is_elementwise).run()


class _Fusion:
    def __init__(self, graph: Graph, is_elementwise: Callable[[Instruction], bool]) -> None:
        self.graph, self.is_elementwise = graph, is_elementwise
        self.views = views_of(graph)
        self.group: dict[Instruction, Group] = {}
        self.groups: list[Group] = []
        self.users: dict[Value, list[Instruction]] = {}
        for instruction in graph:
            for x in instruction.values:
                self.users.setdefault(x, []).append(instruction)

    def run(self) -> Fused:
        for instruction in self.graph:
            if self.is_view(instruction):
                continue
            self.place(instruction)
        inlined = self.cheap()
        for group in self.groups:
            self.connect(group, inlined)
        groups = [g for g in self.groups if g.stored]
        return Fused(self.ordered(groups), self.views, inlined)

    def is_view(self, instruction: Instruction) -> bool:
        """True for a movement that costs nothing."""
        return all(self.views[y].root is not y for y in instruction.results)

    # ---- where an instruction goes ---------------------------------------------------------------------------

    def place(self, instruction: Instruction) -> None:
        """Put an instruction into the best group that can take it, or into one of its own."""
        name = instruction.op.name
        if self.fuses(instruction):
            for group in self.makers(instruction):
                if self.takes(group, instruction) and not self.reaches(group, instruction):
                    self.join(group, instruction)
                    return
            self.found("map", instruction.result.shape, instruction)
        elif name in REDUCTIONS and instruction.values[0].ndim:
            self.place_reduction(instruction)
        elif name == "matmul":
            self.found("gemm", instruction.result.shape, instruction)
        elif name in WINDOWED:
            self.found("convolution" if name in CONVOLUTIONS else "pool", instruction.result.shape, instruction)
        elif name == "reshape":  # one that is no view
            self.found("copy", instruction.result.shape, instruction)
        elif (kind := next((kind for kind, names in OWN.items() if name in names), None)) is not None:
            self.found(kind, instruction.result.shape, instruction)
        else:
            self.found("alone", instruction.results[0].shape, instruction)

    def fuses(self, instruction: Instruction) -> bool:
        """True for what can be computed element by element within a kernel."""
        return self.is_elementwise(instruction) or instruction.op.name in INDEXED

    def place_reduction(self, instruction: Instruction) -> None:
        x = instruction.values[0]
        axes = normal_axes(instruction.params["axis"], x.ndim)
        last = axes == (x.ndim - 1,)
        maker = self.maker(x)
        kind = "rows" if last else "columns"
        if maker is not None and maker.space == x.shape and self.becomes(maker, kind, instruction):
            maker.kind, maker.axes = kind, axes
            self.join(maker, instruction)
        else:
            self.found(kind, x.shape, instruction, axes)

    def becomes(self, group: Group, kind: str, reduction: Instruction) -> bool:
        """True if a group that makes what is reduced can do that too: rows go on, columns have to end there."""
        if kind == "rows":
            return group.kind in ("map", "rows") and not self.reaches(group, reduction)
        return group.kind == "map" and self.only_serves(group, reduction)

    def only_serves(self, group: Group, instruction: Instruction) -> bool:
        """True if nothing but the group and this instruction reads what the group makes."""
        for made in group.instructions:
            for y in made.results:
                if y in self.graph.outputs:
                    return False
                if any(self.group.get(u) is not group and u is not instruction for u in self.real_users(y)):
                    return False
        return True

    def real_users(self, value: Value) -> Iterable[Instruction]:
        """The instructions that read a value, also through views of it."""
        for user in self.users.get(value, ()):
            if self.is_view(user):
                yield from self.real_users(user.result)
            else:
                yield user

    def takes(self, group: Group, instruction: Instruction) -> bool:
        """True if the instruction's elements are at hand where the group's kernel is."""
        shape = instruction.result.shape
        if group.kind in ("map", "gemm", "convolution", "pool"):
            return shape == group.space
        if group.kind == "rows":
            return shape == group.space or shape in group.result_shapes
        return group.kind == "columns" and shape in group.result_shapes and shape != group.space

    def makers(self, instruction: Instruction) -> list[Group]:
        """The groups that make the inputs that are read at the same place: the dearest kind first, then the last."""
        found = {id(g): g for x in read_in_place(instruction) if (g := self.maker(x)) is not None}
        return sorted(found.values(), key=lambda g: (g.kind != "map", g.number), reverse=True)

    def maker(self, value: Value) -> Group | None:
        """The group that makes a value, if it is read at its own place: as it is, or stretched."""
        while value.maker is not None and self.is_view(value.maker):
            name, x = value.maker.op.name, value.maker.values[0]
            if name == "reshape" and tuple(n for n in x.shape if n != 1) != tuple(n for n in value.shape if n != 1):
                return None
            if name not in ("broadcast_to", "reshape", "clone"):
                return None
            value = x
        return None if value.maker is None else self.group.get(value.maker)

    def roots(self, instruction: Instruction) -> list[Value]:
        """The values behind the views that an instruction reads."""
        return [self.views[x].root for x in instruction.values]

    def reaches(self, group: Group, instruction: Instruction) -> bool:
        """True if an input of the instruction depends on the group by a way outside it, or on its moved elements."""
        for x in instruction.values:
            maker = self.views[x].root.maker
            if maker is None:
                continue
            other = self.group[maker]
            if other is group:
                in_place = self.maker(x) is group and x in read_in_place(instruction)
                if not in_place or not self.is_aligned(group, x, instruction):
                    return True
            elif self.depends(other, group):
                return True
        return False

    def is_aligned(self, group: Group, x: Value, instruction: Instruction) -> bool:
        """True if a kernel that computes the instruction at a place needs x, which the group makes, at that place too.

        A row's sum of shape (n,) is not: beside (n, n) it is read along the columns.
        """
        place = labels(group, instruction.result.shape)
        if len(place) != instruction.result.ndim or len(place) < x.ndim:
            return False
        place = stretched_labels(place, x.shape)
        while x.maker is not None and self.is_view(x.maker):
            source = x.maker.values[0]
            if x.maker.op.name == "reshape":
                real = iter([i for i, n in zip(place, x.shape, strict=True) if n != 1])
                place = [None if n == 1 else next(real) for n in source.shape]
            else:
                place = stretched_labels(place, source.shape)
            x = source
        own = labels(group, x.shape)
        return len(own) == x.ndim and place == stretched_labels(own, x.shape)

    def depends(self, group: Group, on: Group) -> bool:
        """True if a group needs another one's results, directly or not."""
        seen, stack = {id(group)}, [group]
        while stack:
            for instruction in stack.pop().instructions:
                for root in self.roots(instruction):
                    other = None if root.maker is None else self.group.get(root.maker)
                    if other is on:
                        return True
                    if other is not None and id(other) not in seen:
                        seen.add(id(other))
                        stack.append(other)
        return False

    def found(self, kind: str, space: Shape, instruction: Instruction, axes: tuple[int, ...] = ()) -> None:
        group = Group(kind, space, [], axes, len(self.groups))
        self.groups.append(group)
        self.join(group, instruction)

    def join(self, group: Group, instruction: Instruction) -> None:
        group.instructions.append(instruction)
        self.group[instruction] = group

    # ---- what is stored ----------------------------------------------------------------------------------------

    def cheap(self) -> set[Value]:
        """Values that each reader computes for itself, because all they need is in memory anyway."""
        outputs = {self.views[y].root for y in self.graph.outputs}
        inlined: set[Value] = set()
        for instruction in self.graph:
            if self.is_view(instruction) or not self.is_recomputable(instruction) or instruction.result in outputs:
                continue
            group, y = self.group[instruction], instruction.result
            outside = [u for u in self.real_users(y) if self.group[u] is not group]
            if not outside or instruction.op.name in EXPENSIVE or any(self.is_moved(y, u) for u in outside):
                continue
            if any(u.op.name == "matmul" or u.op.name in WINDOWED or self.group[u].kind == "alone" for u in outside):
                continue
            if all(self.is_in_memory(root, group, inlined) for root in self.roots(instruction)):
                inlined.add(y)
        return inlined

    def is_recomputable(self, instruction: Instruction) -> bool:
        """True for what may be computed again: element by element, and from its place alone."""
        return self.is_elementwise(instruction) or instruction.op.name in INDEXED - {"gather", "take"}

    def is_moved(self, value: Value, user: Instruction) -> bool:
        """True if a user reads a value through a view that is not just a stretch of it."""
        return any(
            self.views[x].root is value and (self.maker(x) is None or x not in read_in_place(user)) for x in user.values
        )

    def is_in_memory(self, root: Value, group: Group, inlined: set[Value]) -> bool:
        if root.maker is None or root in inlined or root in self.graph.outputs:
            return True
        return any(self.group[u] is not self.group[root.maker] for u in self.real_users(root))

    def connect(self, group: Group, inlined: set[Value]) -> None:
        """Note what a group has to store and what it reads from memory."""
        outputs = {self.views[y].root for y in self.graph.outputs}
        for instruction in group.instructions:
            for y in instruction.results:
                outside = any(self.group[u] is not group for u in self.real_users(y))
                if y in outputs or (outside and y not in inlined):
                    group.stored.append(y)
        needed = [root for i in group.instructions for root in self.roots(i)]
        seen: set[Value] = set()
        while needed:
            root = needed.pop()
            if root in seen:
                continue
            seen.add(root)
            if root.maker is not None and self.group[root.maker] is group:
                continue
            if root in inlined:
                assert root.maker is not None
                needed += self.roots(root.maker)
            else:
                group.reads.append(root)

    def ordered(self, groups: list[Group]) -> list[Group]:
        """The groups so that each comes after those whose results it reads, near to the program's order."""
        maker = {y: g for g in groups for y in g.stored}
        done: set[int] = set()
        order: list[Group] = []

        def visit(group: Group) -> None:
            stack = [group]
            while stack:
                top = stack[-1]
                if id(top) in done:
                    stack.pop()
                    continue
                waiting = [
                    maker[y] for y in top.reads if y in maker and id(maker[y]) not in done and maker[y] is not top
                ]
                if waiting:
                    stack += waiting
                else:
                    done.add(id(top))
                    order.append(stack.pop())

        for group in groups:
            visit(group)
        return order
