"""Program: a traced graph bound to the memory it works on. A call checks its guards, runs, and puts results in place.

What is read and written at a call: the arguments; the arrays behind the state's Tensors, in place; the gradients
that the program leaves in `.grad`; hyperparameters, when their group has changed; counters of random generators.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from operator import is_not
from typing import Any, Protocol

import numpy as np

from chainrule.compiler.facts import Facts, Watch
from chainrule.compiler.recorded import Part, Recorded, Result
from chainrule.compiler.surroundings import Surroundings
from chainrule.errors import ArgumentError, UnsupportedError
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.function import Function
from chainrule.tensor.graph import Array, Leaf, SharedWrite, state
from chainrule.tensor.printing import describe
from chainrule.tensor.recording import Changes
from chainrule.tensor.tensor import Tensor, wrap

_empty, getrefcount = np.empty, sys.getrefcount
MISS = object()

LONGEST_WAIT = 64
"""Calls, at most, between two attempts to watch what a program depends on."""


class Executable(Protocol):
    """A graph that can run: what a target makes of it.

    `entry`, if there is one, takes the arguments and the outputs that come with each call, in machine code; it
    returns NotImplemented where they are not what it was compiled for. All else is where `point` has put it.
    """

    @property
    def entry(self) -> Callable[..., Any] | None: ...

    @property
    def batches(self) -> Sequence[Any]:
        """If not empty, `steps` runs many batches of these at once."""

    def steps(self, data: Sequence[Array], rows: Array, results: Array, counters: Sequence[tuple[Array, int]]) -> None:
        """Run a step for each batch of rows."""

    def watch(self, facts: Facts) -> Watch:
        """Facts as machine code looks at them; for programs with an `entry`."""

    def point(self, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
        """Put inputs (None: an argument) and the first outputs into their places for `entry`."""

    def __call__(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Read the inputs (in the graph's order, without its constants) and write the outputs.

        An output may be the very array of an input: the graph's input has its old elements until the end.
        """


class Program:
    """One compiled signature of a function. The graph's outputs are: state, gradients, results, residuals."""

    def __init__(self, recorded: Recorded, build: Callable[[Part], Executable], around: Surroundings) -> None:
        self.around = around
        trace, results, backward, leaves = recorded.trace, recorded.results, recorded.backward, recorded.leaves
        self.trace, self.results, self.rebuild, self.backward = trace, results, recorded.rebuild, backward
        self.execute = execute = build(recorded.forward)
        self.execute_backward = None if backward is None else build(backward.part)
        self.lock = threading.Lock()
        self.written = [s for s in trace.states if s.written]
        self.grads = [g for g in trace.grads if g.after is not g.before]
        self.replaced = [g for g in self.grads if g.after is not None]
        self.modules = [(m, snapshot(m)) for m in trace.modules.values()]
        leaves_met = [s.owner.edge for s in trace.states if isinstance(s.owner.edge, Leaf)]
        self.hooked = [(x, hooks_on(x)) for x in [*trace.modules.values(), *leaves_met, *[g.leaf for g in trace.grads]]]
        self.members = [list(vars(m).values()) for m, _ in self.modules]  # or another might get the id of one
        self.numbers = {name: np.zeros((), np.float64) for n in trace.numbers for name in n.inputs.values()}
        self.words = {v: np.zeros((), np.int64) for d in trace.draws for v in (d.key, d.counter)}
        bits = {v: word.view(np.uint64) for v, word in self.words.items()}
        self.drawn = [(d, bits[d.key], bits[d.counter]) for d in trace.draws]
        made = trace.graph.outputs[len(self.written) + len(self.replaced) :]
        self.made = [(v.shape, numpy_dtype(v.dtype)) for v in made]
        self.removed = [g for g in self.grads if g.after is None]
        self.buffers: list[Tensor | None] = [None] * len(self.replaced)
        self.pointed = -2
        self.entry: Any = execute.entry
        self.reads_grads = any(s.leaf is not None for s in trace.states)
        self.is_quick = (
            not self.reads_grads and None not in (leaves, self.entry)
            and backward is None and not trace.effects and not trace.draws
            and [r.kind for r in results] == ["output"] and len(made) == 1 and self.rebuild([MISS]) is MISS
        )  # fmt: skip
        self.pointed_arrays: list[Array] = []
        self.watch: Watch | None = None
        self.holds: Callable[[], Any] = never
        self.other_facts: list[Callable[[], bool]] = []
        self.wait, self.until_watched = 1, 2  # a program that is called once pays for no watch
        self.guards = [(look, look()) for look in trace.guards]
        self.checked_grads = [g for g in trace.grads if g.was_read]
        self.changes = -1
        self._read_numbers()
        self._fits_again()

    # ---- guards -----------------------------------------------------------------------------------------------

    def fits(self) -> bool:
        """True if what the trace took for granted still holds."""
        if not self.around.holds():
            return False
        if self.changes != Changes.count and not self._fits_again():
            return False
        for g in self.checked_grads:
            if (g.leaf.grad is None) is not (g.before is None):
                return False
        for watched, seen in self.watched:
            if tuple(watched.values()) != seen:
                return self._read_numbers()
        return True

    def _fits_again(self) -> bool:
        """Look again at the modules' members and flags, and at the arrays behind the state."""
        if any(snapshot(m) != before for m, before in self.modules):
            return False
        if any(hooks_on(x) != before for x, before in self.hooked):
            return False
        if any(look() != before for look, before in self.guards):
            return False
        for s in self.trace.states:
            if s.leaf is not None:  # that .grad is there is looked at in `fits`, its shape is the leaf's
                continue
            array = s.tensor.value
            if array.shape != s.array.shape or array.dtype != s.array.dtype:
                return False
        self._refuse_read_only()
        self.changes = Changes.count
        self.writes = SharedWrite([s.tensor.value for s in self.written if s.leaf is None], "a compiled program")
        arrays = [s.tensor.value for s in self.trace.states if s.leaf is None]
        self.held = list(map(weakref.ref, arrays))  # NumPy does not resize an array with a weak reference
        return True

    def _refuse_read_only(self) -> None:
        for s in self.written:
            if s.leaf is None and not s.tensor.value.flags.writeable:
                raise ArgumentError(
                    "a compiled function writes to a tensor whose array is read-only",
                    got=[describe("tensor", s.tensor)],
                    mend="Use a clone() of it, or make the array writeable.",
                )

    def _read_numbers(self) -> bool:
        """Read the hyperparameters again; False if an option has changed that the trace has taken as fixed."""
        for numbers in self.trace.numbers:
            found = numbers.read()
            if any(found[name] != x for name, x in numbers.fixed.items()):
                return False
            for name, value in numbers.inputs.items():
                if type(found[name]) is not float:
                    return False
                self.numbers[value][...] = found[name]
        self.watched = [(n.watched, tuple(n.watched.values())) for n in self.trace.numbers]
        return True

    # ---- a call -------------------------------------------------------------------------------------------------

    def __call__(self, arguments: Sequence[Tensor]) -> Any:
        """Run on arguments of this signature; `fits()` holds."""
        if self.backward is None:
            outputs: Sequence[Any] = [wrap(y, None) for y in self.run(arguments)]
        else:
            sources = [arguments[leaf] if isinstance(leaf, int) else leaf for leaf in self.backward.leaves]
            outputs = _Connected.apply(self, arguments, *sources)
        for effect in self.trace.effects:
            effect()
        return self.rebuild([result_of(r, outputs, arguments) for r in self.results])

    def settle(self) -> None:
        """After a call: have machine code look, at the calls that follow, at what this one took for granted.

        Where that was in vain, because something is another object each time, the next attempt waits for more calls.
        """
        self.until_watched -= 1
        if self.until_watched <= 0 and self.pointed == self.changes:
            with self.lock:
                facts = self._facts()
                self.watch, self.other_facts = self.execute.watch(facts), facts.others
                self.holds = self.watch.holds

    def _unwatch(self) -> None:
        """Let go of what is watched, the gradients' memory above all: the call that follows looks at all itself."""
        watch, self.watch, self.holds = self.watch, None, never
        if watch is not None:
            self.wait = 1 if watch.passed else min(2 * self.wait, LONGEST_WAIT)
            self.until_watched = self.wait

    def _facts(self) -> Facts:
        """What has to be as it is, that a call may reuse everything. Leaves .grad to whoever has hold of it."""
        facts = self.around.facts()
        for watched, seen in self.watched:
            facts.items += zip([watched] * len(seen), watched, seen, strict=False)
            facts.sizes.append((watched, len(seen)))
        for g in self.checked_grads:
            if g.before is None:
                facts.slots.append((g.leaf, "grad", None))
            else:
                facts.others.append(partial(has_grad, g.leaf))
        for g, buffer, array in zip(self.replaced, self.buffers, self.pointed_arrays, strict=True):
            facts.slots.append((g.leaf, "grad", buffer))
            facts.holders += [(buffer, 4), (array, 4)]  # our list, .grad, two facts; our list, Tensor, target, fact
        return facts

    def quick(self, args: tuple[Any, ...]) -> Any:
        """The result of a call like the last one, or MISS: what can differ is looked at, nothing is prepared.

        For a function of Tensors that returns one Tensor; what they are is checked in machine code. The
        gradients' memory is used again if .grad is what the last call left there, and nobody else has hold of it.
        """
        if self.pointed != Changes.count or self.holds() is not None:
            return MISS
        for holds in self.other_facts:
            if not holds():
                return MISS
        y = _empty(*self.made[0])
        if self.entry(*args, y) is not None:
            return MISS
        for g in self.removed:
            g.leaf.grad = None
        self.writes.now()
        return wrap(y, None)

    def run(self, arguments: Sequence[Tensor]) -> list[Array]:
        """Run, and put state and gradients in place; the arrays of results and residuals."""
        self._unwatch()
        made = [_empty(shape, dtype) for shape, dtype in self.made]
        if self.trace.draws:  # their words lie in memory that all calls share
            with self.lock:
                self._draw()
                if not self._run_entry(arguments, made):
                    self._run_converted(arguments, made)
        elif not self._run_entry(arguments, made):
            with self.lock:
                self._run_converted(arguments, made)
        self.writes.now()
        return made

    @property
    def runs_many(self) -> bool:
        """True if `many` can be called: what the program does is all in one native function, on the user's memory."""
        native = bool(self.execute.batches) and not self.trace.effects and self.backward is None
        return native and are_contiguous(self.inputs(None))

    def many(self, data: Sequence[Array], rows: Array) -> Array:
        """The results of a step for each batch of `rows`, run natively one after the other."""
        shape, dtype = self.made[0]
        batch = self.execute.batches[0].rows
        results = _empty((len(rows) // batch, *shape), dtype)
        with self.lock:
            self._unwatch()
            gradients = [self._buffer(i) for i in range(len(self.replaced))]
            self.execute.point(
                self.inputs(None), [*[s.tensor.value for s in self.written], *[g.value for g in gradients]]
            )
            self.pointed = -2
            self._draw()
            counters = [(self.words[d.counter], self.trace.generators[d.generator]) for d in self.trace.draws]
            self.execute.steps(data, rows, results, counters)
            for generator, blocks in self.trace.generators.items():
                generator.counter += blocks * (len(results) - 1)
            self._put(gradients)
            self.writes.now()
        return results

    def _run_converted(self, arguments: Sequence[Tensor], made: list[Array]) -> None:
        """Run with arguments in any memory."""
        gradients = [self._buffer(i) for i in range(len(self.replaced))]
        states = [s.tensor.value for s in self.written]
        self.execute(self.inputs(arguments), [*states, *[g.value for g in gradients], *made])
        self._put(gradients)

    def _run_entry(self, arguments: Sequence[Tensor], made: list[Array]) -> bool:
        """Run by the quick way; False, with nothing done, if there is none or an argument has to be converted first."""
        entry = self.execute.entry
        if entry is None:
            return False
        gradients = [self._buffer(i) for i in range(len(self.replaced))]
        arrays = [g.value for g in gradients]
        if self.reads_grads or self.pointed != self.changes or any(map(is_not, arrays, self.pointed_arrays)):
            inputs = self.inputs(None)
            if not are_contiguous(inputs):
                return False
            self.execute.point(inputs, [*[s.tensor.value for s in self.written], *arrays])
            self.pointed, self.pointed_arrays = self.changes, arrays
        if entry(*arguments, *made) is NotImplemented:
            return False
        self._put(gradients)
        return True

    def _put(self, gradients: list[Tensor]) -> None:
        """Let .grad be what the program left."""
        for g in self.removed:
            g.leaf.grad = None
        for g, gradient in zip(self.replaced, gradients, strict=True):
            g.leaf.grad = gradient

    def _draw(self) -> None:
        """Take the random words of this call from their generators."""
        for draw, key, counter in self.drawn:
            key[()] = draw.generator.key
            counter[()] = draw.generator.counter + draw.offset
        for generator, blocks in self.trace.generators.items():
            generator.counter += blocks

    def inputs(self, arguments: Sequence[Tensor] | None) -> list[Any]:
        """The arrays of the graph's inputs; None for arguments if there are none."""
        given = iter(arguments or ())
        states = iter(self.trace.states)
        arrays: list[Any] = []
        for value in self.trace.graph.inputs:
            if value.role == "argument":
                arrays.append(None if arguments is None else next(given).value)
            elif value.role == "state":
                arrays.append(next(states).tensor.value)
            elif value.role == "number":
                arrays.append(self.numbers[value] if value in self.numbers else self.words[value])
        return arrays

    def _buffer(self, i: int) -> Tensor:
        """Memory for a gradient: that of the last call if nobody else has hold of it."""
        buffer = self.buffers[i]
        holders = 3 + (self.replaced[i].leaf.grad is buffer)  # the list, this name, getrefcount's argument, .grad
        if buffer is None or getrefcount(buffer) > holders or getrefcount(buffer.value) > 4:
            leaf = self.replaced[i].leaf
            buffer = self.buffers[i] = wrap(_empty(leaf.shape, leaf.value.dtype), None)
        return buffer


def never() -> Any:
    """In place of a watch, where there is none."""
    return NotImplemented


def has_grad(leaf: Leaf) -> bool:
    """True if there is something in .grad."""
    return leaf.grad is not None


def result_of(r: Result, outputs: Sequence[Any], arguments: Sequence[Tensor]) -> Any:
    """A leaf of a call's result."""
    if r.kind == "output":
        return outputs[r.place]
    if r.kind == "argument":
        return arguments[r.place]
    if r.base is None:
        return r.item
    x = result_of(r.base, outputs, arguments)
    for op, params in r.steps:
        x = GATES[op.name](x, **params)
    return x.detach() if r.is_cut else x


def snapshot(module: Any) -> dict[str, Any]:
    """What a program depends on in a module: members by identity, plain settings by value."""
    plain = (bool, int, float, str, tuple, type(None))
    return {
        name: value if isinstance(value, plain) else id(value)
        for name, value in vars(module).items()
        if name != "_hooks" and not isinstance(value, dict | list | set)  # see hooks_on
    }


def are_contiguous(arrays: Sequence[Array | None]) -> bool:
    """True if machine code can work on these arrays where they are."""
    return all(x is None or x.flags.c_contiguous for x in arrays)


def hooks_on(x: Any) -> list[tuple[int, ...]]:
    """The numbers of the hooks on a module or a leaf, table by table, without those that look at eager calls alone."""
    if isinstance(x, Leaf):
        of_leaf = () if x.watch is None else (x.watch.hooks, x.watch.post_hooks)
        return [tuple(table) for table in of_leaf if table]
    of_module = () if x._hooks is None else tuple(vars(x._hooks).values())
    found = [tuple([n for n, hook in t.items() if not getattr(hook.call, "only_looks", False)]) for t in of_module]
    return [numbers for numbers in found if numbers]


class _Connected(Function):
    """The call of a program whose results have gradients: backward is a program too."""

    @staticmethod
    def forward(ctx: Any, program: Program, arguments: Sequence[Tensor], *sources: Tensor) -> tuple[Any, ...]:
        ctx.program = program
        ctx.made = program.run(arguments)
        outputs = [wrap(y, None) for y in ctx.made]
        connected = {r.place for r in program.results if r.connected}
        ctx.mark_non_differentiable(*[y for i, y in enumerate(outputs) if i not in connected])
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        if state.mode.grad:
            raise UnsupportedError(
                "the gradient of a compiled function cannot be differentiated again",
                mend="Compute the gradient inside the compiled function, or leave it uncompiled.",
            )
        back = ctx.program.backward
        gradients = [_empty(shape, dtype) for shape, dtype in back.shapes]
        given = [np.ascontiguousarray(cotangents[i].value) for i in back.results]
        ctx.program.execute_backward([*[ctx.made[i] for i in back.residuals], *given], gradients)
        return (None, None, *[wrap(g, None) for g in gradients])
