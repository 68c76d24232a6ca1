"""verify.backward: somebody's hand-written forward and backward, in NumPy, PyTorch, JAX or anything that takes arrays.

Nothing needs porting: the two are called with the arrays they are written for, and the gradients that come back are
judged as gradcheck judges those of the engine. What forward says about its intermediate values is used as well: their
claimed gradients are judged where the inputs can tell them, so that the first wrong step is told from what follows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ArgumentTypeError, GradcheckError, InPlaceError
from chainrule.verify.blackbox import BlackBox, Cotangents, precision
from chainrule.verify.differences import Array
from chainrule.verify.findings import GradientFindings
from chainrule.verify.foreign import as_array, is_array, maker
from chainrule.verify.inspection import examine
from chainrule.verify.intermediates import Claimed, with_intermediates

F64 = np.dtype(np.float64)
SPELLINGS = ("{}", "d{}", "dL/d{}", "grad_{}")
"""How a dictionary of gradients may name that of an input or intermediate, in the order in which they are tried."""


def backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Any,
    names: Sequence[str] | None = None,
    *,
    output: str | None = None,
    takes_upstream: bool = True,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
    raise_exception: bool = False,
) -> GradientFindings:
    """What is wrong, if anything, with a hand-written backward.

    What `forward(*inputs)` returns decides how `backward` is called:

    - one array or number, the output: `backward(upstream, *inputs)`;
    - a dictionary of named values in the order of computing, the last of which (or the one that `output` names) is
      the output: `backward(upstream, *inputs)`;
    - a tuple of two, the output and a cache: `backward(upstream, cache)`. If the cache is a dictionary, its floating
      point arrays are named intermediates too.

    `upstream` is dL/d(output): of the output's shape and library. With `takes_upstream=False` it is left out:
    `backward(*inputs)` or `backward(cache)`; the output is then one number.

    What `backward` returns: for one input, its gradient; else a tuple or list with one for each input, or a
    dictionary. None, or a missing name, is a gradient that is not claimed, and not checked. A dictionary names the
    gradient of W as "W", "dW", "dL/dW" or "grad_W", and may hold gradients of intermediates.

    Args:
        forward, backward: the pair.
        inputs: a sequence of arrays (NumPy, PyTorch, JAX, chainrule), numbers and other things, or one array. Those
            of floating point numbers are differentiated by; others are passed on as they are.
        names: of the inputs; forward's parameters by default.
        eps, atol, rtol, nondet_tol, fast_mode: as in `gradcheck`.
        raise_exception: raise unless everything is right.

    Returns:
        A finding for each gradient claimed. With gradients of intermediates the order is that of going backward:
        `.first_wrong` is nearest to the output. Those of intermediates are for one random upstream gradient; one
        that the inputs do not determine is "undecided".

    Raises:
        ArgumentError: names that are not as many as the inputs; a signature that does not fit; no floating point
            input; gradients for something that has no such name; the wrong number of gradients.
        ArgumentTypeError: an output or gradient that is no array.
        DTypeError: complex numbers.
        InPlaceError: forward or backward changes an input.
        GradcheckError: with `raise_exception`, if anything is wrong or undecided.

    Example:
        >>> import numpy as np
        >>> x, w = np.array([[0.5, -1.0]]), np.ones((2, 3))
        >>> found = backward(lambda x, w: x @ w, lambda g, x, w: (g @ w.T, 2 * x.T @ g), (x, w))
        >>> found["x"].verdict, found["w"].verdict, round(found["w"].ratio, 6)
        ('right', 'wrong', 2.0)
    """
    pair = _Pair(forward, backward, inputs, names, output, takes_upstream)
    found = examine(pair.box(), eps=eps, atol=atol, rtol=rtol, nondet_tol=nondet_tol, fast=fast_mode)
    if found.verdict != "undecided" or found.pattern is None:  # a function that is the same at every call
        found = with_intermediates(found, pair.claimed(), eps=eps, atol=atol, rtol=rtol)
    if raise_exception and not found:
        raise GradcheckError(str(found), findings=found)
    return found


@dataclass(frozen=True)
class _Run:
    """What one call of forward gave: the output as it came, named values, and what backward is called with."""

    output: Any
    named: dict[str, Any]
    for_backward: tuple[Any, ...]


class _Pair:
    """The pair at a point: arrays in, arrays out."""

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        inputs: Any,
        names: Sequence[str] | None,
        output: str | None,
        takes_upstream: bool,
    ) -> None:
        self.forward, self.backward, self.output, self.takes_upstream = forward, backward, output, takes_upstream
        self.given = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
        self.names = _input_names(forward, self.given, names)
        arrays = [as_array(x, name) if is_array(x) or isinstance(x, complex) else None
                  for x, name in zip(self.given, self.names, strict=True)]  # fmt: skip
        self.places = [k for k, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"]
        if not self.places:
            raise ArgumentError(
                "verify.backward: no input is an array of floating point numbers",
                got=[f"{name}  {type(x).__name__}" for name, x in zip(self.names, self.given, strict=True)],
            )
        own = [np.asarray(arrays[k]) for k in self.places]
        self.makers = [maker(self.given[k]) for k in self.places]
        self.point = tuple([x.astype(F64, order="K") for x in own])
        if any(x.dtype != F64 for x in own) and not self._takes_float64():
            self.point = tuple([x.copy(order="K") for x in own])
        self._check()

    def _takes_float64(self) -> bool:
        """True if both functions take the inputs in float64."""
        try:
            run = self.run(self.point)
            self._gradients(run, np.ones_like(as_array(run.output, "the output")))
        except ArgumentError:
            raise
        except Exception:  # whatever a library raises for mixed types; if it is something else it comes again
            return False
        return True

    def _check(self) -> None:
        """One careful call of both.

        Raises:
            As `backward` says.
        """
        args = self.args(self.point)
        run = self._sorted(args, self.forward(*args))
        self._unchanged(args, "forward")
        y = as_array(run.output, "the output")
        if y.dtype.kind != "f":
            raise ArgumentTypeError(f"verify.backward: the output is of {y.dtype.name}, not of floating point numbers")
        if not self.takes_upstream and y.size != 1:
            raise ArgumentError(
                f"verify.backward: takes_upstream=False is for an output of one number, not of shape {y.shape}"
            )
        _check_signature(self.backward, self._call(run, np.ones_like(y)), self.takes_upstream)
        self._gradients(run, np.ones_like(y))
        self._unchanged(args, "backward")

    def _unchanged(self, args: Sequence[Any], which: str) -> None:
        for place, x in zip(self.places, self.point, strict=True):
            now = as_array(args[place], self.names[place])
            if not np.array_equal(now, x.astype(now.dtype), equal_nan=True):
                raise InPlaceError(f"verify.backward: {which} changes its input {self.names[place]} in place")

    def args(self, arrays: Sequence[Array]) -> list[Any]:
        """The arguments of forward, with fresh arrays."""
        args = list(self.given)
        for place, make, array in zip(self.places, self.makers, arrays, strict=True):
            args[place] = make(array)
        return args

    def run(self, arrays: Sequence[Array]) -> _Run:
        """Call forward."""
        args = self.args(arrays)
        return self._sorted(args, self.forward(*args))

    def _sorted(self, args: Sequence[Any], result: Any) -> _Run:
        """What forward returned, by the rules of `backward`.

        Raises:
            ArgumentError: a tuple not of two; a list; an empty dictionary, or one without `output`.
        """
        if isinstance(result, tuple) and len(result) == 2:
            cache = result[1]
            return _Run(result[0], self._intermediates(cache) if isinstance(cache, Mapping) else {}, (cache,))
        if isinstance(result, Mapping):
            name = next(reversed(list(result)), None) if self.output is None else self.output
            if name not in result:
                raise ArgumentError(
                    f"verify.backward: forward returned no value named {self.output!r}"
                    if result
                    else "verify.backward: forward returned an empty dictionary",
                    got=[", ".join(map(str, result))],
                )
            rest = {key: value for key, value in result.items() if key != name}
            return _Run(result[name], self._intermediates(rest), tuple(args))
        if isinstance(result, tuple | list):
            raise ArgumentError(
                "verify.backward: forward must return an array, a dictionary of named values, or a tuple of the output "
                "and a cache",
                got=[f"{type(result).__name__} of {len(result)}"],
            )
        return _Run(result, {}, tuple(args))

    def _intermediates(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        """The named floating point arrays among the values that are no inputs."""
        return {
            str(key): value
            for key, value in values.items()
            if str(key) not in self.names and is_array(value) and as_array(value, str(key)).dtype.kind == "f"
        }

    def _call(self, run: _Run, c: Array) -> tuple[Any, ...]:
        """The arguments of backward."""
        return (maker(run.output)(c), *run.for_backward) if self.takes_upstream else run.for_backward

    def _gradients(self, run: _Run, c: Array) -> dict[str, Array]:
        """The claimed gradients, by the names of inputs and intermediates.

        Raises:
            ArgumentError, ArgumentTypeError: as `backward` says.
        """
        result = self.backward(*self._call(run, c))
        if isinstance(result, Mapping):
            claims = {self._named(str(key), run): value for key, value in result.items()}
        else:
            several = tuple(result) if isinstance(result, tuple | list) else (result,)
            if len(several) != len(self.given):
                raise ArgumentError(
                    f"verify.backward: backward must return {len(self.given)} gradients, one for each input "
                    f"({', '.join(self.names)}), and returned {len(several)}",
                    mend="Return None for an input without a gradient, or a dictionary of gradients by name.",
                )
            claims = dict(zip(self.names, several, strict=True))
        scale = 1.0 if self.takes_upstream else float(c.ravel()[0])
        return {
            name: scale * as_array(value, f"the gradient of {name}") for name, value in claims.items()
            if value is not None
        }  # fmt: skip

    def _named(self, key: str, run: _Run) -> str:
        """Whose gradient a key of a dictionary names."""
        known = [*self.names, *run.named]
        for spelling in SPELLINGS:
            for name in known:
                if key == spelling.format(name):
                    return name
        raise ArgumentError(
            f"verify.backward: backward returned a gradient named {key!r}, of nothing that has a name here",
            got=[f"inputs         {', '.join(self.names)}", f"intermediates  {', '.join(run.named) or 'none'}"],
        )

    # ---- as examine and with_intermediates want it ----------------------------------------------------------

    def value(self, arrays: Sequence[Array]) -> list[Array]:
        """The output."""
        return [as_array(self.run(arrays).output, "the output")]

    def pull(self, rows: Sequence[Cotangents]) -> list[list[Array | None]]:
        """The claimed gradients of the inputs that have one."""
        found = []
        for (c,) in rows:
            claims = self._gradients(self.run(self.point), np.asarray(c))
            found.append([claims.get(self.names[place]) for place in self.places])
        return found

    def box(self) -> BlackBox:
        """The pair for `examine`."""
        names = tuple([self.names[place] for place in self.places])
        title = f"verify.backward of {getattr(self.forward, '__name__', type(self.forward).__name__)}"
        title = title.replace("<lambda>", "the pair")
        return BlackBox(title, names, self.point, self.value, self.pull, precision(self.value, self.point))

    def claimed(self) -> Claimed:
        """The named intermediates with their claimed gradients."""
        run = self.run(self.point)
        y = as_array(run.output, "the output")
        rng = np.random.default_rng(5)
        c = np.asarray(rng.uniform(0.3, 1.8, y.shape) * rng.choice([-1.0, 1.0], y.shape)).astype(y.dtype)
        gradients = self._gradients(run, c)
        named = [name for name in run.named if name in gradients]

        def value(arrays: Sequence[Array]) -> list[Array]:
            again = self.run(arrays)
            return [as_array(again.output, "the output"), *[as_array(again.named[name], name) for name in named]]

        return Claimed(replace(self.box(), value=value), tuple(named), gradients, c)


def _input_names(forward: Callable[..., Any], given: Sequence[Any], names: Sequence[str] | None) -> tuple[str, ...]:
    """The names that were given, or those of forward's parameters."""
    if names is not None:
        if len(names) != len(given) or len(set(names)) != len(names):
            raise ArgumentError(
                f"verify.backward: {len(given)} inputs need as many different names", got=[f"names  {list(names)}"]
            )
        return tuple(names)
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):  # a builtin without a signature
        parameters = []
    own = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple([own[k] if k < len(own) else f"x{k}" for k in range(len(given))])


def _check_signature(backward: Callable[..., Any], args: Sequence[Any], takes_upstream: bool) -> None:
    """Raise if backward cannot be called with these arguments."""
    try:
        signature = inspect.signature(backward)
    except (TypeError, ValueError):  # a builtin without a signature: the call will tell
        return
    try:
        signature.bind(*args)
    except TypeError as error:
        raise ArgumentError(
            f"verify.backward: backward is called with {len(args)} arguments"
            + (", the first of them the upstream gradient" if takes_upstream else "")
            + f", and takes {signature}: {error}",
            mend="With a cache, let forward return (output, cache); without an upstream gradient, pass "
            "takes_upstream=False.",
        ) from None
