"""The same diagnosis for a PyTorch module: `torch_gradients`, by torch's own hooks, from module boundary to boundary.

Every module without children is a step of the route from the output back to the first layer. Its input gets a view of
its own, so that what this module alone sends back is seen apart from what other readers add: gain and join are told
apart as in a graph of ours. What stands between modules (functional calls, sums) is booked as "join" where it only
adds and moves, and as "other" where it computes. PyTorch is not imported here: whoever has a module of it has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from math import isfinite, log
from typing import Any, Literal

import numpy as np

from chainrule.diagnose.diagnosis import Diagnosis, ParameterStatistics, _columns, _over_batches
from chainrule.diagnose.findings import find
from chainrule.diagnose.ledger import Cause, End, Ledger, Row, mean_ledger
from chainrule.diagnose.measure import measure, rms, steepness
from chainrule.diagnose.origin import Origin
from chainrule.diagnose.run import batches_of, call
from chainrule.errors import ArgumentError, ArgumentTypeError, GraphError
from chainrule.ops.catalogue import CATALOGUE
from chainrule.tensor.graph import Array

LAYERS = {"Linear": "linear", "NonDynamicallyQuantizableLinear": "linear", "Conv1d": "conv2d", "Conv2d": "conv2d",
          "Conv3d": "conv2d", "LSTM": "lstm", "GRU": "gru", "RNN": "rnn"}  # fmt: skip
"""Modules with a weight, by class, and the operator that they are here. A recurrent one is one row, all steps in it."""

ACTIVATIONS = {"Sigmoid": "sigmoid", "Tanh": "tanh", "ReLU": "relu", "GELU": "gelu", "SELU": "selu", "SiLU": "silu",
               "ELU": "elu", "LeakyReLU": "leaky_relu", "Softplus": "softplus", "Mish": "mish", "ReLU6": "relu6",
               "Hardswish": "hardswish", "Hardsigmoid": "hardsigmoid", "LogSigmoid": "logsigmoid"}  # fmt: skip
"""Modules whose slope has a cap, and the operator of the catalogue that knows it."""

NORMALISATIONS = ("BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm")
ATTENTION = ("MultiheadAttention", "Softmax", "LogSoftmax")
WHOLE = ("MultiheadAttention",)
"""Modules whose children are not called: they count as one."""

ONLY_MOVES = ("AddBackward", "ViewBackward", "UnsafeViewBackward", "ReshapeAliasBackward", "TBackward", "CloneBackward",
              "TransposeBackward", "PermuteBackward", "SqueezeBackward", "UnsqueezeBackward", "ToCopyBackward",
              "AliasBackward", "SubBackward")  # fmt: skip


@dataclass(eq=False)
class _Call:
    """One call of a module: what went in and came out, and, after the sweep, the cotangents."""

    number: int
    name: str
    module: Any
    x: Any
    """The input as the module got it: a view of its own."""
    source: Any
    """The input as it came."""
    y: Any = None
    sent: Array | None = None
    """What this call alone sends to its input."""
    received: Array | None = None
    """dL/dy: what all readers of the result send."""

    @property
    def kind(self) -> str:
        return type(self.module).__name__

    @property
    def op(self) -> str | None:
        """The operator with a weight that this is here; None for other modules."""
        return LAYERS.get(self.kind)


@dataclass(eq=False)
class _Run:
    """What one batch left behind."""

    model: Any
    calls: list[_Call]
    output: Any
    loss: float
    at_output: Array
    parameters: tuple[ParameterStatistics, ...]
    inputs: Any
    targets: Any
    links: dict[int, list[tuple[_Call, bool]]] = field(default_factory=dict)


def torch_gradients(model: Any, loss_fn: Callable[[Any, Any], Any], batches: Any, optimizer: Any = None) -> Diagnosis:
    """Why the gradients of a PyTorch module are as large as they are: layer by layer, cause by cause.

    As `gradients`, for a `torch.nn.Module`. A copy of the module runs; the module, its gradients, its buffers, the
    optimizer and torch's generators stay as they are.

    Args:
        model: a `torch.nn.Module` with at least one Linear, convolution or recurrent module in it.
        loss_fn: `loss_fn(model(inputs), targets)` is a tensor of one element.
        batches: one batch (inputs, targets), a list of them, or a loader, of which the first 16 are taken.
        optimizer: the `torch.optim` optimizer that trains it.

    Returns:
        A Diagnosis. A row is a module with a weight; where a weight is used several times, dW is the whole gradient.

    Raises:
        ArgumentTypeError: what is no torch module, or a loss that is no tensor.
        GraphError: a loss of several elements or that depends on no parameter; no module with a weight on the route.
        ArgumentError: batches that take different routes.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        raise ArgumentTypeError(
            "torch_gradients takes a torch.nn.Module",
            got=[f"model  {type(model).__name__}"],
            mend="For a module of chainrule call cr.diagnose.gradients.",
        )
    ledgers: list[Ledger] = []
    runs: list[_Run] = []
    state = torch.get_rng_state()
    try:
        for batch in batches_of(batches):
            one = _run(torch, model, loss_fn, batch, optimizer)
            ledgers.append(_ledger(one))
            one.calls = [c for c in one.calls if not np.isfinite(_array(c.y)).all()][:1]  # the rest may be large
            runs.append(one)
    finally:
        torch.set_rng_state(state)
    origins = [Origin("forward", one.calls[0].kind, one.calls[0].name) if one.calls else None for one in runs]
    diagnosis = Diagnosis(
        ledgers=tuple(ledgers),
        ledger=mean_ledger(ledgers),
        parameters=_over_batches([one.parameters for one in runs]),
        inputs=_columns([tuple(map(measure, _floats(one.inputs))) for one in runs]),
        outputs=_columns([tuple(map(measure, _floats(one.output))) for one in runs]),
        targets=_columns([tuple(map(measure, _floats(one.targets))) for one in runs]),
        origins=tuple(origins),
        optimizer=None if optimizer is None else type(optimizer).__name__,
    )
    return replace(diagnosis, findings=find(diagnosis))


# ---- the run -------------------------------------------------------------------------------------------------


def _run(torch: Any, model: Any, loss_fn: Any, batch: tuple[Any, Any], optimizer: Any) -> _Run:
    copied = deepcopy(model)
    frozen = {name for name, p in copied.named_parameters() if not p.requires_grad}
    for p in copied.parameters():
        p.requires_grad_(True)
        p.grad = None
    for module in copied.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # it would write over the result of the module before it
    calls: list[_Call] = []
    for name, module in _units(copied):
        _note(calls, name, module)
    inputs, targets = batch
    with torch.enable_grad():
        output = call(copied, inputs)
        loss = loss_fn(output, targets)
        _check(torch, loss)
        tops = [t for t in _tensors(output) if t.requires_grad]
        watched = [*tops, *[c.y for c in calls], *[c.x for c in calls]]
        parameters = dict(copied.named_parameters())
        found = torch.autograd.grad(loss, [*watched, *parameters.values()], allow_unused=True)
    given = [None if g is None else _array(g) for g in found]
    at = len(tops)
    for place, one in enumerate(calls):
        one.received, one.sent = given[at + place], given[at + len(calls) + place]
    gradients = dict(zip(parameters, given[len(watched) :], strict=True))
    for name, p in parameters.items():
        p.grad = None if gradients[name] is None else torch.from_numpy(gradients[name]).reshape(p.shape).to(p.dtype)
    updates = _updates(model, optimizer, {n: p.grad for n, p in parameters.items() if n not in frozen})
    ran = {one.name for one in calls}
    statistics = tuple(
        [_statistics(name, p, gradients[name], updates.get(name), frozen, ran) for name, p in parameters.items()]
    )
    top = next((g for g in given[:at] if g is not None), np.zeros(0))
    run = _Run(copied, calls, output, float(loss.detach()), top, statistics, inputs, targets)
    run.links = {c.number: list(_readers_of(c.source, calls)) for c in calls}
    run.links[-1] = [link for t in tops for link in _readers_of(t, calls)]
    return run


def _units(model: Any) -> Iterator[tuple[str, Any]]:
    """The modules without children, and those that count as one."""
    inside: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if inside and name.startswith(inside):
            continue
        if type(module).__name__ in WHOLE:
            inside += (f"{name}.",)
        if type(module).__name__ in WHOLE or not list(module.children()):
            yield name, module


def _note(calls: list[_Call], name: str, module: Any) -> None:
    """Hooks that give a module's inputs views of their own, and note what went in and came out."""
    open_: list[_Call | None] = []

    def before(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        views: dict[int, Any] = {}
        given = []
        noted: _Call | None = None
        for x in args:
            if hasattr(x, "requires_grad") and x.requires_grad and x.is_floating_point():
                view = views.setdefault(id(x), x.view_as(x))
                noted = noted or _Call(-1, name, module, view, x)
                given.append(view)
            else:
                given.append(x)
        if noted is None and args and hasattr(args[0], "is_floating_point") and args[0].is_floating_point():
            view = args[0].detach().requires_grad_(True)  # the first layer: its input needs no gradient
            noted = _Call(-1, name, module, view, view)
            given[0] = view
        open_.append(noted)
        return tuple(given)

    def after(module: Any, args: Any, output: Any) -> None:
        noted = open_.pop()
        y = next((t for t in _tensors(output) if t.requires_grad), None)
        if noted is not None and y is not None:
            noted.y, noted.number = y, len(calls)
            calls.append(noted)

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after)


def _readers_of(tensor: Any, calls: Sequence[_Call]) -> Iterator[tuple[_Call, bool]]:
    """The calls that a tensor was computed from, with nothing of another call between; True if only moved or added."""
    results = {c.y.grad_fn: c for c in calls}
    if tensor.grad_fn is None:
        return
    seen = {tensor.grad_fn}
    stack = [(tensor.grad_fn, True)]
    while stack:
        node, moved = stack.pop()
        if node in results:
            yield results[node], moved
            continue
        moved = moved and node.name().rstrip("0123456789") in ONLY_MOVES
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                stack.append((following, moved))


def _check(torch: Any, loss: Any) -> None:
    if not isinstance(loss, torch.Tensor):
        raise ArgumentTypeError(
            "loss_fn(outputs, targets) returns the loss as a tensor", got=[f"loss  {type(loss).__name__}"]
        )
    if loss.numel() != 1:
        raise GraphError("the loss is one number", got=[f"loss  {tuple(loss.shape)}"], mend="Reduce it: .mean().")
    if not loss.requires_grad:
        raise GraphError(
            "the loss depends on none of the model's parameters",
            mend="Compute it from the argument `outputs`, without detach() or no_grad().",
        )


def _updates(model: Any, optimizer: Any, gradients: Mapping[str, Any]) -> dict[str, Array]:
    """What the optimizer's next step would add to each parameter that it trains, computed on copies."""
    if optimizer is None:
        return {}
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ArgumentError("the optimizer trains none of the model's parameters", got=[type(optimizer).__name__])
    copied, stepping = deepcopy((model, optimizer))
    trained = {id(p) for group in stepping.param_groups for p in group["params"]}
    named = {name: p for name, p in copied.named_parameters() if id(p) in trained}
    before = {name: _array(p).copy() for name, p in named.items()}
    for name, p in named.items():
        g = gradients.get(name)
        p.grad = None if g is None else g.clone()
    stepping.step()
    return {name: _array(p) - before[name] for name, p in named.items()}


def _statistics(
    name: str, p: Any, g: Array | None, update: Array | None, frozen: set[str], ran: set[str]
) -> ParameterStatistics:
    value = _array(p)
    return ParameterStatistics(
        name=name,
        shape=tuple(value.shape),
        weight=measure(value),
        gradient=None if g is None else measure(g),
        update_ratio=None if update is None else rms(update) / (rms(value) or 1.0),
        is_frozen=name in frozen,
        has_run=any(name.startswith(f"{path}.") or not path for path in ran) or name.rpartition(".")[0] in ran,
        is_symmetric=_has_equal_rows(value),
        has_symmetric_gradient=g is not None and _has_equal_rows(g),
    )


def _has_equal_rows(x: Array) -> bool:
    return x.ndim > 1 and len(x) > 1 and bool(np.all(x == x[:1]))


def _tensors(values: Any) -> list[Any]:
    if hasattr(values, "grad_fn"):
        return [values]
    parts = values.values() if isinstance(values, Mapping) else values if isinstance(values, tuple | list) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _floats(values: Any) -> list[Array]:
    return [_array(t) for t in _tensors(values) if t.is_floating_point()]


def _array(tensor: Any) -> Array:
    """The numbers of a tensor; bfloat16, which NumPy does not have, as float32."""
    tensor = tensor.detach().cpu()
    return np.asarray((tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy())


# ---- the ledger ----------------------------------------------------------------------------------------------


def _route(run: _Run) -> list[tuple[_Call, bool]]:
    """From the output back to the first layer, the calls on the way that passes the most layers."""
    depth: dict[int, int] = {}
    for one in run.calls:
        behind = max([depth[c.number] for c, _ in run.links[one.number]], default=0)
        depth[one.number] = behind + (one.op is not None)
    route: list[tuple[_Call, bool]] = []
    at = -1
    while run.links[at]:
        link = max(run.links[at], key=lambda link: (depth[link[0].number], link[1], link[0].number))
        route.append(link)
        at = link[0].number
    while route and route[-1][0].op is None:
        route.pop()
    if not route:
        raise GraphError(
            "no module with a weight lies between the loss and the inputs",
            got=[f"modules that ran  {', '.join(sorted({c.kind for c in run.calls})) or 'none'}"],
            mend=f"Rows are made of {', '.join(LAYERS)}.",
        )
    return route


def _ledger(run: _Run) -> Ledger:
    """The ledger along the route; it ends where a cotangent is exactly zero or not finite."""
    rows: list[Row] = []
    end: End | None = None
    gains: dict[Cause, float] = {}
    between: list[_Call] = []
    route = _route(run)
    numbers = [c for c, _ in route if c.op is not None]
    size = _log(run.at_output)
    read = run.output if hasattr(run.output, "grad_fn") else _tensors(run.output)[0]
    above = route[0][0]
    for one, moved in route:
        arrived = _log(one.received)
        if end is None and (arrived is None or size is None):
            g = one.received
            finite = g is None or bool(np.isfinite(g).all())
            why: Literal["zero", "non-finite"] = "zero" if finite else "non-finite"
            layer = numbers[len(rows)]
            end = End(len(numbers) - len(rows), layer.name or layer.kind, why, above.kind, above.name, "")
        if end is None and arrived is not None and size is not None:
            _book(gains, "join" if moved else "other", arrived - size)
        if one.op is not None:
            rows.append(_row(run, one, between, len(numbers) - len(rows), read, gains, end is None))
            gains, between, read = {}, [], one.source
        else:
            between.append(one)
        size, above = _log(one.sent), one
        if end is None and size is not None and arrived is not None:
            for cause, gain in _parts(one, size - arrived):
                _book(gains, cause, gain)
    return Ledger(tuple(rows[::-1]), run.loss, measure(run.at_output), end)


def _book(gains: dict[Cause, float], cause: Cause, gain: float) -> None:
    if gain:
        gains[cause] = gains.get(cause, 0.0) + gain


def _log(g: Array | None) -> float | None:
    """log rms of a cotangent; None for what has no logarithm."""
    size = 0.0 if g is None else rms(g)
    return log(size) if size > 0 and isfinite(size) else None


def _parts(one: _Call, gain: float) -> list[tuple[Cause, float]]:
    """A module's log gain by cause."""
    cap = _cap(one)
    if cap:
        return [("cap", log(cap)), ("saturation", gain - log(cap))]
    if one.op is not None:
        return [("weights", gain)]
    if one.kind.startswith(NORMALISATIONS):
        return [("normalisation", gain)]
    return [("attention", gain)] if one.kind in ATTENTION else [("other", gain)]


def _cap(one: _Call) -> float | None:
    """sup |phi'| of an activation, from the catalogue, with the module's parameters."""
    name = ACTIVATIONS.get(one.kind)
    if name == "gelu" and getattr(one.module, "approximate", "none") == "tanh":
        name = "gelu_tanh"
    op = CATALOGUE.get(name) if name is not None else None
    if op is None:
        return None
    return op.steepest({name: getattr(one.module, name) for name in op.params if hasattr(one.module, name)})


def _row(
    run: _Run, one: _Call, between: Sequence[_Call], number: int, read: Any, gains: dict[Cause, float], counted: bool
) -> Row:
    weight: Array = next((_array(p) for p in one.module.parameters() if p.dim() > 1), np.zeros(1))
    grad = next((p.grad for p in one.module.parameters() if p.dim() > 1), None)
    uses = [c.number for c in run.calls if c.module is one.module]
    activation = next((c for c in reversed(between) if _cap(c)), None)
    slope = None if activation is None else _slopes(activation)
    cap = None if activation is None else _cap(activation)
    z = _array(one.y)
    taps = int(np.prod(weight.shape[2:])) if weight.ndim > 2 else 1
    known = one.op in ("linear", "conv2d")
    stride = float(np.prod(getattr(one.module, "stride", 1)))
    groups = getattr(one.module, "groups", 1)
    axis = 1 if one.op == "conv2d" else -1
    silent: frozenset[int] = frozenset()
    if slope is not None and slope.ndim:
        others = tuple([k for k in range(slope.ndim) if k != axis % slope.ndim])
        silent = frozenset(np.flatnonzero(~np.any(slope, axis=others)).tolist())
    return Row(
        number=number,
        name=one.name or one.kind,
        step=uses.index(one.number) + 1 if len(uses) > 1 else None,
        op=one.op or one.kind,
        between=tuple([c.kind.lower() for c in reversed(between)]),
        fan_in=weight.shape[1] * taps if known else None,
        fan_out=weight.shape[0] // groups * taps / stride if known else None,
        z=measure(z),
        a=measure(_array(read)),
        delta=measure(np.zeros_like(z) if one.received is None else one.received),
        weight=measure(weight),
        dW=measure(np.zeros_like(weight) if grad is None else _array(grad)),
        slope=None if slope is None else measure(slope),
        steepness=steepness(slope, cap) if slope is not None and cap else None,
        silent=silent,
        units=z.shape[axis] if z.ndim else 1,
        log_gains=dict(gains) if counted else {},
        counted=counted,
    )


def _slopes(one: _Call) -> Array:
    """phi'(z) at every element that an activation module was applied to."""
    torch = sys.modules["torch"]
    with torch.enable_grad():
        x = one.x.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(one.module.forward(x).sum(), x)
    return _array(slope)
