"""The names that programs written for PyTorch use most exist here, and take the keywords that the programs pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chainrule
from chainrule import nn, optim

MOST_USED = 230

NOT_BUILT = {
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
    return NOT_BUILT.get(name)


def resolved(name: str) -> Any:
    """What `torch.nn.Linear`, `Tensor.view` and their like are here."""
    first, *rest = name.split(".")
    value: Any = chainrule if first == "torch" else INSTANCES[first]()
    for part in rest:
        value = getattr(value, part)
    return value


def takes(name: str, keyword: str) -> bool:
    """True if the signature shows the keyword, or else a call with it goes through."""
    function = resolved(name)
    if keyword in inspect.signature(function).parameters:
        return True
    value = VALUES[keyword]
    given = () if keyword == "size" else POSITIONAL.get(name, (2,))
    try:
        function(*given, **{keyword: value})
    except (TypeError, NotImplementedError):
        return False
    return True


VALUES: dict[str, Any] = {
    "dtype": chainrule.float64, "device": "cpu", "requires_grad": False, "pin_memory": False, "names": None,
    "memory_format": None, "non_blocking": True, "size": (2,), "out": chainrule.empty(0), "axis": 0, "keepdims": True,
}  # fmt: skip
"""What the keywords that no signature shows are called with."""

X = chainrule.ones(2, 2)
POSITIONAL: dict[str, tuple[Any, ...]] = {
    "torch.cat": ([X, X],), "torch.sum": (X,), "torch.argmax": (X,), "torch.eye": (2,), "torch.full": ((2,), 1.0),
    "torch.linspace": (0, 1, 2), "torch.randint": (3, (2,)), "torch.zeros_like": (X,), "torch.rand_like": (X,),
    "torch.randn_like": (X,), "torch.normal": (0.0, 1.0, (2,)), "torch.tensor": ([1.0],), "Tensor.sum": (),
    "Tensor.mean": (), "Tensor.argmax": (), "Tensor.std": (), "Tensor.cumsum": (), "Tensor.to": (),
}  # fmt: skip
"""What else such a call needs; 2 where nothing is said."""


def test_the_table_is_read_whole() -> None:
    rows = most_used()
    assert len(rows) == MOST_USED
    assert rows[0] == ("Module.parameters", [])
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
                refused += [f"{name}({k}=)" for k in keywords if not takes(name, k)]
            except AttributeError:
                refused.append(f"{name} is missing")
    print("\n".join(refused))
    assert refused == []


def test_names_are_left_out_only_while_they_are_missing() -> None:
    """An exclusion that is no longer needed must go."""
    assert [name for name, _ in most_used() if reason_to_leave_out(name) is not None and exists(name)] == []


def exists(name: str) -> bool:
    try:
        resolved(name)
    except AttributeError:
        return False
    return True
