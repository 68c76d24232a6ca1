"""`gradients`: the diagnosis of a model's gradients on some batches, and what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.diagnose import report
from chainrule.diagnose.findings import Finding, find
from chainrule.diagnose.ledger import Ledger, ledger, mean_ledger
from chainrule.diagnose.measure import Statistics, average, measure, rms
from chainrule.diagnose.origin import Origin, origin
from chainrule.diagnose.preflight import Prediction, predicted
from chainrule.diagnose.run import LossFunction, Run, batches_of, check_model, run, tensors_in, untouched_generators
from chainrule.diagnose.spine import places, spine
from chainrule.diagnose.unrolled import unrolled
from chainrule.errors import ArgumentError
from chainrule.nn.module import Module
from chainrule.optim.optimizer import Optimizer
from chainrule.tensor.graph import Array
from chainrule.tensor.tensor import wrap

if TYPE_CHECKING:
    from chainrule.diagnose.remedies import Trials


@dataclass(frozen=True)
class ParameterStatistics:
    """One parameter, over the batches.

    Args:
        name: "net.3.weight".
        shape: its shape.
        weight: its elements.
        gradient: dL/dp; None where the loss does not depend on it: unused, or cut off.
        update_ratio: rms of what the optimiser's next step would add, over rms of the parameter (over 1 for a
            parameter of zeros); None without an optimiser, and for what it does not train.
        is_frozen: True if it does not require a gradient in the user's model.
        has_run: True if the module that owns it was called.
        is_symmetric: True if there are several rows, and all are equal: their units compute the same.
        has_symmetric_gradient: the same of its gradient: they stay the same.
    """

    name: str
    shape: tuple[int, ...]
    weight: Statistics
    gradient: Statistics | None
    update_ratio: float | None
    is_frozen: bool
    has_run: bool
    is_symmetric: bool
    has_symmetric_gradient: bool


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What `gradients` found.

    Args:
        ledgers: one for each batch.
        ledger: their mean.
        parameters: in the order of the model.
        inputs, outputs, targets: the tensors of floats that go into the model, come out, and are compared with.
        origins: for each batch where a number first was not finite; None where all are.
        optimizer: its name; None if the learning rate was not judged.
        predictions: what theory expects of each row if its weights are random, of the first batch; () if unknown.
        findings: what follows.
    """

    ledgers: tuple[Ledger, ...]
    ledger: Ledger
    parameters: tuple[ParameterStatistics, ...]
    inputs: tuple[Statistics, ...]
    outputs: tuple[Statistics, ...]
    targets: tuple[Statistics, ...]
    origins: tuple[Origin | None, ...]
    optimizer: str | None = None
    predictions: tuple[Prediction, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def healthy(self) -> bool:
        """True if nothing was found."""
        return not self.findings

    @property
    def primary(self) -> Finding | None:
        """The most important finding; None for a healthy network."""
        return self.findings[0] if self.findings else None

    def to_html(self, path: str | Path | None = None, lang: str = "en", *, trials: Trials | None = None) -> str:
        """The report as one HTML file that needs nothing else.

        Args:
            path: where to write it, as UTF-8; nowhere by default.
            lang: "en" or "zh".
            trials: what `remedies` tried, to be shown with it.

        Raises:
            ArgumentError: for another language.
        """
        return report.html(self, path, lang, trials=trials)

    def to_json(self, *, trials: Trials | None = None) -> str:
        """All that was found, as JSON, with what `remedies` tried."""
        return report.as_json(self, trials)

    def to_text(self, lang: str = "en", *, width: int = 100, trials: Trials | None = None) -> str:
        """The report for a terminal of so many columns, under 60 lines; `lang` and `trials` as for `to_html`."""
        return report.text(self, lang, width=width, trials=trials)

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        layers = len(self.ledger.rows)
        return f"Diagnosis({layers} layers, log gain {self.ledger.total:.4g}, {len(self.findings)} findings)"


def gradients(model: Module, loss_fn: LossFunction, batches: Any, optimizer: Optimizer | None = None) -> Diagnosis:
    """Why the model's gradients are as large as they are: layer by layer, cause by cause.

    Every batch runs forward and backward on a copy of the model, in the mode (training or not) that it is in. The
    model, its gradients, its buffers, the optimiser and the generators of random numbers stay as they are; hooks that
    the user registered run on the copy.

    Args:
        model: any nn.Module with one layer (linear map, matrix product, convolution) or more.
        loss_fn: `loss_fn(model(inputs), targets)` is one number.
        batches: one batch (inputs, targets), a list of them, or a DataLoader, of which the first 16 are taken. A tuple
            of inputs is passed to the model as its arguments, a dictionary by name.
        optimizer: what trains the model: its next step is computed on a copy, to compare it with the weights.

    Returns:
        A Diagnosis. Sizes are root mean squares, gains natural logarithms: log 0.25 for a sigmoid's cap.

    Raises:
        ArgumentTypeError: a model that is no Module, batches that are no pairs, a loss that is no Tensor.
        ArgumentError: no batch; batches of different routes (sequences of different lengths); an optimiser of others'
            parameters.
        GraphError: a loss of several elements, or one that reaches no parameter; a model without a layer.

    Example:
        >>> import chainrule as cr
        >>> from chainrule import nn
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 1))
        >>> diagnosis = cr.diagnose.gradients(model, nn.MSELoss(), (cr.ones(8, 4), cr.zeros(8, 1)))
        >>> round(diagnosis.ledger.rows[0].log_gains["cap"], 3)
        -1.386

    Source: the decomposition of dL/dz by layer as in Nielsen 2015, ch. 5.
    """
    check_model(model)
    if optimizer is not None:
        check_trains(optimizer, model)
    ledgers: list[Ledger] = []
    seen: list[_Seen] = []
    route: tuple[int, ...] | None = None
    expected: tuple[Prediction, ...] = ()
    with untouched_generators(*_owners(batches)):
        for batch in batches_of(batches):
            one = run(model, loss_fn, batch)
            graph = unrolled(one.root)
            along = spine(graph, route)
            route = places(along)
            ledgers.append(ledger(one, graph, along))
            expected = expected or predicted(along, ledgers[0])
            seen.append(_seen(one, origin(one, graph), _updates(model, optimizer, one)))
    parameters = _over_batches([one.parameters for one in seen])
    diagnosis = Diagnosis(
        ledgers=tuple(ledgers),
        ledger=mean_ledger(ledgers),
        parameters=parameters,
        inputs=_columns([one.inputs for one in seen]),
        outputs=_columns([one.outputs for one in seen]),
        targets=_columns([one.targets for one in seen]),
        origins=tuple([one.origin for one in seen]),
        optimizer=None if optimizer is None else type(optimizer).__name__,
        predictions=expected,
    )
    return replace(diagnosis, findings=find(diagnosis))


def check_trains(optimizer: Optimizer, model: Module) -> None:
    """Refuse an optimiser that trains none of the model's parameters."""
    own = {id(p) for p in model.parameters()}
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    if not any(id(p) in own for p in trained):
        raise ArgumentError(
            "the optimizer trains none of the model's parameters",
            got=[
                f"optimizer  {type(optimizer).__name__} of {len(trained)} parameters",
                f"model  {len(own)} parameters",
            ],
            mend="Make it from model.parameters() of the model that is diagnosed.",
        )


# ---- what each batch shows -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Seen:
    """What is left of a run when its graph is gone."""

    parameters: tuple[ParameterStatistics, ...]
    inputs: tuple[Statistics, ...]
    outputs: tuple[Statistics, ...]
    targets: tuple[Statistics, ...]
    origin: Origin | None


def _owners(batches: Any) -> list[Any]:
    """Who may have a generator of its own: a loader and its sampler."""
    return [batches, *[getattr(batches, name, None) for name in ("sampler", "batch_sampler", "dataset")]]


def _seen(one: Run, found: Origin | None, updates: Mapping[str, Array]) -> _Seen:
    ran = {call.path for call in one.calls}
    statistics = []
    for name, p in one.model.named_parameters():
        g, value = one.gradients[name], p.value
        size = rms(value)
        statistics.append(
            ParameterStatistics(
                name=name,
                shape=tuple(value.shape),
                weight=measure(value),
                gradient=None if g is None else measure(g),
                update_ratio=rms(updates[name]) / (size or 1.0) if name in updates else None,
                is_frozen=name in one.frozen,
                has_run=name.rpartition(".")[0] in ran,
                is_symmetric=_has_equal_rows(value),
                has_symmetric_gradient=g is not None and _has_equal_rows(g),
            )
        )
    given, out, compared = (_floats(values) for values in (one.inputs, one.output, one.targets))
    return _Seen(tuple(statistics), given, out, compared, found)


def _floats(values: Any) -> tuple[Statistics, ...]:
    return tuple([measure(x.value) for x in tensors_in(values) if x.value.dtype.kind == "f"])


def _has_equal_rows(x: Array) -> bool:
    return x.ndim > 1 and len(x) > 1 and bool(np.all(x == x[:1]))


def _updates(model: Module, optimizer: Optimizer | None, one: Run) -> dict[str, Array]:
    """What the optimiser's next step would add to each parameter that it trains."""
    if optimizer is None:
        return {}
    copied, stepping = deepcopy((model, optimizer))
    trained = {id(p) for group in stepping.param_groups for p in group["params"]}
    named = {name: p for name, p in copied.named_parameters() if id(p) in trained}
    for group in stepping.param_groups:
        for p in group["params"]:
            p.grad = None
    for name, p in named.items():
        g = one.gradients[name]
        p.grad = None if g is None or name in one.frozen else wrap(g.copy(), None)
    before = {name: p.value.copy() for name, p in named.items()}
    stepping.step()
    return {name: p.value - before[name] for name, p in named.items()}


# ---- over batches --------------------------------------------------------------------------------------------


def _columns(batches: Sequence[tuple[Statistics, ...]]) -> tuple[Statistics, ...]:
    """The mean of the first, second, ... tensor over the batches."""
    return tuple([average(column) for column in zip(*batches, strict=True)])


def _over_batches(batches: Sequence[tuple[ParameterStatistics, ...]]) -> tuple[ParameterStatistics, ...]:
    return tuple([_mean_parameter(column) for column in zip(*batches, strict=True)])


def _mean_parameter(batches: Sequence[ParameterStatistics]) -> ParameterStatistics:
    reached = [one.gradient for one in batches if one.gradient is not None]
    ratios = [one.update_ratio for one in batches if one.update_ratio is not None]
    return replace(
        batches[0],
        gradient=average(reached) if reached else None,
        update_ratio=sqrt(sum(ratio * ratio for ratio in ratios) / len(ratios)) if ratios else None,
        has_run=any(one.has_run for one in batches),
        has_symmetric_gradient=all(one.has_symmetric_gradient for one in batches),
    )
