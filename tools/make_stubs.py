"""Writes src/chainrule/tensor/methods.pyi: what type checkers know of the methods that `methods.py` gives Tensor.

python tools/make_stubs.py          write the file
python tools/make_stubs.py --check  exit 1 if it is not what would be written
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.op import REQUIRED, Op
from chainrule.tensor import methods
from chainrule.tensor.functions import elementwise, inplace
from chainrule.tensor.functions.reduction import NUMPYS_NAMES, with_numpys_names

TARGET = Path(__file__).parents[1] / "src" / "chainrule" / "tensor" / "methods.pyi"

HEAD = '''\
"""The methods of Tensor, for type checkers. Written by tools/make_stubs.py: do not edit."""

# fmt: off
# ruff: noqa: E501, RUF100  (a line for each method, as the tool writes it)

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections.abc import Callable, Sequence
from typing import Any, Self, overload

from chainrule.shapes import Axes
from chainrule.tensor.functions.random import Generator
from chainrule.tensor.functions.reduction import ValuesAndIndices
from chainrule.tensor.graph import Array
from chainrule.tensor.hooks import RemovableHandle
from chainrule.tensor.tensor import Tensor as Tensor

FUNCTIONS: dict[str, Any]
OPERATORS: dict[str, str]
ATTRIBUTES: dict[str, Any]
REFLECTED: tuple[str, ...]

def attach() -> None: ...

class TensorMethods:
'''

OPERAND = "Tensor | Array | _float"
SHADOWED = re.compile(r"(?<![\w.])(float|int|bool)\b")
"""Types that are names of methods as well."""

PROPERTIES = {
    "T": "Tensor", "mT": "Tensor", "is_cuda": "_bool", "is_sparse": "_bool", "names": "tuple[None, ...]",
    "itemsize": "_int", "nbytes": "_int",
}  # fmt: skip


def stub() -> str:
    """The whole file."""
    lines: list[str] = []
    for name, attribute in sorted(methods.ATTRIBUTES.items()):
        lines += special(name, attribute)
    for name in sorted({*elementwise.PLAIN, *elementwise.ALIASES}):
        lines.append(gate(name, CATALOGUE[elementwise.ALIASES.get(name, name)], "Tensor"))
    for name, op in sorted(methods.OPERATORS.items()):
        lines.append(operator(name, op))
    for name in sorted(methods.REFLECTED):
        lines.append(f"def __r{name}__(self, other: {OPERAND}) -> Tensor: ...")
    for name in sorted(inplace.OPERATORS):
        lines.append(f"def {name}(self, other: {OPERAND}) -> Self: ...")
    for name, function in sorted(methods.FUNCTIONS.items()):
        lines += method(name, function)
    return HEAD + "".join([f"    {line}\n" for line in lines])


def special(name: str, attribute: Any) -> Iterator[str]:
    if isinstance(attribute, property):
        yield "@property"
        yield f"def {name}(self) -> {PROPERTIES[name]}: ..."
    elif name == "__hash__":
        yield "def __hash__(self) -> _int: ..."
    elif name == "__rmatmul__":
        yield "def __rmatmul__(self, other: Array) -> Tensor: ..."
    elif name == "__matmul__":
        yield "def __matmul__(self, other: Tensor) -> Tensor: ..."
    else:
        yield from method(name, attribute)


def gate(name: str, op: Op, result: str) -> str:
    """A method that is an operator's gate: the further inputs, and the parameters by name."""
    parts = ["self"]
    for a in op.inputs[1:]:
        kind = OPERAND if op.converts else "Tensor"
        parts.append(f"{a}: {kind} | None = ..." if a in op.optional else f"{a}: {kind}")
    if op.params:
        parts += ["*", *[f"{p}: Any" + ("" if default is REQUIRED else " = ...") for p, default in op.params.items()]]
    return f"def {name}({', '.join(parts)}) -> {result}: ..."


def operator(name: str, op: str) -> str:
    if op in ("eq", "ne"):
        return f"def {name}(self, other: object) -> Tensor: ...  # type: ignore[override]"
    if len(CATALOGUE[op].inputs) == 1:
        return f"def {name}(self) -> Tensor: ..."
    if op in ("lt", "le", "gt", "ge"):  # an array's own comparison would take a Tensor for its reflected one
        return f"def {name}(self, other: Tensor | _float) -> Tensor: ..."
    return f"def {name}(self, other: {OPERAND}) -> Tensor: ..."


def method(name: str, function: Callable[..., Any]) -> Iterator[str]:
    """A function as a method; twice where NumPy's names of the arguments are taken as well."""
    if name in inplace.METHODS and is_of_a_gate(name):
        yield gate(name, CATALOGUE[name.removesuffix("_")], "Self")
        return
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[1:]
    result = "Self" if name in inplace.METHODS else annotation(signature.return_annotation)
    if not takes_numpys_names(function):
        yield definition(name, parameters, result)
        return
    renamed = {ours: numpys for numpys, ours in NUMPYS_NAMES.items()}
    yield "@overload"
    yield definition(name, parameters, result)
    yield "@overload"
    yield definition(name, [p.replace(name=renamed.get(p.name, p.name)) for p in parameters], result)


def is_of_a_gate(name: str) -> bool:
    return name.removesuffix("_") in (*inplace.UNARY, *inplace.WITH_OPERANDS)


def takes_numpys_names(function: Any) -> bool:
    """True for what `with_numpys_names` returned."""
    return getattr(function, "__code__", None) is with_numpys_names(lambda: None).__code__


def definition(name: str, parameters: list[inspect.Parameter], result: str) -> str:
    parts = ["self"]
    for i, p in enumerate(parameters):
        if p.kind is p.KEYWORD_ONLY and not any(q.kind in (q.KEYWORD_ONLY, q.VAR_POSITIONAL) for q in parameters[:i]):
            parts.append("*")
        star = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
        default = "" if p.default is p.empty else " = ..."
        parts.append(f"{star}{p.name}: {annotation(p.annotation)}{default}")
    return f"def {name}({', '.join(parts)}) -> {result}: ..."


def annotation(written: Any) -> str:
    return "Any" if written is inspect.Parameter.empty else SHADOWED.sub(r"_\1", str(written))


def main() -> int:
    text = stub()
    if "--check" in sys.argv[1:]:
        fresh = TARGET.exists() and TARGET.read_text() == text
        print(f"{TARGET.name} is {'fresh' if fresh else 'not fresh: run python tools/make_stubs.py'}")
        return 0 if fresh else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
