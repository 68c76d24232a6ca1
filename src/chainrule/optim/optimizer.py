"""Optimizer: parameters in groups, the options of each group, and the state that belongs to each parameter."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any, TypeAlias

import numpy as np

from chainrule.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from chainrule.tensor.graph import Node
from chainrule.tensor.hooks import RemovableHandle
from chainrule.tensor.recording import changed, recorder
from chainrule.tensor.switches import enable_grad
from chainrule.tensor.tensor import Tensor, wrap, wrote

Group: TypeAlias = dict[str, Any]
"""One parameter group: "params" (a list of Tensors) and the options, which users and schedulers may change."""

Params: TypeAlias = Iterable[Any]
"""Tensors, (name, Tensor) pairs, or group dictionaries."""

Closure: TypeAlias = Callable[[], Any]


class Optimizer:
    """The base of all optimisers. A subclass gives the defaults and `step`.

        class Descent(Optimizer):
            def __init__(self, params, lr):
                super().__init__(params, dict(lr=lr))

            @chainrule.no_grad()
            def step(self):
                for group in self.param_groups:
                    for p in group["params"]:
                        p.add_(p.grad, alpha=-group["lr"])

    Args:
        params: the parameters; or dictionaries, each with "params" and the options in which the group differs.
        defaults: the options of groups that do not say otherwise.

    Attributes:
        param_groups: a list of dictionaries; a change of `param_groups[0]["lr"]` counts from the next step on.
        state: what the optimiser remembers, a dictionary for each parameter.

    Raises:
        ArgumentTypeError: `params` is a Tensor or a set, or holds something that is no Tensor.
        ArgumentError: there are no parameters; one occurs twice; one is the result of an operation; some have
            names and others do not.
        UnsupportedError: for the options `differentiable` and `capturable`.
    """

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._prepare()
        if isinstance(params, Tensor):
            raise ArgumentTypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got Tensor",
                mend="Put it into a list: [tensor].",
            )
        groups = list(params)
        if not groups:
            raise ArgumentError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def _prepare(self) -> None:
        """Make what is not part of the state: hooks, and what a scheduler asks: whether step() ran."""
        self._hooks: dict[str, dict[int, Callable[..., Any]]] = {name: {} for name in HOOKS}
        self._opt_called = self._scheduled = False
        self._stepping = False

    # ---- what users call -------------------------------------------------------------------------------------

    def step(self, closure: Closure | None = None) -> Any:
        """Update the parameters from their gradients; returns the closure's loss, if there is a closure.

        Args:
            closure: computes the loss anew, with gradients, and returns it.
        """
        raise UnsupportedError(f"{type(self).__name__} does not define step()")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Take the gradients away, or set their elements to 0 for `set_to_none=False`."""
        recording = recorder()
        for group in self.param_groups:
            for p in group["params"]:
                edge = p.edge
                if recording is not None and edge is not None:
                    (recording.write_grad if set_to_none else recording.read_grad)(edge)
                if edge is not None and edge.grad is not None:
                    edge.grad = None if set_to_none else zeroed(edge.grad)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters, as when layers are unfrozen during training.

        Args:
            param_group: "params" (a Tensor, or an iterable of Tensors or (name, Tensor) pairs) and options.

        Raises:
            As the constructor.
        """
        changed()
        if not isinstance(param_group, dict):
            raise ArgumentTypeError(f"param_group must be a dict, but got {type(param_group)}")
        params, names = separated(param_group["params"])
        for name in ("differentiable", "capturable"):
            if param_group.get(name, self.defaults.get(name)):
                raise UnsupportedError(
                    f"{type(self).__name__}: {name}=True is not supported",
                    mend="Updates run in place, outside the graph. Leave the option out.",
                )
        check_parameters(params, [p for group in self.param_groups for p in group["params"]])
        named = names is not None
        if any(("param_names" in group) != named for group in self.param_groups):
            raise ArgumentError(
                "all optimizer param groups should be with/without names. cannot add param group "
                f"{'with' if named else 'without'} names to the optimizer"
            )
        param_group["params"] = params
        if named:
            param_group["param_names"] = names
        for name, default in self.defaults.items():
            param_group.setdefault(name, default)
        self.param_groups.append(param_group)

    def state_dict(self) -> dict[str, Any]:
        """The state by parameter index, and the groups with indices instead of Tensors: PyTorch's layout.

        `{"state": {0: {"step": ..., "exp_avg": ...}, ...}, "param_groups": [{"lr": ..., "params": [0, 1]}]}`;
        the Tensors in it are the optimiser's own, not copies.
        """
        self._call("state_dict_pre")
        index = {id(p): i for i, p in enumerate([p for group in self.param_groups for p in group["params"]])}
        result: dict[str, Any] = {
            "state": {index.get(id(p), p) if isinstance(p, Tensor) else p: s for p, s in self.state.items()},
            "param_groups": [
                {**group, "params": [index[id(p)] for p in group["params"]]} for group in self.param_groups
            ],
        }
        for hook in list(self._hooks["state_dict_post"].values()):
            replaced = hook(self, result)
            result = result if replaced is None else replaced
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state, copied and cast to the parameters' element types ("step" stays float32).

        Args:
            state_dict: from `state_dict()` here or in PyTorch; arrays and PyTorch's tensors may stand in it.

        Raises:
            ArgumentError: the groups differ in number or size.
        """
        changed()
        state_dict = dict(state_dict)
        for hook in list(self._hooks["load_state_dict_pre"].values()):
            replaced = hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced
        loaded = deepcopy(state_dict["param_groups"])
        check_groups(self.param_groups, loaded)
        parameter: dict[Any, Tensor] = {}
        for group, new in zip(self.param_groups, loaded, strict=True):
            parameter.update(zip(new["params"], group["params"], strict=True))
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, entry in state_dict["state"].items():
            if key in parameter:
                p = parameter[key]
                state[p] = {name: fitted(value, p, name) for name, value in entry.items()}
            else:
                state[key] = deepcopy(entry)
        for group, new in zip(self.param_groups, loaded, strict=True):
            kept_names = {"param_names": group["param_names"]} if "param_names" in group else {}
            new.update({**self.defaults, **kept_names, **new, "params": group["params"]})
        self.__setstate__({"state": state, "param_groups": loaded})
        self._call("load_state_dict_post")

    # ---- hooks ----------------------------------------------------------------------------------------------

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; a returned (args, kwargs) replaces them."""
        return RemovableHandle(self._hooks["step_pre"], hook)

    def register_step_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return RemovableHandle(self._hooks["step_post"], hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(optimizer)` before state_dict()."""
        return RemovableHandle(self._hooks["state_dict_pre"], hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` after state_dict(); what it returns replaces the result."""
        return RemovableHandle(self._hooks["state_dict_post"], hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before loading; what it returns is loaded instead."""
        return RemovableHandle(self._hooks["load_state_dict_pre"], hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(optimizer)` after loading."""
        return RemovableHandle(self._hooks["load_state_dict_post"], hook)

    def _call(self, when: str) -> None:
        for hook in list(self._hooks[when].values()):
            hook(self)

    # ---- Python's protocols ---------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_hooks" not in self.__dict__:
            self._prepare()

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            options = [f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params"]
            text += f"\nParameter Group {i}\n{''.join(options)}"
        return text + ")"


HOOKS = (
    "step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_state_dict_pre", "load_state_dict_post",
)  # fmt: skip


def with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """A class's step() that notes that it ran and calls the hooks around it: once, if it calls super().step()."""

    @functools.wraps(step)
    def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        self._opt_called = True
        hooks = self._hooks
        if self._stepping or not (hooks["step_pre"] or hooks["step_post"]):
            return step(self, *args, **kwargs)
        self._stepping = True
        try:
            for hook in list(hooks["step_pre"].values()):
                args, kwargs = replaced_arguments(hook(self, args, kwargs), args, kwargs)
            result = step(self, *args, **kwargs)
            for hook in list(hooks["step_post"].values()):
                hook(self, args, kwargs)
            return result
        finally:
            self._stepping = False

    hooked.notes_the_call = True  # type: ignore[attr-defined]
    return hooked


def replaced_arguments(returned: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The arguments of step() after a pre-hook.

    Raises:
        ArgumentTypeError: the hook returned neither None nor a pair.
    """
    if returned is None:
        return args, kwargs
    if isinstance(returned, tuple) and len(returned) == 2:
        return returned
    raise ArgumentTypeError(
        f"a step pre-hook must return None or a tuple of (new_args, new_kwargs), but got {returned!r}"
    )


def evaluated(closure: Closure | None) -> Any:
    """The closure's loss, computed with gradients; None without a closure."""
    if closure is None:
        return None
    with enable_grad():
        return closure()


def zeroed(grad: Tensor) -> Tensor:
    """A gradient of zeros: the same Tensor where its memory can be written, cut from its graph."""
    if recorder() is not None:
        return grad.detach_().zero_()
    if not grad.value.flags.writeable:
        return wrap(np.zeros_like(grad.value), None)
    grad.edge = None
    grad.value.fill(0)
    wrote(grad)
    return grad


# ---- checks of what users give ----------------------------------------------------------------------------------


def separated(params: Any) -> tuple[list[Any], list[str] | None]:
    """The Tensors and, for (name, Tensor) pairs, their names."""
    if isinstance(params, set):
        raise ArgumentTypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in "
            "sets will change between runs. Please use a list instead."
        )
    given = [params] if isinstance(params, Tensor) else list(params)
    names = [p[0] for p in given if isinstance(p, tuple)]
    if names and len(names) != len(given):
        raise ArgumentError("all optimizer params should be with/without names. Some param names are missing")
    return [p[1] for p in given] if names else given, names or None


def check_parameters(params: list[Any], earlier: list[Tensor]) -> None:
    """Refuse what is no Tensor, no leaf, or there already."""
    for p in params:
        if not isinstance(p, Tensor):
            raise ArgumentTypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
        if isinstance(p.edge, Node):
            raise ArgumentError(
                "can't optimize a non-leaf Tensor",
                mend="Give the optimiser the Tensors themselves, not results computed from them.",
            )
    if not {id(p) for p in params}.isdisjoint([id(p) for p in earlier]):
        raise ArgumentError("some parameters appear in more than one parameter group")
    if len({id(p) for p in params}) != len(params):
        raise ArgumentError("a parameter group contains duplicate parameters")


def check_groups(groups: list[Group], loaded: list[Group]) -> None:
    """Refuse a state of other groups than these."""
    if len(groups) != len(loaded):
        raise ArgumentError(
            "loaded state dict has a different number of parameter groups",
            got=[f"{len(loaded)} loaded, {len(groups)} here"],
        )
    for i, (group, new) in enumerate(zip(groups, loaded, strict=True)):
        if len(group["params"]) != len(new["params"]):
            raise ArgumentError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group",
                got=[f"group {i}: {len(new['params'])} parameters loaded, {len(group['params'])} here"],
            )


def fitted(value: Any, p: Tensor, name: str) -> Any:
    """A loaded piece of state: arrays copied into Tensors of the parameter's type, "step" into float32."""
    if isinstance(value, dict):
        return {key: fitted(part, p, key) for key, part in value.items()}
    array = value.value if isinstance(value, Tensor) else value
    if hasattr(array, "__array__"):
        array = array.__array__()  # without arguments: PyTorch's does not take NumPy 2's `copy`
    elif name != "step":
        return deepcopy(array)
    if name == "step":
        return wrap(np.array(array, np.float32), None)
    return wrap(np.array(array, p.value.dtype if array.dtype.kind == "f" else None, order="C"), None)


def number(value: Any, name: str) -> float:
    """An option as a Python float: options may be Tensors or arrays of one element.

    Raises:
        ArgumentError: for more elements.
    """
    if type(value) is float:
        return value
    if isinstance(value, Tensor) and value.value.size != 1:
        raise ArgumentError(f"Tensor {name} must be 1-element", got=[f"{name}  {tuple(value.value.shape)}"])
    return float(value)


def check_at_least_zero(value: Any, name: str, said: str) -> None:
    """Refuse a negative option, or NaN, in PyTorch's words: `Invalid learning rate: -1`."""
    if not number(value, name) >= 0:
        raise ArgumentError(f"Invalid {said}: {value}")


def check_fused_alone(fused: bool | None, foreach: bool | None) -> None:
    """Refuse `fused` with `foreach`, as PyTorch does; each alone is accepted and means nothing here."""
    if fused and foreach:
        raise UnsupportedError("`fused` and `foreach` cannot be `True` together.")
