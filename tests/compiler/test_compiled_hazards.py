"""What Python lets a function do behind a compiler's back: it is handled, or refused with the line and the mend."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import GraphError, TraceError, UnsupportedError

HERE = re.escape(__file__)
LINES = Path(__file__).read_text(encoding="utf-8").splitlines()


@pytest.fixture(params=["0", "1"], ids=["numpy", "llvm"], autouse=True)
def jit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_JIT", request.param)


def some() -> cr.Tensor:
    return cr.tensor([1.0, 2.0, 3.0])


def values(x: cr.Tensor) -> list[float]:
    return x.detach().tolist()


# ---- elements ------------------------------------------------------------------------------------------------

captured = cr.tensor([1.0, 2.0, 3.0])
one = cr.tensor(2.0)


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x if x.sum() > 0 else -x, lambda x: x.sum().item(), lambda x: x.numpy() + 1, lambda x: float(x[0]),
        lambda x: int(x[0]), lambda x: x.tolist(), lambda x: print(x), lambda x: f"{x}", lambda x: f"{x.sum():.2f}",
        lambda x: str(x), lambda x: 2.0 in x, lambda x: np.asarray(x), lambda x: max(x), lambda x: sorted(x),
        lambda x: x.nonzero(), lambda x: x[x > 1], lambda x: cr.equal(x, x), lambda x: cr.allclose(x, x),
        lambda x: [0, 1][x[0].long()], lambda x: list(range(x[0].long())), lambda x: x.unique(), lambda x: x.data_ptr(),
        # a tensor of outside, before the function has used it in any other way
        lambda x: x * one.item(), lambda x: x if one else -x, lambda x: x * float(one),
        lambda x: x * captured.numpy()[0],
        lambda x: x[captured.tolist()[0] :], lambda x: x if cr.allclose(captured, captured) else -x,
        lambda x: f"{captured}", lambda x: captured.unique() * x, lambda x: x * captured.detach().numpy().sum(),
    ],
)  # fmt: skip
def test_a_look_at_elements_is_refused_with_the_line_and_the_mend(look: Callable[..., Any]) -> None:
    with pytest.raises(TraceError, match=rf"(?s)looks at the elements.*{HERE}:\d+.*chainrule\.where") as refused:
        cr.compile(look)(some())
    line = int(re.search(rf"{HERE}:(\d+)", str(refused.value)).group(1))  # type: ignore[union-attr]
    assert "lambda x:" in LINES[line - 1]
    assert values(captured) == [1.0, 2.0, 3.0]


def test_an_array_as_a_result_is_refused() -> None:
    for function in (lambda x: x.numpy(), lambda x: {"y": [x * 2, x.numpy()]}):
        with pytest.raises(TraceError, match=r"(?s)returns the array of a tensor.*Return the tensor"):
            cr.compile(function)(some())


def test_length_and_iteration_are_known() -> None:
    compiled = cr.compile(lambda x: (sum([e * e for e in x]) * len(x), [*x][1]))
    total, second = compiled(some())
    assert (total.item(), second.item()) == (42.0, 2.0)


def test_a_branch_on_a_shape_is_a_program_for_each() -> None:
    compiled = cr.compile(lambda x: x.sum() if len(x) > 2 else x.prod())
    assert [compiled(cr.full((n,), 3.0)).item() for n in (2, 3, 2)] == [9.0, 9.0, 9.0]


# ---- what stands outside -------------------------------------------------------------------------------------

SCALE = 2.0
WEIGHT = cr.tensor([1.0, 1.0, 1.0])
SETTINGS = {"scale": 2.0}
LAYERS = [cr.tensor([1.0, 1.0, 1.0])]


class Config:
    scale = 2.0


class Slotted:
    __slots__ = ("scale",)

    def __init__(self) -> None:
        self.scale = 2.0


slotted = Slotted()


def helper(x: cr.Tensor) -> cr.Tensor:
    return deeper(x)


def deeper(x: cr.Tensor) -> cr.Tensor:
    return x * SCALE + sum([SCALE for _ in range(1)]) - SCALE


def activation(x: cr.Tensor) -> cr.Tensor:
    return x * 2


class Scaled(nn.Module):
    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return x * SCALE


@pytest.mark.parametrize(
    ("function", "change"),
    [
        (lambda x: x * SCALE, {"SCALE": 5.0}),
        (helper, {"SCALE": 5.0}),
        (Scaled(), {"SCALE": 5.0}),
        (nn.Sequential(Scaled(), nn.Identity()), {"SCALE": 5.0}),
        (lambda x: x * WEIGHT * 2, {"WEIGHT": cr.tensor([2.5, 2.5, 2.5])}),
        (lambda x: activation(x), {"activation": lambda x: x * 5}),
        (lambda x: x * SETTINGS["scale"], {"SETTINGS": {"scale": 5.0}}),
    ],
)
def test_a_global_that_changes_is_seen(
    function: Callable[..., Any], change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = cr.compile(function)
    assert [values(compiled(some())) for _ in range(3)] == [[2.0, 4.0, 6.0]] * 3
    for name, value in change.items():
        monkeypatch.setitem(globals(), name, value)
    assert [values(compiled(some())) for _ in range(2)] == [[5.0, 10.0, 15.0]] * 2


@pytest.mark.parametrize(
    ("function", "change"),
    [
        (lambda x: x * SETTINGS["scale"], lambda m: m.setitem(SETTINGS, "scale", 5.0)),
        (lambda x: x * LAYERS[0] * 2, lambda m: m.setitem(globals(), "LAYERS", [2.5 * LAYERS[0]])),
        (lambda x: x * Config.scale, lambda m: m.setattr(Config, "scale", 5.0)),
        (lambda x: x * getattr(Config, "scale"), lambda m: m.setattr(Config, "scale", 5.0)),  # noqa: B009
        (lambda x: x * slotted.scale, lambda m: m.setattr(slotted, "scale", 5.0)),
    ],
)
def test_members_of_what_stands_outside_are_seen(
    function: Callable[..., Any], change: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = cr.compile(function)
    assert [values(compiled(some())) for _ in range(3)] == [[2.0, 4.0, 6.0]] * 3
    change(monkeypatch)
    assert [values(compiled(some())) for _ in range(2)] == [[5.0, 10.0, 15.0]] * 2


def test_an_element_of_a_captured_list_that_is_replaced_is_seen() -> None:
    weights = [cr.ones(3), cr.ones(3)]
    compiled = cr.compile(lambda x: sum([x * w for w in weights]))
    assert values(compiled(some())) == [2.0, 4.0, 6.0]
    weights[1] = cr.zeros(3)
    assert values(compiled(some())) == [1.0, 2.0, 3.0]
    weights.append(cr.ones(3))
    assert values(compiled(some())) == [2.0, 4.0, 6.0]


def test_attributes_of_a_methods_object_are_seen() -> None:
    class Trainer:
        def __init__(self) -> None:
            self.scale, self.inner = 2.0, SimpleNamespace(shift=0.0)

        @cr.compile
        def step(self, x: cr.Tensor) -> cr.Tensor:
            return x * self.scaled() + self.inner.shift

        def scaled(self) -> float:
            return self.scale

    trainer = Trainer()
    assert values(trainer.step(some())) == [2.0, 4.0, 6.0]
    trainer.scale = 5.0
    assert values(trainer.step(some())) == [5.0, 10.0, 15.0]


def test_a_global_that_is_defined_after_the_decorator_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = cr.compile(lambda x: x * LATER)  # type: ignore[name-defined]  # noqa: F821
    monkeypatch.setitem(globals(), "LATER", 2.0)
    assert values(compiled(some())) == [2.0, 4.0, 6.0]
    monkeypatch.setitem(globals(), "LATER", 3.0)
    assert values(compiled(some())) == [3.0, 6.0, 9.0]


def test_a_variable_of_the_same_name_as_an_attribute_is_none_of_its_business(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = cr.compile(lambda x: x.mean())
    for value in range(5):
        monkeypatch.setitem(globals(), "mean", value)
        compiled(some())
    assert sum(map(len, compiled.programs.values())) == 1


def test_an_object_at_the_place_of_a_dead_one_is_another_object() -> None:
    compiled = cr.compile(lambda x, act: act(x))
    for k in range(6):  # each function is freed before the next is made, which may get its address
        assert compiled(some(), eval(f"lambda x: x * {k}.0"))[1].item() == 2.0 * k
        assert compiled(some(), lambda x: x)[1].item() == 2.0


@pytest.mark.parametrize("kind", [np.float32, np.float64, float])
def test_numbers_among_the_arguments_are_told_apart(kind: Any) -> None:
    compiled = cr.compile(lambda x, s: x * s)
    for s in (2.0, 3.0, 0.0, -0.0, float("nan"), 2.0):
        np.testing.assert_array_equal(
            np.copysign(1, compiled(some(), kind(s)).numpy()), np.copysign(1, (some() * kind(s)).numpy())
        )
    whole = cr.compile(lambda x, s: x * s)
    x = cr.tensor([1, 2])
    assert [whole(x, s).dtype for s in (1, 1.0, True)] == [cr.int64, cr.float32, cr.int64]


def test_no_more_than_the_newest_programs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainrule.compiler.compile.MOST_PROGRAMS", 3)
    compiled = cr.compile(lambda x, s: x * s)
    for s in range(5):
        compiled(some(), s)
    assert [key[0][1][2][1] for key in compiled.programs] == [2, 3, 4]
    settings = [0]
    compiled = cr.compile(lambda x: x * settings[0])
    for settings[0] in range(5):
        assert compiled(some())[0].item() == settings[0]
    assert [len(p) for p in compiled.programs.values()] == [3]


# ---- what it leaves outside -----------------------------------------------------------------------------------

history: list[Any] = []
memory: dict[str, Any] = {}
count = 0


class Keeper:
    last: Any = None


keeper = Keeper()


def appends(x: cr.Tensor) -> cr.Tensor:
    y = x * 2
    history.append(y)
    return y


def notes(x: cr.Tensor) -> cr.Tensor:
    memory["last"] = x * 2
    return x * 2


def counts(x: cr.Tensor) -> cr.Tensor:
    global count
    count += 1
    return x * 2


def keeps(x: cr.Tensor) -> cr.Tensor:
    keeper.last = x * 2
    return x * 2


@pytest.mark.parametrize(
    ("function", "name", "line"),
    [
        (appends, "history", "history.append(y)"),
        (notes, "memory", 'memory["last"] = x * 2'),
        (counts, "count", "count += 1"),
        (keeps, r"Keeper\.last", "keeper.last = x * 2"),
    ],
)
def test_changing_what_stands_outside_is_refused_with_the_line(
    function: Callable[..., Any], name: str, line: str
) -> None:
    try:
        with pytest.raises(
            TraceError, match=rf"(?s)changes {name}, .*{HERE}:\d+.*Return what is to be kept"
        ) as refused:
            cr.compile(function)(some())
        number = int(re.search(rf"{HERE}:(\d+)", str(refused.value)).group(1))  # type: ignore[union-attr]
        assert LINES[number - 1].strip() == line
    finally:
        history.clear()
        memory.clear()
        keeper.last = None


def test_what_a_module_keeps_in_an_attribute_is_refused() -> None:
    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = cr.zeros(3)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            self.hidden = self.hidden + x
            return self.hidden

    with pytest.raises(TraceError, match=r"(?s)changes Stateful\.hidden.*written in place"):
        cr.compile(Stateful())(some())


def test_a_placeholder_that_was_kept_says_where_it_comes_from() -> None:
    kept: list[cr.Tensor] = []
    keep = kept.append
    compiled = cr.compile(lambda x: [keep(x * 2), x * 3][1])
    assert values(compiled(some())) == [3.0, 6.0, 9.0]  # a builtin method hides the list
    for look in (lambda: kept[0].sum().item(), lambda: kept[0].numpy() + 1, lambda: print(kept[0])):
        with pytest.raises(TraceError, match=rf"(?s)placeholder that was kept.*{HERE}:\d+.*Return it"):
            look()


# ---- aliases -------------------------------------------------------------------------------------------------

ALIASES: dict[str, Callable[..., Any]] = {
    "an argument": lambda x, w: (x, x),
    "a view of an argument": lambda x, w: x[1:].view(1, 2),
    "an argument, detached": lambda x, w: x.detach(),
    "a view of a tensor outside": lambda x, w: w.view(3, 1),
    "a tensor outside, detached": lambda x, w: (w * 2, w.detach()),
    "a tensor that is written": lambda x, w: (w.add_(1), w.unsqueeze(0)),
    "one result twice": lambda x, w: (lambda y: (y, y))(x * w),
    "a result and its view": lambda x, w: (lambda y: (y.view(3, 1), y, y.detach()))(x * w),
    "what only looks like a view": lambda x, w: (x.view(1, 3).expand(2, 3).reshape(6), w.flip(0), w.add_(1)),
    "a result that is written later": lambda x, w: (lambda y: (y, y[1:].zero_()))(x * 2),
}


@pytest.mark.parametrize("name", ALIASES)
def test_results_share_memory_as_those_of_an_eager_call(name: str) -> None:
    outside = cr.ones(3)
    function = ALIASES[name]

    def shared(call: Callable[..., Any]) -> list[Any]:
        x, found = some(), []
        for _ in range(2):
            outside.fill_(1)
            made = call(x)
            results = list(made) if isinstance(made, tuple) else [made]
            tensors = [x, outside, *results]
            found += [y.numpy().copy() for y in results]
            found += [np.shares_memory(a.numpy(), b.numpy()) for a in tensors for b in tensors]
            found += [a is b for a in results for b in [x, *results]]
            results[0].fill_(7)
            found += [y.numpy().copy() for y in tensors]
            x = some()
        return found

    for got, expected in zip(shared(cr.compile(lambda x: function(x, outside))), shared(lambda x: function(x, outside)),
                             strict=True):  # fmt: skip
        np.testing.assert_array_equal(got, expected)


def test_a_view_of_a_result_has_the_results_gradient() -> None:
    w = cr.ones(3, requires_grad=True)
    y, column = cr.compile(lambda x: (lambda y: (y, y.view(3, 1)))(x * w))(some())
    (y.sum() + (column * 2).sum()).backward()
    assert w.grad.tolist() == [3.0, 6.0, 9.0]


def test_writing_to_what_is_an_argument_too_is_refused() -> None:
    w = cr.ones(4)
    for x in (w, w.detach(), w[1:].view(3)):
        with pytest.raises(UnsupportedError, match=r"(?s)memory is that of an argument too.*clone\(\)"):
            cr.compile(lambda x: w.add_(x.sum()))(x)
    assert values(w) == [1.0] * 4


def test_two_tensors_over_overlapping_memory_are_refused_with_the_line() -> None:
    a = cr.ones(4)
    b = a[1:].detach()
    with pytest.raises(TraceError, match=rf"(?s)same memory, \(4,\) and \(3,\).*{HERE}:\d+.*clone\(\)"):
        cr.compile(lambda: (a * 2).sum() + b.sum())()


def test_mappings_that_are_no_dicts_are_looked_into() -> None:
    compiled = cr.compile(lambda batch: batch["x"] * 2)
    batch = OrderedDict(x=some())
    assert values(compiled(batch)) == [2.0, 4.0, 6.0]
    batch["x"] = some() * 2
    assert values(compiled(batch)) == [4.0, 8.0, 12.0]


# ---- graphs --------------------------------------------------------------------------------------------------


class Square(cr.autograd.Function):
    """x*x, with a factor in its backward that tells that it ran."""

    @staticmethod
    def forward(ctx: Any, x: cr.Tensor) -> cr.Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: cr.Tensor) -> cr.Tensor:
        (x,) = ctx.saved_tensors
        return 20 * g * x


class Doubled(cr.autograd.Function):
    """Through NumPy."""

    @staticmethod
    def forward(ctx: Any, x: cr.Tensor) -> cr.Tensor:
        return cr.from_numpy(x.detach().numpy() * 2)

    @staticmethod
    def backward(ctx: Any, g: cr.Tensor) -> cr.Tensor:
        return g * 2


def test_a_users_function_is_compiled_with_its_backward() -> None:
    w, v = (cr.tensor([1.0, 2.0, 3.0], requires_grad=True) for _ in range(2))

    def step(x: cr.Tensor, w: cr.Tensor = w) -> cr.Tensor:
        loss = (Square.apply(w * x) * w).sum() + Square.apply(w).sum()
        loss.backward()
        return loss

    compiled = cr.compile(lambda x: step(x, v))
    for _ in range(3):
        np.testing.assert_allclose(compiled(some()).item(), step(some()).item(), rtol=1e-6)
        np.testing.assert_allclose(v.grad.numpy(), w.grad.numpy(), rtol=1e-6)


def test_a_users_function_through_numpy_is_refused_with_its_line() -> None:
    w = cr.ones(3, requires_grad=True)
    with pytest.raises(TraceError, match=rf"(?s)looks at the elements.*Doubled\.forward, {HERE}:\d+"):
        cr.compile(lambda x: Doubled.apply(w * x))(some())


def test_backward_twice_is_refused_and_leaves_the_gradients() -> None:
    w = cr.ones(3, requires_grad=True)

    def step(x: cr.Tensor) -> None:
        loss = (w * w * x).sum()
        loss.backward()
        loss.backward()

    with pytest.raises(GraphError, match=rf"(?s)second time.*{HERE}:\d+.*retain_graph=True"):
        cr.compile(step)(some())
    assert w.grad is None


def test_backward_twice_with_retain_graph_adds_up() -> None:
    w = cr.ones(3, requires_grad=True)

    def step(x: cr.Tensor) -> None:
        loss = (w * w * x).sum()
        loss.backward(retain_graph=True)
        loss.backward()

    compiled = cr.compile(step)
    for k in (1, 2):
        compiled(some())
        assert w.grad.tolist() == [4.0 * k, 8.0 * k, 12.0 * k]


@pytest.mark.parametrize("freed", [False, True])
def test_going_on_through_a_graph_of_outside_is_refused_with_the_line(freed: bool) -> None:
    w = cr.ones(3, requires_grad=True)
    y = (w * w).sum()
    if freed:
        y.backward()
    with pytest.raises(TraceError, match=rf"(?s)computed outside it and has a gradient.*{HERE}:\d+.*as an argument"):
        cr.compile(lambda x: (y * x).sum().backward())(some())
    assert values(cr.compile(lambda x: y.detach() * x)(some())) == [3.0, 6.0, 9.0]


def test_a_tensor_with_a_graph_may_be_an_argument() -> None:
    w = cr.ones(3, requires_grad=True)
    cr.compile(lambda h: (h * 2).sum())(w * 3).backward()
    assert w.grad.tolist() == [6.0, 6.0, 6.0]


def test_backward_to_an_argument_is_refused() -> None:
    x = some().requires_grad_()
    with pytest.raises(TraceError, match=rf"(?s)reaches an argument.*{HERE}:\d+.*autograd\.grad"):
        cr.compile(lambda x: (x * x).sum().backward())(x)
    assert x.grad is None


def test_hooks_on_gradients_are_part_of_the_program_and_may_go_and_come() -> None:
    w = cr.ones(3, requires_grad=True)

    def gradient() -> list[float]:
        w.grad = None
        compiled(some())
        return w.grad.tolist()  # type: ignore[no-any-return]

    compiled = cr.compile(lambda x: (w * x).sum().backward())
    assert gradient() == [1.0, 2.0, 3.0]
    first = w.register_hook(lambda g: g * 10)
    assert gradient() == [10.0, 20.0, 30.0]
    second = w.register_hook(lambda g: g + 1)
    assert gradient() == [11.0, 21.0, 31.0]
    first.remove()
    assert gradient() == [2.0, 3.0, 4.0]
    second.remove()
    assert gradient() == [1.0, 2.0, 3.0]


def test_a_hook_that_looks_at_a_gradient_is_refused() -> None:
    w = cr.ones(3, requires_grad=True)
    w.register_hook(lambda g: print(g.sum().item()))
    with pytest.raises(TraceError, match=rf"(?s)looks at the elements.*{HERE}:\d+"):
        cr.compile(lambda x: (w * x).sum().backward())(some())


def test_hooks_on_modules_may_go_and_come() -> None:
    layer = nn.Linear(3, 2)
    compiled = cr.compile(lambda x: layer(x))
    x = some().view(1, 3)
    handles = []
    for hook in (None, lambda m, i, y: y * 2, lambda m, i, y: y + 1):
        if hook is not None:
            handles.append(layer.register_forward_hook(hook))
        np.testing.assert_allclose(compiled(x).detach().numpy(), layer(x).detach().numpy(), rtol=1e-6)
    for handle in handles:
        handle.remove()
        np.testing.assert_allclose(compiled(x).detach().numpy(), layer(x).detach().numpy(), rtol=1e-6)


def test_the_gradient_of_a_parameter_updated_by_another_is_that_of_before() -> None:
    """Each parameter's gradient reads the other, and both are updated in place."""
    parts = [[cr.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True) for _ in range(2)] for _ in range(2)]

    def step_of(a: cr.Tensor, b: cr.Tensor) -> Callable[[], cr.Tensor]:
        optimizer = optim.SGD([a, b], lr=0.1)

        def step() -> cr.Tensor:
            optimizer.zero_grad()
            loss = (a * b).tanh().sum() + (a @ b).sigmoid().sum()
            loss.backward()
            optimizer.step()
            return loss

        return step

    eager, compiled = step_of(*parts[0]), cr.compile(step_of(*parts[1]))
    for _ in range(3):
        np.testing.assert_allclose(compiled().item(), eager().item(), rtol=1e-6)
        for p, q in zip(*parts, strict=True):
            np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-6)


def test_what_the_function_makes_of_numbers_is_made_anew_at_each_call() -> None:
    written = cr.compile(lambda x: cr.zeros(2).add_(x))
    assert written(cr.ones(2)).tolist() == [1, 1]
    assert written(3 * cr.ones(2)).tolist() == [3, 3]
    beside = cr.compile(lambda x: (x + 1, cr.zeros(2)))
    beside(cr.ones(2))[1].add_(5)
    assert beside(cr.ones(2))[1].tolist() == [0, 0]
