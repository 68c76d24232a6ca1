"""Module: parameters, buffers and modules under names, saved and loaded together, and a call that runs forward."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError, ArgumentTypeError, MemberError, MemberNameError, UnsupportedError
from chainrule.nn.hooks import Hook, Hooks, call_with_hooks, enter
from chainrule.nn.loading import load_into
from chainrule.nn.members import BUFFER, MODULE, PARAMETER, SAVED, TEMPORARY, TENSORS, Members
from chainrule.nn.parameter import Buffer, Parameter
from chainrule.tensor.arrays import dtype_of, numpy_dtype
from chainrule.tensor.device import Device
from chainrule.tensor.functions import conversion
from chainrule.tensor.hooks import RemovableHandle
from chainrule.tensor.recording import RECORDERS, changed, recorder
from chainrule.tensor.tensor import Tensor, replace_value, wrap, wrote

Self = TypeVar("Self", bound="Module")


class IncompatibleKeys(NamedTuple):
    """What load_state_dict returns: keys of the module that were not given, and keys given that it has not."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Module:
    """The base of all layers and models. A subclass makes its parts in `__init__` and uses them in `forward`.

        class Classifier(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = nn.Linear(64, 32)
                self.head = nn.Linear(32, 10)

            def forward(self, x):
                return self.head(self.hidden(x).relu())

    Parameters, buffers and modules that are assigned to attributes are found by `parameters()`, `state_dict()`
    and the other methods. Call the module itself, not `forward`: that runs the hooks, too.

    Attributes:
        training: True after train() (and at first), False after eval(); Dropout looks at it.
    """

    training: bool
    _kinds: dict[str, str]
    _hooks: Hooks | None = None

    def __init__(self) -> None:
        self.__dict__.setdefault("_kinds", {})
        self.__dict__["training"] = True

    # ---- the call --------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if RECORDERS and (recording := recorder()) is not None:
            recording.ran(self)
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return call_with_hooks(self, self._hooks, args, kwargs)

    def _forward_unimplemented(self, *input: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    forward: Callable[..., Any] = _forward_unimplemented

    # ---- attributes ------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        changed()
        kinds = self.__dict__.get("_kinds")
        kind = None if kinds is None else kinds.get(name)
        if isinstance(value, Parameter):
            self._check_parameter(name, value)
            self._enlist(name, PARAMETER, value)
        elif isinstance(value, Module):
            self._enlist(name, MODULE, value)
        elif isinstance(value, Buffer) and kind not in (PARAMETER, MODULE):
            self._enlist(name, BUFFER if value.persistent else TEMPORARY, value)
        elif kind is None:
            object.__setattr__(self, name, value)
        elif value is None or (kind in (BUFFER, TEMPORARY) and isinstance(value, Tensor)):
            self.__dict__[name] = value
        else:
            raise ArgumentTypeError(
                f"cannot assign '{_typename(value)}' as {EXPECTED[kind][0]} '{name}' ({EXPECTED[kind][1]} expected)",
                mend="Write into it instead: chainrule.nn.init, or p.copy_(...) under no_grad()."
                if kind == PARAMETER and isinstance(value, Tensor)
                else None,
            )

    def _enlist(self, name: str, kind: str, value: Any) -> None:
        """Make an attribute a member of a kind."""
        kinds = self.__dict__.get("_kinds")
        if kinds is None:
            raise MemberError(
                f"cannot assign {PLURAL[kind]} before Module.__init__() call",
                got=[f"{name}  {_typename(value)}"],
                mend=f"Call super().__init__() first in {type(self).__name__}.__init__.",
            )
        if name not in kinds:
            _check_name(name, kind)
            if kind != MODULE and hasattr(type(self), name):
                raise MemberNameError(f"attribute '{name}' already exists")
        if kinds.get(name) != kind:
            kinds.pop(name, None)
            kinds[name] = kind
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> Any:
        if name in ("_kinds", "training"):
            raise MemberError(
                f"'{type(self).__name__}' object has no attribute '{name}': it is used before Module.__init__()",
                mend=f"Call super().__init__() first in {type(self).__name__}.__init__.",
            )
        return object.__getattribute__(self, name)  # raises Python's own error, or that of a property

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self.__dict__.get("_kinds", {}).pop(name, None)

    def __dir__(self) -> list[str]:
        return sorted(name for name in object.__dir__(self) if name.isidentifier())

    @property
    def _parameters(self) -> Members:
        return Members(self.__dict__, PARAMETER)

    @property
    def _buffers(self) -> Members:
        return Members(self.__dict__, BUFFER, TEMPORARY)

    @property
    def _modules(self) -> Members:
        return Members(self.__dict__, MODULE)

    def _own(self, *kinds: str) -> list[tuple[str, Any]]:
        """The members of some kinds with their names, None included."""
        attributes = self.__dict__
        return [(name, attributes[name]) for name, kind in self._kinds.items() if kind in kinds]

    # ---- registering -----------------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None reserves the name.

        Raises:
            ArgumentTypeError: if it is no Parameter, or the name no string.
            ArgumentError: for a Parameter that is the result of an operation.
            KeyError: for a name that is empty, has a dot, or belongs to something else.
        """
        self._check_free(name, PARAMETER)
        if param is not None:
            self._check_parameter(name, param)
        self._enlist(name, PARAMETER, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is saved with the module (if persistent) and not trained; None reserves the name.

        Raises:
            ArgumentTypeError: if it is no Tensor, or the name no string.
            KeyError: for a name that is empty, has a dot, or belongs to something else.
        """
        self._check_free(name, BUFFER)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise ArgumentTypeError(
                f"cannot assign '{_typename(tensor)}' object to buffer '{name}' (Tensor or None required)"
            )
        self._enlist(name, BUFFER if persistent else TEMPORARY, tensor)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a module; None reserves the name.

        Raises:
            ArgumentTypeError: if it is no Module, or the name no string.
            KeyError: for a name that is empty, has a dot, or belongs to something else.
        """
        if module is not None and not isinstance(module, Module):
            raise ArgumentTypeError(f"{_typename(module)} is not a Module subclass")
        self._check_free(name, MODULE)
        self._enlist(name, MODULE, module)

    register_module = add_module

    def _check_free(self, name: Any, kind: str) -> None:
        """Refuse a name that is none, or that belongs to something of another kind."""
        if "_kinds" not in self.__dict__:
            self._enlist(name, kind, None)  # raises
        _check_name(name, kind)
        same = TENSORS[1:] if kind == BUFFER else (kind,)
        if hasattr(self, name) and self._kinds.get(name) not in same:
            raise MemberNameError(f"attribute '{name}' already exists")

    def _check_parameter(self, name: str, param: Any) -> None:
        if not isinstance(param, Parameter):
            raise ArgumentTypeError(
                f"cannot assign '{_typename(param)}' object to parameter '{name}' (nn.Parameter or None required)"
            )
        if param.grad_fn is not None:
            raise ArgumentError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly.",
                mend=f"To express '{name}' as a function of another Tensor, compute the value in forward().",
            )

    # ---- what it consists of ---------------------------------------------------------------------------------

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter once, in the order of registration; with recurse=False its own only."""
        for _, p in self.named_parameters(recurse=recurse):
            yield p

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its path ("head.weight"); a shared one under its first path only, by default."""
        return self._named_tensors((PARAMETER,), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer once."""
        for _, b in self.named_buffers(recurse=recurse):
            yield b

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Every buffer with its path."""
        return self._named_tensors((BUFFER, TEMPORARY), prefix, recurse, remove_duplicate)

    def _named_tensors(
        self, kinds: tuple[str, ...], prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in owners:
            for name, x in module._own(*kinds):
                if x is None or id(x) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(x))
                yield (f"{path}.{name}" if path else name), x

    def children(self) -> Iterator[Module]:
        """The modules that are its own attributes, each once."""
        for _, module in self.named_children():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are its own attributes, with their names."""
        seen: set[int] = set()
        for name, module in self._own(MODULE):
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self) -> Iterator[Module]:
        """The module itself and every module below it, each once."""
        return iter(self._all_modules({}))

    def _all_modules(self, found: dict[Module, None]) -> dict[Module, None]:
        """`modules()` as the keys of a dictionary, without paths: what zero_grad does in every step."""
        if self not in found:
            found[self] = None
            for _, module in self._own(MODULE):
                if module is not None:
                    module._all_modules(found)
        return found

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """The module itself (its path is the prefix) and every module below it, with their paths."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._own(MODULE):
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def get_submodule(self, target: str) -> Module:
        """The module at a path ("encoder.0"); the module itself at "".

        Raises:
            AttributeError: if there is none.
        """
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise MemberError(f"{type(module).__name__} has no attribute `{name}`", got=[f"target  {target!r}"])
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise MemberError(f"`{name}` is not an nn.Module", got=[f"target  {target!r}"])
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path.

        Raises:
            AttributeError: if there is none.
        """
        return self._member(target, (PARAMETER,), "an nn.Parameter")  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path.

        Raises:
            AttributeError: if there is none.
        """
        return self._member(target, (BUFFER, TEMPORARY), "a buffer")  # type: ignore[no-any-return]

    def _member(self, target: str, kinds: tuple[str, ...], what: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if not hasattr(owner, name):
            raise MemberError(f"{type(owner).__name__} has no attribute `{name}`", got=[f"target  {target!r}"])
        if owner._kinds.get(name) not in kinds or getattr(owner, name) is None:
            raise MemberError(f"`{name}` is not {what}", got=[f"target  {target!r}"])
        return getattr(owner, name)

    # ---- modes and gradients ---------------------------------------------------------------------------------

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` with every module below, then with the module itself: to initialise a model."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Training mode for this module and all below it; evaluation mode for train(False)."""
        if not isinstance(mode, bool):
            raise ArgumentError(f"training mode is expected to be boolean, not {mode!r}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Evaluation mode: Dropout lets everything through. Gradients are recorded as before."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Let every parameter require a gradient, or none: to freeze a part of a model."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Take the gradients of all parameters away, or set their elements to 0."""
        for module in self.modules():
            for _, p in module._own(PARAMETER):
                grad = None if p is None else p.grad
                if grad is None:
                    continue
                if set_to_none:
                    p.grad = None
                elif grad.edge is not None:
                    p.grad = wrap(np.zeros_like(grad.value), None)
                elif recorder() is not None:
                    grad.zero_()
                else:
                    grad.value[...] = 0
                    wrote(grad)

    # ---- element types and devices ---------------------------------------------------------------------------

    def _apply(self: Self, fn: Callable[[Tensor], Tensor]) -> Self:
        """Replace the elements of every parameter, gradient and buffer by `fn` of them."""
        for module in self.modules():
            for _, p in module._own(PARAMETER):
                if p is not None:
                    _replace(p, fn)
            for name, b in module._own(BUFFER, TEMPORARY):
                if b is not None:
                    module.__dict__[name] = fn(b)
        return self

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Convert the floating-point parameters and buffers, in place: to(dtype), to(device), to(tensor).

        Raises:
            ArgumentTypeError: for an element type that is no float.
            UnsupportedError: for a device other than the CPU.
        """
        dtype, device = _type_and_device(args, kwargs)
        Device.of(device)
        if dtype is None:
            return self
        wanted = numpy_dtype(dtype)
        if wanted.kind != "f":
            raise ArgumentTypeError(
                f"nn.Module.to only accepts floating point dtypes, but got desired dtype={dtype_of(wanted)}"
            )
        return self._apply(lambda x: conversion.to(x, wanted) if x.value.dtype.kind == "f" else x)

    def type(self: Self, dst_type: Any) -> Self:
        """Convert all parameters and buffers, integers included."""
        return self._apply(lambda x: conversion.type(x, dst_type))

    def float(self: Self) -> Self:
        """to(float32)."""
        return self.to(dtypes.float32)

    def double(self: Self) -> Self:
        """to(float64)."""
        return self.to(dtypes.float64)

    def half(self: Self) -> Self:
        """to(float16)."""
        return self.to(dtypes.float16)

    def cpu(self: Self) -> Self:
        """The module: it is on the CPU already."""
        return self

    def cuda(self: Self, device: Any = None) -> Self:
        """Raises: there is no GPU here."""
        return self.to("cuda" if device is None else f"cuda:{device}")

    # ---- saving and loading ----------------------------------------------------------------------------------

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by path, detached and sharing memory: what one saves of a model.

        Args:
            destination: the dictionary to add to.
            prefix: what every key starts with.
            keep_vars: the parameters themselves, with their gradients.
        """
        state: dict[str, Any] = OrderedDict() if destination is None else destination
        for name, x in self._own(*SAVED):
            if x is not None:
                state[prefix + name] = x if keep_vars else x.detach()
        if self._has_extra_state():
            state[f"{prefix}_extra_state"] = self.get_extra_state()
        for name, module in self._own(MODULE):
            if module is not None:
                module.state_dict(destination=state, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the elements of a state_dict into the parameters and buffers of the same paths.

        Args:
            state_dict: tensors by path.
            strict: every key of the module must be there, and no other.
            assign: put the given tensors in the place of the module's own (their element type included).

        Returns:
            The keys that were missing and those that were unexpected (empty if strict).

        Raises:
            StateError: missing or unexpected keys (if strict), shapes that differ, values that are no tensors,
                listed together; nothing is loaded then.
            ArgumentTypeError: if state_dict is no mapping.
        """
        return IncompatibleKeys(*load_into(self, state_dict, strict, assign))

    def get_extra_state(self) -> Any:
        """What to save beside the tensors; a subclass that defines it defines set_extra_state, too."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_extra_state()")

    def set_extra_state(self, state: Any) -> None:
        """Take back what get_extra_state returned."""
        raise NotImplementedError(f"{type(self).__name__} does not define set_extra_state()")

    def _has_extra_state(self) -> bool:
        return type(self).get_extra_state is not Module.get_extra_state

    # ---- hooks -----------------------------------------------------------------------------------------------

    def _own_hooks(self) -> Hooks:
        if self._hooks is None:
            self.__dict__["_hooks"] = Hooks()
        return self.__dict__["_hooks"]  # type: ignore[no-any-return]

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward; what it returns replaces the arguments.

        With `with_kwargs` it is `hook(module, args, kwargs)`, which returns None or (args, kwargs).
        """
        return enter(self._own_hooks().before, Hook(hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward; what it returns replaces the output.

        With `with_kwargs` it is `hook(module, args, kwargs, output)`; with `always_call` it is called even if
        forward raises (the output is then None).
        """
        return enter(self._own_hooks().after, Hook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` when the gradients of the outputs are known; it may replace them."""
        return enter(self._own_hooks().backward_before, Hook(hook), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when both are known; what it returns replaces grad_input.

        The gradients are tuples, with None for arguments that are no tensors or require no gradient.
        """
        return enter(self._own_hooks().backward, Hook(hook), prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Raises: PyTorch's old hook sees the gradients of the last operation alone."""
        raise UnsupportedError(
            "register_backward_hook is not supported: it sees the last operation of forward alone.",
            mend="Use register_full_backward_hook(hook), which gets the gradients of inputs and outputs.",
        )

    # ---- printing --------------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the brackets of the module's line in print(model)."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = [f"({name}): {indented(repr(module))}" for name, module in self._own(MODULE)]
        return bracketed(self._get_name(), extra.split("\n") if extra else [], lines)


EXPECTED = {
    PARAMETER: ("parameter", "nn.Parameter or None"),
    BUFFER: ("buffer", "nn.Buffer, Tensor or None"),
    TEMPORARY: ("buffer", "nn.Buffer, Tensor or None"),
    MODULE: ("child module", "nn.Module or None"),
}
"""How the error of a wrong assignment calls each kind, and what it wants."""

PLURAL = {PARAMETER: "parameters", BUFFER: "buffer", TEMPORARY: "buffer", MODULE: "module"}


def _typename(x: Any) -> str:
    kind = type(x)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _check_name(name: Any, kind: str) -> None:
    if not isinstance(name, str):
        raise ArgumentTypeError(f"{kind} name should be a string. Got {_typename(name)}")
    if "." in name:
        raise MemberNameError(f'{kind} name can\'t contain ".", got: {name}')
    if name == "":
        raise MemberNameError(f'{kind} name can\'t be empty string ""')


def _type_and_device(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The element type and the device among the arguments of `to`."""
    unknown = set(kwargs) - {"dtype", "device", "tensor", "non_blocking", "memory_format"}
    if unknown:
        raise ArgumentTypeError(f"to() got an unexpected keyword argument '{min(unknown)}'")
    dtype, device = kwargs.get("dtype"), kwargs.get("device")
    for arg in (*args, kwargs.get("tensor")):
        if isinstance(arg, Tensor):
            dtype = arg.dtype
        elif isinstance(arg, str | Device):
            device = arg
        elif arg is not None and not isinstance(arg, bool):
            dtype = arg
    return dtype, device


def _replace(p: Parameter, fn: Callable[[Tensor], Tensor]) -> None:
    """Give a parameter, and its gradient, the elements that `fn` makes of theirs."""
    value = fn(p.detach()).value
    if value is p.value:
        return
    grad = p.grad
    replace_value(p, value)
    if grad is not None:
        p.grad = fn(grad.detach())


def indented(text: str) -> str:
    """A module's text inside another's: its later lines moved by two columns."""
    return text.replace("\n", "\n  ")


def bracketed(name: str, extra: list[str], lines: list[str]) -> str:
    """`Name(extra)`, or a line for each part."""
    if not lines and len(extra) <= 1:
        return f"{name}({''.join(extra)})"
    return f"{name}(\n  " + "\n  ".join([*extra, *lines]) + "\n)" if extra or lines else f"{name}()"
