"""gradcheck and gradgradcheck: the gradients that the engine gives for a function of tensors, against its slopes.

PyTorch's names, arguments and defaults; the answer is a `GradientFindings`, which is true where PyTorch returns True.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import (
    ArgumentError,
    ArgumentTypeError,
    AssertedError,
    ChainruleError,
    DTypeError,
    GradcheckError,
    GraphError,
    InPlaceError,
    UnsupportedError,
)
from chainrule.tensor.backward import grad
from chainrule.tensor.printing import describe
from chainrule.tensor.switches import enable_grad
from chainrule.tensor.tensor import Tensor, wrap
from chainrule.verify.blackbox import BlackBox, Cotangents, precision
from chainrule.verify.differences import Array
from chainrule.verify.findings import GradientFindings
from chainrule.verify.inspection import examine

F64 = np.dtype(np.float64)


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> GradientFindings:
    """What is wrong, if anything, with the gradients of func(*inputs) by those inputs that require a gradient.

    The gradient of <c, func(x)> for two random upstream gradients c, and that of every output if there are at most
    64, is compared with slopes that are extrapolated from differences at five steps, each with its error. Up to
    512 elements are measured one by one; of more a sample is, and three random directions in all of them find what
    the sample missed.

    It is computed in float64: float32 inputs are converted. A function that insists on float32 is measured in
    float32, and the finding is "undecided" where that cannot tell right from wrong.

    It differs from PyTorch's in what it returns, and in these verdicts: a claim at a kink (relu at 0) is valid if it
    lies between the slopes on the two sides; a gradient whose numbers are all smaller than atol is not right
    because of that: where the largest is below 1, atol is a part of it.

    Args:
        func: takes the inputs, returns a Tensor or a tuple of Tensors; outputs without a gradient are ignored where
            others have one.
        inputs: a Tensor or a sequence; at least one Tensor requires a gradient. Others are passed as they are.
        eps: the shortest step; the longest is 4,096 times as long. Steps grow with |x| where that is above 1.
        atol, rtol: a gradient may differ from the slope by atol * min(1, largest |slope|) + rtol * |slope|.
        raise_exception: raise for anything but right; False returns the finding.
        nondet_tol: by how much two runs of the function or its backward may differ.
        check_undefined_grad: also let each of several outputs be the only one with an upstream gradient.
        check_grad_dtypes: also require gradients of the inputs' element types.
        fast_mode: measure 48 elements, and three random directions in all of them.
        check_backward_ad: True; there is no other mode of differentiation.

    Returns:
        The findings: `.ok`, `.verdict`, one finding for each input with `.worst`, `.pattern` and `.ratio`.

    Raises:
        GradcheckError: with `raise_exception`, if anything is wrong or undecided; the message is the report, and
            `.findings` the result.
        ArgumentError: no input requires a gradient; an input whose elements share memory (expand).
        ArgumentTypeError: `inputs` or what func returns is neither a Tensor nor a tuple of Tensors.
        DTypeError: complex inputs.
        InPlaceError: the function changes its inputs.
        UnsupportedError: check_batched_grad, check_batched_forward_grad, check_forward_ad, masked=True.
        AssertedError: check_backward_ad=False.

    Source: as `torch.autograd.gradcheck` of PyTorch 2.13; the differences as in `verify.differences`.

    Example:
        >>> import chainrule as cr
        >>> x = cr.tensor([0.5, -1.0], dtype=cr.float64, requires_grad=True)
        >>> bool(gradcheck(cr.sigmoid, x))
        True
    """
    _refuse(
        check_batched_grad=check_batched_grad,
        check_batched_forward_grad=check_batched_forward_grad,
        check_forward_ad=check_forward_ad,
        masked=masked,
    )
    if not check_backward_ad:
        raise AssertedError("gradcheck: expected at least one of check_forward_ad or check_backward_ad to be True")
    given = _sequence(inputs)
    program = _Program(func, given, f"gradcheck of {_name(func)}", _names(func, len(given)))
    asked = _Asked(eps, atol, rtol, raise_exception, nondet_tol, check_undefined_grad, check_grad_dtypes, fast_mode)
    return _findings(program, asked)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> GradientFindings:
    """What is wrong, if anything, with the second derivatives: gradcheck of the gradient of func(*inputs).

    The function that is checked takes the inputs and upstream gradients, and returns the gradients by the inputs.

    Args:
        grad_outputs: an upstream gradient for each output that has a gradient; random numbers if missing.
        gen_non_contig_grad_outputs: make these random numbers not contiguous in memory.
        func, inputs and the others: as in `gradcheck`.

    Raises:
        UnsupportedError: check_fwd_over_rev, and what gradcheck refuses.
        AssertedError: check_rev_over_rev=False.
        ArgumentError: grad_outputs that do not fit the outputs; no output has a gradient.
        GradcheckError and others: as gradcheck.
    """
    _refuse(check_batched_grad=check_batched_grad, check_fwd_over_rev=check_fwd_over_rev, masked=masked)
    if not check_rev_over_rev:
        raise AssertedError(
            "gradgradcheck: expected at least one of check_fwd_over_rev or check_rev_over_rev to be True"
        )
    given = _sequence(inputs)
    with enable_grad():
        outputs = _differentiable(_outputs(func(*given)))
    if not outputs:
        raise ArgumentError("gradgradcheck: no output of the function has a gradient")
    upstreams = _upstreams(outputs, grad_outputs, gen_non_contig_grad_outputs)

    def gradient(*args: Any) -> tuple[Tensor, ...]:
        xs, cs = args[: len(given)], args[len(given) :]
        found = grad(_differentiable(_outputs(func(*xs))), _needing(xs), cs, create_graph=True, allow_unused=True)
        return tuple([g for g in found if g is not None])

    names = [*_names(func, len(given)), *[f"grad_outputs[{k}]" for k in range(len(upstreams))]]
    program = _Program(gradient, _sequence((*given, *upstreams)), f"gradgradcheck of {_name(func)}", names)
    asked = _Asked(eps, atol, rtol, raise_exception, nondet_tol, check_undefined_grad, check_grad_dtypes, fast_mode)
    return _findings(program, asked)


class _Asked(NamedTuple):
    """The arguments of both checks that mean the same in both."""

    eps: float
    atol: float
    rtol: float
    raise_exception: bool
    nondet_tol: float
    check_undefined_grad: bool
    check_grad_dtypes: bool
    fast_mode: bool


def _findings(program: _Program, asked: _Asked) -> GradientFindings:
    found = examine(
        program.box(),
        eps=asked.eps,
        atol=asked.atol,
        rtol=asked.rtol,
        nondet_tol=asked.nondet_tol,
        fast=asked.fast_mode,
        complaints=[
            *(program.missing_upstreams() if asked.check_undefined_grad else ()),
            *(program.other_dtypes() if asked.check_grad_dtypes else ()),
        ],
    )
    if asked.raise_exception and not found:
        raise GradcheckError(str(found), findings=found)
    return found


def _refuse(**asked: bool | None) -> None:
    """Raise for a check that needs what chainrule does not have."""
    why = {
        "check_batched_grad": "backward takes one upstream gradient at a time, there is no vmap",
        "check_batched_forward_grad": "there is no forward mode of differentiation",
        "check_forward_ad": "there is no forward mode of differentiation",
        "check_fwd_over_rev": "there is no forward mode of differentiation",
        "masked": "there are no sparse tensors",
    }
    for name, value in asked.items():
        if value:
            raise UnsupportedError(f"gradcheck({name}=True): {why[name]}")


# ---- what the function takes and returns -------------------------------------------------------------------


def _sequence(inputs: Any) -> tuple[Any, ...]:
    """The inputs as a tuple.

    Raises:
        ArgumentTypeError, DTypeError, ArgumentError: as gradcheck says.
    """
    if not isinstance(inputs, Tensor | tuple | list):
        raise ArgumentTypeError(
            f"gradcheck: inputs must be a Tensor or a sequence of Tensors, not {type(inputs).__name__}"
        )
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    for number, x in enumerate(given):
        if isinstance(x, complex | np.complexfloating) or getattr(x, "dtype", None) in (np.complex64, np.complex128):
            raise DTypeError(
                "gradcheck: complex inputs are not supported: chainrule computes with real numbers",
                got=[f"inputs[{number}]  {type(x).__name__}"],
                mend="Give the real and the imaginary part as two inputs.",
            )
    for number, x in enumerate(_needing(given)):
        if x.value.size and any(
            size > 1 and stride == 0 for size, stride in zip(x.value.shape, x.value.strides, strict=True)
        ):
            raise ArgumentError(
                "gradcheck: elements of an input share memory, so that none can change alone",
                got=[describe(f"inputs[{number}]", x)],
                mend="Call .contiguous() before requires_grad_().",
            )
    if not _needing(given):
        raise ArgumentError(
            "gradcheck expects at least one input tensor to require gradient",
            got=[describe(f"inputs[{n}]", x) if isinstance(x, Tensor) else f"inputs[{n}]  {type(x).__name__}"
                 for n, x in enumerate(given)],
            mend="Call requires_grad_() on the inputs to differentiate by.",
        )  # fmt: skip
    return given


def _outputs(output: Any) -> tuple[Tensor, ...]:
    outputs = tuple(output) if isinstance(output, tuple | list) else (output,)
    for number, y in enumerate(outputs):
        if not isinstance(y, Tensor):
            raise ArgumentTypeError(
                f"gradcheck: the function must return a Tensor or a tuple of Tensors; output {number} is "
                f"{type(y).__name__}"
            )
    return outputs


def _needing(given: Sequence[Any]) -> list[Tensor]:
    return [x for x in given if isinstance(x, Tensor) and x.requires_grad]


def _differentiable(outputs: Sequence[Tensor]) -> list[Tensor]:
    return [y for y in outputs if y.requires_grad]


def _upstreams(outputs: Sequence[Tensor], given: Any, strided: bool) -> list[Tensor]:
    """The upstream gradients to differentiate the gradient by."""
    if given is not None:
        tensors = [given] if isinstance(given, Tensor) else list(given)
        if [c.value.shape for c in tensors if c is not None] != [y.value.shape for y in outputs]:
            raise ArgumentError(
                "gradgradcheck: grad_outputs do not fit the outputs",
                got=[
                    *["grad_output  None" if c is None else describe("grad_output", c) for c in tensors],
                    *[describe("output", y) for y in outputs],
                ],
            )
        return tensors
    rng = np.random.default_rng(3)
    made = []
    for y in outputs:
        wide = rng.normal(size=(*y.value.shape, 2)).astype(y.value.dtype)[..., 0]
        made.append(wrap(np.asarray(wide) if strided else np.array(wide, order="C"), None).requires_grad_())
    return made


def _name(func: Callable[..., Any]) -> str:
    name = getattr(func, "__qualname__", None) or type(func).__name__
    name = name.rpartition("<locals>.")[2]
    return "the function" if name == "<lambda>" else str(name)


def _names(func: Callable[..., Any], count: int) -> list[str]:
    """The names of the function's parameters, as far as it has them."""
    names: list[str] = []
    try:
        for parameter in inspect.signature(func).parameters.values():
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                names.append(parameter.name)
    except (TypeError, ValueError):  # a builtin without a signature
        pass
    return [names[k] if k < len(names) else f"inputs[{k}]" for k in range(count)]


# ---- the function as a black box ------------------------------------------------------------------------------


class _Program:
    """A function of tensors at a point, called with fresh tensors each time.

    Args:
        func, given: the function and its inputs, checked.
        title: what is checked, for reports and messages.
        names: of all inputs.
    """

    def __init__(self, func: Callable[..., Any], given: tuple[Any, ...], title: str, names: Sequence[str]) -> None:
        self.func, self.given, self.title, self.names = func, given, title, names
        self.wide = True
        if any(isinstance(x, Tensor) and x.value.dtype.kind == "f" and x.value.dtype != F64 for x in given):
            self.wide = self._takes_float64()
        self.point = tuple([self._array(x) for x in _needing(given)])
        self.kept, self.used = self._traits()

    def _takes_float64(self) -> bool:
        try:
            self.call([x.value.astype(F64) for x in _needing(self.given)])
        except (ChainruleError, TypeError):  # its own parameters or constants are float32: measured in that
            return False
        return True

    def _array(self, x: Tensor) -> Array:
        """A copy of a tensor's array, in float64 where the function takes that."""
        return x.value.astype(F64, order="K") if self.wide and x.value.dtype.kind == "f" else x.value.copy(order="K")

    def call(self, arrays: Sequence[Array], watched: bool = False) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """The tensors to differentiate by, made of copies of the arrays, and the outputs.

        Raises:
            InPlaceError: the function changed an input, if it is `watched`.
        """
        fresh = iter(arrays)
        xs: list[Tensor] = []
        args: list[Any] = []
        before: list[tuple[int, Array, Tensor]] = []
        for number, x in enumerate(self.given):
            if not isinstance(x, Tensor):
                args.append(x)
                continue
            array = next(fresh) if x.requires_grad else self._array(x)
            arg = wrap(np.array(array, order="K"), None)
            if x.requires_grad:
                xs.append(arg.requires_grad_())
            before.append((number, array, arg))
            args.append(arg)
        with enable_grad():
            outputs = _outputs(self.func(*args))
        for number, array, arg in before if watched else ():
            if not np.array_equal(array, arg.value, equal_nan=array.dtype.kind == "f"):
                raise InPlaceError(
                    f"{self.title}: the function changes its input {number} in place, so that a second call would "
                    "start from other numbers",
                    got=[describe(f"inputs[{number}]", arg)],
                    mend="Write to a clone().",
                )
        return xs, outputs

    def _traits(self) -> tuple[list[int], list[bool]]:
        """Which outputs count (those with a gradient, or all of them), and which inputs they depend on.

        Raises:
            GraphError: the outputs have a gradient, but depend on none of the inputs.
        """
        xs, outputs = self.call(self.point, watched=True)
        kept = [k for k, y in enumerate(outputs) if y.requires_grad]
        if not kept:
            kept = [k for k, y in enumerate(outputs) if y.value.dtype.kind == "f"]
            if not kept:
                raise ArgumentError(f"{self.title}: no output of the function is a floating point number")
            return kept, [False] * len(xs)
        ys = [outputs[k] for k in kept]
        found = grad(ys, xs, [wrap(np.ones_like(y.value), None) for y in ys], allow_unused=True)
        used = [g is not None for g in found]
        if not any(used):
            raise GraphError(
                f"{self.title}: the outputs require a gradient, but depend on none of the inputs given",
                mend="Take the tensors as arguments instead of from outside the function.",
            )
        return kept, used

    def value(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs that count."""
        outputs = self.call(arrays)[1]
        return [outputs[k].value for k in self.kept]

    def pull(self, rows: Sequence[Cotangents]) -> list[list[Array | None]]:
        """The engine's gradients for each of the upstream gradients; zeros for what nothing depends on."""
        xs, outputs = self.call(self.point)
        found: list[list[Array | None]] = []
        for row in rows:
            pairs = [(outputs[k], wrap(c, None)) for k, c in zip(self.kept, row, strict=True) if c is not None]
            live = [(y, c) for y, c in pairs if y.requires_grad]
            ys, cs = [y for y, _ in live], [c for _, c in live]
            gradients = grad(ys, xs, cs, retain_graph=True, allow_unused=True) if live else (None,) * len(xs)
            found.append(
                [np.zeros(x.value.shape) if g is None else g.value for g, x in zip(gradients, xs, strict=True)]
            )
        return found

    def box(self) -> BlackBox:
        """The function for `examine`."""
        dtype = precision(self.value, self.point)
        names = [n for n, x in zip(self.names, self.given, strict=True) if isinstance(x, Tensor) and x.requires_grad]
        return BlackBox(self.title, tuple(names), self.point, self.value, self.pull, dtype)

    def missing_upstreams(self) -> Iterator[str]:
        """Complaints if an output without an upstream gradient is not the same as one with zeros."""
        ys = self.value(self.point)
        rng = np.random.default_rng(4)
        for k, y in enumerate(ys) if len(ys) > 1 else ():
            c = np.asarray(rng.uniform(0.5, 1.5, y.shape), y.dtype)
            alone = [c if one == k else None for one in range(len(ys))]
            zeros = [c if one == k else np.zeros_like(other) for one, other in enumerate(ys)]
            missing, given = self.pull([alone])[0], self.pull([zeros])[0]
            for number, (a, b) in enumerate(zip(missing, given, strict=True)):
                both = np.isfinite(np.asarray(a)) & np.isfinite(
                    np.asarray(b)
                )  # 0 * inf is nan, nothing * inf is nothing
                if not np.allclose(np.asarray(a)[both], np.asarray(b)[both], rtol=1e-5, atol=1e-12):
                    yield (
                        f"undefined upstream gradients: input {number} has another gradient where only output {k} has "
                        "an upstream gradient than where the others have zeros"
                    )

    def other_dtypes(self) -> Iterator[str]:
        """Complaints if a gradient has not its input's element type."""
        ys = self.value(self.point)
        for number, (g, x) in enumerate(zip(self.pull([[np.ones_like(y) for y in ys]])[0], self.point, strict=True)):
            if self.used[number] and g is not None and g.dtype != x.dtype:
                yield f"the gradient of input {number} is {g.dtype.name}, the input {x.dtype.name}"
