"""Every optimiser with every option takes PyTorch's steps, and the two exchange their states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import optim
from chainrule.tensor.tensor import Tensor, wrap

torch = pytest.importorskip("torch")

SHAPES = ((4, 3), (3,), (), (2, 1, 3), (0, 2), (5,))
STEPS = 25

CONFIGURATIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"maximize": True}),
    ("SGD", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"betas": (0.5, 0.8), "eps": 1e-3}),
    ("Adam", {"betas": (0.0, 0.0)}),
    ("Adam", {"weight_decay": 0.1}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"maximize": True}),
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.0}),
    ("AdamW", {"weight_decay": 0.3, "amsgrad": True, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.5, "eps": 1e-3}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"weight_decay": 0.1}),
    ("RMSprop", {"maximize": True}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1}),
    ("Adagrad", {"initial_accumulator_value": 0.5, "eps": 1e-3}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.5, "eps": 1e-3}),
    ("Adadelta", {"weight_decay": 0.1, "maximize": True}),
]
IDS = [f"{name}-{'-'.join(f'{k}={v}' for k, v in options.items()) or 'defaults'}" for name, options in CONFIGURATIONS]
every_configuration = pytest.mark.parametrize(("name", "options"), CONFIGURATIONS, ids=IDS)


class Pair:
    """The same parameters here and in PyTorch, and gradients for both."""

    def __init__(self, shapes: tuple[tuple[int, ...], ...] = SHAPES, dtype: str = "float64", seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        values = [np.array(self.rng.normal(size=shape), dtype) for shape in shapes]
        self.ours: list[Tensor] = [wrap(v.copy(), None).requires_grad_() for v in values]
        self.theirs = [torch.tensor(v).requires_grad_() for v in values]

    def new_gradients(self, absent: tuple[int, ...] = ()) -> None:
        for i, (p, q) in enumerate(zip(self.ours, self.theirs, strict=True)):
            g = np.array(self.rng.normal(size=p.value.shape), p.value.dtype)
            p.grad = None if i in absent else wrap(g, None)
            q.grad = None if i in absent else torch.tensor(g)

    def optimisers(self, name: str, options: dict[str, Any], first_group: int | None = None) -> tuple[Any, Any]:
        def groups(params: list[Any]) -> list[Any]:
            if first_group is None:
                return params
            return [{"params": params[:first_group]}, {"params": params[first_group:], "lr": 0.02, "weight_decay": 0.2}]

        made = getattr(optim, name)(groups(self.ours), **{"lr": 0.05, **options})
        return made, getattr(torch.optim, name)(groups(self.theirs), **{"lr": 0.05, **options}, foreach=False)

    def assert_equal(self, rtol: float = 1e-12) -> None:
        for p, q in zip(self.ours, self.theirs, strict=True):
            np.testing.assert_allclose(p.value, q.detach().numpy(), rtol=rtol, atol=rtol)


def to_torch(state: Any) -> Any:
    """A state_dict of ours with PyTorch's tensors in it."""
    if isinstance(state, Tensor):
        return torch.tensor(state.value)
    if isinstance(state, dict):
        return {key: to_torch(value) for key, value in state.items()}
    return [to_torch(part) for part in state] if isinstance(state, list) else state


@every_configuration
def test_an_optimiser_takes_pytorchs_steps(name: str, options: dict[str, Any]) -> None:
    pair = Pair()
    ours, theirs = pair.optimisers(name, options)
    for _ in range(STEPS):
        pair.new_gradients()
        ours.step()
        theirs.step()
        pair.assert_equal()


@every_configuration
def test_groups_changed_rates_and_absent_gradients_change_nothing(name: str, options: dict[str, Any]) -> None:
    pair = Pair()
    ours, theirs = pair.optimisers(name, options, first_group=2)
    for step in range(STEPS):
        pair.new_gradients(absent=[(), (0, 4), (1, 2, 3), (5,), (0, 1, 2, 3, 4, 5)][step % 5] if step != 7 else ())
        for optimiser in (ours, theirs):
            optimiser.param_groups[0]["lr"] *= 0.9
            optimiser.param_groups[1]["weight_decay"] = 0.1 * (step % 2)
            optimiser.step()
        pair.assert_equal()


@every_configuration
def test_a_parameter_larger_than_a_block_takes_the_same_steps(name: str, options: dict[str, Any]) -> None:
    pair = Pair(((3, 30_000), (7,), (33_000,)))
    ours, theirs = pair.optimisers(name, options)
    for _ in range(4):
        pair.new_gradients()
        ours.step()
        theirs.step()
        pair.assert_equal()


@every_configuration
def test_float32_steps_stay_within_rounding_of_pytorchs(name: str, options: dict[str, Any]) -> None:
    pair = Pair(dtype="float32")
    ours, theirs = pair.optimisers(name, options)
    for _ in range(STEPS):
        pair.new_gradients()
        ours.step()
        theirs.step()
    assert all(p.value.dtype == np.float32 for p in pair.ours)
    # both round each of the steps: a few eps of the size of a parameter for each, times the steps
    pair.assert_equal(rtol=STEPS * 8 * float(np.finfo(np.float32).eps))


@every_configuration
def test_a_state_goes_to_pytorch_and_back(name: str, options: dict[str, Any]) -> None:
    pair = Pair()
    ours, theirs = pair.optimisers(name, options, first_group=2)
    for _ in range(5):
        pair.new_gradients(absent=(3,))
        ours.step()
        theirs.step()
    mine, its = ours.state_dict(), theirs.state_dict()
    assert mine["state"].keys() == its["state"].keys()
    for key, entry in its["state"].items():
        assert list(mine["state"][key]) == list(entry)
        for part, value in entry.items():
            np.testing.assert_allclose(mine["state"][key][part].value, value.numpy(), rtol=1e-12, atol=1e-15)
            assert str(mine["state"][key][part].value.dtype) == str(value.numpy().dtype)
    assert [{**g, "foreach": None} for g in its["param_groups"]] == mine["param_groups"]

    exchanged = Pair(seed=1)
    for p, q, value in zip(exchanged.ours, exchanged.theirs, pair.ours, strict=True):
        p.value[...] = value.value
        q.data.copy_(torch.tensor(value.value))
    ours, theirs = exchanged.optimisers(name, {}, first_group=2)
    theirs.load_state_dict(to_torch(mine))
    ours.load_state_dict(its)
    for _ in range(5):
        exchanged.new_gradients()
        ours.step()
        theirs.step()
        exchanged.assert_equal()


def test_adamw_stays_decoupled_when_it_loads_adams_state() -> None:
    pair = Pair()
    ours, theirs = pair.optimisers("Adam", {"weight_decay": 0.1})
    pair.new_gradients()
    ours.step()
    theirs.step()
    decoupled = optim.AdamW(pair.ours), torch.optim.AdamW(pair.theirs)
    decoupled[0].load_state_dict(ours.state_dict())
    decoupled[1].load_state_dict(theirs.state_dict())
    pair.new_gradients()
    for optimiser in decoupled:
        assert optimiser.param_groups[0]["decoupled_weight_decay"] is True
        optimiser.step()
    pair.assert_equal()


def test_rates_given_as_tensors_are_read_at_each_step() -> None:
    pair = Pair()
    ours = optim.Adam(pair.ours, lr=wrap(np.array(0.05), None))
    theirs = torch.optim.Adam(pair.theirs, lr=torch.tensor(0.05, dtype=torch.float64), foreach=False)
    for _ in range(5):
        pair.new_gradients()
        ours.step()
        theirs.step()
        ours.param_groups[0]["lr"].value *= 0.5
        theirs.param_groups[0]["lr"] *= 0.5
        pair.assert_equal()


def test_the_representation_is_pytorchs() -> None:
    pair = Pair()
    ours, theirs = pair.optimisers("Adam", {"weight_decay": 0.1}, first_group=2)
    assert repr(ours) == repr(theirs).replace("foreach: False", "foreach: None")


INVALID: list[tuple[str, dict[str, Any]]] = [
    *[(name, {"lr": -1.0}) for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta")],
    *[(name, {"weight_decay": -1.0}) for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta")],
    *[(name, {"eps": -1.0}) for name in ("Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta")],
    ("SGD", {"momentum": -0.5}),
    ("RMSprop", {"momentum": -0.5}),
    ("SGD", {"nesterov": True}),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    ("Adam", {"betas": (1.0, 0.999)}),
    ("Adam", {"betas": (0.9, -0.1)}),
    ("Adam", {"betas": (0, 0.999)}),
    ("RMSprop", {"alpha": -0.1}),
    ("Adagrad", {"lr_decay": -0.1}),
    ("Adagrad", {"initial_accumulator_value": -0.1}),
    ("Adadelta", {"rho": 1.5}),
    ("Adam", {"foreach": True, "fused": True}),
    ("SGD", {"foreach": True, "fused": True}),
]


@pytest.mark.parametrize(("name", "options"), INVALID)
def test_an_invalid_option_raises_what_pytorch_raises(name: str, options: dict[str, Any]) -> None:
    pair = Pair()
    with pytest.raises((ValueError, RuntimeError)) as its:
        getattr(torch.optim, name)(pair.theirs, **options)
    with pytest.raises(its.type) as mine:
        getattr(optim, name)(pair.ours, **options)
    assert str(mine.value).startswith(str(its.value))


def test_wrong_parameters_raise_what_pytorch_raises() -> None:
    pair = Pair()

    def cases(module: Any, p: list[Any]) -> dict[str, Any]:
        adam = module.Adam
        return {
            "no parameters": lambda: adam([]),
            "a tensor": lambda: adam(p[0]),
            "a set": lambda: adam([{"params": set(p)}]),
            "no tensors": lambda: adam([1.0]),
            "a result": lambda: adam([p[0] * 2]),
            "twice": lambda: adam([{"params": p[:2]}, {"params": p[1:]}]),
            "half named": lambda: adam([("a", p[0]), p[1]]),
            "one group named": lambda: adam([{"params": [("a", p[0])]}, {"params": p[1:]}]),
            "no group": lambda: adam(p[:1]).add_param_group(p[1:]),
            "fewer groups": lambda: adam(p).load_state_dict(adam([{"params": p[:1]}, {"params": p[1:]}]).state_dict()),
            "fewer parameters": lambda: adam(p).load_state_dict(adam(p[:1]).state_dict()),
        }

    for what, call in cases(torch.optim, pair.theirs).items():
        with pytest.raises((ValueError, TypeError)) as its:
            call()
        with pytest.raises(its.type) as mine:
            cases(optim, pair.ours)[what]()
        wanted = str(its.value).replace("torch.FloatTensor", "Tensor").replace("torch.DoubleTensor", "Tensor")
        assert str(mine.value).startswith(wanted.split(" but got ")[0].split(". Please")[0]), what


def test_named_parameters_keep_their_names_in_the_state() -> None:
    pair = Pair()
    ours = optim.Adam(list(zip("abcdef", pair.ours, strict=True)))
    theirs = torch.optim.Adam(list(zip("abcdef", pair.theirs, strict=True)))
    assert ours.state_dict() == theirs.state_dict()
    unnamed = optim.Adam(pair.ours).state_dict()
    ours.load_state_dict(unnamed)
    assert ours.param_groups[0]["param_names"] == list("abcdef")
