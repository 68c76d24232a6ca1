"""What a quick call takes for granted is looked at by machine code: each kind of fact, and that calls pass."""

from __future__ import annotations

from types import CellType
from typing import Any

import pytest

pytest.importorskip("llvmlite.binding")

import chainrule as cr
from chainrule import nn, optim
from chainrule.compiler.facts import Facts
from chainrule.compiler.targets.llvm.watch import Watch, watch


def test_a_watch_of_nothing_holds() -> None:
    made = watch(Facts())
    assert made.holds() is None
    assert made.passed == 1


def test_a_slot_with_another_object_does_not_hold() -> None:
    before = object()
    cell = CellType(before)
    made = watch(Facts(slots=[(cell, "cell_contents", before)]))
    assert made.holds() is None
    cell.cell_contents = object()
    assert made.holds() is NotImplemented
    del cell.cell_contents
    assert made.holds() is NotImplemented
    cell.cell_contents = before
    assert made.holds() is None
    assert made.passed == 2


@pytest.mark.parametrize("change", [lambda d: d.update(b=2.5), lambda d: d.pop("b"), lambda d: d.clear()])
def test_an_item_that_is_another_or_gone_does_not_hold(change: Any) -> None:
    d = {"a": object(), "b": object()}
    made = watch(Facts(items=[(d, name, value) for name, value in d.items()]))
    assert made.holds() is None
    change(d)
    assert made.holds() is NotImplemented


def test_a_dictionary_with_more_items_does_not_hold() -> None:
    d = {"a": 1}
    made = watch(Facts(sizes=[(d, 1)]))
    assert made.holds() is None
    d["b"] = 2
    assert made.holds() is NotImplemented


def test_an_object_that_somebody_else_has_hold_of_does_not_hold() -> None:
    owner = [object()]
    made = watch(Facts(holders=[(owner[0], 2)]))  # the list's reference and the fact's
    assert made.holds() is None
    other = owner[0]
    assert made.holds() is NotImplemented
    del other
    assert made.holds() is None


# ---- of a program -----------------------------------------------------------------------------------------------


class Neuron:
    """A neuron that learns in compiled steps."""

    def __init__(self) -> None:
        self.model = nn.Linear(2, 1)
        self.optimizer = optim.SGD(self.model.parameters(), lr=0.1)
        model, optimizer = self.model, self.optimizer

        @cr.compile
        def step(x: cr.Tensor, y: cr.Tensor) -> cr.Tensor:
            optimizer.zero_grad()
            loss = (model(x).sigmoid() - y).square().sum()
            loss.backward()
            optimizer.step()
            return loss

        self.compiled: Any = step
        self.data = cr.ones(1, 2), cr.zeros(1, 1)

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.compiled(*self.data)

    @property
    def watch(self) -> Watch | None:
        ((program,),) = self.compiled.programs.values()
        found: Watch | None = program.watch
        return found


def test_one_call_pays_for_no_watch() -> None:
    neuron = Neuron()
    neuron.step()
    assert neuron.watch is None


def test_calls_that_are_alike_pass() -> None:
    neuron = Neuron()
    neuron.step(12)
    assert neuron.watch is not None
    assert neuron.watch.passed == 10


def test_a_gradient_that_somebody_keeps_stays_as_it_is() -> None:
    neuron = Neuron()
    neuron.step(5)
    kept = neuron.model.weight.grad
    assert kept is not None
    array, before = kept.numpy(), kept.tolist()
    neuron.step(5)
    assert kept.tolist() == before
    assert neuron.model.weight.grad is not kept
    neuron.step(3)
    assert array.tolist() == before


def test_where_something_differs_at_each_call_watches_become_rare() -> None:
    neuron = Neuron()
    made = []
    for number in range(100):
        neuron.optimizer.param_groups[0]["lr"] = 0.1 + number * 1e-3
        neuron.step()
        made.append(neuron.watch)
    watches = [w for w in made if w is not None]
    assert 3 <= len(watches) <= 10
    neuron.step(70)
    assert neuron.watch is not None
    assert neuron.watch.passed > 0
