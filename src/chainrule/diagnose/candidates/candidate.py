"""Candidate: one change of a model or its training, as code and as a function to apply; Case: what it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chainrule.diagnose.run import call, cut_off, eager, untouched_generators
from chainrule.nn.container import ModuleDict, ModuleList, Sequential
from chainrule.nn.convolution import Conv2d
from chainrule.nn.linear import Linear
from chainrule.nn.module import Module
from chainrule.optim.optimizer import Optimizer
from chainrule.tensor.functions.random import Generator
from chainrule.tensor.switches import no_grad
from chainrule.tensor.tensor import Tensor

if TYPE_CHECKING:
    from chainrule.diagnose.diagnosis import Diagnosis

Change = Callable[[Module, Optimizer | None], Module | None]
"""Changes the copies it gets; returns another model where it wraps the one given."""

FEW = 4
"""So many places are written out in a candidate's code; more are a loop."""


@dataclass(frozen=True)
class Candidate:
    """A change that may mend a fault.

    Args:
        name: "He initialisation".
        reason: why it may mend, in a line.
        code: the change in chainrule's own words, to paste behind the model's and optimiser's construction.
        change: makes it, on a copy that `apply` gives it; what it adds is given to the optimiser by `apply`.
    """

    name: str
    reason: str
    code: str
    change: Change

    def apply(self, model: Module, optimizer: Optimizer | None = None) -> tuple[Module, Optimizer | None]:
        """A changed copy of the model, and an optimiser of the same kind and options for it, without a state.

        The model and the optimiser given stay as they are. Of a compiled model the copy is not compiled.

        Args:
            model: the model that was diagnosed, or another of the same structure.
            optimizer: what trains it. Its groups keep their options; parameters that the change adds join the first.
        """
        changed, stepping = deepcopy((eager(model), optimizer))
        before = {id(p) for p in changed.parameters()}
        if stepping is not None:
            stepping.state.clear()
        with untouched_generators():
            wrapped = self.change(changed, stepping)
        changed = changed if wrapped is None else wrapped
        if stepping is not None:
            trained = {id(p) for group in stepping.param_groups for p in group["params"]}
            kept = {id(p) for p in changed.parameters()}
            for group in stepping.param_groups:
                group["params"] = [p for p in group["params"] if id(p) in kept or id(p) not in before]
            added = [p for p in changed.parameters() if id(p) not in before and id(p) not in trained]
            stepping.param_groups[0]["params"] += added
            for group in stepping.param_groups:
                if "param_names" in group and len(group["param_names"]) != len(group["params"]):
                    named = {id(p): name for name, p in changed.named_parameters()}
                    group["param_names"] = [named.get(id(p), "") for p in group["params"]]
        return changed, stepping


@dataclass(frozen=True)
class Seen:
    """What one module was seen to do in a run.

    Args:
        calls: how often it was called.
        given, result: the shapes at its last call; None where it was not one tensor.
    """

    calls: int
    given: tuple[int, ...] | None
    result: tuple[int, ...] | None


@dataclass(frozen=True, eq=False)
class Case:
    """What is to be mended: the user's model, optimiser and batches, which are only read, and what was found."""

    model: Module
    optimizer: Optimizer | None
    batches: Sequence[Any]
    diagnosis: Diagnosis

    @cached_property
    def seen(self) -> dict[str, Seen]:
        """By path, what the modules did with the first batch, in the order in which they were first called."""
        copied = deepcopy(eager(self.model))
        found: dict[str, Seen] = {}
        for path, module in copied.named_modules():

            def begin(module: Module, args: Any, path: str = path) -> None:
                found.setdefault(path, Seen(0, None, None))

            def note(module: Module, args: Any, output: Any, path: str = path) -> None:
                given = args[0] if len(args) == 1 else None
                found[path] = Seen(found[path].calls + 1, _shape(given), _shape(output))

            module.register_forward_pre_hook(begin)
            module.register_forward_hook(note)
        with no_grad():
            call(copied, cut_off(self.batches[0][0]))
        return found


def _shape(x: Any) -> tuple[int, ...] | None:
    return tuple(x.shape) if isinstance(x, Tensor) else None


def stream() -> Generator:
    """Random numbers of the remedies' own: the user's generators are not drawn from."""
    return Generator().manual_seed(0)


# ---- places --------------------------------------------------------------------------------------------------


def layers(model: Module) -> list[tuple[str, Any]]:
    """The linear and convolutional layers with their paths, in the order of registration."""
    return [(path, module) for path, module in model.named_modules() if isinstance(module, Linear | Conv2d)]


def places(model: Module) -> Iterator[tuple[Module, str, Module]]:
    """Every module below, with its owner and its name there."""
    for owner in list(model.modules()):
        for name, module in list(owner.named_children()):
            yield owner, name, module


def is_replaceable(model: Module, path: str) -> bool:
    """Whether a module may be put in another's place: its owner is a container or the user's, which only calls it.

    The library's own modules read the weights of their parts, so that another module would not be asked.
    """
    if not path:
        return False
    owner = model.get_submodule(path.rpartition(".")[0])
    return isinstance(owner, Sequential | ModuleList | ModuleDict) or not is_the_librarys(type(owner))


def is_the_librarys(kind: type) -> bool:
    """True for the classes of chainrule.nn, False for those of the user's."""
    return kind.__module__.startswith("chainrule.nn.")


def replace_at(model: Module, path: str, new: Module) -> None:
    """Put a module at a path; it is training if what stood there was."""
    owner, _, name = path.rpartition(".")
    setattr(model.get_submodule(owner), name, new.train(model.get_submodule(path).training))


def written(path: str) -> str:
    """A module's path as Python: "net.3.linear" is model.net[3].linear."""
    return "model" + "".join([f"[{part}]" if part.isdigit() else f".{part}" for part in path.split(".") if part])
