"""Containers: modules and parameters in a sequence or under keys."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

from chainrule.errors import ArgumentError, ArgumentTypeError, IndexOutOfRangeError
from chainrule.nn.members import MODULE, PARAMETER
from chainrule.nn.module import Module, bracketed, indented
from chainrule.nn.parameter import Parameter
from chainrule.tensor.tensor import Tensor

Self = TypeVar("Self", bound="_Numbered")


class _Numbered(Module):
    """Members of one kind in a sequence, under the names "0", "1", ..."""

    _member_kind = MODULE

    def _values(self) -> list[Any]:
        return [value for _, value in self._own(self._member_kind)]

    def _names(self) -> list[str]:
        return [name for name, _ in self._own(self._member_kind)]

    def _place(self, index: int, room: int | None = None) -> int:
        """The index as an int, if it is one of `room` places.

        Raises:
            IndexOutOfRangeError: if there is no such place.
        """
        n = len(self) if room is None else room
        i = index.__index__()
        if not -n <= i < n:
            raise IndexOutOfRangeError(f"index {i} is out of range: {type(self).__name__} has {len(self)} members")
        return i

    def _add(self, name: str, value: Any) -> None:
        self.add_module(name, value)

    def _refill(self, values: Iterable[Any]) -> None:
        """The given members instead of the present ones, numbered anew."""
        kept = list(values)
        for name in self._names():
            delattr(self, name)
        for i, value in enumerate(kept):
            self._add(str(i), value)

    def __len__(self) -> int:
        return len(self._names())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values())

    def __contains__(self, item: object) -> bool:
        return any(item is value for value in self._values())

    def __setitem__(self, index: int, value: Any) -> None:
        name = self._names()[self._place(index)]
        self._check_member(value)
        self.__dict__[name] = value

    def _check_member(self, value: Any) -> None:
        if not isinstance(value, Module):
            raise ArgumentTypeError(f"{type(value).__name__} is not a Module subclass")

    def __delitem__(self, index: int | slice) -> None:
        values = self._values()
        del values[index if isinstance(index, slice) else self._place(index)]
        self._refill(values)

    def append(self: Self, value: Any) -> Self:
        """Add a member at the end."""
        self._add(str(len(self)), value)
        return self

    def extend(self: Self, values: Iterable[Any]) -> Self:
        """Add members at the end.

        Raises:
            ArgumentTypeError: if values is no iterable.
        """
        if not isinstance(values, Iterable):
            raise ArgumentTypeError(
                f"{type(self).__name__}.extend should be called with an iterable, but got {type(values).__name__}"
            )
        for value in list(values):
            self.append(value)
        return self

    def insert(self, index: int, value: Any) -> None:
        """Add a member before a place.

        Raises:
            IndexOutOfRangeError: for a place beyond the end.
        """
        self._check_member(value)
        values = self._values()
        values.insert(self._place(index, len(values) + 1) if index >= 0 else self._place(index), value)
        self._refill(values)

    def pop(self, key: int | slice) -> Any:
        """Take a member out and return it."""
        value = self[key]  # type: ignore[index]
        del self[key]
        return value


class Sequential(_Numbered):
    """Modules one after the other: the result of each is the argument of the next.

        model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    Args:
        args: the modules; or one OrderedDict of names and modules.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def forward(self, input: Any) -> Any:
        """The last module's result."""
        attributes = self.__dict__
        for name, kind in self._kinds.items():
            if kind == MODULE:
                input = attributes[name](input)
        return input

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):  # a part keeps the names
            return type(self)(OrderedDict(self._own(MODULE)[index]))
        return self._values()[self._place(index)]

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ArgumentError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ArgumentError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return self.extend(other)


class ModuleList(_Numbered):
    """Modules in a list that parameters(), state_dict() and the others see."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(self._values()[index])
        return self._values()[self._place(index)]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> ModuleList:
        return self.extend(other)

    def __repr__(self) -> str:
        """Equal neighbours share a line: `(0-2): 3 x Linear(...)`."""
        runs: list[tuple[int, int, str]] = []
        for i, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        lines = []
        for first, last, text in runs:
            name, times = (f"{first}", "") if first == last else (f"{first}-{last}", f"{last - first + 1} x ")
            lines.append(f"({name}): {times}{indented(text)}")
        return bracketed(self._get_name(), [], lines)


class _Keyed(Module):
    """Members of one kind under keys."""

    _member_kind = MODULE

    def _items(self) -> list[tuple[str, Any]]:
        return self._own(self._member_kind)

    def _add(self, key: str, value: Any) -> None:
        self.add_module(key, value)

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[str]:
        return iter([key for key, _ in self._items()])

    def __contains__(self, key: object) -> bool:
        return self._kinds.get(key) == self._member_kind  # type: ignore[call-overload,no-any-return]

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            raise KeyError(key)
        return self.__dict__[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._add(key, value)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        delattr(self, key)

    def keys(self) -> Iterable[str]:
        """The keys, in the order of adding."""
        return dict(self._items()).keys()

    def values(self) -> Iterable[Any]:
        """The members."""
        return dict(self._items()).values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """The pairs of key and member."""
        return dict(self._items()).items()

    def pop(self, key: str) -> Any:
        """Take a member out and return it."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Take all members out."""
        for key in list(self):
            del self[key]

    def update(self, members: Any) -> None:
        """Add the members of a mapping, or of an iterable of pairs.

        Raises:
            ArgumentTypeError: for anything else.
        """
        name = type(self).__name__
        if isinstance(members, Mapping | _Keyed):
            pairs: list[Any] = list(members.items())
        elif isinstance(members, Iterable):
            pairs = list(members)
        else:
            raise ArgumentTypeError(
                f"{name}.update should be called with an iterable of key/value pairs, but got {type(members).__name__}"
            )
        for i, pair in enumerate(pairs):
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise ArgumentTypeError(f"{name} update sequence element #{i} should be a pair, not {pair!r}")
            self[pair[0]] = pair[1]


class ModuleDict(_Keyed):
    """Modules under keys that parameters(), state_dict() and the others see."""

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)


class ParameterList(_Numbered):
    """Parameters in a list; tensors become parameters."""

    _member_kind = PARAMETER

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        if values is not None:
            self.extend(values)

    def _add(self, name: str, value: Any) -> None:
        self.register_parameter(name, as_parameter(value))

    def _check_member(self, value: Any) -> None:
        as_parameter(value)

    def __setitem__(self, index: int, value: Any) -> None:
        super().__setitem__(index, as_parameter(value))

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> ParameterList: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(self._values()[index])
        return self._values()[self._place(index)]

    def __iadd__(self, other: Iterable[Any]) -> ParameterList:
        return self.extend(other)

    def __repr__(self) -> str:
        return bracketed(self._get_name(), [], parameter_lines(self._own(PARAMETER)))


class ParameterDict(_Keyed):
    """Parameters under keys; tensors become parameters."""

    _member_kind = PARAMETER

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        if parameters is not None:
            self.update(parameters)

    def _add(self, key: str, value: Any) -> None:
        self.register_parameter(key, as_parameter(value))

    def __repr__(self) -> str:
        return bracketed(self._get_name(), [], parameter_lines(self._own(PARAMETER)))


def as_parameter(value: Any) -> Parameter:
    """A parameter itself, or a tensor as one.

    Raises:
        ArgumentTypeError: for anything else.
    """
    if isinstance(value, Parameter):
        return value
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(f"a Parameter or Tensor is expected, not {type(value).__name__}")
    return Parameter(value)


def parameter_lines(members: list[tuple[str, Any]]) -> list[str]:
    """`(0): Parameter containing: [chainrule.float32 of size 2x3]` for each."""
    return [
        f"({name}): Parameter containing: [{p.dtype} of size {'x'.join(map(str, p.value.shape))}]"
        for name, p in members
    ]
