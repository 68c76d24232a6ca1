"""Which module computed what, read off a graph: the same as hooks that watch the run."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.symbolic.graph_values import behind
from chainrule.symbolic.modules import calls_around
from chainrule.tensor.graph import Node, tick


class Block(nn.Module):
    """Lines of its own before the first parameter, after the last, and in a method with a generator."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        y = (0.5 * x).tanh()
        return x + self.doubled(self.norm(y))

    def doubled(self, y: cr.Tensor) -> cr.Tensor:
        first, second = (self.inner(y) * k for k in (1.5, 0.5))
        return first + second


class Blocks(nn.Module):
    def __init__(self, shared: bool) -> None:
        super().__init__()
        one = Block(4)
        self.first = nn.Linear(3, 4)
        self.blocks = nn.ModuleList([one if shared else Block(4) for _ in range(3)])
        self.last = nn.Linear(4, 2)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        x = self.first(x).relu()
        for block in self.blocks:
            x = block(x)
        return self.last(x.exp())


class Encoder(nn.Module):
    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        options = {"dropout": 0.1, "batch_first": True, "norm_first": norm_first}
        self.layers = nn.Sequential(*[nn.TransformerEncoderLayer(4, 2, 8, **options) for _ in range(3)])
        self.last = nn.Linear(4, 2)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return self.last(self.layers(x).mean(1))


class Reader(nn.Module):
    """A cell that is called at each moment, inside of a module that is called once."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        state = cr.zeros(x.shape[0], 4)
        for moment in range(x.shape[1]):
            state = self.cell(x[:, moment], state)
        return state.tanh()


def plainly(forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def wrapped(*args: Any) -> Any:
        return forward(*args)

    return wrapped


class Decorated(nn.Module):
    """Lines of its own in a decorated forward, in a static method and in a property."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(3, 3), nn.Linear(3, 3)

    @plainly
    def forward(self, x: cr.Tensor) -> cr.Tensor:
        self.seen = self.doubled(self.other(self.one(x)))
        return (x + self.halved).exp()

    @staticmethod
    def doubled(x: cr.Tensor) -> cr.Tensor:
        return 2 * x.exp()

    @property
    def halved(self) -> cr.Tensor:
        return 0.5 * self.seen


class Reading(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.reader, self.last = Reader(), nn.Linear(4, 2)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return self.last(self.reader(x))


def watched(model: nn.Module, x: cr.Tensor) -> tuple[list[Node], dict[Node, list[tuple[str, int]]]]:
    """The nodes of a loss, and by hooks: the modules around each, with the number of their call."""
    calls: list[tuple[str, int, int]] = []
    opened: list[int] = []
    for path, module in model.named_modules():
        if path and any(True for _ in module.parameters()):
            module.register_forward_pre_hook(lambda *_: opened.append(tick()))

            def end(module: Any, args: Any, output: Any, path: str = path) -> None:
                calls.append((path, opened.pop(), tick()))

            module.register_forward_hook(end)
    loss = model(x).square().mean()
    nodes = [edge for edge in behind(loss.edge) if isinstance(edge, Node)]
    calls.sort(key=lambda call: call[1])
    around = {n: [(path, start) for path, start, stop in calls if start < n.order < stop] for n in nodes}
    return nodes, around


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (lambda: Blocks(shared=False), (2, 3)),
        (lambda: Blocks(shared=True), (2, 3)),
        (lambda: Encoder(norm_first=False), (2, 5, 4)),
        (lambda: Encoder(norm_first=True), (2, 5, 4)),
        (Reading, (2, 6, 3)),
        (lambda: nn.Sequential(Decorated(), nn.ReLU(), nn.Linear(3, 2)), (2, 3)),
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2))), (2, 3)),
    ],
    ids=[
        "blocks",
        "one block again and again",
        "encoder",
        "encoder, norm first",
        "a cell in a loop",
        "decorated",
        "sequential",
    ],
)
def test_the_graph_says_which_call_of_which_module_made_a_node_as_hooks_do(
    model: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    cr.manual_seed(0)
    made = model()
    nodes, expected = watched(made, cr.randn(*shape))
    found = calls_around(nodes, {"model": made})
    assert max(map(len, expected.values())) > 1
    starts: dict[Any, set[Any]] = {}
    for node in nodes:
        assert [call.path for call in found[node]] == [path for path, _ in expected[node]], node
        for call, (_, start) in zip(found[node], expected[node], strict=True):
            starts.setdefault(call, set()).add(start)
    assert all(len(noted) == 1 for noted in starts.values()), "calls are told apart"
    assert len(starts) == len({start for noted in starts.values() for start in noted})


def test_what_is_computed_between_modules_and_after_them_belongs_to_none() -> None:
    first, last = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4)), nn.Linear(4, 2)
    loss = last(first(cr.randn(2, 3)).exp()).square().mean()
    nodes = [edge for edge in behind(loss.edge) if isinstance(edge, Node)]
    found = calls_around(nodes, {"first": first, "last": last})
    paths = [(node.plan.op.name, [call.path for call in found[node]]) for node in nodes]
    assert paths == [
        ("linear", ["first", "first.0"]), ("linear", ["first", "first.1"]), ("exp", []), ("linear", ["last"]),
        ("square", []), ("mean", []),
    ]  # fmt: skip


def test_several_models_have_their_names_before_the_paths_and_a_part_of_one_is_no_other() -> None:
    encoder, decoder = (nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)) for _ in range(2))
    stranger, part = nn.Linear(3, 3), encoder[0]
    loss = decoder(encoder(cr.randn(2, 3))).sum()
    nodes = [edge for edge in behind(loss.edge) if isinstance(edge, Node)]
    models = {"part": part, "encoder": encoder, "decoder": decoder, "stranger": stranger}
    found = calls_around(nodes, models)
    read = [[call.path for call in found[node]] for node in nodes if node.plan.op.name == "linear"]
    assert [paths[-1] for paths in read] == ["encoder.0", "encoder.2", "decoder.0", "decoder.2"]


def test_a_parameter_of_two_modules_says_nothing_about_either() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
            self.head.weight = self.token.weight

        def forward(self, tokens: cr.Tensor) -> cr.Tensor:
            return self.head(self.token(tokens))

    model = Tied()
    loss = F.cross_entropy(model(cr.tensor([0, 3])), cr.tensor([1, 2]))
    nodes = [edge for edge in behind(loss.edge) if isinstance(edge, Node)]
    assert not any(calls_around(nodes, {"model": model}).values())
