"""The names that programs written for PyTorch use most exist here, and take the keywords that the programs pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import chainrule
from chainrule import Tensor, nn, optim

MOST_USED = 230

FAMILIES = {
    "Conv": "convolution", "conv": "convolution", "ConvTranspose": "convolution",
    "MaxPool": "pooling", "AvgPool": "pooling", "max_pool": "pooling", "avg_pool": "pooling",
    "AdaptiveAvgPool": "pooling",
    "BatchNorm": "normalisation", "LayerNorm": "normalisation",
    "LSTM": "recurrent", "GRU": "recurrent", "RNN": "recurrent",
    "Transformer": "attention", "Embedding": "embedding",
}  # fmt: skip
"""Families of layers that are not built yet: how the last part of a name starts."""

NOT_BUILT = {
    "torch.compile": "the step compiler",
    "torch.distributions.Categorical": "distributions",
    "torch.func.functional_call": "func",
    "torch.func.vmap": "func",
    "Tensor.resize": "removed from PyTorch itself; the method is resize_",
}

NO_KEYWORDS_OF_TENSORS = {
    "Tensor.scatter": "c, s, marker, color, label, cmap, x, y are those of matplotlib's axes.scatter",
    "Tensor.log": "prog_bar is that of Lightning's module.log",
}
"""Names whose keywords the scan took from another object's method of that name."""

INSTANCES: dict[str, Callable[[], Any]] = {
    "Tensor": lambda: chainrule.ones(2, 2, requires_grad=True) * 1,
    "Module": lambda: nn.Linear(2, 2),
    "Optimizer": lambda: optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1),
}


def most_used() -> list[tuple[str, list[str]]]:
    table = Path(__file__).parent / "pytorch_names.tsv"
    rows = [line.rstrip("\n").split("\t") for line in table.read_text().splitlines() if not line.startswith("#")]
    return [(name, keywords.split()) for rank, name, _, keywords in rows if int(rank) <= MOST_USED]


def reason_to_leave_out(name: str) -> str | None:
    last = name.rpartition(".")[2]
    family = next((FAMILIES[start] for start in FAMILIES if last.startswith(start)), None)
    return NOT_BUILT.get(name) or family


def resolved(name: str) -> Any:
    """What `torch.nn.Linear`, `Tensor.view` and their like are here."""
    first, *rest = name.split(".")
    value: Any = chainrule if first == "torch" else INSTANCES[first]()
    for part in rest:
        value = getattr(value, part)
    return value


def takes(function: Any, keyword: str) -> bool:
    """True if the signature has the keyword; reductions take NumPy's names as well, without listing them."""
    signature = inspect.signature(function)
    parameters = signature.parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return keyword in parameters or takes_any


EXAMPLES: dict[str, Callable[[], Any]] = {}
"""Calls for keywords that no signature shows."""


def test_the_table_is_read_whole() -> None:
    rows = most_used()
    assert len(rows) == MOST_USED
    assert rows[0] == ("Module.parameters", [""][:0])
    assert dict(rows)["Tensor.sum"] == ["dim", "keepdim", "keepdims", "axis"]


def test_the_most_used_names_exist() -> None:
    missing = []
    for name, _ in most_used():
        if reason_to_leave_out(name) is None:
            try:
                resolved(name)
            except AttributeError as error:
                missing.append(f"{name}: {error}")
    print("\n".join(missing))
    assert missing == []


def test_the_keywords_that_programs_pass_are_taken() -> None:
    refused = []
    for name, keywords in most_used():
        if reason_to_leave_out(name) is None and name not in NO_KEYWORDS_OF_TENSORS:
            try:
                refused += [f"{name}({k}=)" for k in keywords if not takes(resolved(name), k)]
            except AttributeError:
                refused.append(f"{name} is missing")
    print("\n".join(refused))
    assert refused == []


def test_names_are_left_out_only_while_they_are_missing() -> None:
    """An exclusion that is no longer needed must go."""
    built = [name for name in NOT_BUILT if name != "Tensor.resize" and exists(name)]
    assert built == []


def exists(name: str) -> bool:
    try:
        resolved(name)
    except AttributeError:
        return False
    return True
