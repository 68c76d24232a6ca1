"""The one gate that every call passes: run the operator now, and record a node if a gradient is needed.

A gate is made once for each operator. For a fixed number of inputs its source is written out (`gate_source`,
as dataclasses do it), so that nothing is looked up, inspected or copied on the hot path: 15% of a small
training step. What is unusual (mixed element types, Python numbers among integers) goes through `converted`
and comes back; what NumPy refuses goes to `failures`, which asks the shape rule to write the error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any, Protocol
from weakref import ref

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentTypeError, DTypeError, UnsupportedError
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.op import REQUIRED, Op
from chainrule.tensor.arrays import array_of, dtype_of, numpy_dtype
from chainrule.tensor.failures import failure, named_inputs
from chainrule.tensor.graph import PACKAGE, USERS_FILES, Array, Node, remembered, state, tick, users_site
from chainrule.tensor.numpy_maths import runner
from chainrule.tensor.plan import Plan
from chainrule.tensor.printing import describe
from chainrule.tensor.recording import RECORDERS
from chainrule.tensor.tensor import Tensor, default_float, wrap
from chainrule.tensor.views import view_of

ndarray, asarray = np.ndarray, np.asarray
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
NUMBERS = frozenset((float, int, bool))


class Gate(Protocol):
    """What users call: tensors by position, parameters by name."""

    __name__: str

    def __call__(self, *inputs: Any, **params: Any) -> Tensor: ...


# ---- gates written out for their operator --------------------------------------------------------------------


def gate_source(op: Op) -> str:
    """The source of an operator's gate: `bind(...)` returns the function.

    For each input `a` the gate has its value `v_a` and its edge `e_a`; the result is `y`.
    """
    inputs, params = op.inputs, tuple(op.params)
    shared = [a for a in inputs if a in op.promotes]
    served = [a for a in inputs if a in op.differentiable_inputs]
    signature = [a if a not in op.optional else f"{a}=None" for a in inputs]
    signature += ["*"] * bool(params) + [p if op.params[p] is REQUIRED else f"{p}=default_{p}" for p in params]
    given = ", ".join([*[f"v_{a}" for a in inputs], *[f"{p}={p}" for p in params]])
    params_dict = "{" + ", ".join([f"'{p}': {p}" for p in params]) + "}"
    lines = [
        f"def {op.name}({', '.join(signature)}):",
        "    if RECORDERS and (recorder := RECORDERS.get(get_ident())) is not None:",
        f"        return recorder.call(op, ({''.join([f'{a}, ' for a in inputs])}), {params_dict})",
    ]
    if "dtype" in params:  # ours or NumPy's: bodies on Tensors write x.dtype
        lines += ["    if type(dtype) is DType:", "        dtype = numpy_dtype(dtype)"]
    lines += [f"    v_{a}, e_{a} = ({a}.value, {a}.edge) if isinstance({a}, Tensor) else ({a}, None)" for a in inputs]
    if shared:
        lines += [
            f"    if {_unusual(op, shared)}:",
            f"        {', '.join(inputs)}, = converted(op, ({', '.join(inputs)},))",
            *[
                f"        v_{a}, e_{a} = ({a}.value, {a}.edge) if isinstance({a}, Tensor) else ({a}, None)"
                for a in shared
            ],
        ]
    for a in shared if served else ():
        if a not in served:
            lines += [f"    if e_{a} is not None and state.mode.grad:", f"        raise no_derivative(op, '{a}', {a})"]
    if served:  # read before the body runs: a new thread silences NumPy's warnings when it first reads its state
        lines += ["    mode = state.mode"]
    lines += ["    try:"]
    if op.kind.name == "composite":
        shapes = [f"getattr(v_{a}, 'shape', None)" for a in inputs]
        lines += [f"        shape_rule({', '.join([*shapes, *[f'{p}={p}' for p in params]])})"]
    lines += [
        f"        y{''.join([f', k_{k}' for k in op.keeps])} = run({given})",
        "    except Exception as error:",
        f"        raise failure(op, ({''.join([f'{a}, ' for a in inputs])}), {params_dict}, error) from None",
    ]
    if op.kind.converts or op.kind.name not in ("movement", "random"):
        lines += ["    if type(y) is not ndarray:", "        y = asarray(y)"]
    result = ["    t = new(Tensor)", "    t.value = y"]
    if served:
        without = " and ".join([f"e_{a} is None" for a in served])
        lines += [f"    if ({without}) or not mode.grad:"]
        alone = [*result, "    t.edge = None", "    return t"]
        if op.views:  # a view of a constant too: writing a result into it gives the constant a history
            alone = [f"    return view_of({inputs[0]}, y, None, op, {params_dict})"]
        lines += [f"    {line}" for line in alone]
        lines += _node_lines(op, served, params_dict)
        if op.views:
            return _bound(op, [*lines, f"    return view_of({inputs[0]}, y, node, op, {params_dict})"])
        return _bound(op, [*lines, *result, "    t.edge = node", "    return t"])
    return _bound(op, [*lines, *result, "    t.edge = None", "    return t"])


def _unusual(op: Op, shared: list[str]) -> str:
    """The condition under which inputs need a conversion, or are to be refused."""
    if op.takes == "integer":
        return "True"
    first, *others = shared
    if op.converts and len(others) == 1:
        b = others[0]
        return (
            f"(((d := v_{first}.dtype) is not FLOAT32 and d is not FLOAT64)"
            f" or (v_{b}.dtype is not d if type(v_{b}) is ndarray else type(v_{b}) not in NUMBERS))"
            f" if type(v_{first}) is ndarray else (type(v_{first}) not in NUMBERS or type(v_{b}) is not ndarray"
            f" or (v_{b}.dtype is not FLOAT32 and v_{b}.dtype is not FLOAT64))"
        )
    if not others:
        return f"type(v_{first}) is not ndarray or (v_{first}.dtype is not FLOAT32 and v_{first}.dtype is not FLOAT64)"
    numbers = " and type(v_{a}) not in NUMBERS" if op.converts else ""
    tests = [f"type(v_{first}) is not ndarray", f"((d := v_{first}.dtype) is not FLOAT32 and d is not FLOAT64)"]
    for a in others:
        absent = f"v_{a} is not None and " if a in op.optional else ""
        tests.append(f"({absent}(v_{a}.dtype is not d if type(v_{a}) is ndarray else True{numbers.format(a=a)}))")
    return " or ".join(tests)


def _node_lines(op: Op, served: list[str], params_dict: str) -> list[str]:
    """Choose the plan by which inputs need a gradient, and make the node."""
    lines: list[str] = []
    choices = [tuple(bool(n >> i & 1) for i in range(len(served))) for n in range(1, 2 ** len(served))]
    for place, (n, needs) in enumerate(reversed(list(enumerate(choices)))):  # all of them need one: the common case
        needed = [a for a, need in zip(served, needs, strict=True) if need]
        if len(choices) > 1:
            test = " and ".join([f"e_{a} is {'not ' * need}None" for a, need in zip(served, needs, strict=True)])
            lines.append(f"    {'el' * (place > 0)}if {test}:")
        saved = "".join([f"{_saved_expression(op, w)}, " for w in Plan(op, _needs(op, needed)).wants])
        indent = "    " + "    " * (len(choices) > 1)
        lines += [
            f"{indent}plan = plan_{n}",
            f"{indent}edges = ({', '.join([f'e_{a}' for a in needed])},)",
            f"{indent}saved = ({saved})",
            f"{indent}constants = {_constants(op, needed)}",
        ]
    lines += [
        "    node = new(Node)",
        "    node.plan = plan",
        "    node.edges = edges",
        "    node.saved = saved",
        "    node.shape = y.shape",
        "    node.order = tick()",
        "    node.constants = constants",
        "    node.watch = None",
        "    frame = getframe(1)",
        "    code = frame.f_code",
        "    node.site = (code, frame.f_lasti) if code.co_filename in USERS_FILES else users_site(frame)",
    ]
    if op.params:
        lines.append(f"    node.params = {params_dict}")
    values, edges = (", ".join([f"{what}_{a}" for a in op.inputs]) for what in ("v", "e"))
    lines += ["    if mode.keep:", f"        node.kept = mode.keep.at_node(({values},), ({edges},), y)"]
    return lines


def _constants(op: Op, needed: list[str]) -> str:
    """What a node remembers of its inputs without an edge: see `remembered`, which is written out here."""
    if len(needed) == len(op.inputs):
        return "None"
    kept = [
        "None" if a in needed
        else f"v_{a} if type(v_{a}) is not ndarray else ref(v_{a}) if v_{a}.base is None else remembered(v_{a})"
        for a in op.inputs
    ]  # fmt: skip
    return f"({', '.join(kept)},)"


def _needs(op: Op, needed: list[str]) -> tuple[bool, ...]:
    return tuple([a in needed for a in op.inputs])


def _saved_expression(op: Op, want: str) -> str:
    if want in op.inputs:
        return f"v_{want}"
    if want == "y" or want in op.params:
        return want
    if want in op.keeps:
        return f"k_{want}"
    name, _, what = want.rpartition("_")
    if name not in op.optional and not op.converts:
        return f"v_{name}.{what}"
    return f"getattr(v_{name}, '{what}', {'()' if what == 'shape' else None})"


def _bound(op: Op, lines: list[str]) -> str:
    return (
        "def bind("
        + ", ".join(_bindings(op))
        + "):\n"
        + "\n".join([f"    {line}" for line in lines])
        + f"\n    return {op.name}\n"
    )


def _bindings(op: Op) -> dict[str, Any]:
    """What the written gate refers to, as local names of `bind`: the fastest names Python has."""
    served = [a for a in op.inputs if a in op.differentiable_inputs]
    plans = {}
    for n in range(1, 2 ** len(served)):
        needed = [a for i, a in enumerate(served) if n >> i & 1]
        plans[f"plan_{n - 1}"] = Plan(op, _needs(op, needed))
    return {
        "op": op, "run": runner(op), "shape_rule": op.shape_rule, **plans,
        **{f"default_{p}": default for p, default in op.params.items()},
        "Tensor": Tensor, "Node": Node, "new": object.__new__, "tick": tick, "state": state,
        "ref": ref, "remembered": remembered,
        "getframe": sys._getframe, "users_site": users_site, "USERS_FILES": USERS_FILES, "view_of": view_of,
        "converted": converted, "failure": failure, "no_derivative": no_derivative,
        "RECORDERS": RECORDERS, "get_ident": get_ident,
        "ndarray": ndarray, "asarray": asarray, "NUMBERS": NUMBERS,
        "FLOAT32": FLOAT32, "FLOAT64": FLOAT64, "DType": dtypes.DType, "numpy_dtype": numpy_dtype,
    }  # fmt: skip


def written_gate(op: Op) -> Callable[..., Tensor]:
    """The gate of an operator with a fixed number of inputs."""
    space: dict[str, Any] = {}
    exec(compile(gate_source(op), f"{PACKAGE}/<gate of {op.name}>", "exec"), space)
    gate: Callable[..., Tensor] = space["bind"](**_bindings(op))
    return gate


# ---- gates without shortcuts -----------------------------------------------------------------------------------


def variadic_gate(op: Op) -> Callable[..., Tensor]:
    """The gate of an operator with any number of inputs: cat, einsum, take and its relatives."""
    run = runner(op)

    def run_or_explain(inputs: tuple[Any, ...], values: list[Any], params: dict[str, Any]) -> tuple[Array, ...]:
        try:
            return (asarray(run(*values, **params)),)
        except Exception as error:
            raise failure(op, inputs, params, error) from None

    apply = general_gate(op, run_or_explain, lambda x: x.value if isinstance(x, Tensor) else x, wrap)

    def call(*inputs: Any, **params: Any) -> Tensor:
        if RECORDERS and (recorder := RECORDERS.get(get_ident())) is not None:
            tensor: Tensor = recorder.call(op, inputs, params)
            return tensor
        return apply(inputs, params)

    return call


def general_gate(
    op: Op,
    run: Callable[[tuple[Any, ...], list[Any], dict[str, Any]], tuple[Any, ...]],
    value_of: Callable[[Any], Any],
    tensor_of: Callable[[Any, Node | None], Tensor],
) -> Callable[[tuple[Any, ...], dict[str, Any]], Tensor]:
    """A gate for any operator and any kind of value.

    `run(inputs, values, params)` gives the result and the kept statistics as values, `value_of` a Tensor's
    value, `tensor_of` a Tensor around a result.
    """
    defaults = {p: default for p, default in op.params.items() if default is not REQUIRED}
    last = len(op.inputs) - 1
    served = [name in op.differentiable_inputs for name in op.inputs]
    shared = [name in op.promotes for name in op.inputs]
    plans: dict[tuple[bool, ...], Plan] = {}

    def call(inputs: tuple[Any, ...], params: dict[str, Any]) -> Tensor:
        params = {**defaults, **params}
        if is_unusual(inputs):
            inputs = converted(op, inputs)
        values = [value_of(x) for x in inputs]
        mode = state.mode
        y, *kept = run(inputs, values, params)
        edges = [x.edge if isinstance(x, Tensor) else None for x in inputs]
        for i, edge in enumerate(edges if mode.grad and op.rules else ()):
            if edge is not None and not served[min(i, last)]:
                if shared[min(i, last)]:
                    raise no_derivative(op, op.inputs[min(i, last)], inputs[i])
                edges[i] = None
        needs = tuple([edge is not None for edge in edges])
        if not op.rules or not any(needs) or not mode.grad:
            return tensor_of(y, None)
        plan = plans.get(needs)
        if plan is None:
            plan = plans[needs] = Plan(op, needs)
        saved = plan.save(offered(values, y, kept, params))
        node = Node(plan, tuple([e for e in edges if e is not None]), saved, y.shape, params)
        if not all(needs):
            node.constants = tuple([None if need else remembered(v) for v, need in zip(values, needs, strict=True)])
        if mode.keep:
            node.kept = mode.keep.at_node(tuple(values), tuple(edges), y)
        return tensor_of(y, node)

    def is_unusual(inputs: tuple[Any, ...]) -> bool:
        """True if inputs that share an element type do not, or it is not float32 or float64."""
        parts = [x for i, x in enumerate(inputs) if shared[min(i, last)] and x is not None]
        types = {x.value.dtype if isinstance(x, Tensor) else None for x in parts}
        return bool(parts) and (len(types) != 1 or not types <= {FLOAT32, FLOAT64})

    def offered(values: list[Any], y: Any, kept: list[Any], params: dict[str, Any]) -> tuple[Any, ...]:
        """What the plan may save, in the order of its candidates."""
        slots = [*values[:last], values[last:]] if op.variadic else values
        shapes = [[w.shape for w in v] if type(v) is list else getattr(v, "shape", ()) for v in slots]
        types = [getattr(v, "dtype", None) for v in slots]
        return (*slots, y, *kept, *[params[p] for p in op.params], *shapes, *types)

    return call


def converted(op: Op, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """The inputs with one element type, by PyTorch's promotion and through differentiable casts.

    Raises:
        ArgumentTypeError: for inputs that are no tensors (or numbers where those may stand).
        DTypeError: where the operator takes floats only, or does not mix types.
    """
    shared = []
    for i, x in enumerate(inputs):
        name = op.inputs[min(i, len(op.inputs) - 1)]
        if name not in op.promotes or (x is None and name in op.optional):
            continue
        if isinstance(x, np.generic) and op.converts:
            x = x.item()  # a number, as in PyTorch
        elif isinstance(x, np.ndarray) and op.converts:
            x = wrap(array_of(x), None)
        elif not isinstance(x, Tensor) and not (op.converts and type(x) in NUMBERS):
            raise not_a_tensor(op, i, x)
        shared.append((i, x))
    if not any(isinstance(x, Tensor) for _, x in shared):
        raise not_a_tensor(op, *shared[0])
    common = dtypes.promote_all([_operand(x) for _, x in shared])
    if op.takes == "float" and common.kind != "f":
        raise DTypeError(
            f"{op.name} takes floating-point tensors, not {common}",
            got=named_inputs(op, inputs),
            mend="Convert first: x.float()",
        )
    if op.result == "float" and common.kind != "f":
        common = dtype_of(default_float())
    if op.takes == "number" and common.kind == "b":
        raise DTypeError(
            f"{op.name} is not defined for bool tensors",
            got=named_inputs(op, inputs),
            mend="Use logical_xor, logical_not, or x.int().",
        )
    if op.takes == "integer" and common.kind == "f":
        raise DTypeError(f"{op.name} works on bits: integers and bools only", got=named_inputs(op, inputs))
    out = list(inputs)
    for i, x in shared:
        out[i] = x
        if isinstance(x, Tensor) and x.dtype is not common:
            if not op.converts:
                raise DTypeError(f"{op.name}: expected one element type", got=named_inputs(op, inputs))
            out[i] = GATES["cast"](x, dtype=numpy_dtype(common))
    return tuple(out)


def _operand(x: Any) -> tuple[dtypes.DType, int]:
    if isinstance(x, Tensor):
        return x.dtype, dtypes.ARRAY if x.value.ndim else dtypes.SCALAR
    if type(x) is float:
        return dtype_of(default_float()), dtypes.NUMBER
    return (dtypes.bool_ if type(x) is bool else dtypes.int64), dtypes.NUMBER


def no_derivative(op: Op, name: str, x: Tensor) -> UnsupportedError:
    """The error for an input that requires a gradient which the operator does not have."""
    return UnsupportedError(
        f"the derivative for '{name}' of {op.name} is not implemented.",
        got=[describe(name, x)],
        mend=f"Pass {name}.detach().",
    )


def not_a_tensor(op: Op, place: int, x: Any) -> ArgumentTypeError:
    """The error for an argument that is no tensor."""
    name = op.inputs[min(place, len(op.inputs) - 1)]
    return ArgumentTypeError(
        f"{op.name}(): argument '{name}' (position {place + 1}) must be Tensor, not {type(x).__name__}",
        mend="Make one: chainrule.tensor(...)",
    )


# ---- composites without a rule -------------------------------------------------------------------------------


def expands(op: Op) -> bool:
    """True for a composite whose derivative is that of its body's operators."""
    return not op.primitive and not op.rules and op.kind.name in ("composite", "contraction", "movement", "reduction")


def expanding_gate(op: Op) -> Callable[..., Tensor]:
    """The gate that runs the body on Tensors where a gradient is recorded, and in one piece elsewhere."""
    run = written_gate(op)

    def call(*inputs: Any, **params: Any) -> Tensor:
        if not state.mode.grad:
            return run(*inputs, **params)
        body: Callable[..., Tensor] = op.body
        return body(TensorMaths, *inputs, **params)

    return call


def make_gate(op: Op) -> Gate:
    """The function that runs an operator on Tensors."""
    if expands(op):
        call: Any = expanding_gate(op)
    else:
        call = variadic_gate(op) if op.variadic else written_gate(op)
    call.__name__ = call.__qualname__ = op.name
    call.__doc__ = op.__doc__
    call.op = op
    return call  # type: ignore[no-any-return]


class _Gates(dict[str, Gate]):
    """The gates by name, each made at first use: making all of them takes 20 ms."""

    def __missing__(self, name: str) -> Gate:
        gate = self[name] = make_gate(CATALOGUE[name])
        return gate


GATES = _Gates()


class _GatesAsAttributes(type):
    def __getattr__(cls, name: str) -> Any:
        if name not in CATALOGUE:
            raise AttributeError(f"no operator '{name}'")
        setattr(cls, name, staticmethod(GATES[name]))
        return GATES[name]


class TensorMaths(metaclass=_GatesAsAttributes):
    """Reader: Tensors. Rules run on it under create_graph, so that they are differentiated themselves."""
