"""A run from beginning to end: start one, or resume one that was interrupted."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import DataError, FileWriteError, NonFiniteLossError, StateError, UsageError
from chainrule.tensor.functions.random import Generator
from chainrule.tensor.tensor import wrap
from chainrule.train import checkpoint as checkpoints
from chainrule.train.config import Given, Request, Settings, settle
from chainrule.train.files import sha256_of
from chainrule.train.layers import Layers, origin_in_words
from chainrule.train.loop import Callback, Record, Shuffled, count_of, fit
from chainrule.train.metrics import Evaluation, Metrics, confusion, evaluate, measure
from chainrule.train.network import build_loss, build_network, build_optimizer, build_schedule
from chainrule.train.problem import Built, Examples, Feed, Origin, Problem
from chainrule.train.reporting import Outcome, full_report, report_of_failure
from chainrule.train.run import RunFolder, create
from chainrule.train.sources import load
from chainrule.train.steps import Compiling, Function, as_it_is, judgement_of
from chainrule.train.threads import threads_for
from chainrule.train.watch import Best, Checkpoints, History, Sound, Validation

Say = Callable[[str], None]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run; what was reached is in the folder.

    epoch is the last whole one, of epochs.
    """

    def __init__(self, folder: RunFolder, epoch: int, epochs: int) -> None:
        self.folder, self.epoch, self.epochs = folder, epoch, epochs
        super().__init__(f"interrupted after epoch {epoch} of {epochs}")


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that a training needs, made anew from a request: the same for the same seed."""

    problem: Problem
    settings: Settings
    model: Any
    loss: Any
    batches: Any
    optimizer: Any
    scheduler: Any | None
    schedule_per_batch: bool


def start(
    request: Request, out: str | None = None, callbacks: Sequence[Callback] = (), say: Say = lambda _: None
) -> Outcome:
    """Trains as asked, in a new run folder.

    Args:
        request: what to do.
        out: the folder; by default runs/<data>-<time>.
        callbacks: look on beside those that keep the run folder.
        say: is told in a line what is about to be trained; and why, if it cannot be compiled.

    Raises:
        DataError, FileFormatError, UsageError: the data or the request cannot be used. No folder is left behind.
        NonFiniteLossError: the loss became NaN or infinite. The last good checkpoint is in the folder.
        FileWriteError: a file cannot be written; those written before are undamaged.
        Interrupted: Ctrl-C. A checkpoint is in the folder.
    """
    prepared = prepare(request)
    folder = create(out, prepared.problem.name)
    folder.write_config(_config(request, prepared))
    say(description(prepared))
    return _trained(prepared, folder, None, callbacks, say)


def resume(path: str | Path, callbacks: Sequence[Callback] = (), say: Say = lambda _: None) -> Outcome:
    """Goes on with an interrupted run, to the same result as if it had not been interrupted.

    Raises:
        DataError: the folder is no run's, or its data is gone.
        StateError: the data or the builder's file changed since the run began.
        UsageError: the run is complete.
        And as `start`.
    """
    folder = RunFolder(Path(path))
    config = folder.read_config()
    if folder.result.is_file():
        raise UsageError(
            f"the run {path} is complete: there is nothing to go on with",
            mend="Start a new run for more epochs: chainrule train DATA --epochs N",
        )
    prepared = rebuilt(folder, config)
    checkpoint = checkpoints.load(folder.checkpoint) if folder.checkpoint.exists() else None
    done = 0 if checkpoint is None else checkpoint.state["epoch"]
    say(f"{description(prepared)}; resumed after epoch {done}")
    return _trained(prepared, folder, checkpoint, callbacks, say)


def prepare(request: Request) -> Prepared:
    """The data, the model and all that trains it, as the request says."""
    checkpoints.seed_all(request.seed)
    problem = load(request)
    built = problem.built
    settings = settle(
        request,
        task=problem.task,
        training_rows=problem.sizes.get("train", 0),
        batches=None if isinstance(problem.train, Examples) else count_of(problem.train),
        given=Given(
            model=built is not None,
            optimizer=built is not None and built.optimizer is not None,
            batches=built is not None and built.own_batches,
        ),
    )
    settings = replace(settings, validation=settings.validation if problem.validation is not None else 0.0)
    return _with_objects(problem, settings)


def _with_objects(problem: Problem, settings: Settings) -> Prepared:
    built = problem.built or _network(problem, settings)
    batches: Any = problem.train
    if isinstance(batches, Examples):
        assert settings.batch_size is not None
        batches = Shuffled(batches, settings.batch_size)
    optimizer = built.optimizer or build_optimizer(built.model.parameters(), settings)
    scheduler, per_batch = build_schedule(optimizer, settings, count_of(batches))
    return Prepared(problem, settings, built.model, built.loss, batches, optimizer, scheduler, per_batch)


def _network(problem: Problem, settings: Settings) -> Built:
    assert problem.outputs is not None
    model = build_network(problem.inputs, problem.outputs, settings)
    return Built(model, build_loss(settings), None)


def rebuilt(folder: RunFolder, config: dict[str, Any]) -> Prepared:
    """What `prepare` made when the run began, from its config.json.

    Raises:
        StateError: the data or the builder's file is not what it was.
        DataError: it is gone.
        FileFormatError: config.json is damaged.
    """
    request = Request.from_dict(folder.part_of_config(config, "request"))
    origin = Origin.from_dict(folder.part_of_config(config, "origin"))
    check_unchanged(origin)
    prepared = prepare(request)
    if prepared.problem.origin.sha256 != origin.sha256:
        raise changed(origin, prepared.problem.origin.sha256)
    settings = Settings.from_dict(folder.part_of_config(config, "settings"))
    if prepared.settings != settings:
        raise StateError(
            f"the settings in {folder.config} are not those that its request leads to",
            mend="It was edited, or written by another version of chainrule: start a new run.",
        )
    return prepared


def check_unchanged(origin: Origin) -> None:
    """Raises where the file that a run came from is gone or has another content.

    Raises:
        DataError: it is gone.
        StateError: it changed.
    """
    if origin.kind == "bundled":
        return
    path = Path(origin.location)
    if not path.is_file():
        raise DataError(
            f"{path} is gone, from which the run was made",
            mend="Put it back to go on with the run.",
        )
    found = sha256_of(path)
    if found != origin.sha256:
        raise changed(origin, found)


def changed(origin: Origin, found: str) -> StateError:
    """The error that says that the data or the builder's file is not what it was."""
    what = "the data set" if origin.kind == "bundled" else "the file"
    return StateError(
        f"{what} {origin.location} changed since the run began",
        got=[f"SHA-256 then {origin.sha256[:16]}...", f"        now  {found[:16]}..."],
        mend="Restore it, or start a new run.",
    )


# ---- training -------------------------------------------------------------------------------------------------


def _trained(
    prepared: Prepared,
    folder: RunFolder,
    checkpoint: checkpoints.Checkpoint | None,
    callbacks: Sequence[Callback],
    say: Say,
) -> Outcome:
    problem, settings = prepared.problem, prepared.settings
    compile = Compiling(prepared.model, say) if settings.compile else as_it_is
    judgement = compile(judgement_of(prepared.model, prepared.loss))
    best = Best(settings.early_stopping)
    keeper = Checkpoints(folder, best, _generators(prepared))
    earlier: list[Record] = []
    stopped: str | None = None
    if checkpoint is not None:
        stopped = keeper.restore(checkpoint, prepared.model, prepared.optimizer, prepared.scheduler)
        earlier = folder.read_history(keeper.latest_epoch)
    elif folder.metrics.exists():
        folder.read_history(0)
    validation = [] if problem.validation is None else [Validation(problem, judgement)]
    layers = None
    if settings.watch:
        layers = Layers(prepared.model, settings.watch, say, settings.batch_size, earlier)
    own = [*([layers] if layers else []), *validation, Sound(), best, History(folder), keeper]
    later: list[Record] = []
    try:
        with threads_for(_operations(prepared)):
            if stopped is None:
                training = fit(
                    prepared.model,
                    prepared.loss,
                    prepared.batches,
                    prepared.optimizer,
                    epochs=settings.epochs,
                    epochs_done=keeper.latest_epoch,
                    scheduler=prepared.scheduler,
                    schedule_per_batch=prepared.schedule_per_batch,
                    callbacks=[*own, *callbacks],
                    compile=compile,
                )
                later, stopped = training.records, training.stop
    except KeyboardInterrupt as interrupt:
        keeper.flush()
        raise Interrupted(folder, keeper.latest_epoch, settings.epochs) from interrupt
    except NonFiniteLossError as error:
        keeper.flush()
        described = _described(error, folder, keeper.latest_epoch, layers)
        with suppress(FileWriteError):  # the training's own error is what counts
            folder.write_report(report_of_failure(problem.name, folder, described, keeper.latest_epoch, layers))
        raise described from error
    finally:
        if layers is not None:
            layers.watch.close()
    return _finished(prepared, folder, [*earlier, *later], best, stopped, judgement, layers)


def _operations(prepared: Prepared) -> float:
    """In the forward pass of a batch; infinite where a builder's model does what it likes."""
    if prepared.problem.built is not None or prepared.settings.batch_size is None:
        return math.inf
    return 2.0 * parameter_count(prepared.model) * prepared.settings.batch_size


def _described(error: NonFiniteLossError, folder: RunFolder, epoch: int, layers: Layers | None) -> NonFiniteLossError:
    """The error with what the layers show, and with the place of what was saved."""
    got = list(error.got)
    if layers is not None:
        layers.look_once_more()
        got += [f"first not finite  {origin_in_words(layers.origin)}"] if layers.origin is not None else []
    kept = f" The state after epoch {epoch} is in {folder.checkpoint}." if epoch else " No epoch was completed."
    return NonFiniteLossError(error.what, got=got, where=error.where, mend=f"{error.mend}{kept}")


def _finished(
    prepared: Prepared,
    folder: RunFolder,
    records: list[Record],
    best: Best,
    stopped: str | None,
    judgement: Function,
    layers: Layers | None,
) -> Outcome:
    """Evaluates the weights of the best epoch and writes model, result and report.

    The validation rows are judged as they were after each epoch; the other parts, seen once, need no program.
    """
    problem = prepared.problem
    prepared.model.load_state_dict({name: wrap(array, None) for name, array in best.weights.items()})
    metrics: dict[str, Metrics] = {}
    test: Evaluation | None = None
    for name, part in _parts(problem):
        test = evaluate(prepared.model, prepared.loss, part, judgement if name == "validation" else None)
        metrics[name] = {"loss": test.loss, **measure(test, problem.task, problem.treatment.scale)}
    if problem.test is None:
        test = None
    outcome = Outcome(
        problem=problem,
        settings=prepared.settings,
        folder=folder,
        model=str(prepared.model),
        parameters=parameter_count(prepared.model),
        records=records,
        best_epoch=best.epoch,
        stopped=stopped,
        metrics=metrics,
        confusion=_confusion(problem, test),
        seconds=sum(record["seconds"] for record in records),
        versions=versions(),
        watch=None if layers is None else layers.watch,
    )
    folder.write_model(best.weights)
    folder.write_report(full_report(outcome))
    folder.write_result(outcome.to_dict())
    return outcome


def _parts(problem: Problem) -> list[tuple[str, Feed]]:
    """The parts to evaluate, the test part last. A DataLoader's training part may change its examples: left out."""
    parts = {
        "train": problem.train if isinstance(problem.train, Examples) else None,
        "validation": problem.validation,
        "test": problem.test,
    }
    return [(name, part) for name, part in parts.items() if part is not None]


def _confusion(problem: Problem, test: Evaluation | None) -> list[list[int]] | None:
    if problem.task != "classification" or test is None or test.outputs.ndim != 2 or test.targets.ndim != 1:
        return None
    return confusion(test, test.outputs.shape[1])


def _generators(prepared: Prepared) -> dict[str, Generator]:
    """The generators of DataLoaders, which are not the default one."""
    parts = {"train": prepared.batches, "validation": prepared.problem.validation, "test": prepared.problem.test}
    found = {name: getattr(part, "generator", None) for name, part in parts.items()}
    return {name: generator for name, generator in found.items() if isinstance(generator, Generator)}


# ---- words ----------------------------------------------------------------------------------------------------


def description(prepared: Prepared) -> str:
    """In a line, what is trained on what."""
    problem, settings = prepared.problem, prepared.settings
    sizes = ", ".join(f"{n:,} {name}" for name, n in problem.sizes.items())
    return (
        f"{problem.name} ({sizes}): {network_in_words(prepared)}, {parameter_count(prepared.model):,} parameters; "
        f"{optimizer_in_words(settings)}; up to {settings.epochs} epochs, seed {settings.seed}"
    )


def network_in_words(prepared: Prepared) -> str:
    """`64-128-64-10 relu`, or the name of a builder's model."""
    settings = prepared.settings
    if settings.layers is None:
        return type(prepared.model).__name__
    sizes = "-".join(map(str, [prepared.problem.inputs, *settings.layers, prepared.problem.outputs]))
    return f"{sizes} {settings.activation}" if settings.layers else f"{sizes} linear"


def optimizer_in_words(settings: Settings) -> str:
    """`adam 0.002, cosine`."""
    rate = "" if settings.lr is None else f" {settings.lr:g}"
    schedule = "" if settings.schedule == "none" else f", {settings.schedule}"
    return f"{settings.optimizer} optimizer{schedule}" if not rate else f"{settings.optimizer}{rate}{schedule}"


def parameter_count(model: Any) -> int:
    """How many numbers a model learns."""
    return sum(int(np.prod(p.value.shape, dtype=np.int64)) for p in model.parameters())


def versions() -> dict[str, str]:
    """The versions that a run was made with."""
    try:
        own = importlib.metadata.version("chainrule")
    except importlib.metadata.PackageNotFoundError:
        own = "not installed"
    return {"chainrule": own, "numpy": np.__version__, "python": platform.python_version()}


def _config(request: Request, prepared: Prepared) -> dict[str, Any]:
    problem = prepared.problem
    location = problem.origin.location
    data = f"{location}:{problem.origin.function}" if problem.origin.function else location
    folder = None if request.data_folder is None else os.path.abspath(request.data_folder)
    return {
        "versions": versions(),
        "name": problem.name,
        "task": problem.task,
        "inputs": None if problem.built else problem.inputs,
        "outputs": problem.outputs,
        "model": str(prepared.model),
        "settings": prepared.settings.to_dict(),
        "request": replace(request, data=data, data_folder=folder).to_dict(),
        "origin": problem.origin.to_dict(),
        "treatment": problem.treatment.to_dict(),
        "treatment_in_words": [*problem.lines, *(f"{name}: {line}" for name, line in problem.columns.items())],
        "citation": problem.citation,
    }
