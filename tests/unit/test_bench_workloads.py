"""The benchmark's rows: what a step of each costs, and that every library runs the same program."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from chainrule.bench.contenders import CONTENDERS, chosen, environment, named
from chainrule.bench.networks import GPT, LSTM, MLP, LeNet, Network, Neuron, initial
from chainrule.bench.programs import torchlike
from chainrule.bench.session import TOLERANCE, distance
from chainrule.bench.worker import batches
from chainrule.bench.workloads import PASSES, ROWS, Goal, Workload, find, select, sweep
from chainrule.errors import UsageError

SMALL_NETWORKS: list[Network] = [
    Neuron(),
    MLP((5, 7, 3), "relu"),
    MLP((4, 6, 6, 2), "tanh", "mse", ends_active=True),
    LeNet(),
    LSTM(3, 4, 5, 2),
    GPT(2, 8, 2, 6, 5),
]
"""One of each kind, small enough to run here."""


@pytest.mark.parametrize(
    ("row", "gigaflop_per_second", "microseconds"),
    [("W2", 115, 0.58), ("W3", 115, 12.5), ("W4/32", 115, 126), ("W4/128", 115, 506), ("W5", 115, 75_000),
     ("W6", 115, 170), ("W7", 115, 844), ("W8", 115, 1168), ("W9", 115, 12_500)],
)  # fmt: skip
def test_the_floors_are_those_for_which_the_goals_were_set(
    row: str, gigaflop_per_second: float, microseconds: float
) -> None:
    assert find(row).flops / gigaflop_per_second / 1e3 == pytest.approx(microseconds, rel=0.006)


def test_the_products_of_a_small_perceptron_counted_by_hand() -> None:
    forward = 2 * (4 * 3 + 3 * 2)
    weights = forward
    inputs = 2 * (3 * 2)  # nobody asks for the gradient of the data
    assert MLP((4, 3, 2)).step_flops(10) == 10 * (forward + weights + inputs)


@pytest.mark.parametrize("network", [n for n in SMALL_NETWORKS if n.kind in ("mlp", "lenet", "gpt")], ids=repr)
def test_flops_are_those_that_pytorch_counts(network: Network) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    program = torch_program(Workload("T", "", network, 3, "sgd"))
    x, y = batches(Workload("T", "", network, 3, "sgd"))[0]
    with FlopCounterMode(display=False) as counter, plain_attention(torch):
        program.step(torch.tensor(x), torch.tensor(y))
    assert network.step_flops(3) == counter.get_total_flops()


def test_flops_of_an_lstm_are_those_of_its_matrix_products() -> None:
    cell = 2 * (4 * 4) * (3 + 4)  # a row of inputs and one of the hidden state, through the weights of four gates
    backward = 2 * (4 * 4) * (3 + 4 + 4)  # both weights' gradients, and that of the hidden state
    head = 3 * 2 * 4 * 2
    assert LSTM(3, 4, 5, 2).step_flops(7) == 7 * (5 * (cell + backward) + head)


def test_an_update_moves_parameters_gradients_and_moments() -> None:
    step = Workload("T", "", MLP((2, 3)), 1, "momentum")
    assert step.parameters == 9
    assert step.update_bytes == 4 * 9 * 5  # p and m read and written, the gradient written
    assert step.update_footprint == 4 * 9 * 3
    assert set(PASSES) == {"sgd", "momentum", "adam", "adamw"}


@pytest.mark.parametrize("network", SMALL_NETWORKS, ids=repr)
def test_weights_have_the_names_and_shapes_of_pytorch(network: Network) -> None:
    pytest.importorskip("torch")
    model, _ = torchlike.MODELS[network.kind](torchlike.load("torch"), network)
    assert {name: tuple(v.shape) for name, v in model.state_dict().items()} == dict(network.parameter_shapes())
    assert {name: array.shape for name, array in initial(network).items()} == dict(network.parameter_shapes())


@pytest.mark.parametrize("network", SMALL_NETWORKS, ids=repr)
@pytest.mark.parametrize("algorithm", ["sgd", "momentum", "adam", "adamw"])
def test_our_step_agrees_with_pytorch(network: Network, algorithm: Any) -> None:
    pytest.importorskip("torch")
    workload = Workload("T", "", network, 4, algorithm)
    ours = dict(torchlike.chainrule_eager(workload))["eager"]()
    start = initial(network)
    assert distance(trained(ours, workload), trained(torch_program(workload), workload), start) < TOLERANCE


@pytest.mark.parametrize("network", SMALL_NETWORKS, ids=repr)
@pytest.mark.parametrize("algorithm", ["sgd", "momentum", "adam", "adamw"])
def test_every_way_of_jax_agrees_with_pytorch(network: Network, algorithm: Any) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    workload = Workload("T", "", network, 4, algorithm)
    theirs = trained(torch_program(workload), workload)
    for variant, make in named("jax").makers(workload):
        assert distance(trained(make(), workload), theirs, initial(network)) < TOLERANCE, variant


def test_the_distance_sees_one_wrong_parameter() -> None:
    start = {"w": np.zeros(4, np.float32)}
    reference = {"loss": np.ones(10, np.float32), "w": np.ones(4, np.float32)}
    assert distance(reference, reference, start) == 0
    wrong = reference | {"w": np.array([1, 1, 1, 1.1], np.float32)}
    assert distance(wrong, reference, start) == pytest.approx(0.05, rel=1e-5)
    assert distance(reference | {"w": np.array([1, 1, 1, np.nan], np.float32)}, reference, start) == math.inf
    assert distance(reference | {"w": np.ones(5, np.float32)}, reference, start) == math.inf
    assert distance({"loss": reference["loss"]}, reference, start) == math.inf


def test_the_distance_sees_a_wrong_gradient_behind_small_steps() -> None:
    start = {"w": np.ones(4, np.float32)}
    reference, half_as_far = {"w": start["w"] + np.float32(1e-4)}, {"w": start["w"] + np.float32(5e-5)}
    assert distance(half_as_far, reference, start) > 10 * TOLERANCE
    assert np.allclose(half_as_far["w"], reference["w"], rtol=TOLERANCE)


def test_rounding_of_parameters_that_hardly_move_is_no_distance() -> None:
    start = {"w": np.ones(4, np.float32)}
    moved = {"w": np.nextafter(start["w"], np.float32(2))}
    assert distance(moved, start, start) < TOLERANCE


def test_the_sweep_is_forty_networks_and_always_the_same() -> None:
    networks = sweep()
    assert networks == sweep()
    assert len({(w.network, w.batch, w.algorithm) for w in networks}) == 40
    assert {w.batch for w in networks} == {1, 7, 33, 200}
    assert {w.algorithm for w in networks} == {"sgd", "momentum", "adam"}
    assert {w.network.activation for w in networks if isinstance(w.network, MLP)} == {"relu", "tanh", "sigmoid"}
    assert all(find(w.name) == w for w in networks)


def test_every_row_has_batches_that_differ() -> None:
    for row in ROWS:
        (x, _), (other, _) = batches(row)[:2]
        assert x.shape == other.shape
        assert (x != other).any(), row.name


def test_a_goal_scales_with_the_floor_of_the_machine() -> None:
    goal = Goal(19, 17, 12.5)
    assert goal.time(1, 6.25) == 9.5
    assert goal.time(2, 6.25) == 8.5
    assert goal.time(4, 6.25) is None
    assert Goal(1.0).time(1, 0.0) == 1.0
    assert Goal(1.0).time(2, 0.0) is None


def test_a_row_is_named_with_or_without_its_batch() -> None:
    assert select(None) == ROWS
    assert select("none") == ()
    assert [row.name for row in select("W4,W1")] == ["W1", "W4/1", "W4/32", "W4/128"]
    assert [row.name for row in select("W4/32")] == ["W4/32"]
    with pytest.raises(UsageError, match=r"no row 'W10'.*\n.*W1, W1-epochs, W2"):
        select("W1,W10")


def test_peers_that_are_missing_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name == "torch" else None)
    assert [c.name for c in chosen("none")] == ["chainrule", "chainrule-eager"]
    assert [c.name for c in chosen("auto")] == ["chainrule", "chainrule-eager", "torch", "torch-compile"]
    assert chosen("torch") == chosen("auto")
    with pytest.raises(UsageError, match=r"jax is not installed\n.*chainrule\[bench\]"):
        chosen("torch,jax")
    with pytest.raises(UsageError, match=r"--peers takes auto, none or torch and jax .* not 'tensorflow'"):
        chosen("tensorflow")


def test_a_contender_gets_its_threads_and_empty_caches_by_its_environment(tmp_path: Any) -> None:
    found = environment(2, str(tmp_path))
    assert {found[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")} == {"2"}
    assert found["CHAINRULE_CACHE_DIR"].startswith(str(tmp_path))
    assert found["TORCHINDUCTOR_CACHE_DIR"].startswith(str(tmp_path))


def test_only_programs_that_loop_inside_do_many_steps_in_a_call() -> None:
    able = [one.name for one in CONTENDERS if one.can_run(find("W1-epochs"))]
    assert able == ["chainrule", "jax"]


def torch_program(workload: Workload) -> Any:
    return dict(torchlike.torch_eager(workload))["default"]()


def trained(program: Any, workload: Workload) -> dict[str, np.ndarray]:
    losses = [program.step(program.tensor(x), program.tensor(y)) for x, y in batches(workload)[:5]]
    program.wait(losses[-1])
    numbers = [float(loss.detach() if hasattr(loss, "detach") else loss) for loss in losses]
    return {"loss": np.array(numbers, np.float32), **program.parameters()}


def plain_attention(torch: Any) -> Any:
    """Attention by two products of matrices, which PyTorch's counter sees."""
    return torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
