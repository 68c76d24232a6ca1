"""What a run is asked to do (`Request`) and what it does (`Settings`): every default is decided here.

A Request holds None where nothing was said. Names and ranges are checked here, and whether the options fit
each other; nothing in this file needs the data or imports NumPy.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeAlias, TypeVar

from chainrule.errors import FileFormatError, UsageError

Task: TypeAlias = Literal["classification", "regression", "other"]


@dataclass(frozen=True)
class Defaults:
    """What an optimizer starts from: its learning rate, and its momentum where it has one."""

    lr: float
    momentum: float | None


OPTIMIZERS: Mapping[str, Defaults] = {
    "sgd": Defaults(lr=0.1, momentum=0.0),
    "momentum": Defaults(lr=0.05, momentum=0.9),
    "adam": Defaults(lr=0.003, momentum=None),
    "adamw": Defaults(lr=0.003, momentum=None),
    "rmsprop": Defaults(lr=0.001, momentum=0.0),
    "adagrad": Defaults(lr=0.02, momentum=None),
    "adadelta": Defaults(lr=1.0, momentum=None),
}
ACTIVATIONS: Mapping[str, str] = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "softplus": "Softplus",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
}
"""The activations by name, and their classes in nn."""

LOSSES: Mapping[str, tuple[Task, str]] = {
    "cross_entropy": ("classification", "CrossEntropyLoss"),
    "mse": ("regression", "MSELoss"),
    "l1": ("regression", "L1Loss"),
    "huber": ("regression", "HuberLoss"),
}
"""The losses by name: the task each is for, and its class in nn."""

SCHEDULES = ("none", "cosine", "step", "onecycle")
TASKS = ("classification", "regression")

# Layers, Adam's rate, the batch size and the steps were chosen by the validation rows of digits, seeds 10 to 17.
DEFAULT_LAYERS = (256, 128)
DEFAULT_VALIDATION = 0.1
DEFAULT_TEST_FRACTION = 0.2
DEFAULT_BATCH_SIZE = 32
DEFAULT_WATCH = 0.01
DEFAULT_STEPS = 1800
"""Without --epochs a run is about so many steps long, in at least 10 and at most 200 epochs."""

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Request:
    """What was asked for; None stands for "not said".

    data is a bundled name, the path of a table, or `FILE.py:function`; arguments are that function's keywords.

    Raises:
        UsageError: a value is out of range, or unknown, or contradicts another.
    """

    data: str
    target: str | None = None
    task: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    data_folder: str | None = None
    test_fraction: float | None = None
    validation: float | None = None
    layers: tuple[int, ...] | None = None
    activation: str | None = None
    loss: str | None = None
    optimizer: str | None = None
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    early_stopping: int | None = None
    compile: bool | None = None
    watch: float | None = None

    def __post_init__(self) -> None:
        for name, known in _NAMES.items():
            _check_name(name, getattr(self, name), known)
        for name, check in _RANGES.items():
            _check_range(name, getattr(self, name), *check)
        for size in self.layers or ():
            _check_range("layers", size, 1, math.inf, "whole numbers of at least 1, or none")
        self._check_momentum()
        if self.early_stopping is not None and self.validation == 0:
            raise UsageError(
                "--early-stopping needs validation rows to judge by, and --validation is 0",
                mend="Leave one of the two out.",
            )

    def _check_momentum(self) -> None:
        optimizer = self.optimizer or "adam"
        if self.momentum is not None and OPTIMIZERS[optimizer].momentum is None:
            takers = ", ".join(name for name, d in OPTIMIZERS.items() if d.momentum is not None)
            raise UsageError(
                f"--momentum does not apply to the optimizer {optimizer}",
                mend=f"Choose one that has it with --optimizer: {takers}.",
            )

    def to_dict(self) -> dict[str, Any]:
        """The request as what JSON holds."""
        return asdict(self)

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> Request:
        """The request that `to_dict` wrote.

        Raises:
            FileFormatError: it is not one.
        """
        return _rebuilt(Request, content)


@dataclass(frozen=True)
class Settings:
    """How a run trains, with nothing left open; None where a setting does not apply.

    watch is the share of the time for looking at the layers, 0 for not at all. A model, a loss or an optimizer that a
    builder made is `given`; layers and activation are then None.
    """

    layers: tuple[int, ...] | None
    activation: str | None
    loss: str
    optimizer: str
    lr: float | None
    momentum: float | None
    weight_decay: float | None
    schedule: str
    epochs: int
    batch_size: int | None
    seed: int
    validation: float
    early_stopping: int | None
    compile: bool
    watch: float

    def to_dict(self) -> dict[str, Any]:
        """The settings as what JSON holds."""
        return asdict(self)

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> Settings:
        """The settings that `to_dict` wrote.

        Raises:
            FileFormatError: they are not.
        """
        return _rebuilt(Settings, content)


@dataclass(frozen=True)
class Given:
    """What a source brings along, so that the options that would make it must not be set."""

    model: bool = False
    optimizer: bool = False
    batches: bool = False


def settle(request: Request, *, task: Task, training_rows: int, batches: int | None, given: Given) -> Settings:
    """The settings of a run, once its data is known.

    Args:
        request: what was asked for.
        task: what the data asks for.
        training_rows: how many rows there are to train on.
        batches: how many batches an epoch has, where the source makes them itself.
        given: what the source brings along.

    Raises:
        UsageError: an option that has nothing to act on here, or does not fit the task.
    """
    _check_given(request, given)
    optimizer = request.optimizer or "adam"
    batch_size = None if given.batches else request.batch_size or DEFAULT_BATCH_SIZE
    steps = batches if batch_size is None else math.ceil(training_rows / batch_size)
    defaults = OPTIMIZERS[optimizer]
    made = not given.optimizer
    return Settings(
        layers=None if given.model else DEFAULT_LAYERS if request.layers is None else tuple(request.layers),
        activation=None if given.model else request.activation or "relu",
        loss="given" if given.model else _loss(request.loss, task),
        optimizer=optimizer if made else "given",
        lr=_or(request.lr, defaults.lr) if made else None,
        momentum=_or(request.momentum, defaults.momentum) if made else None,
        weight_decay=_or(request.weight_decay, 0.01 if optimizer == "adamw" else 0.0) if made else None,
        schedule=request.schedule or ("cosine" if made else "none"),
        epochs=request.epochs or _default_epochs(steps or 1),
        batch_size=batch_size,
        seed=request.seed,
        validation=_or(request.validation, DEFAULT_VALIDATION),
        early_stopping=request.early_stopping,
        compile=request.compile is not False,
        watch=_or(request.watch, DEFAULT_WATCH),
    )


def _default_epochs(steps: int) -> int:
    return min(200, max(10, round(DEFAULT_STEPS / steps)))


def _loss(name: str | None, task: Task) -> str:
    if name is None:
        return "cross_entropy" if task == "classification" else "mse"
    if LOSSES[name][0] != task:
        fitting = ", ".join(loss for loss, (other, _) in LOSSES.items() if other == task)
        raise UsageError(f"--loss {name} does not fit {task}", mend=f"There is: {fitting}.")
    return name


def _check_given(request: Request, given: Given) -> None:
    groups = (
        (given.model, "model and the loss", ("layers", "activation", "loss")),
        (given.optimizer, "optimizer", ("optimizer", "lr", "momentum", "weight_decay")),
        (given.batches, "batches (a DataLoader)", ("batch_size",)),
    )
    for is_given, what, options in groups:
        said = [option_name(name) for name in options if getattr(request, name) is not None]
        if is_given and said:
            raise UsageError(
                f"{' and '.join(said)} cannot be set: {request.data} brings its own {what}",
                mend="Leave the option out, or pass the value to the function with --set name=value.",
            )


def option_name(name: str) -> str:
    """The command-line option of a field."""
    return {"arguments": "--set", "compile": "--no-compile"}.get(name) or "--" + name.replace("_", "-")


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """The known word that is nearest to this one, as a question."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f"Did you mean {close[0]}?" if close else None


_NAMES: Mapping[str, Iterable[str]] = {
    "task": TASKS,
    "activation": tuple(ACTIVATIONS),
    "loss": tuple(LOSSES),
    "optimizer": tuple(OPTIMIZERS),
    "schedule": SCHEDULES,
}

_FRACTION = (0, math.nextafter(1, 0), "from 0 to below 1")
_RANGES: Mapping[str, tuple[float, float, str]] = {
    "lr": (math.nextafter(0, 1), 1e9, "above 0"),
    "momentum": (0, math.nextafter(1, 0), "from 0 to below 1"),
    "weight_decay": (0, 1e9, "at least 0"),
    "epochs": (1, math.inf, "a whole number of at least 1"),
    "batch_size": (1, math.inf, "a whole number of at least 1"),
    "seed": (0, MAX_SEED, "a whole number from 0 to 2^63 - 1"),
    "early_stopping": (1, math.inf, "a whole number of at least 1"),
    "validation": _FRACTION,
    "test_fraction": _FRACTION,
    "watch": _FRACTION,
}


def _check_name(field_name: str, name: str | None, known: Iterable[str]) -> None:
    if name is not None and name not in known:
        raise UsageError(
            f"{option_name(field_name)}: there is no '{name}'; there are {', '.join(known)}",
            mend=suggestion(name, known),
        )


def _check_range(field_name: str, value: float | None, low: float, high: float, words: str) -> None:
    if value is not None and not low <= value <= high:
        raise UsageError(f"{option_name(field_name)} must be {words}, not {value}")


def _or(value: float | None, default: Any) -> Any:
    return default if value is None else value


_T = TypeVar("_T")


def _rebuilt(cls: type[_T], content: Mapping[str, Any]) -> _T:
    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]  # a dataclass
    if not isinstance(content, Mapping) or set(content) != names:
        came = sorted(content) if isinstance(content, Mapping) else type(content).__name__
        raise FileFormatError(
            f"the {cls.__name__.lower()} of the run are damaged, or of another version",
            got=[f"expected {sorted(names)}", f"found {came}"],
        )
    try:
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in content.items()})
    except (TypeError, UsageError) as error:
        raise FileFormatError(f"the {cls.__name__.lower()} of the run are damaged", got=[str(error)]) from error
