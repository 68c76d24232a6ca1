"""no_grad, enable_grad, set_grad_enabled, inference_mode: context managers, decorators, one state per thread."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from chainrule.tensor.graph import Mode, state

F = TypeVar("F", bound=Callable[..., Any])


class _Switch:
    """A change of the thread's mode, for a block or for every call of a decorated function."""

    def __init__(self, **changes: bool) -> None:
        self.changes: dict[str, Any] = changes
        self.before: list[Mode] = []

    def __enter__(self) -> None:
        self.before.append(state.mode)
        state.mode = state.mode._replace(**self.changes)

    def __exit__(self, *_: object) -> None:
        state.mode = self.before.pop()

    def __call__(self, function: F) -> F:
        changes = self.changes
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Any:
                steps = function(*args, **kwargs)
                advance = functools.partial(next, steps)
                while True:
                    try:
                        with _Switch(**changes):
                            value = advance()
                    except StopIteration as stop:
                        return stop.value
                    try:
                        advance = functools.partial(steps.send, (yield value))
                    except GeneratorExit:
                        with _Switch(**changes):
                            steps.close()
                        raise
                    except BaseException as error:
                        advance = functools.partial(steps.throw, error)

            return generator  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with _Switch(**changes):
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


class no_grad(_Switch):
    """Within it no operation is recorded: results do not require a gradient."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        switch = super().__new__(cls)
        if function is None:
            return switch
        switch.__init__()  # type: ignore[misc]
        return switch(function)

    def __init__(self) -> None:
        super().__init__(grad=False)


class enable_grad(no_grad):
    """Within it operations are recorded, also inside no_grad()."""

    def __init__(self) -> None:
        _Switch.__init__(self, grad=True)


class set_grad_enabled(_Switch):
    """Record operations or not, by a flag: at once as a function, until the block ends as a context manager."""

    def __init__(self, mode: bool) -> None:
        super().__init__(grad=bool(mode))
        self.before.append(state.mode)
        state.mode = state.mode._replace(grad=bool(mode))

    def __enter__(self) -> None:
        if len(self.before) > 1:  # entered a second time
            super().__enter__()

    def __call__(self, function: F) -> F:
        state.mode = self.before.pop()
        return super().__call__(function)


class inference_mode(_Switch):
    """no_grad, said for good: `inference_mode(False)` records again."""

    def __new__(cls, mode: Any = True) -> Any:
        switch = super().__new__(cls)
        if not callable(mode):
            return switch
        switch.__init__()  # type: ignore[misc]
        return switch(mode)

    def __init__(self, mode: bool = True) -> None:
        super().__init__(grad=not mode, inference=mode)


def is_grad_enabled() -> bool:
    """True if operations are recorded in this thread now."""
    return state.mode.grad


def is_inference_mode_enabled() -> bool:
    """True within inference_mode() in this thread."""
    return state.mode.inference
