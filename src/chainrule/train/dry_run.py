"""A dry run: a model's Python code runs once to be traced, and leaves nothing behind in Python.

A program repeats what happened to Tensors, and only that. A model whose forward moves something else from call to
call (a random number of Python's or NumPy's, a count in a member) would be frozen in it: such a model is refused.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule.errors import TraceError


@contextmanager
def dry_run(model: Any) -> Iterator[None]:
    """Within the block the model may be called; then random generators and its members are set back.

    Raises:
        TraceError: random numbers were drawn, or a member was changed.
    """
    of_python, of_numpy = random.getstate(), np.random.get_state()  # the streams that a user's model may draw from
    members = [(module, {name: held(x) for name, x in vars(module).items()}) for module in model.modules()]
    try:
        yield
    finally:
        drawn = random.getstate() != of_python or comparable(np.random.get_state()) != comparable(of_numpy)
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        changed = [f"{type(m).__name__}.{name}" for m, before in members for name in set_back(m, before)]
    if drawn:
        raise TraceError("the model draws random numbers of Python or NumPy at each call")
    if changed:
        raise TraceError(f"the model changes {', '.join(changed)} at each call")


def comparable(state: Any) -> tuple[Any, ...]:
    """A state of NumPy's generator with the array in it as bytes."""
    name, keys, *rest = state
    return name, keys.tobytes(), *rest


def held(member: Any) -> tuple[Any, Any]:
    """A member, and what is in it if it is a container."""
    if isinstance(member, dict):
        return member, dict(member)
    return member, list(member) if isinstance(member, list | set) else None


def set_back(module: Any, before: dict[str, tuple[Any, Any]]) -> list[str]:
    """Give a module the members that it had; the names of those that were others."""
    members = vars(module)
    changed = [name for name in members if name not in before]
    for name in changed:
        del members[name]
    for name, (member, content) in before.items():
        if members.get(name, before) is not member:
            members[name] = member
            changed.append(name)
        if content is not None and not is_same(member, content):
            member.clear()
            (member.extend if isinstance(member, list) else member.update)(content)
            changed.append(name)
    return changed


def is_same(container: Any, content: Any) -> bool:
    """Whether these very objects are in a list, dictionary or set."""
    if isinstance(container, dict):
        return container.keys() == content.keys() and all(container[name] is x for name, x in content.items())
    return len(container) == len(content) and all(a is b for a, b in zip(container, content, strict=True))
