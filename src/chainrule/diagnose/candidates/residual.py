"""Residual connections: x + f(x) around what keeps the shape. Source: He et al. 2016.

In a Sequential f is a layer with the activation after it. In a module of the user's it is a child whose input and
output had equal shapes in the run that was observed: a block, or a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from textwrap import fill
from typing import Any

from chainrule.diagnose.candidates.candidate import (
    FEW,
    Candidate,
    Case,
    is_replaceable,
    is_the_librarys,
    layers,
    replace_at,
    written,
)
from chainrule.nn.activation import GELU, ReLU, Sigmoid, SiLU, Tanh
from chainrule.nn.container import Sequential
from chainrule.nn.convolution import Conv2d
from chainrule.nn.linear import Identity, Linear
from chainrule.nn.module import Module
from chainrule.optim.optimizer import Optimizer

ACTIVATIONS = (ReLU, Tanh, Sigmoid, GELU, SiLU)
REASON = "the gradient has a way past each layer, on which nothing multiplies it"
CLASS = """class Residual(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return x + self.body(x)

"""

Place = tuple[str, str]
"""The path of what the connection goes around, and of the activation that belongs to it; "" if there is none."""


class Residual(Module):
    """x + body(x)."""

    def __init__(self, body: Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Any) -> Any:
        return x + self.body(x)


def candidates(family: str, case: Case) -> list[Candidate]:
    """The candidate of the family "residual"; none where fewer than two places keep the shape."""
    if family != "residual":
        return []
    places = straight(case)
    if len(places) < 2:
        return []
    return [Candidate("residual connections", REASON, CLASS + _code(places), partial(_connect, places))]


def straight(case: Case) -> list[Place]:
    """The outermost modules that a connection can go around: called once, of one shape in and out, with weights."""
    found: list[Place] = []
    taken: set[str] = set()
    after = _followers(case.model)
    for path, module in case.model.named_modules():
        is_inside = any(path.startswith(f"{outer}.") for outer in taken)
        if not path or is_inside or not _keeps_shape(case, path, module):
            continue
        taken.add(path)
        found.append((path, after.get(path, "")))
    return found


def _keeps_shape(case: Case, path: str, module: Module) -> bool:
    seen = case.seen.get(path)
    if seen is None or seen.calls != 1 or seen.given is None or seen.given != seen.result or len(seen.given) < 2:
        return False
    # the library's blocks have their own connections, and containers are many layers, not one
    is_body = isinstance(module, Linear | Conv2d) or not is_the_librarys(type(module))
    return is_body and bool(layers(module)) and is_replaceable(case.model, path)


def _followers(model: Module) -> dict[str, str]:
    """For each layer of a Sequential the activation after it, by path."""
    found: dict[str, str] = {}
    for path, block in model.named_modules():
        if isinstance(block, Sequential):
            start = f"{path}." if path else ""
            for (name, layer), (after, activation) in pairwise(block.named_children()):
                if isinstance(layer, Linear | Conv2d) and isinstance(activation, ACTIVATIONS):
                    found[start + name] = start + after
    return found


def _code(places: Sequence[Place]) -> str:
    if len(places) <= FEW:
        return "\n".join([_line(body, after) for body, after in places])
    alone = [f'"{body}"' for body, after in places if not after]
    pairs = [f'("{body}", "{after}")' for body, after in places if after]
    code = []
    if pairs:
        code.append(
            f"{_loop('name, after', pairs)}\n"
            "    (owner, _, child), (_, _, act) = name.rpartition('.'), after.rpartition('.')\n"
            "    block, layer = model.get_submodule(owner), model.get_submodule(name)\n"
            "    setattr(block, child, Residual(nn.Sequential(layer, model.get_submodule(after))))\n"
            "    setattr(block, act, nn.Identity())"
        )
    if alone:
        code.append(
            f"{_loop('name', alone)}\n    owner, _, child = name.rpartition('.')\n"
            "    setattr(model.get_submodule(owner), child, Residual(model.get_submodule(name)))"
        )
    return "\n".join(code)


def _loop(names: str, over: Sequence[str]) -> str:
    """The head of a loop, over as many lines as it needs."""
    return fill(f"for {names} in [{', '.join(over)}]:", 100, subsequent_indent="    ", break_on_hyphens=False)


def _line(body: str, after: str) -> str:
    if not after:
        return f"{written(body)} = Residual({written(body)})"
    pair = f"nn.Sequential({written(body)}, {written(after)})"
    return f"{written(body)}, {written(after)} = Residual({pair}), nn.Identity()"


def _connect(places: Sequence[Place], model: Module, optimizer: Optimizer | None) -> None:
    for path, after in places:
        body = model.get_submodule(path)
        if after:
            body = Sequential(body, model.get_submodule(after)).train(body.training)
            replace_at(model, after, Identity())
        replace_at(model, path, Residual(body))
