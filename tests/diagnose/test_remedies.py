"""Remedies: tried on copies, recommended only where they improve, and nothing of the user's changed."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.diagnose import Measured, Trials, gradients, remedies, report
from chainrule.diagnose.candidates import EVERY, FAMILIES, Case, candidates
from chainrule.diagnose.candidates.normalisation import hidden
from chainrule.diagnose.candidates.residual import straight
from chainrule.diagnose.candidates.rewriting import with_other_functions
from chainrule.diagnose.remedies import improves
from chainrule.errors import ArgumentError
from chainrule.notation.words.words import words


def stack(depth: int, activation: type[nn.Module], std: float, width: int = 16) -> nn.Sequential:
    cr.manual_seed(1)
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(width, width)
        nn.init.normal_(linear.weight, std=std / width**0.5)
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers, nn.Linear(width, 1))


def data(scale: float = 1.0) -> list[tuple[cr.Tensor, cr.Tensor]]:
    cr.manual_seed(2)
    xs = [cr.randn(64, 16) for _ in range(3)]
    return [(scale * x, x[:, :1] - x[:, 1:2]) for x in xs]


def test_a_sigmoids_cap_is_mended_by_the_activation_and_not_by_an_initialisation() -> None:
    model = stack(15, nn.Sigmoid, 1.0)
    tried = remedies(model, F.mse_loss, data(), optim.Adam(model.parameters(), 1e-3), steps=30)
    assert tried.recommended is not None
    assert tried.recommended.name in ("tanh with Xavier initialisation", "ReLU with He initialisation")
    assert not any(one.name in ("Xavier initialisation", "orthogonal initialisation") for one in tried.tried)


def test_small_weights_are_mended_by_an_initialisation_and_not_by_the_activation() -> None:
    model = stack(15, nn.Tanh, 0.2)
    tried = remedies(model, F.mse_loss, data(), optim.Adam(model.parameters(), 1e-3), steps=30)
    assert tried.recommended is not None
    assert any("initialisation" in one.name for one in tried.improving)
    assert not any("tanh" in one.name or "ReLU" in one.name for one in tried.tried)
    trial = tried.recommended
    assert trial.after.end is not None
    assert trial.before.end is not None
    assert trial.after.end < 0.9 * trial.before.end
    assert abs(trial.after.log_gain) < abs(trial.before.log_gain)


def test_without_steps_the_gradient_alone_is_judged() -> None:
    tried = remedies(stack(15, nn.Tanh, 0.2), F.mse_loss, data())
    assert tried.recommended is not None
    assert tried.recommended.after.end is None


def test_applying_a_remedy_and_training_gives_the_printed_loss() -> None:
    model, batches = stack(12, nn.Tanh, 0.2), data()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    best = remedies(model, F.mse_loss, batches, optimizer, steps=9).tried[0]
    changed, stepping = best.apply(model, optimizer)
    assert stepping is not None
    assert stepping.param_groups[0]["momentum"] == 0.9
    for step in range(9):
        x, y = batches[step % 2]
        stepping.zero_grad()
        F.mse_loss(changed(x), y).backward()
        stepping.step()
    assert F.mse_loss(changed(batches[2][0]), batches[2][1]).item() == best.after.end


def test_the_code_of_an_initialisation_runs_and_mends() -> None:
    model = stack(15, nn.Tanh, 0.2)
    best = next(one for one in remedies(model, F.mse_loss, data()).tried if one.name == "Xavier initialisation")
    exec(best.code, {"nn": nn, "model": model})
    assert gradients(model, F.mse_loss, data()).findings == ()


@pytest.mark.parametrize(
    ("activation", "std"), [(nn.Sigmoid, 1.0), (nn.Tanh, 0.2), (nn.Tanh, 20.0), (nn.ReLU, 0.3), (nn.ReLU, 6.0)]
)
def test_the_code_of_every_remedy_runs(activation: type[nn.Module], std: float) -> None:
    model = stack(12, activation, std)
    optimizer = optim.Adam(model.parameters(), 1e-3)
    tried = remedies(model, F.mse_loss, data(), optimizer).tried
    assert tried
    for one in tried:
        assert one.failure == ""
        mine = deepcopy(model)
        names = {"nn": nn, "optim": optim, "model": mine, "inputs": data()[0][0]}
        names["optimizer"] = optim.Adam(mine.parameters(), 1e-3)
        if "loss.backward" not in one.code:
            exec(one.code, names)
            assert mine(data()[0][0]).shape == (64, 1)


def test_unscaled_inputs_are_mended_by_standardising() -> None:
    model = stack(2, nn.Tanh, 1.0)
    tried = remedies(model, F.mse_loss, data(300.0), optim.Adam(model.parameters(), 1e-2), steps=40)
    assert tried.recommended is not None
    assert tried.recommended.name == "standardised inputs"


def test_nothing_is_tried_on_a_healthy_network() -> None:
    model = stack(5, nn.Tanh, 1.0)
    tried = remedies(model, F.mse_loss, data(), optim.Adam(model.parameters(), 1e-3), steps=3)
    assert tried.tried == ()
    assert tried.recommended is None


def test_model_optimizer_and_generators_stay_as_they_are() -> None:
    model = stack(12, nn.Sigmoid, 1.0)
    optimizer = optim.Adam(model.parameters(), 1e-3)
    batches = data()
    F.mse_loss(model(batches[0][0]), batches[0][1]).backward()
    optimizer.step()

    def everything() -> list[bytes]:
        tensors = [*model.state_dict().values(), *[p.grad for p in model.parameters()]]
        tensors += [v for entry in optimizer.state.values() for v in entry.values()]
        arrays = [np.asarray(getattr(t, "value", t)).tobytes() for t in tensors]
        return [*arrays, cr.get_rng_state().numpy().tobytes(), str(np.random.get_state()).encode()]

    before, kinds = everything(), repr(model)
    remedies(model, F.mse_loss, batches, optimizer, steps=2)
    assert everything() == before
    assert repr(model) == kinds


def test_steps_without_an_optimizer_are_refused() -> None:
    with pytest.raises(ArgumentError, match="only with an optimizer"):
        remedies(stack(2, nn.Tanh, 1.0), F.mse_loss, data(), steps=5)


def test_negative_steps_are_refused() -> None:
    with pytest.raises(ArgumentError, match="0 or more"):
        remedies(stack(2, nn.Tanh, 1.0), F.mse_loss, data(), steps=-1)


def tried_names(tried: Trials) -> list[str]:
    return [one.name for one in tried.tried]


def run_code(code: str, model: nn.Module) -> nn.Module:
    names = {"cr": cr, "nn": nn, "optim": optim, "model": model, "inputs": data()[0][0], "x_train": data()[0][0]}
    exec(code, names)
    return names["model"]  # type: ignore[return-value]


# what makes it worse is not tried ---------------------------------------------------------------------------------


def test_nothing_is_tried_at_a_stationary_point() -> None:
    model, (x, _) = stack(3, nn.Tanh, 1.0), data()[0]
    with cr.no_grad():
        batch = (cr.cat([x, x]), cr.cat([model(x) + 0.3, model(x) - 0.3]))
    found = gradients(model, F.mse_loss, batch)
    assert [one.cause for one in found.findings] == ["stationary point"]
    assert remedies(model, F.mse_loss, batch, optim.Adam(model.parameters(), 1e-3), steps=3).tried == ()


def test_a_vanishing_gradient_is_not_clipped() -> None:
    model = Looped(0.3)
    found = gradients(model, F.mse_loss, sequences())
    assert [(one.cause, one.mechanism) for one in found.findings] == [("vanishing", "recurrence")]
    assert "recurrence" in FAMILIES
    assert "clipping" in FAMILIES["recurrence"]
    tried = remedies(model, F.mse_loss, sequences(), optim.Adam(model.parameters(), 1e-2), steps=2)
    assert tried_names(tried) == ["orthogonal recurrent weights"]


def measured(log_gain: float, causes: str, start: float, end: float | None) -> Measured:
    return Measured(log_gain, abs(log_gain), tuple(causes.split()), start, end)


def test_a_loss_that_stays_huge_under_a_clipped_gradient_is_no_improvement() -> None:
    before = measured(64.0, "exploding", 1e27, 1e27)
    assert not improves(before, measured(64.0, "exploding", 1e27, 4e25))
    assert improves(before, measured(2.0, "", 1.0, 0.5))


def test_of_two_faults_the_mend_of_one_counts_where_training_improves() -> None:
    before = measured(-19.0, "vanishing rate", 2.3, 2.4)
    assert improves(before, measured(-19.0, "vanishing", 2.3, 1.7))
    assert not improves(before, measured(-19.0, "vanishing", 2.3, 2.3))
    assert not improves(before, measured(-29.0, "vanishing", 2.3, 1.7))
    assert not improves(before, measured(-19.0, "vanishing rate", 2.3, 1.7))


def test_without_steps_half_the_log_gain_and_a_cause_less_are_asked_for() -> None:
    before = measured(-40.0, "vanishing", 2.3, None)
    assert improves(before, measured(-19.0, "", 2.3, None))
    assert not improves(before, measured(-21.0, "", 2.3, None))
    assert not improves(before, measured(-19.0, "vanishing", 2.3, None))
    assert not improves(before, measured(float("nan"), "", 2.3, None))


# recurrence -------------------------------------------------------------------------------------------------------


class Looped(nn.Module):
    """A recurrence as users write it; `gain` times a random matrix."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        cr.manual_seed(3)
        self.inward, self.step, self.head = nn.Linear(2, 12), nn.Linear(12, 12, bias=False), nn.Linear(12, 1)
        nn.init.normal_(self.step.weight, std=gain / 12**0.5)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        h = cr.zeros(x.shape[0], 12)
        for t in range(x.shape[1]):
            h = cr.tanh(self.inward(x[:, t]) + self.step(h))
        return self.head(h)


class Tokens(nn.Module):
    """Reads both results of a recurrent layer."""

    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn, self.head = rnn, nn.Linear(12, 1)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        outputs, h = self.rnn(x, cr.zeros(1, x.shape[0], 12))
        return self.head(0.5 * (outputs[:, -1] + h[0]))


def sequences(steps: int = 30) -> list[tuple[cr.Tensor, cr.Tensor]]:
    """What was the first input?"""
    rng = np.random.default_rng(4)
    size = np.array([1.0, *[0.1] * (steps - 1)])[:, None]
    xs = [cr.tensor((size * rng.standard_normal((32, steps, 2))).astype(np.float32)) for _ in range(4)]
    return [(x, x[:, 0, :1]) for x in xs]


def test_a_loop_of_the_users_gets_an_orthogonal_matrix_and_learns() -> None:
    model = Looped(0.5)
    tried = remedies(model, F.mse_loss, sequences(), optim.Adam(model.parameters(), 1e-2), steps=80)
    assert tried.recommended is not None
    assert tried.recommended.code == "nn.init.orthogonal_(model.step.weight)"
    run_code(tried.recommended.code, model)
    w = model.step.weight.detach().numpy()
    np.testing.assert_allclose(w @ w.T, np.eye(12), atol=1e-5)


@pytest.mark.parametrize("name", ["LSTM in place of RNN", "GRU in place of RNN"])
def test_an_rnn_is_exchanged_for_a_layer_with_gates_of_the_same_interface(name: str) -> None:
    cr.manual_seed(5)
    model = Tokens(nn.RNN(2, 12, batch_first=True))
    nn.init.normal_(model.rnn.weight_hh_l0, std=0.05)
    tried = remedies(model, F.mse_loss, sequences(), optim.Adam(model.parameters(), 1e-2), steps=80)
    trial = next(one for one in tried.tried if one.name == name)
    assert trial.failure == ""
    assert trial.improves
    changed, _ = trial.apply(model)
    assert isinstance(changed.rnn, nn.LSTM | nn.GRU)
    assert isinstance(model.rnn, nn.RNN)
    mine = run_code(trial.code, deepcopy(model))
    assert mine(sequences()[0][0]).shape == (32, 1)
    assert mine.rnn.bias_ih_l0[12:24].tolist() == changed.rnn.bias_ih_l0[12:24].tolist() == [3.0] * 12


# modules of the user's --------------------------------------------------------------------------------------------


class Functional(nn.Module):
    """Layers as attributes and in a list, activations as functions."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        cr.manual_seed(6)
        self.first = nn.Linear(16, 16)
        self.blocks = nn.ModuleList([nn.Linear(16, 16) for _ in range(depth)])
        self.head = nn.Linear(16, 1)
        for layer in [self.first, *self.blocks]:
            nn.init.normal_(layer.weight, std=0.005)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        x = cr.tanh(self.first(x))
        for block in self.blocks:
            x = cr.tanh(block(x))
        return self.head(x)


@pytest.mark.parametrize("depth", [2, 9])
@pytest.mark.parametrize("name", ["normalisation", "residual connections"])
def test_layers_of_a_users_module_are_wrapped_and_the_code_does_what_was_tried(name: str, depth: int) -> None:
    model = Functional(depth)
    trial = next(one for one in remedies(model, F.mse_loss, data()).tried if one.name == name)
    assert trial.failure == ""
    changed, _ = trial.apply(model)
    mine = run_code(trial.code, deepcopy(model))
    x = data()[0][0]
    np.testing.assert_array_equal(mine(x).detach().numpy(), changed(x).detach().numpy())
    assert not np.array_equal(mine(x).detach().numpy(), model(x).detach().numpy())


def test_few_changed_layers_are_written_out_by_their_names() -> None:
    trial = next(one for one in remedies(Functional(2), F.mse_loss, data()).tried if one.name == "normalisation")
    assert trial.code.splitlines() == [
        "model.first = nn.Sequential(model.first, nn.LayerNorm(16))",
        "model.blocks[0] = nn.Sequential(model.blocks[0], nn.LayerNorm(16))",
        "model.blocks[1] = nn.Sequential(model.blocks[1], nn.LayerNorm(16))",
    ]


def test_layers_that_run_at_each_step_and_the_last_one_get_no_norm() -> None:
    found = gradients(Looped(0.3), F.mse_loss, sequences())
    assert hidden(Case(Looped(0.3), None, sequences(), found)) == []


def test_parts_of_the_librarys_own_modules_are_left_in_their_places() -> None:
    cr.manual_seed(7)
    model = nn.Sequential(nn.TransformerEncoderLayer(16, 2, 16, 0.0, batch_first=True), nn.Flatten(), nn.Linear(16, 1))
    batches = [(x[:, None], y) for x, y in data()]
    case = Case(model, None, batches, gradients(model, F.mse_loss, batches))
    assert "0.linear1" in case.seen
    assert hidden(case) == []
    assert straight(case) == []


def test_blocks_of_the_users_are_bypassed_as_a_whole() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return self.b(cr.tanh(self.a(x)))

    model = nn.Sequential(Block(), Block(), nn.Linear(16, 1))
    assert straight(Case(model, None, data(), gradients(model, F.mse_loss, data()))) == [("0", ""), ("1", "")]


class Called(nn.Module):
    """Sigmoids as functions, and one behind the output, which is a probability."""

    def __init__(self) -> None:
        super().__init__()
        cr.manual_seed(10)
        self.blocks = nn.ModuleList([nn.Linear(16, 16) for _ in range(9)])
        self.head = nn.Linear(16, 1)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        for block in self.blocks[:4]:
            x = cr.sigmoid(block(x))
        for block in self.blocks[4:]:
            x = block(x).sigmoid()
        return F.sigmoid(self.head(x))


def test_an_activation_that_is_called_as_a_function_is_exchanged_in_the_users_code() -> None:
    model = Called()
    batches = [(x, (y > 0).to(cr.float32)) for x, y in data()]
    tried = remedies(model, F.binary_cross_entropy, batches)
    trial = next(one for one in tried.tried if one.name == "ReLU with He initialisation")
    assert trial.improves
    lines = trial.code.splitlines()
    assert [line for line in lines if "relu(" in line] == ["x = cr.relu(block(x))", "x = block(x).relu()"]
    changed, _ = trial.apply(model)
    y = changed(batches[0][0])
    assert y.min().item() > 0
    assert y.max().item() < 1
    assert type(model) is Called


def test_a_module_that_is_called_tanh_is_exchanged_as_a_module() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.sigmoid, self.head = nn.Linear(16, 16), nn.Sigmoid(), nn.Linear(16, 1)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return self.head(self.sigmoid(self.layer(x)))

    model = Named()
    case = Case(model, None, data(), gradients(model, F.mse_loss, data()))
    changed, _ = next(iter(candidates("activation", case))).apply(model)
    assert isinstance(changed.sigmoid, nn.ReLU)
    assert changed(data()[0][0]).shape == (64, 1)


def test_of_a_compiled_model_remedies_are_tried_on_the_model_that_was_compiled() -> None:
    plain = Called()
    tried = remedies(plain, F.mse_loss, data())
    compiled = remedies(cr.compile(Called()), F.mse_loss, data())
    assert [(one.name, one.after, one.failure) for one in compiled.tried] == [
        (one.name, one.after, one.failure) for one in tried.tried
    ]
    changed, _ = compiled.tried[0].apply(cr.compile(Called()))
    np.testing.assert_array_equal(
        changed(data()[0][0]).detach().numpy(), tried.tried[0].apply(plain)[0](data()[0][0]).detach().numpy()
    )


def test_an_activation_in_code_that_closes_over_variables_is_not_exchanged() -> None:
    class Closed(Called):
        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return super().forward(x)

    assert "ReLU with He initialisation" not in tried_names(remedies(Closed(), F.mse_loss, data()))


class Defaulted(Called):
    """A default that only the class's own body can evaluate."""

    size = 1.0

    def forward(self, x: cr.Tensor, size: float = size) -> cr.Tensor:
        for block in self.blocks:
            x = cr.sigmoid(block(size * x))
        return self.head(x)


class Private(Called):
    """Two underscores mean another name outside of the class."""

    __size = 1.0

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        for block in self.blocks:
            x = cr.sigmoid(block(self.__size * x))
        return self.head(x)


class UsersSigmoid(nn.Sigmoid):
    """Runs the library's forward."""


def test_a_rewritten_method_keeps_the_defaults_that_the_user_evaluated() -> None:
    trial = next(
        one for one in remedies(Defaulted(), F.mse_loss, data()).tried if one.name == "ReLU with He initialisation"
    )
    assert trial.failure == ""
    assert "x = cr.relu(block(size * x))" in trial.code


def test_a_method_with_private_names_is_not_rewritten() -> None:
    assert "ReLU with He initialisation" not in tried_names(remedies(Private(), F.mse_loss, data()))


def test_the_librarys_own_code_is_not_rewritten() -> None:
    assert with_other_functions(nn.Sequential(nn.Linear(2, 2), UsersSigmoid()), ["sigmoid"], "relu") == []
    assert with_other_functions(Called(), ["sigmoid"], "relu") != []


def test_the_code_of_lsuv_brings_every_layer_to_size_1_as_what_was_tried_does() -> None:
    model, (x, _) = stack(3, nn.Sigmoid, 1.0), data()[0]
    case = Case(model, None, data(), gradients(model, F.mse_loss, data()))
    (lsuv,) = [one for one in candidates("initialisation", case) if one.name == "LSUV initialisation"]
    for changed in (run_code(lsuv.code, deepcopy(model)), lsuv.apply(model)[0]):
        h = x
        for layer in changed.children():
            h = layer(h)
            if isinstance(layer, nn.Linear):
                assert h.square().mean().sqrt().item() == pytest.approx(1.0, rel=1e-3)


# numbers out of range ---------------------------------------------------------------------------------------------


class LogSumExp(nn.Module):
    """Without the shift by the maximum: exp(x) is infinite above 88.7 in float32, above 709 in float64."""

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return cr.log(cr.exp(x).sum(1, keepdim=True))


def test_an_overflow_of_float32_is_mended_by_float64() -> None:
    cr.manual_seed(8)
    model = nn.Sequential(nn.Linear(16, 8), LogSumExp(), nn.Linear(1, 1))
    with cr.no_grad():
        model[0].weight.mul_(150)
    tried = remedies(model, F.mse_loss, data())
    assert tried.recommended is not None
    assert tried.recommended.name == "float64 arithmetic"
    mine = run_code(tried.recommended.code, deepcopy(model))
    assert mine(data()[0][0]).dtype is cr.float64
    assert gradients(mine, F.mse_loss, data()).findings == ()
    assert model[0].weight.dtype is cr.float32


def test_float64_shows_a_quarter_to_the_75_and_is_not_recommended_for_it() -> None:
    layers: list[nn.Module] = []
    for _ in range(80):
        linear = nn.Linear(8, 8)
        with cr.no_grad():
            linear.weight.copy_(cr.eye(8))
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Sigmoid()]
    model = nn.Sequential(*layers, nn.Linear(8, 1))
    batches = [(x[:, :8], y) for x, y in data()]
    assert gradients(model, F.mse_loss, batches).ledger.ends_at is not None
    wide = next(one for one in remedies(model, F.mse_loss, batches).tried if one.name == "float64 arithmetic")
    assert wide.after.log_gain < 75 * np.log(0.25)
    assert not wide.improves


def test_float16_is_widened_to_float32() -> None:
    model = stack(12, nn.Tanh, 0.05).half()
    batches = [(x.half(), y.half()) for x, y in data()]
    assert "float32 arithmetic" in tried_names(remedies(model, F.mse_loss, batches))


# code of the user's -----------------------------------------------------------------------------------------------


class MaskedRoot(nn.Module):
    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return cr.where(x > 0, cr.sqrt(x), cr.zeros_like(x))


class NamedRoot(nn.Module):
    def forward(self, x: cr.Tensor) -> cr.Tensor:
        root = x.sqrt()
        return cr.where(x <= 0, 0.0, root)


class LogOfRelu(nn.Module):
    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return cr.log(F.relu(x))


def headed(middle: nn.Module) -> nn.Sequential:
    cr.manual_seed(9)
    return nn.Sequential(nn.Linear(16, 16), middle, nn.Linear(16, 1))


@pytest.mark.parametrize(
    ("middle", "line"),
    [
        (MaskedRoot(), "return cr.where(x > 0, cr.sqrt(cr.where(x > 0, x, 0.5)), cr.zeros_like(x))"),
        (NamedRoot(), "root = cr.where(x <= 0, 0.5, x).sqrt()"),
        (LogOfRelu(), "return cr.log(F.relu(x).clamp(min=1e-06))"),
    ],
)
def test_an_operand_is_made_safe_in_the_line_that_is_shown(middle: nn.Module, line: str) -> None:
    model = headed(middle)
    forward = type(middle).forward
    tried = remedies(model, F.mse_loss, data(), optim.Adam(model.parameters(), 1e-3), steps=60)
    assert tried.recommended is not None
    place, shown = tried.recommended.code.splitlines()
    assert place.startswith(f"# {type(middle).__name__}.forward, test_remedies.py:")
    assert shown == line
    changed, _ = tried.recommended.apply(model)
    assert isinstance(changed[1], type(middle))
    assert type(middle).forward is forward
    assert type(model[1]) is type(middle)
    assert gradients(changed, F.mse_loss, data()).findings == ()


def test_a_masked_root_keeps_its_values_and_gets_the_gradient_of_its_open_places() -> None:
    model = headed(MaskedRoot())
    changed, _ = next(iter(remedies(model, F.mse_loss, data()).tried)).apply(model)
    x = cr.tensor([-1.0, 0.0, 0.25, 4.0], requires_grad=True)
    y = changed[1](x)
    y.sum().backward()
    assert y.tolist() == [0.0, 0.0, 0.5, 2.0]
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, 1.0, 0.25]


def test_what_where_masks_is_not_kept_above_0_for_all_elements() -> None:
    assert tried_names(remedies(headed(NamedRoot()), F.mse_loss, data())) == [
        "a safe operand inside where",
        "float64 arithmetic",
    ]


def test_code_that_closes_over_variables_is_not_rewritten() -> None:
    above = 0.0

    class Closed(nn.Module):
        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return cr.where(x > above, cr.sqrt(x), cr.zeros_like(x))

    tried = remedies(headed(Closed()), F.mse_loss, data())
    assert tried_names(tried) == ["float64 arithmetic"]
    assert tried.recommended is None


# in both languages ------------------------------------------------------------------------------------------------


def test_every_mechanism_with_a_remedy_has_a_chinese_name() -> None:
    assert FAMILIES.keys() <= words("zh").diagnosis.names.keys()


def test_every_candidate_has_a_name_and_a_reason_in_chinese() -> None:
    recurrent = Tokens(nn.RNN(2, 12, batch_first=True))
    lstm = nn.Sequential(nn.LSTM(2, 12))
    models = [stack(4, kind, 1.0) for kind in (nn.Sigmoid, nn.Tanh, nn.ReLU)]
    models += [stack(4, nn.Tanh, 1.0).half()]
    cases = [(one, data()) for one in models] + [(recurrent, sequences()), (Looped(0.3), sequences())]
    cases += [(headed(MaskedRoot()), data()), (headed(LogOfRelu()), data())]
    found: dict[str, str] = {}
    for model, batches in cases:
        given = [(x.half(), y.half()) for x, y in batches] if model is models[-1] else batches
        case = Case(model, optim.Adam(model.parameters(), 1e-3), given, gradients(model, F.mse_loss, given))
        found |= {one.name: one.reason for family in EVERY for one in candidates(family, case)}
    gated = Case(lstm, None, sequences(), gradients(Looped(0.3), F.mse_loss, sequences()))
    found |= {one.name: one.reason for one in candidates("recurrent", gated)}
    assert len(found) == 27
    chinese = words("zh").diagnosis.names
    assert [name for name in found if name not in chinese] == []
    assert [reason for reason in found.values() if reason not in chinese] == []


def test_the_report_gives_the_reason_in_the_readers_language() -> None:
    model = stack(15, nn.Tanh, 0.2)
    found, tried = gradients(model, F.mse_loss, data()), remedies(model, F.mse_loss, data())
    assert tried.recommended is not None
    assert tried.recommended.reason in report.text(found, "en", trials=tried)
    assert words("zh").diagnosis.name(tried.recommended.reason) in report.text(found, "zh", trials=tried)
    assert tried.recommended.reason in report.as_json(found, tried)


def test_a_rate_far_too_large_is_mended_by_the_rate_that_fits_the_weights() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    x = cr.randn(256, 16)
    y = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    tried = remedies(model, F.cross_entropy, (x, y), optim.SGD(model.parameters(), lr=1e6), steps=20)
    factors = [float(name.rpartition(" ")[2]) for name in tried_names(tried) if name.startswith("learning rate")]
    assert sorted(factors) == [1e-9, 0.001, 0.01, 0.1]
    assert "learning rate x 1e-09" in [trial.name for trial in tried.tried if trial.improves]
