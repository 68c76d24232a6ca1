"""`watch`: what happens to every layer while it trains, at a cost that is measured and kept under a budget.

A watch looks at a few steps and not at all of them. It keeps an account: a look is taken when what the looks have cost
so far, and this one will cost, stays under the budget's share of the time that passed. A step without a look is counted
and nothing else. A watch reads parameters, gradients and (where the program runs eagerly) what modules return, and
writes nothing: training goes on bit by bit as it would.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, nan, sqrt
from time import perf_counter
from typing import Any, Literal

import numpy as np

from chainrule.diagnose.activations import Activation, activation_of, size_of
from chainrule.errors import ArgumentError, ArgumentTypeError, StateError
from chainrule.nn.convolution import Conv1d, Conv2d
from chainrule.nn.linear import Linear
from chainrule.nn.module import Module
from chainrule.tensor.graph import Array, Node
from chainrule.tensor.recording import recorder
from chainrule.tensor.tensor import Tensor

POINTS = 256
"""The most looks that are kept: when there are more, every second one is dropped."""
SAMPLE = 4096
"""An update is measured on at most so many elements of a parameter, evenly spaced: the copy is what memory holds."""
LOOKS_UNTIL_DEAD = 3
"""A unit without a gradient in so many looks in a row counts as dead: one batch alone proves nothing."""
MANY_DEAD = 0.5
JUMP = 1.0
AFTERMATH = 1.5
"""What a look costs in all, over what the clock sees of it: the steps after it find less of their memory in the caches
(benchmarks/watch.py: with 1.0 the steps of W4 took 0.9 to 2.3% longer where 1% was allowed)."""
COUNTING = 1.5e-7
"""Seconds that a step without a look takes, in the account: too little to be measured each time."""

Quantity = Literal["weight", "gradient", "update", "activation", "flat", "dead"]
QUANTITIES: tuple[Quantity, ...] = ("weight", "gradient", "update", "activation", "flat", "dead")
"""weight, gradient, activation: root mean squares. update: rms of one step's change over rms of the weights before it.
flat: the share of slopes under 5% of their cap. dead: the share of units that got no gradient in three looks."""


@dataclass(frozen=True)
class Event:
    """Something that was seen for the first time.

    Args:
        step: of the look that saw it, from 1.
        after: the step of the last look that did not; 0 if there was none.
        kind: "non-finite", "dead units" (half of them), "dead layer" (all), or "jump" (a step as large as the weights).
        where: the parameter, or the module whose result it was.
        what: "weights", "gradient", or the operator of a result.
        value: the size, ratio or share that was seen.
    """

    step: int
    after: int
    kind: Literal["non-finite", "dead units", "dead layer", "jump"]
    where: str
    what: str
    value: float


@dataclass(frozen=True)
class Look:
    """One look: for each layer the quantities that could be seen."""

    step: int
    layers: Mapping[str, Mapping[Quantity, float]]


@dataclass
class _Layer:
    """The parameters of one module, with what must be remembered of them between looks."""

    name: str
    module: Module
    parameters: dict[str, Any]
    before: dict[str, Array] = field(default_factory=dict)
    without_gradient: Array | None = None

    @property
    def gradients(self) -> dict[str, Array]:
        """The gradients that are there now."""
        return {name: p.grad.value for name, p in self.parameters.items() if p.grad is not None}

    @property
    def has_units(self) -> bool:
        """True where each row of the weight belongs to one unit; a row of an embedding is a word that may not come."""
        return isinstance(self.module, Linear | Conv1d | Conv2d) and "weight" in self.parameters


class Watch:
    """Looks at a model's training, once in a while. Made by `chainrule.diagnose.watch`.

    Call `step()` once for each training step, at a place where the gradients are there: after `backward()`, before
    the next `zero_grad()`. For a compiled step that is after each call.

    Attributes:
        looks: what was seen, at most 256, the oldest first; of a long training evenly chosen.
        events: what was seen for the first time.
        slopes: for each activation that ran eagerly, how steep it was at the last look.
        steps: how many steps were counted.
        taken: how many looks there were, with those that are no longer kept.
        overhead: seconds spent on looking, and half as many again for the steps after a look, whose memory it pushed
            out of the caches, over seconds passed since the first step.
    """

    def __init__(
        self,
        model: Module,
        every: int | Literal["auto"],
        budget: float,
        looks_until_dead: int = LOOKS_UNTIL_DEAD,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.every, self.budget, self.looks_until_dead = every, budget, looks_until_dead
        self._clock = clock
        self.looks: list[Look] = []
        self.events: list[Event] = []
        self.steps = 0
        self.slopes: dict[str, Activation] = {}
        self._model = model
        self._layers = _layers_of(model)
        self._modules = {name: m for name, m in model.named_modules() if not list(m.children())}
        self._places = {name: place for place, (name, _) in enumerate(model.named_modules())}
        self._known: set[tuple[str, str, str]] = set()
        self._seen: dict[str, Activation] = {}
        self._hooks: list[Any] = []
        self.taken = self._stride = 0
        self._begun = self._last_look = self._due = 0
        self._spent = self._spent_before = self._cost = 0.0
        self._is_armed, self._has_eager_modules = False, True
        self._mode: bool | None = None
        self._start: float | None = None
        self._arm()

    # ---- at every step -----------------------------------------------------------------------------------------

    def step(self) -> None:
        """Count one training step, and look if it is time to.

        Raises:
            StateError: at a look, if no parameter has a gradient.
        """
        self.steps += 1
        if self.steps >= self._due:
            self._attend()

    def look(self) -> None:
        """Look now, whatever it costs: when a training ends badly, the last step is worth it.

        Raises:
            StateError: if no parameter has a gradient.
        """
        self._look()

    @property
    def overhead(self) -> float:
        """Seconds spent on looking over seconds passed, since the first step; 0 before it."""
        return 0.0 if self._start is None else self._account() / max(self._clock() - self._start, 1e-9)

    def _account(self) -> float:
        """Seconds that looks have taken, here and in the steps after them, and counting."""
        return AFTERMATH * self._spent + COUNTING * (self.steps - self._begun)

    def _attend(self) -> None:
        """Look if this step was prepared for that; prepare the next one if it is its turn, or say when to ask again."""
        now = self._clock()
        if self._start is None:
            self._start = now
        if self._is_armed:
            self._look()
            looked = self._clock()
            self._spent += looked - now
            self._cost = max(self._cost / 2, AFTERMATH * (self._spent - self._spent_before))
            now = looked
        wait = self._steps_until_armed(now - self._start)
        if not wait:
            self._spent_before, self._mode = self._spent, self._model.training
            self._arm()
        self._due = self.steps + max(wait, 1)
        self._spent += self._clock() - now

    def _steps_until_armed(self, passed: float) -> int:
        """0 if the step that comes is to be looked at; else after how many steps to ask again."""
        if self.every != "auto":
            return self.every - 1 - self.steps % self.every
        if self.taken == 1 and not any("update" in row for row in self.looks[-1].layers.values()):
            return 0  # the first step, which tells most about the learning rate, comes now
        missing = (self._account() + self._cost) / self.budget - passed
        if missing <= 0:
            return 0
        foreseen = missing * (self.steps - self._begun - 1) / passed  # the clock runs since the end of the first step
        return max(1, int(foreseen / 2))  # half of the way: steps may become longer

    def close(self) -> None:
        """Take the hooks off the modules; nothing is seen from then on."""
        self._is_armed, self._due = False, sys.maxsize
        self._disarm()

    def go_on(self, steps: int, looks: Sequence[Look], events: Sequence[Event]) -> None:
        """Take over what another watch saw of this training, before it was interrupted after so many steps."""
        self.steps = self._begun = self._last_look = steps
        self.looks, self.events = [*looks, *self.looks], [*events, *self.events]
        self._known = {(e.kind, e.where, e.what) for e in self.events}

    # ---- before a step that is looked at -----------------------------------------------------------------------

    def _arm(self) -> None:
        self._is_armed = True
        for layer in self._layers:
            layer.before = {name: _sample(p.value) for name, p in layer.parameters.items()}
        self._seen = {}
        if self._has_eager_modules:  # else hooks would only make compiled programs look whether they still fit
            self._hooks = [m.register_forward_hook(self._see(name)) for name, m in self._modules.items()]

    def _disarm(self) -> None:
        for hook in self._hooks:
            hook.remove()
        for module in self._modules.values() if self._hooks else ():
            if module._hooks is not None and not any(vars(module._hooks).values()):
                vars(module).pop("_hooks")  # a module that has a place for hooks takes a longer way at each call
        self._hooks = []

    def _see(self, name: str) -> Any:
        def see(module: Module, args: Any, output: Any) -> None:
            if recorder() is not None:
                return  # while a program is traced there are no numbers
            if self._mode is not None and self._model.training is not self._mode:
                return  # an evaluation between two steps
            if isinstance(output, Tensor) and output.value.dtype.kind == "f":
                start = self._clock()
                self._seen[name] = activation_of(output)
                if not isfinite(self._seen[name].size):
                    op = output.edge.name().removesuffix("Backward") if isinstance(output.edge, Node) else "a constant"
                    self._happened("non-finite", name, op, self._seen[name].size, during=1)
                self._spent += self._clock() - start

        see.only_looks = True  # type: ignore[attr-defined]  # compiled programs fit with it and without
        return see

    # ---- after it ----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        was_armed, self._is_armed = self._is_armed, False
        self._disarm()
        if not any(layer.gradients for layer in self._layers):
            raise StateError(
                "watch.step(): no parameter has a gradient",
                got=[f"step  {self.steps}"],
                mend="Call it after backward() and before the gradients are set to None by zero_grad().",
            )
        seen: dict[str, dict[Quantity, float]] = {layer.name: self._sizes(layer) for layer in self._layers}
        if was_armed:
            self._add_updates(seen)
            self._has_eager_modules = bool(self._seen)
        if any(row.get("gradient") for row in seen.values()):  # else the loss sends nothing: nobody's units are dead
            for layer in self._layers:
                if layer.has_units and "weight" in layer.gradients:
                    seen[layer.name]["dead"] = self._dead(layer)
        for name, one in self._seen.items():
            row = seen.setdefault(name, {})
            row["activation"] = one.size
            if one.flat is not None:
                row["flat"] = one.flat
            if one.shares is not None:
                self.slopes[name] = one
        self._keep(Look(self.steps, seen))
        self._last_look = self.steps

    def _sizes(self, layer: _Layer) -> dict[Quantity, float]:
        """How large a layer's parameters and gradients are now."""
        row: dict[Quantity, float] = {}
        sizes = {name: size_of(p.value) for name, p in layer.parameters.items()}
        gradients = {name: size_of(g) for name, g in layer.gradients.items()}
        for what, found in (("weights", sizes), ("gradient", gradients)):
            for name, size in found.items():
                if not isfinite(size):
                    self._happened("non-finite", f"{layer.name}.{name}", what, size)
        row["weight"] = _together(sizes, layer.parameters)
        if gradients:
            row["gradient"] = _together(gradients, layer.parameters)
        return row

    def _add_updates(self, seen: dict[str, dict[Quantity, float]]) -> None:
        """What the step changed, over what it changed; nothing where the optimiser has not taken a first step yet."""
        found: dict[str, tuple[float, float]] = {}
        for layer in self._layers:
            changes = {name: size_of(_sample(p.value) - layer.before[name]) for name, p in layer.parameters.items()}
            weights = {name: size_of(sample) for name, sample in layer.before.items()}
            found[layer.name] = (_together(changes, layer.parameters), _together(weights, layer.parameters))
            layer.before = {}
        if not self.taken and not any(change for change, _ in found.values()):
            return
        for name, (change, weight) in found.items():
            if weight > 0:  # of weights that were all 0 any step is as large as they are then
                seen[name]["update"] = change / weight
                if change >= JUMP * weight:
                    self._happened("jump", name, "weights", change / weight)

    def _dead(self, layer: _Layer) -> float:
        """The share of units whose weights and bias got a gradient of exactly zero in each of the last looks."""
        gradients = layer.gradients
        g = gradients["weight"]
        silent = ~np.any(g.reshape(len(g), -1), axis=1)
        if "bias" in gradients:
            silent &= gradients["bias"] == 0  # inputs that are all zero leave the weights alone without a gradient
        count = layer.without_gradient
        layer.without_gradient = count = np.where(silent, 1 + (0 if count is None else count), 0)
        share = float(np.mean(count >= self.looks_until_dead))
        if share == 1.0:
            self._happened("dead layer", layer.name, "gradient", share)
        elif share >= MANY_DEAD:
            self._happened("dead units", layer.name, "gradient", share)
        return share

    def _happened(self, kind: Any, where: str, what: str, value: float, during: int = 0) -> None:
        if (kind, where, what) not in self._known:
            self._known.add((kind, where, what))
            self.events.append(Event(self.steps + during, self._last_look, kind, where, what, value))

    def _keep(self, look: Look) -> None:
        """Keep a look; of looks that became too many, every second one, from now on, too."""
        if self.taken % (1 << self._stride) == 0:
            self.looks.append(look)
            if len(self.looks) > POINTS:
                self.looks, self._stride = self.looks[::2], self._stride + 1
        self.taken += 1

    # ---- what was seen -----------------------------------------------------------------------------------------

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of what was seen, in the order of the model."""
        seen = dict.fromkeys([name for look in self.looks for name in look.layers])
        return tuple(sorted(seen, key=lambda name: self._places.get(name, -1)))

    def series(self, quantity: Quantity) -> dict[str, list[float | None]]:
        """For each layer the quantity at every look that was kept; None where it was not seen.

        Raises:
            ArgumentError: an unknown quantity.
        """
        if quantity not in QUANTITIES:
            raise ArgumentError(
                "watch.series: no such quantity",
                got=[f"quantity  {quantity!r}"],
                mend=f"There are {', '.join(QUANTITIES)}.",
            )
        rows = {name: [look.layers.get(name, {}).get(quantity) for look in self.looks] for name in self.layers}
        return {name: row for name, row in rows.items() if any(v is not None for v in row)}

    def to_dict(self) -> dict[str, Any]:
        """Everything as what JSON holds; numbers that are not finite are None."""
        return {
            "steps": self.steps,
            "overhead": self.overhead,
            "looks": [look.step for look in self.looks],
            "series": {
                q: {name: [_finite(v) for v in row] for name, row in self.series(q).items()} for q in QUANTITIES
            },
            "events": [{**vars(event), "value": _finite(event.value)} for event in self.events],
        }

    def __str__(self) -> str:
        from chainrule.diagnose.report import watch_text

        return watch_text(self)

    def to_html(self, path: Any = None, lang: str = "en") -> str:
        """What was seen as one HTML file that needs nothing else; it is written to `path`, if that is given."""
        from chainrule.diagnose.report import watch_html

        return watch_html(self, path, lang)


def watch(model: Module, every: int | Literal["auto"] = "auto", budget: float = 0.01) -> Watch:
    """A watch on a model's training, eager or compiled, at a cost under a budget.

    It sees of each layer, all as root mean squares or ratios and therefore on one scale whatever the layer's size: the
    weights, the gradient, the update over the weights, the share of units that get no gradient; where the step runs
    eagerly also what modules return and how flat their activations are. First-seen events (a layer dies, a number is
    not finite, a step is as large as the weights) are listed with their place. Results of the training are the same
    with and without it.

    Args:
        model: the module that trains.
        every: look at every n-th step; "auto" looks as often as the budget allows.
        budget: the share of the time that "auto" may spend on looking, in (0, 1).

    Raises:
        ArgumentTypeError: a model that is no Module.
        ArgumentError: no parameters; `every` below 1; a budget outside of (0, 1).

    Example:
        >>> import chainrule as cr
        >>> from chainrule import nn, optim
        >>> model = nn.Linear(2, 1)
        >>> opt, seen = optim.SGD(model.parameters(), lr=0.1), cr.diagnose.watch(model)
        >>> for _ in range(3):
        ...     opt.zero_grad()
        ...     model(cr.ones(4, 2)).mean().backward()
        ...     opt.step()
        ...     seen.step()
        >>> seen.steps
        3
    """
    if not isinstance(model, Module):
        raise ArgumentTypeError("watch: only an nn.Module can be watched", got=[f"model  {type(model).__name__}"])
    if every != "auto" and (not isinstance(every, int) or isinstance(every, bool) or every < 1):
        raise ArgumentError("watch: every is a whole number of steps, at least 1, or 'auto'", got=[f"every  {every!r}"])
    if not 0 < budget < 1:
        raise ArgumentError("watch: the budget is a share of the time, between 0 and 1", got=[f"budget  {budget!r}"])
    if not list(model.parameters()):
        raise ArgumentError("watch: the model has no parameters: there is nothing to watch")
    return Watch(model, every, budget)


def _layers_of(model: Module) -> list[_Layer]:
    """The modules that own parameters; a shared parameter belongs to the first."""
    named = {id(p) for p in model.parameters()}
    layers = []
    for name, module in model.named_modules():
        own = {n: p for n, p in module.named_parameters(recurse=False) if id(p) in named}
        named -= {id(p) for p in own.values()}
        if own:
            layers.append(_Layer(name or type(module).__name__, module, own))
    return layers


def _sample(x: Array) -> Array:
    flat = x.reshape(-1)
    return flat[:: -(-flat.size // SAMPLE) or 1].copy()


def _together(sizes: Mapping[str, float], parameters: Mapping[str, Any]) -> float:
    """The root mean square of several parameters as one."""
    total, count, largest = 0.0, 0, max(sizes.values(), default=0.0)
    for name, size in sizes.items():
        if not isfinite(size):
            return nan if any(s != s for s in sizes.values()) else inf
        n = parameters[name].value.size
        count += n
        total += n * (size / largest) ** 2 if largest else 0.0
    return largest * sqrt(total / count) if count else 0.0


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
