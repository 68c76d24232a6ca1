"""Batches, bad input, and the promise that nothing of the user's changes."""

from __future__ import annotations

import random

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.diagnose import gradients
from chainrule.errors import ArgumentError, ArgumentTypeError, GraphError, ShapeError, UnsupportedError


def network() -> nn.Sequential:
    cr.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))


def batch() -> tuple[cr.Tensor, cr.Tensor]:
    return cr.randn(6, 4), cr.randint(0, 3, (6,))


# ---- nothing changes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_model_gradients_buffers_optimizer_and_generators_stay_as_they_are(training: bool) -> None:
    model = network().train(training)
    model[4].bias.requires_grad_(False)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    x, y = batch()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    called: list[nn.Module] = []
    model[0].register_forward_hook(lambda module, args, output: called.append(module))
    loader = DataLoader(TensorDataset(x, y), batch_size=2, shuffle=True, generator=cr.Generator().manual_seed(5))

    def everything() -> list[object]:
        tensors = [*model.state_dict().values(), *[p.grad for p in model.parameters() if p.grad is not None]]
        state = [v for entry in optimizer.state.values() for v in entry.values()]
        hooks = [(m._hooks is None or (len(m._hooks.before), len(m._hooks.after))) for m in model.modules()]
        return [
            [np.asarray(t.value).tobytes() for t in tensors],
            [np.asarray(getattr(v, "value", v)).tobytes() for v in state],
            [p.requires_grad for p in model.parameters()],
            [m.training for m in model.modules()],
            cr.get_rng_state().numpy().tobytes(),
            loader.generator.get_state().numpy().tobytes(),
            np.random.get_state()[1].tobytes(),
            random.getstate(),
            hooks,
            cr.is_grad_enabled(),
        ]

    identities = [id(p.value) for p in model.parameters()]
    before = everything()
    gradients(model, F.cross_entropy, loader, optimizer)
    assert everything() == before
    assert [id(p.value) for p in model.parameters()] == identities
    assert model[0] not in called  # the hook ran on copies


def test_a_loss_outside_that_reads_the_model_adds_nothing_to_its_gradients() -> None:
    model = nn.Linear(4, 3)

    def penalised(output: cr.Tensor, target: cr.Tensor) -> cr.Tensor:
        return F.cross_entropy(output, target) + (model.weight * model.weight).sum()

    gradients(model, penalised, batch())
    assert model.weight.grad is None


def test_the_diagnosis_works_inside_no_grad() -> None:
    with cr.no_grad():
        assert gradients(network(), F.cross_entropy, batch()).ledger.ends_at is None


# ---- batches -------------------------------------------------------------------------------------------------


def test_a_tuple_is_one_batch_a_list_several_and_a_loader_as_many_as_it_has() -> None:
    model, one = network(), batch()
    loader = DataLoader(TensorDataset(*batch()), batch_size=2)
    assert gradients(model, F.cross_entropy, one).ledger.batches == 1
    assert gradients(model, F.cross_entropy, [one, batch()]).ledger.batches == 2
    assert gradients(model, F.cross_entropy, loader).ledger.batches == 3
    assert gradients(model, F.cross_entropy, (batch() for _ in range(40))).ledger.batches == 16
    assert gradients(model, F.cross_entropy, (batch() for _ in range(2))).ledger.batches == 2


def test_several_inputs_are_a_tuple_or_a_dictionary() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, left: cr.Tensor, right: cr.Tensor) -> cr.Tensor:
            return self.a(left) + self.b(right)

    x, y = batch()
    by_place = gradients(Two(), F.cross_entropy, ((x, x), y))
    assert len(by_place.inputs) == 2
    assert gradients(Two(), F.cross_entropy, ({"left": x, "right": x}, y)).ledger.batches == 1


@pytest.mark.parametrize("none", [[], iter(())])
def test_no_batch_is_an_error(none: object) -> None:
    with pytest.raises(ArgumentError, match="no batch"):
        gradients(network(), F.cross_entropy, none)


@pytest.mark.parametrize("wrong", [cr.ones(2, 4), 3, "data", {"x": 1}])
def test_batches_of_another_kind_are_an_error(wrong: object) -> None:
    with pytest.raises(ArgumentTypeError, match="batches is one tuple"):
        gradients(network(), F.cross_entropy, wrong)


def test_a_batch_that_is_no_pair_is_an_error_with_its_number() -> None:
    with pytest.raises(ArgumentTypeError, match=r"batch 1 is no pair"):
        gradients(network(), F.cross_entropy, [batch(), (cr.ones(2, 4),)])


def test_batches_of_different_routes_are_an_error() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(3, 3)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            h = x[0]
            for _ in range(x.shape[0]):
                h = cr.tanh(self.hidden(h))
            return h

    def squares(y: cr.Tensor, t: None) -> cr.Tensor:
        return (y * y).sum()

    with pytest.raises(ArgumentError, match="different routes"):
        gradients(Loop(), squares, [(cr.ones(3, 2, 3), None), (cr.ones(5, 2, 3), None)])


# ---- models and losses ---------------------------------------------------------------------------------------


def test_wrong_shapes_raise_what_the_model_raises() -> None:
    with pytest.raises(ShapeError):
        gradients(network(), F.cross_entropy, (cr.ones(6, 5), batch()[1]))


def test_a_model_with_several_outputs_needs_a_loss_that_chooses() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x: cr.Tensor) -> tuple[cr.Tensor, cr.Tensor]:
            y = self.linear(x)
            return y, y * 2

    with pytest.raises(ArgumentTypeError, match=r"does not take what the model returns(.|\n)*outputs\[0\]"):
        gradients(Two(), F.cross_entropy, batch())
    found = gradients(Two(), lambda outputs, t: F.cross_entropy(outputs[0], t), batch())
    assert (found.ledger.depth, len(found.outputs)) == (1, 2)


def test_a_loss_of_several_elements_or_of_no_tensor_is_an_error() -> None:
    with pytest.raises(GraphError, match="the loss is one number"):
        gradients(network(), lambda y, t: F.cross_entropy(y, t, reduction="none"), batch())
    with pytest.raises(ArgumentTypeError, match="returns the loss as a Tensor"):
        gradients(network(), lambda y, t: 0.5, batch())


def test_a_loss_that_reaches_no_parameter_is_an_error() -> None:
    with pytest.raises(GraphError, match="depends on none of the model's parameters"):
        gradients(network(), lambda y, t: F.cross_entropy(y.detach(), t), batch())


def test_a_model_without_layers_or_parameters_and_no_model_are_errors() -> None:
    with pytest.raises(GraphError, match="no layer behind the loss"):
        gradients(nn.LayerNorm(4), lambda y, t: (y * y).sum() + y.sum(), batch())
    with pytest.raises(GraphError, match="no parameters"):
        gradients(nn.ReLU(), F.cross_entropy, batch())
    with pytest.raises(ArgumentTypeError, match=r"only an nn.Module"):
        gradients(lambda x: x, F.cross_entropy, batch())  # type: ignore[arg-type]


def test_one_layer_and_no_activation_are_results() -> None:
    assert gradients(nn.Linear(4, 3), F.cross_entropy, batch()).ledger.total == 0
    ledger = gradients(nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)), F.cross_entropy, batch()).ledger
    assert set(ledger.rows[0].log_gains) == {"weights"}
    assert ledger.rows[0].slope is None


def test_a_frozen_model_is_diagnosed_and_its_parameters_are_marked() -> None:
    found = gradients(network().requires_grad_(False), F.cross_entropy, batch())
    assert all(p.is_frozen for p in found.parameters)
    assert found.ledger.depth == 2


def test_a_compiled_model_is_diagnosed_as_the_eager_one_and_a_compiled_part_is_an_error() -> None:
    model, one = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), batch()
    compiled = cr.compile(model)
    assert gradients(compiled, F.cross_entropy, one) == gradients(model, F.cross_entropy, one)
    with pytest.raises(UnsupportedError, match="compiled module inside"):
        gradients(nn.Sequential(compiled), F.cross_entropy, one)


def test_the_result_of_a_function_is_the_output_that_the_last_row_shows() -> None:
    class Doubled(cr.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: cr.Tensor) -> cr.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: object, g: cr.Tensor) -> cr.Tensor:
            return g * 2

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return Doubled.apply(self.linear(x))

    row = gradients(Model(), F.cross_entropy, batch()).ledger.rows[0]
    assert row.a.rms == pytest.approx(2 * row.z.rms)
    assert row.log_gains["other"] == pytest.approx(np.log(2))


def test_unused_and_detached_parameters_have_no_gradient() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused, self.cut = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return self.used(x) + self.cut(x).detach()

    by_name = {p.name: p for p in gradients(Partly(), F.cross_entropy, batch()).parameters}
    assert by_name["used.weight"].gradient is not None
    assert (by_name["unused.weight"].gradient, by_name["unused.weight"].has_run) == (None, False)
    assert (by_name["cut.weight"].gradient, by_name["cut.weight"].has_run) == (None, True)


def test_equal_rows_are_marked_as_symmetric() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    model[0].weight.data = cr.full((5, 4), 0.1)
    model[2].weight.data = cr.full((3, 5), 0.1)
    first, *_ = gradients(model, F.cross_entropy, batch()).parameters
    assert not first.has_symmetric_gradient or first.is_symmetric
    assert first.is_symmetric


# ---- numbers that are not finite -----------------------------------------------------------------------------


def test_inputs_that_are_not_finite_are_the_origin() -> None:
    x, y = batch()
    x[0, 0] = float("nan")
    found = gradients(nn.Linear(4, 3), F.cross_entropy, (x, y))
    assert found.origins[0] is not None
    assert found.origins[0].phase == "inputs"
    assert found.ledger.ends_at is not None
    assert found.ledger.ends_at.why == "non-finite"


def test_a_nan_of_a_masked_where_is_found_at_the_operation_that_makes_it() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            z = self.first(x)
            return self.second(cr.where(z > 0, cr.sqrt(z), cr.zeros_like(z)))

    found = gradients(Masked(), F.cross_entropy, batch()).origins[0]
    assert found is not None
    assert (found.phase, found.op) == ("backward", "sqrt")
    assert "Masked.forward" in found.where


def test_a_logarithm_of_zero_is_the_origin_in_the_forward_pass() -> None:
    class Logs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return self.second(cr.log(F.relu(self.first(x))))

    found = gradients(Logs(), F.cross_entropy, batch()).origins[0]
    assert found is not None
    assert (found.phase, found.op) == ("forward", "log")


# ---- the optimiser -------------------------------------------------------------------------------------------


def test_the_update_ratio_is_that_of_the_optimisers_next_step() -> None:
    cr.manual_seed(1)
    model = nn.Linear(4, 3)
    x, y = batch()
    found = gradients(model, F.cross_entropy, (x, y), optim.SGD(model.parameters(), lr=0.5))
    F.cross_entropy(model(x), y).backward()
    update, weight = 0.5 * model.weight.grad.numpy(), model.weight.detach().numpy()
    expected = np.sqrt(np.mean(update**2) / np.mean(weight**2))
    assert found.optimizer == "SGD"
    assert found.parameters[0].update_ratio == pytest.approx(expected, rel=1e-4)  # of a difference in float32


def test_without_an_optimizer_nothing_is_judged() -> None:
    found = gradients(network(), F.cross_entropy, batch())
    assert found.optimizer is None
    assert all(p.update_ratio is None for p in found.parameters)


def test_an_optimizer_of_other_parameters_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="trains none of the model's parameters"):
        gradients(network(), F.cross_entropy, batch(), optim.SGD(network().parameters(), lr=0.1))
