"""`explain.gradient`: how the gradient of a loss follows, step by step, with the numbers of this run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np

from chainrule.errors import ArgumentError, ArgumentTypeError, GraphError, UnsupportedError
from chainrule.explain import differentials, matrix, scalar
from chainrule.explain.callers import callers_modules, callers_names
from chainrule.explain.explanation import Explanation, explanation
from chainrule.explain.legend import legend
from chainrule.explain.reasons import Reasons
from chainrule.explain.routes import Route, routes
from chainrule.explain.run import Run, run_of_program, run_of_recorded
from chainrule.explain.step import Section, Step
from chainrule.explain.update import descent
from chainrule.nn.module import Module
from chainrule.notation.boxes import APPLY, Box, Fenced, Operator, Word, row
from chainrule.notation.conventions import Convention
from chainrule.notation.conventions import convention as convention_of
from chainrule.notation.names import name_box
from chainrule.notation.prose import Prose
from chainrule.notation.typeset import typeset, value_box
from chainrule.notation.words import Words, words
from chainrule.symbolic.elements import Index
from chainrule.symbolic.graph_values import behind
from chainrule.symbolic.modules import calls_around
from chainrule.symbolic.program import Program
from chainrule.symbolic.recorded import Recorded, edge_of, program_of
from chainrule.tensor.graph import Leaf, Node
from chainrule.tensor.numpy_maths import NumPyMaths
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor
from chainrule.tensor.views import View

Level = Literal["auto", "scalar", "matrix", "differential"]
LEVELS = ("auto", "scalar", "matrix", "differential")

Places: TypeAlias = "list[tuple[str, Index]]"
"""Elements whose derivatives are wanted, with the names of the quantities that they are part of."""

TINY = 24
"""At most so many elements do all quantities of a program have together that is explained number by number."""

TITLED = 3
"""So many derivatives are named in a title."""

POINTED_AT = 6
"""Of so many derivatives that were asked for each is shown, wherever it stands; of more, none in particular."""

ROUTES = 20
"""So many routes of a weight are shown, unless all are wanted."""


def gradient(
    loss: Tensor,
    wrt: Any = None,
    level: Level = "auto",
    convention: str | Convention = "article1",
    lang: str = "en",
    full: bool = False,
    *,
    model: Module | None = None,
    names: Mapping[str, Tensor] | None = None,
) -> Explanation:
    """How the gradient of a loss follows from what was computed, with the numbers of this run.

    Works before and after backward(). Values that were not kept are computed again; the derivation is compared with
    the engine's own gradients before it is returned.

    Args:
        loss: a tensor of one element with a graph.
        wrt: a tensor or tensors whose gradients are wanted; an element of a tensor (`W[1, 2]`), or each of up to 12
            (`W[1]`), is explained with the routes from it to the loss; a larger part with the whole tensor. By default
            all leaves that require a gradient.
        level: "scalar" shows each neuron, "matrix" z, a and delta as matrices, "differential" derives by the trace
            trick; "auto" is "scalar" for tiny networks and single weights, else "matrix".
        convention: a preset's name or a Convention.
        lang: "en" or "zh".
        full: nothing folded or left out.
        model: the module whose parameters' names are used, and into whose modules the steps are divided; by default
            those that the caller has a variable for.
        names: what tensors are called; by default as the caller's variables are.

    Raises:
        GraphError: no graph (a compiled step leaves none); a value was overwritten or is gone; `wrt` is not part of it.
        ArgumentError: an unknown level, convention or language; a loss of several elements.
        UnsupportedError: an operation without a formula.

    Example:
        >>> loss = F.mse_loss(model(x), y)
        >>> print(cr.explain.gradient(loss, wrt=model[0].weight))
    """
    if level not in LEVELS:
        raise ArgumentError(f"level is one of {', '.join(LEVELS)}", got=[f"level  {level!r}"])
    if not isinstance(loss, Tensor):
        raise ArgumentTypeError(f"explain.gradient takes the loss as a Tensor, not {type(loss).__name__}")
    if loss.value.size != 1:
        raise ArgumentError(
            "only a loss of one element has a gradient",
            got=[describe("loss", loss)],
            mend="Reduce it: .sum(), .mean().",
        )
    chosen, said = _in_full(convention_of(convention), full), words(lang)
    frame = sys._getframe(1)
    models = callers_modules(frame) if model is None else {"model": model}
    called = callers_names(frame, models.values()) if names is None else dict(names)
    recorded = program_of(loss, names=called, first_layer=chosen.first_weight, loss_name=chosen.loss)
    targets, places = _targets(recorded, wrt)
    nodes = [edge for edge in behind(edge_of(loss)) if isinstance(edge, Node)]
    parameters = [p.edge for one in models.values() for p in one.parameters()]
    run = run_of_recorded(recorded, targets, chosen, calls=calls_around(nodes, models), parameters=parameters)
    wanted = targets if wrt is not None and len(targets) <= POINTED_AT else []
    return explained(run, level, said, places, full=full, wanted=wanted)


def _in_full(convention: Convention, full: bool) -> Convention:
    """The convention, without shortened sums where nothing is to be left out."""
    return replace(convention, terms=0) if full else convention


def of_program(
    program: Program,
    givens: Mapping[str, Any],
    wrt: Sequence[str],
    level: Level = "auto",
    convention: str | Convention = "article1",
    lang: str = "en",
    full: bool = False,
    lr: float | None = None,
) -> Explanation:
    """The same for a program that was written down, with values for what it reads.

    Args:
        lr: the learning rate of a step of gradient descent that is to be shown as well.

    Raises:
        ArgumentError: a quantity that the program does not have.
    """
    run = run_of_program(program, givens, wrt, _in_full(convention_of(convention), full))
    return explained(run, level, words(lang), [], full=full, lr=lr)


def explained(
    run: Run, level: str, said: Words, places: Places, *, full: bool, lr: float | None = None,
    wanted: Sequence[str] = (),
) -> Explanation:  # fmt: skip
    """The explanation of a run, after the engine has agreed with it."""
    run.check()
    places = [(name, _in_columns(run, name, place)) for name, place in places]
    sections = _sections(run, level, said, places, full=full)
    if lr is not None:
        sections.append(descent(run, lr, said))
    title = said.derivation_of(_titled(run, places))
    loss = run.program.symbols[run.program.loss]
    value = value_box(run.value(loss.name), run.convention)
    told = said.follows_from(typeset(loss, run.convention), value)
    note = (*told, said.gap, *said.matches_engine(), *legend(run, sections, said))
    return explanation(run, title, note, sections, said.language, full=full, wanted=wanted)


def _sections(run: Run, level: str, said: Words, places: Places, *, full: bool) -> list[Section]:
    if level == "differential":
        return differentials.sections(run, said)
    if places:
        return _of_weights(run, said, places, full=full)
    is_tiny = sum(int(np.prod(s.shape)) for s in run.program.symbols.values()) <= TINY
    if level == "scalar" or (level == "auto" and is_tiny):
        try:
            return scalar.sections(run, said, full=full)
        except UnsupportedError:  # an operator that has no formula for one element
            if level == "scalar":
                raise
    return matrix.sections(run, said)


def _titled(run: Run, places: Places) -> list[Box | str]:
    """The first of the derivatives that are wanted, for the title."""
    in_part = {name for name, _ in places}
    names = [scalar.element_name(run.rate(name), place) for name, place in places]
    names += [run.rate(name).name for name in run.targets if name not in in_part]
    return [*[name_box(name, run.convention) for name in names[:TITLED]], *["…"] * (len(names) > TITLED)]


def _targets(recorded: Recorded, wrt: Any) -> tuple[list[str], Places]:
    """The names of the quantities whose gradients are wanted, and the places in those of which elements are."""
    if wrt is None:
        return [name for edge, name in recorded.names.items() if isinstance(edge, Leaf)], []
    targets: list[str] = []
    places: Places = []
    for x in [wrt] if isinstance(wrt, Tensor) else list(wrt):
        target, elements = _target(recorded, x)
        name = recorded.names.get(edge_of(target))
        if name is None:
            raise GraphError(
                "this loss was not computed from that tensor, or it was only a step inside a formula",
                got=[describe("wrt", x)],
                mend="A result on the way needs a name: names={'h': h}.",
            )
        if name not in targets:
            targets.append(name)
        places += [(name, place) for place in elements]
    return targets, places


# ---- one weight -----------------------------------------------------------------------------------------------


def _of_weights(run: Run, said: Words, places: Places, *, full: bool) -> list[Section]:
    """Forward and backward in matrices, then each weight by itself with its routes."""
    sections = matrix.sections(run, said)
    elements = scalar.Elements(run, said, full)
    reasons = Reasons(run, said)
    for name, place in places:
        rate = run.rate(name)
        steps = list(elements.of(rate, elements.formula(name), reasons.backward(name), place))
        found = routes(run, name, place)
        kept = found if full else found[:ROUTES]
        weight = name_box(scalar.element_name(run.program.symbols[name], place), run.convention)
        total = value_box(run.exact[rate.name][place], run.convention)
        sections.append(
            Section(
                said.labels.routes,
                (*steps, *[_route_step(run, route, said) for route in kept]),
                (*said.routes_add_up(weight, len(found), total), *_rest(run, said, found[len(kept) :])),
            )
        )
    return sections


def _route_step(run: Run, route: Route, said: Words) -> Step:
    arrow = Operator("→")
    boxes: list[Box] = []
    for name in route.through:
        boxes += [arrow] if boxes else []
        boxes.append(name_box(name, run.convention))
    value = value_box(np.asarray(route.contribution), run.convention)
    # the number belongs to the whole route, not to the loss at its end
    left = row(Word(said.labels.contribution), APPLY, Fenced(row(*boxes)))
    return Step(
        symbol=" -> ".join(route.through), left=left, rights=(), substituted=None, number=value,
        value=route.contribution, why=(), key=("route", route.through),
    )  # fmt: skip


def _rest(run: Run, said: Words, rest: Sequence[Route]) -> Prose:
    if not rest:
        return ()
    share = value_box(np.asarray(sum(route.contribution for route in rest)), run.convention)
    return (said.gap, *said.routes_left_out(len(rest), share))


def _target(recorded: Recorded, x: Tensor) -> tuple[Tensor, list[Index]]:
    """The tensor whose gradient is meant, and the places in it if a few elements of it are: W[1, 2], W[1]."""
    if not isinstance(x, Tensor):
        raise ArgumentTypeError(f"explain.gradient: wrt is a Tensor or a list of them, not {type(x).__name__}")
    if not isinstance(x, View) or x.edge in recorded.names:
        return x, []
    steps: list[View] = []
    source: Tensor = x
    while isinstance(source, View):
        steps.append(source)
        source = source.parent
    if x.value.size > scalar.MOST:
        return source, []
    places = np.arange(source.value.size).reshape(source.value.shape)
    for view in reversed(steps):
        places = getattr(NumPyMaths, view.op.name)(places, **view.params)
    shape = source.value.shape
    return source, [tuple([int(i) for i in np.unravel_index(int(place), shape)]) for place in places.ravel()]


def _in_columns(run: Run, name: str, place: Index) -> Index:
    """A place in a tensor as one in the quantity of the run, which may stand as columns."""
    shape = run.program.symbols[name].shape
    if len(place) == len(shape) - 1:
        return (*place, 0)
    return place[::-1] if name in run.columns else place
