"""The target LLVM: a simplified graph as machine code, with its memory plan.

Groups become kernels; the program calls them one after the other. What has no kernel runs on NumPy in between, so a
program is one native function or several. All memory but the caller's lies in one arena, planned by liveness.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from chainrule.compiler import interpret
from chainrule.compiler.facts import Facts
from chainrule.compiler.fuse import DRAWS, WINDOWED, Group, fuse, structure
from chainrule.compiler.ir import Graph, Instruction, Value, size_of
from chainrule.compiler.recorded import Part
from chainrule.compiler.targets.llvm.elementwise import DIRECT
from chainrule.compiler.targets.llvm.entry import (
    ArgumentSpec,
    globals_of_entry,
    make_callable,
    make_entry,
    make_flushing,
)
from chainrule.compiler.targets.llvm.epochs import Batch, batches_of, write_epochs
from chainrule.compiler.targets.llvm.fork_join import emit_parallel, now
from chainrule.compiler.targets.llvm.kernels import NAME, Kernel, kernels_of, worked_on
from chainrule.compiler.targets.llvm.kernels.convolutions import flops_of_convolution
from chainrule.compiler.targets.llvm.machine import Machine, host
from chainrule.compiler.targets.llvm.native import Native, compile_text
from chainrule.compiler.targets.llvm.pool import Pool
from chainrule.compiler.targets.llvm.text import I8, I64, PTR, Function, module_text
from chainrule.compiler.targets.llvm.watch import Watch, watch
from chainrule.shapes import normal_axis
from chainrule.tensor.arrays import LINE, numpy_dtype
from chainrule.tensor.graph import Array

KEPT = frozenset(("mT", *DIRECT, *WINDOWED))
"""Operators that are no primitives, and that the kernels compute as they are."""


def is_elementwise(instruction: Instruction) -> bool:
    """True for what the kernels compute element by element."""
    return instruction.op.kind.name == "elementwise"


@dataclass
class Place:
    """Where a value is: in a slot of the table that the caller fills, or at an offset of the arena."""

    slot: int = 0
    offset: int = 0

    @property
    def in_arena(self) -> bool:
        return self.slot == ARENA


ARENA, POOL, FIRST = 0, 1, 2
"""The table's slots with the addresses of the arena and of the threads' pool; those of inputs and outputs follow."""

WORTH_DIVIDING = 10e-6
"""Seconds of one kernel from which on threads share it: the pool takes about half a microsecond, and a cold start of a
worker's caches as much again."""


@dataclass
class Step:
    """A piece of the program: kernels and their groups, some for several threads; or an instruction for NumPy."""

    kernels: list[tuple[Kernel, Group]] = field(default_factory=list)
    divided: set[Kernel] = field(default_factory=set)
    alone: Instruction | None = None


class Plan:
    """What runs in which order, and where everything is."""

    def __init__(self, graph: Graph, machine: Machine, in_place: Mapping[int, Value]) -> None:
        self.graph, self.machine = graph, machine
        self.fused = fuse(graph, is_elementwise=is_elementwise)
        self.views = self.fused.views
        self.places: dict[Value, Place] = {v: Place(FIRST + i) for i, v in enumerate(graph.inputs)}
        self.copies: list[tuple[int, Value]] = []
        self.overwritten: dict[Group, list[Value]] = {}
        self.groups = self.fused.groups
        self._place_outputs(in_place)
        self.parts = self._parts()
        self.arena_bytes = self._place_results()
        self.steps = self._steps()
        self.seconds = sum(map(seconds_of, self.groups))
        self.scratch_bytes = max([k.scratch for s in self.steps for k, _ in s.kernels], default=0)

    @property
    def slots(self) -> int:
        """Of the table."""
        return FIRST + len(self.graph.inputs) + len(self.graph.outputs)

    def _place_outputs(self, in_place: Mapping[int, Value]) -> None:
        """Let the kernels write outputs where the caller wants them; where that cannot be, copy at the end."""
        makers = {y: g for g in self.groups for y in g.stored}
        for i, output in enumerate(self.graph.outputs):
            view = self.views[output]
            root = view.root
            whole = view.is_contiguous and view.offset == 0 and prod(view.shape) == prod(root.shape)
            if (
                not whole
                or root not in makers
                or root in self.places
                or (i in in_place and not self._can_overwrite(makers[root], root, in_place[i]))
            ):
                self.copies.append((i, output))
            else:
                self.places[root] = Place(FIRST + len(self.graph.inputs) + i)

    def _can_overwrite(self, group: Group, value: Value, old: Value) -> bool:
        """True if a group may write a value over an input: all others that read it can run before."""
        if group.kind == "puts":
            if not self._writes_into(group, old):
                return False
        elif group.kind not in ("map", "rows", "columns", "gemm", "convolution", "pool") or value.shape != old.shape:
            return False
        elif group.kind == "rows" and any(y.shape == group.space for y in group.stored):
            return False  # rows are read several times, and the last of them after the numbers of the row are stored
        else:
            for instruction in group.instructions:
                for x in instruction.values:
                    if self.views[x].root is old and (x is not old or not is_elementwise(instruction)):
                        return False
        if any(self.views[x].root is old for x in self.graph.outputs):
            return False
        if any(old in self._inputs_of_inlined(y) for y in group.reads):
            return False
        readers = [g for g in self.groups if old in g.reads and g is not group]
        last = max([self.groups.index(g) for g in readers], default=-1)
        here = self.groups.index(group)
        if last > here:
            stored, passed = set(group.stored), self.groups[here + 1 : last + 1]
            if any(stored & set(g.reads) for g in passed):
                return False
            if any(x in group.reads for g in passed for x in self.overwritten.get(g, ())):
                return False  # it would come after another one has written over what it reads
            self.groups.insert(last, self.groups.pop(here))
        self.overwritten.setdefault(group, []).append(old)
        group.in_place = group.kind == "puts"
        return True

    def _writes_into(self, group: Group, old: Value) -> bool:
        """True if a group of puts writes elements into an input, and reads no others from there."""
        x, *others = group.instructions[0].values
        return (
            x is old
            and group.instructions[0].op.name in ("assign", "scatter")
            and all(self.views[v].root is not old for v in others)
        )

    def _inputs_of_inlined(self, value: Value) -> set[Value]:
        return set() if value not in self.fused.inlined or value.maker is None else set(value.maker.values)

    def _parts(self) -> dict[Value, tuple[Value, int]]:
        """What is computed at once where a concatenation has it: in which value, and how many bytes from its start.

        That is what lies in one piece in the result, and in the arena, as the result does.
        """
        makers = {y: g for g in self.groups for y in g.stored}
        parts: dict[Value, tuple[Value, int]] = {}
        for group in self.groups:
            cat = group.instructions[0]
            if cat.op.name != "cat" or cat.result in self.places:
                continue
            axis = normal_axis(cat.params["axis"], cat.result.ndim)
            if prod(cat.result.shape[:axis]) != 1:
                continue
            start, placed = 0, []
            for i, x in enumerate(cat.values):
                view = self.views[x]
                is_whole = view.is_contiguous and prod(view.shape) == prod(view.root.shape)
                is_alike = is_whole and view.root.dtype is cat.result.dtype
                if is_alike and view.root in makers and view.root not in self.places and view.root not in parts:
                    parts[view.root] = (cat.result, start)
                    placed.append(i)
                start += size_of(x)
            group.placed = frozenset(placed)
        return parts

    def _place_results(self) -> int:
        """Offsets in the arena: memory is taken when a value is made and given back after its last reader.

        The result of a concatenation is made when the first of its parts is, and read when one of them is.
        """
        last: dict[Value, int] = {}
        for i, group in enumerate(self.groups):
            for y in [*group.stored, *group.reads]:
                last[y] = i
        for _, output in self.copies:
            last[self.views[output].root] = len(self.groups)
        for part, (whole, _) in self.parts.items():  # a part that has parts itself comes after them
            last[whole] = max(last[whole], last[part])
        free: list[tuple[int, int]] = []  # (offset, bytes), by offset
        top = 0
        dying: dict[int, list[tuple[int, int]]] = {}
        for i, group in enumerate(self.groups):
            for y in dict.fromkeys([self._outermost(y) for y in group.stored]):
                if y in self.places:
                    continue
                need = -(-max(size_of(y), 1) // LINE) * LINE
                fitting = [(size, offset) for offset, size in free if size >= need]
                if fitting:
                    size, offset = min(fitting)
                    free.remove((offset, size))
                    if size > need:
                        free.append((offset + need, size - need))
                else:
                    offset, top = top, top + need
                self.places[y] = Place(ARENA, offset)
                dying.setdefault(last[y], []).append((offset, need))
            free = _merged(free + dying.pop(i, []))
        for part in self.parts:
            self.places[part] = Place(ARENA, self._offset(part))
        return top

    def _outermost(self, value: Value) -> Value:
        """The value in whose memory one lies."""
        while value in self.parts:
            value, _ = self.parts[value]
        return value

    def _offset(self, value: Value) -> int:
        """Where a value lies in the arena."""
        if value not in self.parts:
            return self.places[value].offset
        whole, start = self.parts[value]
        return self._offset(whole) + start

    def _steps(self) -> list[Step]:
        steps: list[Step] = []
        known: dict[object, list[Kernel]] = {}
        for group in self.groups:
            if group.kind == "alone":
                steps.append(Step(alone=group.instructions[0]))
                continue
            if not steps or steps[-1].alone is not None:
                steps.append(Step())
            key = structure(group, self.views, self.fused.inlined)
            if key not in known:
                known[key] = kernels_of(group, self.views, self.machine)
            steps[-1].kernels += [(kernel, group) for kernel in known[key]]
            if seconds_of(group) > WORTH_DIVIDING:
                steps[-1].divided.update([k for k in known[key] if k.units > 1 and k.is_divisible])
        return steps


DRAWING = 1.5e-9
"""Seconds that one random number takes."""
SORTING = 1e-9
"""Seconds that one element takes for each doubling of the sorted runs."""


def seconds_of(group: Group) -> float:
    """About how long a group takes: at least its memory traffic and its products."""
    traffic = sum([size_of(v) for v in [*group.reads, *group.stored]]) / 30e9
    traffic += DRAWING * sum([prod(i.result.shape) for i in group.instructions if i.op.name in DRAWS])
    if group.kind == "sorts":
        size: int = group.space[group.instructions[0].params["axis"]]
        return traffic + SORTING * prod(group.space) * size.bit_length()
    if group.kind == "convolution":
        return max(traffic, flops_of_convolution(group.instructions[0]) / 100e9)
    if group.kind != "gemm":
        return traffic
    a, y = group.instructions[0].values[0], group.instructions[0].result
    return max(traffic, 2 * prod(y.shape) * a.shape[-1] / 100e9)


def _merged(free: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring free pieces as one."""
    merged: list[tuple[int, int]] = []
    for offset, size in sorted(free):
        if merged and sum(merged[-1]) == offset:
            merged[-1] = (merged[-1][0], merged[-1][1] + size)
        else:
            merged.append((offset, size))
    return merged


def program_text(plan: Plan, *, stamped: bool = False) -> str:
    """The whole module: kernels, each once, and a function for each native step.

    With `stamped` a step notes the processor's clock when it begins and after each kernel, in the array of i64 that
    stands in the table's last slot; the steps one after the other.
    """
    names: dict[str, str] = {}
    declared: dict[str, str] = {}
    functions: list[str] = []
    stamps = 0
    for number, step in enumerate(plan.steps):
        if step.alone is not None:
            continue
        f = Function(f"step{number}", [("table", PTR)], linkage="", attributes=f"nounwind {plan.machine.attributes}")
        slots: dict[int, Any] = {}

        def slot(i: int, f: Function = f, slots: dict[int, Any] = slots) -> Any:
            if i not in slots:
                slots[i] = f.load(f.at(f["table"], i, PTR), PTR)
            return slots[i]

        arena = slot(ARENA)

        def stamp(f: Function = f, slot: Callable[[int], Any] = slot) -> None:
            nonlocal stamps
            f.store(now(f), f.at(slot(plan.slots), stamps, I64))
            stamps += 1

        most = max([len(worked_on(group)) + 1 for _, group in step.kernels], default=1)
        context = f.value(f"alloca [{most} x ptr], align 64", PTR)
        scratch = f.at(arena, plan.arena_bytes, I8)
        if stamped:
            stamp()
        for kernel, group in step.kernels:
            values = worked_on(group)
            if kernel.body not in names:
                names[kernel.body] = f"kernel{len(names)}"
                functions.append(kernel.body.replace(f"@{NAME}(", f"@{names[kernel.body]}(", 1))
                declared |= dict(kernel.declared)
            for i, value in enumerate(values):
                place = plan.places[value]
                base = slot(place.slot)
                pointer = f.at(base, place.offset, I8) if place.in_arena and place.offset else base
                f.store(pointer, f.at(context, i, PTR))
            if kernel.scratch:
                f.store(scratch, f.at(context, len(values), PTR))
            if kernel in step.divided:
                emit_parallel(f, slot(POOL), names[kernel.body], context, kernel.units)
            else:
                f.line(f"call void @{names[kernel.body]}({context.typed}, i64 0, i64 {kernel.units})")
            if stamped:
                stamp()
        f.ret()
        declared |= f.declared
        functions.append(f.text())
    outside = [line for name, line in declared.items() if name not in names.values()]
    return "\n".join([*outside, *functions])


LONG = 1e-5
"""Seconds from which on a program lets other Python threads run."""


class Compiled:
    """A program that runs: native steps and NumPy's, on a table of addresses.

    `entry` runs it on its arguments and then the outputs from number `own` on, if it is one native function; the
    other inputs and outputs are where `point` has put them. `stamps`, if given, receives the clock (`program_text`).
    """

    def __init__(
        self,
        plan: Plan,
        flushes: bool,
        own: int,
        leaves: Sequence[bool] | None = None,
        stamps: Array | None = None,
    ) -> None:
        self.plan = plan
        self.entry: Callable[..., Any] | None = None
        self.batches: list[Batch] = []
        graph, machine = plan.graph, plan.machine
        self.text = program_text(plan, stamped=stamps is not None)
        single = len(plan.steps) == 1 and plan.steps[0].alone is None and not plan.copies
        native = [n for n, step in enumerate(plan.steps) if step.alone is None]
        functions = [make_flushing(f"flushing{n}", f"step{n}", machine) for n in native] if flushes else []
        specs: list[ArgumentSpec] = []
        if single:
            first = FIRST + len(graph.inputs)
            taken = [(FIRST + i, v) for i, v in enumerate(graph.inputs) if v.role == "argument"]
            specs = [
                ArgumentSpec(
                    slot,
                    numpy_dtype(v.dtype),
                    v.shape,
                    is_tensor=True,
                    requires_grad=None if leaves is None else leaves[i],
                )
                for i, (slot, v) in enumerate(taken)
            ]
            specs += [
                ArgumentSpec(first + own + i, numpy_dtype(v.dtype), v.shape, written=True)
                for i, v in enumerate(graph.outputs[own:])
            ]
            entry = make_entry(
                "entry", "step0", specs, machine, release_gil=plan.seconds > LONG, flush_denormals=flushes
            )
            functions.append(entry)
            batches = batches_of(graph.inputs, FIRST)
            if batches and len(graph.outputs) == own + 1:
                result = graph.outputs[own]
                counters = sum([v.dtype.kind == "i" for v in graph.inputs if v.role == "number"]) // 2
                self.batches = batches
                functions.append(
                    write_epochs("step0", batches, first + own, size_of(result), counters, machine, flushes=flushes)
                )
        if functions:
            text = module_text(functions, globals_of_entry(specs) if single else "")
            here = {f"declare void @step{n}(ptr)" for n in native}
            self.text += "\n" + "\n".join([line for line in text.split("\n") if line not in here])
        self.native: Native = compile_text(self.text, plan.machine)
        raw = np.zeros(plan.arena_bytes + plan.scratch_bytes + 2 * LINE, np.uint8)
        start = -raw.ctypes.data % LINE
        self.arena = raw[start:]
        graph = plan.graph
        self.table = np.zeros(plan.slots + (stamps is not None), np.uint64)
        self.table[ARENA] = self.arena.ctypes.data
        if stamps is not None:
            self.table[plan.slots] = stamps.ctypes.data
        if any(step.divided for step in plan.steps):
            self.table[POOL] = Pool.current().address
        self.constants = {v: np.ascontiguousarray(a) for v, a in graph.constants.items()}
        for i, v in enumerate(graph.inputs):
            if v in self.constants:
                self.table[FIRST + i] = self.constants[v].ctypes.data
        self.given = [FIRST + i for i, v in enumerate(graph.inputs) if v.role != "constant"]
        self.seen: list[Any] = [None] * len(self.table)
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        self.calls: list[Any] = [
            call(self.native.address(f"{'flushing' if flushes else 'step'}{n}")) if step.alone is None else step.alone
            for n, step in enumerate(plan.steps)
        ]
        self.address = self.table.ctypes.data
        if single:
            self.entry = make_callable(self.native, "entry", self.table)

    def steps(self, data: Sequence[Array], rows: Array, results: Array, counters: Sequence[tuple[Array, int]]) -> None:
        """Run a step for each batch of `rows` (int64): its rows of the data, in that order; the results one by one.

        All else is where `point` has put it. `counters` are words to move on after each step, and by how much.
        """
        buffers = [np.empty((b.rows, b.row_bytes), np.uint8) for b in self.batches]
        pairs = [a.ctypes.data for pair in zip(data, buffers, strict=True) for a in pair]
        ends = [x for counter, by in counters for x in (counter.ctypes.data, by)]
        work = np.array(
            [len(rows) // self.batches[0].rows, rows.ctypes.data, results.ctypes.data, *pairs, *ends], np.uint64
        )
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(self.native.address("epochs"))
        call(self.address, work.ctypes.data)

    def watch(self, facts: Facts) -> Watch:
        """Facts as machine code looks at them."""
        return watch(facts)

    def point(self, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
        """Put the addresses of inputs (None: an argument) and of the first outputs into the table."""
        for slot, array in zip(self.given, inputs, strict=True):
            if array is not None:
                self._point(slot, array, [])
        for i, array in enumerate(outputs):
            self._point(FIRST + len(self.plan.graph.inputs) + i, array, [])

    def __call__(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        back: list[tuple[Array, Array]] = []
        kept: list[Array] = []
        for slot, array in zip(self.given, inputs, strict=True):
            self._point(slot, array, kept)
        first = FIRST + len(self.plan.graph.inputs)
        places = []
        for i, array in enumerate(outputs):
            target = array
            if not array.flags.c_contiguous:
                target = np.ascontiguousarray(array)
                back.append((array, target))
            places.append(target)
            self._point(first + i, target, kept)
        for call in self.calls:
            if isinstance(call, Instruction):
                self.run_alone(call, inputs, places)
            else:
                call(self.address)
        results = [self.array(output, inputs, places).copy() for _, output in self.plan.copies]
        for (i, _), result in zip(self.plan.copies, results, strict=True):
            outputs[i][...] = result
        for array, target in back:
            array[...] = target

    def _point(self, slot: int, array: Array, kept: list[Array]) -> None:
        if self.seen[slot] is array:
            return
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
            kept.append(array)
            self.seen[slot] = None
        else:
            self.seen[slot] = array
        self.table[slot] = array.ctypes.data

    def array(self, value: Value, inputs: Sequence[Array], outputs: Sequence[Array]) -> Array:
        """A value as it is in memory."""
        view = self.plan.views[value]
        root = view.root
        if root in self.constants:
            whole = self.constants[root]
        else:
            place = self.plan.places[root]
            dtype = numpy_dtype(root.dtype)
            if place.in_arena:
                whole = self.arena[place.offset : place.offset + size_of(root)].view(dtype).reshape(root.shape)
            elif place.slot < FIRST + len(self.plan.graph.inputs):
                whole = np.ascontiguousarray(inputs[self.given.index(place.slot)])
            else:
                whole = outputs[place.slot - FIRST - len(self.plan.graph.inputs)].reshape(root.shape)
        flat = whole.reshape(-1)
        size = flat.itemsize
        return np.lib.stride_tricks.as_strided(flat[view.offset :], view.shape, [s * size for s in view.strides])

    def run_alone(self, instruction: Instruction, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """An instruction that NumPy computes."""
        given = [self.array(x, inputs, outputs) if isinstance(x, Value) else x for x in instruction.inputs]
        made = interpret.evaluate(instruction, given)
        for y, result in zip(instruction.results, made, strict=True):
            if y in self.plan.places:
                self.array(y, inputs, outputs)[...] = result


def build(part: Part, *, flushes: bool) -> Compiled:
    """Compile a part of a program for this machine; with `flushes` subnormal numbers count as zero."""
    simple = part.simplified(KEPT)
    return Compiled(plan_of(simple), flushes, simple.own, simple.leaves)


def plan_of(part: Part) -> Plan:
    """The plan of a simplified part."""
    graph = part.graph
    return Plan(graph, host(), {i: graph.inputs[place] for i, place in part.in_place.items()})
