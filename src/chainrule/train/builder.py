"""`FILE.py:function`: a problem that a Python function builds, with a model and a loss of its own.

The function returns a dictionary with `model` (a Module), `loss` (called with outputs and targets), `train`, and
optionally `test` and `optimizer`. A part of the data is a pair (inputs, targets) of arrays or tensors, a Dataset or
a DataLoader.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from chainrule.data.dataset import Dataset, IterableDataset, Subset, TensorDataset
from chainrule.data.loader import DataLoader
from chainrule.data.splits import random_split_indices, stratified_split
from chainrule.errors import ArgumentError, DataError, UsageError
from chainrule.nn import Module
from chainrule.optim import Optimizer
from chainrule.tensor.switches import no_grad
from chainrule.tensor.tensor import Tensor, wrap
from chainrule.train.config import DEFAULT_BATCH_SIZE, DEFAULT_VALIDATION, Request, Task, suggestion
from chainrule.train.files import sha256_of
from chainrule.train.problem import (
    Array,
    Built,
    Examples,
    Feed,
    Origin,
    Problem,
    check_classes,
    check_inputs,
)
from chainrule.train.treatment import AsGiven

REQUIRED, OPTIONAL = ("model", "loss", "train"), ("test", "optimizer")
VALIDATION_STREAM = 1
CLASS_LOSSES = ("CrossEntropyLoss", "NLLLoss", "cross_entropy", "nll_loss")
"""Losses whose targets are class numbers and whose outputs (n, classes, ...) have one number for each class."""


def split_name(data: str) -> tuple[Path, str]:
    """File and function of `FILE.py:function`."""
    file, _, function = data.rpartition(":")
    return Path(file), function


def build(request: Request) -> Problem:
    """What the function returns, called with the request's arguments, as a problem.

    Raises:
        DataError: the file cannot be read or run, the function raises, or returns the wrong thing: the message
            names the key.
        UsageError: there is no such function, it does not take these arguments, or an option does not apply.
    """
    if request.test_fraction is not None:
        raise UsageError(
            f"--test-fraction does not apply to {request.data}",
            mend="The function returns its test set under the key 'test'.",
        )
    path, name = split_name(request.data)
    digest = sha256_of(path)
    result = _called(_function(_module(path), name, path), request, path)
    return _problem(_checked(result, request.data), request, Origin("builder", str(path.resolve()), digest, name))


# ---- the file and its function ---------------------------------------------------------------------------


def _module(path: Path) -> ModuleType:
    name = f"chainrule_run_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # so that the file finds its neighbours, as when Python runs it
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _raised(f"{path} cannot be imported", error, path) from error
    return module


def _function(module: ModuleType, name: str, path: Path) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if callable(function):
        return function  # type: ignore[no-any-return]  # a module's attribute
    functions = [
        other
        for other, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
    raise UsageError(
        f"{path} has no function '{name}'",
        got=[f"functions: {', '.join(functions) or 'none'}"],
        mend=suggestion(name, functions),
    )


def _called(function: Callable[..., Any], request: Request, path: Path) -> Any:
    try:
        inspect.signature(function).bind(**request.arguments)
    except TypeError as error:
        raise UsageError(
            f"{request.data} does not take these arguments: {error}",
            got=[f"it is {function.__name__}{inspect.signature(function)}"],
            mend="Pass its keywords with --set name=value.",
        ) from error
    try:
        return function(**request.arguments)
    except (Exception, SystemExit) as error:
        raise _raised(f"{request.data} raised an error", error, path) from error


def _raised(what: str, error: BaseException, path: Path) -> DataError:
    """The error that names the user's line."""
    own = str(path.resolve())
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if Path(frame.filename).resolve() == Path(own)]
    line = mine[-1].lineno if mine else getattr(error, "lineno", None)
    return DataError(
        what,
        got=f"{type(error).__name__}: {error}".splitlines(),
        where=None if line is None else f"{path}:{line}",
    )


# ---- what it returned ------------------------------------------------------------------------------------


def _checked(result: Any, data: str) -> dict[str, Any]:
    if not isinstance(result, Mapping):
        raise DataError(
            f"{data} must return a dictionary with the keys {', '.join(REQUIRED)}",
            got=[f"it returned {type(result).__name__}"],
        )
    missing = [key for key in REQUIRED if key not in result]
    unknown = [str(key) for key in result if key not in REQUIRED + OPTIONAL]
    if missing or unknown:
        raise DataError(
            f"{data} returned a dictionary with the wrong keys",
            got=[f"missing: {', '.join(missing)}"] * bool(missing) + [f"unknown: {', '.join(unknown)}"] * bool(unknown),
            mend=f"It needs {', '.join(REQUIRED)} and may have {', '.join(OPTIONAL)}.",
        )
    kinds: tuple[tuple[str, bool, str], ...] = (
        ("model", isinstance(result["model"], Module), "a Module"),
        ("loss", callable(result["loss"]), "a function of outputs and targets, or a loss Module"),
        (
            "optimizer",
            result.get("optimizer") is None or isinstance(result["optimizer"], Optimizer),
            "an Optimizer",
        ),
    )
    for key, fits, wanted in kinds:
        if not fits:
            raise DataError(
                f"{data} returned the wrong thing under the key '{key}': it must be {wanted}",
                got=[f"{key}  {type(result[key]).__name__}"],
            )
    if not list(result["model"].parameters()):
        raise DataError(f"{data} returned a model without parameters: there is nothing to train")
    return dict(result)


def _problem(result: dict[str, Any], request: Request, origin: Origin) -> Problem:
    whole = _part(result["train"], f"{request.data}, key 'train'")
    test = None if result.get("test") is None else _part(result["test"], f"{request.data}, key 'test'")
    built = Built(result["model"], result["loss"], result.get("optimizer"), isinstance(whole, DataLoader))
    train, validation, how = _split(whole, request)
    task = _task(built.loss, whole)
    first_input, _ = _first(whole)
    problem = Problem(
        name=split_name(request.data)[0].stem,
        task=task,
        train=_batched(train, request),
        validation=_unshuffled(validation, request),
        test=_unshuffled(test, request),
        origin=origin,
        treatment=AsGiven(tuple(first_input.shape), str(first_input.dtype)),
        lines=(how, "The inputs are taken as the function gives them; NumPy's float64 becomes float32."),
        built=built,
        sizes={name: _length(part) for name, part in (("train", train), ("validation", validation), ("test", test))
               if part is not None and _length(part)},
    )  # fmt: skip
    for name, part in (("train", whole), ("test", test)):
        if isinstance(part, Examples):
            _check_part(part, f"{request.data}, key '{name}'", task, training=name == "train")
            _check_labels(built, part, f"{request.data}, key '{name}'")
    return problem


def _part(value: Any, what: str) -> Examples | Dataset[Any] | DataLoader[Any]:
    """A part of the data: in memory where it is a pair of arrays or a TensorDataset, else as it came."""
    if isinstance(value, TensorDataset) and len(value.tensors) == 2:
        value = value.tensors
    if isinstance(value, IterableDataset):
        raise DataError(f"{what}: an IterableDataset has no order to split", mend="Wrap it in a DataLoader.")
    if isinstance(value, DataLoader | Dataset):
        return value
    if not isinstance(value, tuple | list) or len(value) != 2:
        size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
        raise DataError(
            f"{what}: it must be a pair (inputs, targets) of arrays or tensors, a Dataset or a DataLoader",
            got=[f"{type(value).__name__}{size}"],
        )
    inputs, targets = (_array(part, f"{what}, {name}") for part, name in zip(value, ("inputs", "targets"), strict=True))
    if len(inputs) != len(targets):
        raise DataError(
            f"{what}: inputs and targets differ in length",
            got=[f"inputs   {inputs.shape}", f"targets  {targets.shape}"],
        )
    return Examples(inputs, targets)


def _array(value: Any, what: str) -> Array:
    array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "fiub" or array.ndim < 1:
        raise DataError(
            f"{what}: it must be an array of numbers, a row for each example",
            got=[f"{type(value).__name__}  {array.shape}  {array.dtype}"],
        )
    if isinstance(value, Tensor):
        return array
    if array.dtype == np.float64:
        return array.astype(np.float32)
    return array.astype(np.int64) if array.dtype.kind in "iu" and array.ndim == 1 else array


def _check_part(part: Examples, what: str, task: Task, *, training: bool) -> None:
    check_inputs(part.inputs, f"{what}, inputs")
    if task == "classification" and training:
        check_classes(part.targets, f"{what}, targets")
    elif part.targets.dtype.kind == "f" and not np.isfinite(part.targets).all():
        row = int(np.argwhere(~np.isfinite(part.targets))[0][0])
        raise DataError(f"{what}, targets: row {row} is NaN or infinite")


def _check_labels(built: Built, part: Examples, what: str) -> None:
    """Tries the model on two examples: it must give a Tensor, with an output for every class."""
    training = built.model.training
    built.model.eval()
    with no_grad():
        outputs = built.model(wrap(part.inputs[:2], None))
    built.model.train(training)
    if not isinstance(outputs, Tensor):
        raise DataError(f"{what}: the model must return a Tensor", got=[type(outputs).__name__])
    if not _takes_classes(built.loss) or part.targets.dtype.kind not in "iu" or outputs.ndim < 2:
        return
    outside = np.argwhere((part.targets < 0) | (part.targets >= outputs.shape[1]))
    if len(outside):
        first = tuple(int(i) for i in outside[0])
        raise DataError(
            f"{what}, targets: the label {part.targets[first]} is out of range",
            got=[f"in row {first[0]}", f"the model gives {outputs.shape[1]} outputs: 0..{outputs.shape[1] - 1}"],
            mend="Give the model an output for every class, or correct the labels.",
        )


def _takes_classes(loss: Any) -> bool:
    return getattr(loss, "__name__", type(loss).__name__) in CLASS_LOSSES


def _task(loss: Any, part: Any) -> Task:
    """Classification where the loss takes class numbers; regression where targets are numbers to come near."""
    if _takes_classes(loss):
        return "classification"
    name = getattr(loss, "__name__", type(loss).__name__).lower()
    _, target = _first(part)
    return "other" if "bce" in name or "entropy" in name or target.dtype.kind != "f" else "regression"


def _first(part: Any) -> tuple[Array, Array]:
    """The first example, as arrays."""
    if isinstance(part, Examples):
        if not len(part):
            raise DataError("the training data has no rows")
        return part.inputs[0], np.asarray(part.targets[0])
    try:
        inputs, target = next(iter(part)) if isinstance(part, DataLoader) else part[0]
    except (TypeError, ValueError, IndexError, StopIteration) as error:
        raise DataError(
            "a Dataset gives pairs (input, target), and a DataLoader batches of them",
            got=[f"the first one failed: {type(error).__name__}: {error}"],
        ) from error
    of_batch = isinstance(part, DataLoader)
    return _as_array(inputs[0] if of_batch else inputs), _as_array(target[0] if of_batch else target)


def _as_array(value: Any) -> Array:
    return np.asarray(value.detach().numpy() if isinstance(value, Tensor) else value)


# ---- parts and batches -----------------------------------------------------------------------------------


def _split(whole: Any, request: Request) -> tuple[Any, Any, str]:
    """Training part, validation part or None, and how it was done in words."""
    fraction = DEFAULT_VALIDATION if request.validation is None else request.validation
    if isinstance(whole, DataLoader):
        if request.validation:
            raise UsageError(
                f"--validation does not apply to {request.data}: its DataLoader makes the batches",
                mend="Return (inputs, targets) or a Dataset, of which rows can be held out, or leave it out.",
            )
        if request.early_stopping is not None:
            raise UsageError("--early-stopping needs validation rows, which a DataLoader cannot hold out")
        return whole, None, "All batches of the DataLoader are trained on; nothing is held out to validate."
    n = len(whole)
    if fraction == 0:
        return whole, None, f"{n:,} rows to train on; nothing is held out to validate."
    rng = np.random.default_rng([request.seed, VALIDATION_STREAM])
    labels = whole.targets if isinstance(whole, Examples) else None
    by_class = labels is not None and labels.ndim == 1 and labels.dtype.kind in "iu"
    try:
        train, held = stratified_split(labels, fraction, rng) if by_class else random_split_indices(n, fraction, rng)  # type: ignore[arg-type]  # by_class
    except DataError as error:
        raise DataError(error.what, got=error.got, mend="Set --validation to 0 to hold nothing out.") from error
    how = f"{'stratified by class' if by_class else 'drawn at random'}, seed {request.seed}"
    line = f"{len(train):,} rows to train on, {len(held):,} to validate (they choose the epoch): {how}."
    if isinstance(whole, Examples):
        return whole.take(train), whole.take(held), line
    return Subset(whole, train.tolist()), Subset(whole, held.tolist()), line


def _batched(part: Any, request: Request) -> Feed:
    """What the training loop takes: a Dataset in shuffled batches."""
    if isinstance(part, Dataset):
        return DataLoader(part, batch_size=request.batch_size or DEFAULT_BATCH_SIZE, shuffle=True)
    feed: Feed = part
    return feed


def _unshuffled(part: Any, request: Request) -> Feed | None:
    if isinstance(part, Dataset):
        return DataLoader(part, batch_size=request.batch_size or DEFAULT_BATCH_SIZE)
    feed: Feed | None = part
    return feed


def _length(part: Any) -> int:
    try:
        return len(part.dataset) if isinstance(part, DataLoader) else len(part)
    except (TypeError, ArgumentError, NotImplementedError):
        return 0
