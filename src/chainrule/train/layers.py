"""What a run sees of its layers: a watch on the model, its looks and events in each epoch's record.

A record's `watch` has `steps` (how many the run had taken), `looks` (of this epoch, at most `COLUMNS` in the whole run
and at least one in an epoch that had any: for each layer `weight`, `gradient`, `update`, `dead`, and where the program
runs eagerly `activation` and `flat`) and `events` (what was seen for the first time). Which steps are looked at depends
on how long they take: this part alone, and `seconds`, differ between two runs of one seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, isnan
from typing import Any

from chainrule.diagnose.origin import Origin, origin
from chainrule.diagnose.run import run, untouched_generators
from chainrule.diagnose.unrolled import unrolled
from chainrule.diagnose.watch import LOOKS_UNTIL_DEAD, Event, Look, Watch
from chainrule.report.values import written
from chainrule.train.loop import Callback, Record, Training

COLUMNS = 64
"""About so many looks of a run are written down, evenly over its epochs: the width of a heat map."""
EVIDENCE = 96
"""A unit must be silent in about so many examples, over several looks, to count as dead."""
MOST_NAMED = 4
"""Layers in one line of the terminal."""


class Layers(Callback):
    """Has a watch look at the layers, tells at once what is seen for the first time, and writes it all down.

    Args:
        model: what trains, as it is before the first step of this session.
        budget: the share of the time that looking may take.
        say: is told in a line what was seen for the first time.
        batch_size: examples of a batch, if that is known.
        earlier: the records of an interrupted run, which goes on.
    """

    def __init__(
        self,
        model: Any,
        budget: float,
        say: Callable[[str], None],
        batch_size: int | None = None,
        earlier: Sequence[Record] = (),
    ) -> None:
        looks_until_dead = max(LOOKS_UNTIL_DEAD, ceil(EVIDENCE / (batch_size or EVIDENCE)))
        self.watch = Watch(model, "auto", budget, looks_until_dead)
        self.say = say
        self.origin: Origin | None = None
        self._training: Training | None = None
        before = [record["watch"] for record in earlier]
        if before:
            looks = [_look(look) for one in before for look in one["looks"]]
            self.watch.go_on(before[-1]["steps"], looks, [_event(event) for one in before for event in one["events"]])
        self._recorded, self._recorded_events = self.watch.steps, len(self.watch.events)
        self._told = self._recorded_events

    def before_training(self, training: Training) -> None:
        self._training = training

    def after_backward(self, training: Training) -> None:
        self.watch.step()
        if len(self.watch.events) > self._told:
            self._tell(training)

    def loss_not_finite(self, training: Training, inputs: Any, targets: Any) -> None:
        """Takes the last look, and finds the operation that made the first number that is not finite."""
        self.watch.steps += 1
        self.look_once_more()
        self.origin = origin_of(training.model, training.loss, (inputs, targets))

    def look_once_more(self) -> None:
        """Look at where a training ended badly, whatever that costs; a second call does nothing."""
        training, self._training = self._training, None
        if training is not None and any(p.grad is not None for p in training.model.parameters()):
            self.watch.look()
            self._tell(training)

    def after_epoch(self, training: Training, record: Record) -> None:
        looks = [look for look in self.watch.looks if look.step > self._recorded]
        events = self.watch.events[self._recorded_events :]
        record["watch"] = {
            "steps": self.watch.steps,
            "looks": [_written(look) for look in _evenly(looks, max(1, COLUMNS // training.epochs))],
            "events": [dict(vars(event)) for event in events],
        }
        self._recorded, self._recorded_events = self.watch.steps, len(self.watch.events)

    def _tell(self, training: Training) -> None:
        """A line for each kind of event that is new."""
        new, self._told = self.watch.events[self._told :], len(self.watch.events)
        for kind, what in dict.fromkeys([(event.kind, event.what) for event in new]):
            alike = [event for event in new if (event.kind, event.what) == (kind, what)]
            batch = training.step + 1 if training.batches is None else min(training.step + 1, training.batches)
            self.say(f"epoch {training.epoch}, batch {batch}: {in_words(alike)}")


def in_words(alike: Sequence[Event]) -> str:
    """Events of one kind in a line: `no gradient reaches layer 0: none of its units learns`."""
    first, several = alike[0], len(alike) > 1
    named = [event.where for event in alike[:MOST_NAMED]]
    places = ", ".join(named) + (f" and {len(alike) - len(named)} more" if len(alike) > len(named) else "")
    layers, are = ("layers", "are") if several else ("layer", "is")
    if first.kind == "dead layer":
        return f"no gradient reaches {layers} {places}: none of {'their' if several else 'its'} units learns"
    if first.kind == "dead units":
        return f"at least half of the units of {layers} {places} get no gradient"
    if first.kind == "jump":
        return f"one step changed the weights of {layers} {places} by {written(first.value)} times their size"
    number = "nan" if isnan(first.value) else "infinite"
    if first.what == "weights":
        return f"the weights {places} are not finite ({number})"
    if first.what == "gradient":
        return f"the gradient{'s' * several} of {places} {are} not finite ({number})"
    return f"the result{'s' * several} of {layers} {places} ({first.what}) {are} not finite ({number})"


def origin_of(model: Any, loss: Any, batch: tuple[Any, Any]) -> Origin | None:
    """Where the first number that is not finite came from, of this batch; the model is only read.

    None where a run of a copy is finite (another dropout), or a copy cannot be made or run: the error that follows
    says without it, too, what happened.
    """
    try:
        with untouched_generators():
            one = run(model, loss, batch)
            return origin(one, unrolled(one.root))
    except Exception:  # whatever a user's model does when it is copied: it must not hide the training's own error
        return None


def origin_in_words(found: Origin) -> str:
    """`the result of Log in layer 3, net.py:12`."""
    if found.phase == "inputs":
        return "the inputs of this batch"
    if found.phase == "parameters":
        return f"the parameter {found.path}, which the step before has changed"
    what = f"the result of {found.op}" if found.phase == "forward" else f"the gradient that {found.op} sends back"
    return f"{what}{f' in layer {found.path}' if found.path else ''}{f', {found.where}' if found.where else ''}"


# ---- looks and events as what JSON holds ----------------------------------------------------------------------


def _written(look: Look) -> dict[str, Any]:
    """With four digits: a heat map shows fewer."""
    layers = {name: {q: float(f"{value:.4g}") for q, value in row.items()} for name, row in look.layers.items()}
    return {"step": look.step, "layers": layers}


def _look(content: Any) -> Look:
    rows = {n: {q: float("nan") if v is None else v for q, v in row.items()} for n, row in content["layers"].items()}
    return Look(content["step"], rows)


def _event(content: Any) -> Event:
    return Event(**{**content, "value": float("nan") if content["value"] is None else content["value"]})


def _evenly(looks: Sequence[Look], most: int) -> list[Look]:
    """At most so many, the last of them always."""
    step = -(-len(looks) // most)
    return list(looks[len(looks) - 1 :: -step][::-1]) if looks else []
