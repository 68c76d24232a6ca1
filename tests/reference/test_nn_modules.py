"""Modules and containers beside PyTorch's: texts, paths, state dictionaries, errors, hooks, clipping."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

torch = pytest.importorskip("torch")

BOTH = [(cr, nn), (torch, torch.nn)]


def network(library: Any, nn: Any) -> Any:
    """A model with nested, repeated, shared and absent parts."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(OrderedDict([("first", nn.Linear(4, 3)), ("act", nn.ReLU())]))
            self.blocks = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3), nn.Tanh()])
            self.heads = nn.ModuleDict({"a": nn.Linear(3, 2, bias=False), "b": nn.Dropout(0.25)})
            self.scale = nn.Parameter(library.ones(1))
            self.tied = self.blocks[0]
            self.absent = None
            self.register_parameter("nothing", None)
            self.register_buffer("steps", library.tensor([3, 4]))
            self.register_buffer("scratch", library.zeros(2), persistent=False)
            self.params = nn.ParameterList([library.ones(2), library.ones(2, 3)])
            self.named = nn.ParameterDict({"k": nn.Parameter(library.ones(3))})

        def forward(self, x):
            x = self.body(x)
            for block in self.blocks:
                x = block(x)
            return self.heads["a"](x) * self.scale

    return Net()


def test_the_text_of_a_model_is_pytorchs():
    ours, theirs = (network(*which) for which in BOTH)
    for net in (ours, theirs):
        del net.params, net.named  # PyTorch indents lists of parameters in a way of its own
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(
    "make",
    [
        lambda nn: nn.Linear(2, 3), lambda nn: nn.Linear(2, 3, bias=False), lambda nn: nn.Flatten(),
        lambda nn: nn.Flatten(0, 1), lambda nn: nn.Unflatten(1, (2, 3)), lambda nn: nn.Dropout(),
        lambda nn: nn.Identity(7),
        lambda nn: nn.Dropout1d(0.1), lambda nn: nn.Dropout2d(), lambda nn: nn.Dropout3d(0.2, True),
        lambda nn: nn.Sequential(),
        lambda nn: nn.ModuleList(), lambda nn: nn.ModuleDict(), lambda nn: nn.ModuleList([nn.ReLU(), nn.ReLU()]),
        lambda nn: nn.Sequential(nn.Sequential(nn.ReLU()), nn.ModuleList([nn.Sequential(nn.Tanh())] * 2)),
    ],
)  # fmt: skip
def test_the_text_of_a_module_is_pytorchs(make):
    assert repr(make(nn)) == repr(make(torch.nn))


def test_paths_of_parameters_buffers_and_modules_are_pytorchs():
    ours, theirs = (network(*which) for which in BOTH)
    for walk in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [n for n, _ in getattr(ours, walk)()] == [n for n, _ in getattr(theirs, walk)()]
    for walk in ("named_parameters", "named_buffers"):
        assert [n for n, _ in getattr(ours, walk)("p", False)] == [n for n, _ in getattr(theirs, walk)("p", False)]
        assert [n for n, _ in getattr(ours, walk)(remove_duplicate=False)] == [
            n for n, _ in getattr(theirs, walk)(remove_duplicate=False)
        ]
    assert len(list(ours.parameters())) == len(list(theirs.parameters()))


def test_a_state_dict_goes_from_pytorch_to_here_and_back():
    ours, theirs = (network(*which) for which in BOTH)
    state = {key: cr.tensor(v.numpy()) for key, v in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    assert str(ours.load_state_dict(state)) == "<All keys matched successfully>"
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    y, t = ours.eval()(cr.tensor(x)), theirs.eval()(torch.tensor(x))
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=1e-5, atol=1e-6)  # float32, four layers
    y.sum().backward()
    t.sum().backward()
    for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-5, atol=1e-6)
    back = {key: torch.tensor(v.numpy()) for key, v in ours.state_dict().items()}
    theirs.load_state_dict(back)


def setup(library: Any, nn: Any, case: str) -> Any:
    """One mistake."""

    class Early(nn.Module):
        def __init__(self, value):
            self.part = value
            super().__init__()

    class Plain(nn.Module):
        pass

    module = nn.Linear(2, 2)
    module.register_buffer("buf", library.zeros(1))
    if case == "parameter too early":
        return Early(nn.Parameter(library.zeros(1)))
    if case == "module too early":
        return Early(nn.ReLU())
    if case == "register_parameter too early":
        plain = Plain.__new__(Plain)
        return plain.register_parameter("p", None)
    if case == "tensor as parameter":
        module.weight = library.zeros(2, 2)
    elif case == "tensor as child":
        parent = nn.Sequential(nn.ReLU())
        setattr(parent, "0", library.zeros(2))
    elif case == "list as buffer":
        module.buf = [1]
    elif case == "parameter that is a tensor":
        module.register_parameter("p", library.zeros(1))
    elif case == "name with a dot":
        module.register_parameter("a.b", nn.Parameter(library.zeros(1)))
    elif case == "empty name":
        module.register_buffer("", library.zeros(1))
    elif case == "name taken":
        module.register_buffer("weight", library.zeros(1))
    elif case == "name of a method":
        module.forward = nn.Parameter(library.zeros(1))
    elif case == "number as a name":
        module.add_module(3, nn.ReLU())
    elif case == "no module":
        module.add_module("a", 3)
    elif case == "no module in a sequence":
        nn.Sequential(nn.ReLU(), "relu")
    elif case == "no such attribute":
        return module.missing
    elif case == "no such submodule":
        module.get_submodule("a.b")
    elif case == "no such parameter":
        module.get_parameter("buf")
    elif case == "no such buffer":
        module.get_buffer("weight")
    elif case == "no forward":
        Plain()(1)
    elif case == "train of a string":
        module.train("yes")
    elif case == "to an integer type":
        module.to(library.int64)
    elif case == "delete nothing":
        del module.missing
    elif case == "missing keys":
        module.load_state_dict({"weight": library.zeros(2, 2)})
    elif case == "wrong shape although not strict":
        module.load_state_dict({"weight": library.zeros(3, 2)}, strict=False)
    elif case == "a list of tensors":
        module.load_state_dict([library.zeros(2, 2)])
    elif case == "index":
        nn.Sequential(nn.ReLU())[1]
    elif case == "key":
        nn.ModuleDict({"a": nn.ReLU()})["b"]
    elif case == "extend by a number":
        nn.ModuleList().extend(3)
    elif case == "dropout probability":
        nn.Dropout(1.5)
    elif case == "unexpected keyword":
        Plain(size=3)
    elif case == "integer parameter":
        nn.Parameter(library.tensor([1, 2]))
    elif case == "another number of features":
        nn.Linear(2, 2)(library.ones(3, 3))
    return None


CASES = {
    "parameter too early": "before Module.__init__\\(\\) call", "module too early": "cannot assign module before",
    "register_parameter too early": "before Module.__init__\\(\\) call", "tensor as parameter": "as parameter 'weight'",
    "tensor as child": "as child module '0'", "list as buffer": "as buffer 'buf'",
    "parameter that is a tensor": "object to parameter 'p'", "name with a dot": "parameter name can.{1,2}t contain",
    "empty name": "can.{1,2}t be empty", "name taken": "attribute 'weight' already exists",
    "name of a method": "attribute 'forward' already exists", "number as a name": "name should be a string",
    "no module": "is not a Module subclass", "no module in a sequence": "is not a Module subclass",
    "no such attribute": "'Linear' object has no attribute 'missing'", "no such submodule": "has no attribute `a`",
    "no such parameter": "`buf` is not an nn.Parameter", "no such buffer": "`weight` is not a buffer",
    "no forward": 'is missing the required "forward" function',
    "train of a string": "training mode is expected to be boolean",
    "to an integer type": "only accepts floating point", "delete nothing": "missing",
    "missing keys": 'Missing key\\(s\\) in state_dict: "bias"',
    "wrong shape although not strict": "size mismatch for weight",
    "a list of tensors": "Expected state_dict to be dict-like", "index": "index 1 is out of range", "key": "b",
    "extend by a number": "should be called with an iterable", "dropout probability": "between 0 and 1, but got 1.5",
    "unexpected keyword": "size", "integer parameter": "floating point", "another number of features": ".",
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_raises_pytorchs_class_with_pytorchs_words(case):
    with pytest.raises(Exception, match=CASES[case]) as theirs:
        setup(*BOTH[1], case)
    with pytest.raises(type(theirs.value), match=CASES[case]):
        setup(*BOTH[0], case)


def recorded(library: Any, nn: Any, several: bool, both_used: bool) -> list[Any]:
    """What the hooks of a module with two arguments see, and the gradients that they leave."""

    class Pair(nn.Module):
        def forward(self, a, b, n):
            y = a * b * n
            return (y, a + b) if several else y

    seen: list[Any] = []

    def backward(module, grad_input, grad_output):
        seen.append(("full", [None if g is None else g.tolist() for g in (*grad_input, *grad_output)]))
        return tuple([None if g is None else g * 2 for g in grad_input])

    def before(module, grad_output):
        seen.append(("pre", [None if g is None else g.tolist() for g in grad_output]))
        return tuple([None if g is None else g + 1 for g in grad_output])

    module = Pair()
    module.register_full_backward_hook(backward)
    module.register_full_backward_pre_hook(before)
    a = library.tensor([1.0, 2.0], requires_grad=True)
    b = library.tensor([3.0, 4.0], requires_grad=True)
    y = module(a, b, 5.0)
    loss = (y[0] if several else y).sum()
    if both_used:
        loss = loss + (3 * y[1]).sum()
    loss.backward()
    return [*seen, a.grad.tolist(), b.grad.tolist()]


@pytest.mark.parametrize(("several", "both_used"), [(False, False), (True, False), (True, True)])
def test_full_backward_hooks_see_and_replace_what_pytorchs_do(several, both_used):
    assert recorded(*BOTH[0], several, both_used) == recorded(*BOTH[1], several, both_used)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_a_backward_hook_without_a_gradient_of_inputs_sees_what_pytorchs_does():
    results = []
    for library, nn_ in BOTH:

        class Layer(nn_.Module):
            def __init__(self, library=library, nn_=nn_):
                super().__init__()
                self.w = nn_.Parameter(library.tensor([2.0, 3.0]))

            def forward(self, x):
                return self.w * x

        seen: list[Any] = []
        layer = Layer()
        layer.register_full_backward_hook(lambda m, gi, go, seen=seen: seen.append((gi, [g.tolist() for g in go])))
        layer(library.tensor([1.0, 1.0])).sum().backward()
        results.append((seen, layer.w.grad.tolist()))
    assert results[0] == results[1]


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_by_norm_is_pytorchs(norm_type, max_norm):
    grads = [np.random.default_rng(i).standard_normal(s) for i, s in enumerate([(3, 4), (5,), ()])]
    results = []
    for library, nn_ in BOTH:
        ps = [nn_.Parameter(library.zeros(g.shape, dtype=library.float64)) for g in grads]
        for p, g in zip(ps, grads, strict=True):
            p.grad = library.tensor(g)
        ps.append(nn_.Parameter(library.zeros(2)))  # without a gradient
        norm = nn_.utils.clip_grad_norm_((p for p in ps), max_norm, norm_type)
        results.append([norm.item(), *[p.grad.numpy() for p in ps[:-1]]])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-14)


def test_clipping_by_value_is_pytorchs():
    for clip in (0.5, 2.0):
        results = []
        for library, nn_ in BOTH:
            p = nn_.Parameter(library.zeros(3))
            p.grad = library.tensor([-3.0, 0.1, 1.0])
            nn_.utils.clip_grad_value_(p, clip)
            results.append(p.grad.tolist())
        assert results[0] == results[1]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_clipping_a_norm_that_is_not_finite_is_pytorchs(value):
    for library, nn_ in BOTH:
        p = nn_.Parameter(library.zeros(2))
        p.grad = library.tensor([value, 1.0])
        with pytest.raises(RuntimeError, match="is non-finite, so it cannot be clipped"):
            nn_.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
        assert p.grad.tolist()[1] == 1.0
        nn_.utils.clip_grad_norm_([p], 1.0)
        assert np.isnan(p.grad.tolist()[0])


def test_parameters_as_a_vector_are_pytorchs():
    results = []
    for library, nn_ in BOTH:
        ps = [nn_.Parameter(library.ones(2, 3)), nn_.Parameter(library.zeros(4))]
        vector = nn_.utils.parameters_to_vector(ps)
        (vector * library.arange(10.0)).sum().backward()
        nn_.utils.vector_to_parameters(library.arange(10.0), ps)
        results.append([vector.tolist(), *[p.tolist() for p in ps], *[p.grad.tolist() for p in ps]])
    assert results[0] == results[1]


@pytest.mark.parametrize("seed", range(3))
def test_initialisers_have_pytorchs_bounds_and_moments(seed):
    makers = {
        "uniform_": {"a": -2.0, "b": 0.5}, "normal_": {"mean": 1.0, "std": 0.3},
        "trunc_normal_": {"std": 0.7, "b": 0.5},
        "xavier_uniform_": {"gain": 2.0}, "xavier_normal_": {}, "kaiming_uniform_": {"a": 5**0.5},
        "kaiming_normal_": {"mode": "fan_out", "nonlinearity": "relu"}, "orthogonal_": {"gain": 1.5},
        "sparse_": {"sparsity": 0.3, "std": 1.0},
    }  # fmt: skip
    shape = (60, 250)
    for name, options in makers.items():
        values = []
        for library, nn_ in BOTH:
            library.manual_seed(seed)
            p = nn_.Parameter(library.zeros(*shape))
            assert getattr(nn_.init, name)(p, **options) is p
            values.append(p.detach().numpy())
        ours, theirs = values
        spread = theirs.std()
        # means of 15,000 draws: 6 standard errors; standard deviations likewise (of a normal: spread / sqrt(2 n))
        assert abs(ours.mean() - theirs.mean()) < 6 * 2**0.5 * spread / 15000**0.5, name
        assert abs(ours.std() - spread) < 6 * spread / 15000**0.5, name
        if "uniform" in name:
            np.testing.assert_allclose([ours.min(), ours.max()], [theirs.min(), theirs.max()], atol=3e-3 * spread)


def test_gains_fans_and_constant_initialisers_are_pytorchs():
    for args in [
        ("linear",),
        ("conv2d",),
        ("sigmoid",),
        ("tanh",),
        ("relu",),
        ("leaky_relu",),
        ("leaky_relu", 0.3),
        ("selu",),
    ]:
        assert nn.init.calculate_gain(*args) == torch.nn.init.calculate_gain(*args)
    for shape in [(3, 4), (3, 4, 5), (3, 4, 5, 2)]:
        ours, theirs = cr.zeros(*shape), torch.zeros(*shape)
        assert nn.init._calculate_fan_in_and_fan_out(ours) == torch.nn.init._calculate_fan_in_and_fan_out(theirs)
        if len(shape) > 2:
            for groups in (1, 3):
                a, b = nn.init.dirac_(ours, groups), torch.nn.init.dirac_(theirs, groups)
                np.testing.assert_array_equal(a.numpy(), b.numpy())
    np.testing.assert_array_equal(nn.init.eye_(cr.zeros(2, 3)).numpy(), torch.nn.init.eye_(torch.zeros(2, 3)).numpy())


@pytest.mark.parametrize(
    "call",
    [
        lambda m, i: i.calculate_gain("softplus"), lambda m, i: i.calculate_gain("leaky_relu", True),
        lambda m, i: i.xavier_uniform_(m.zeros(3)), lambda m, i: i.kaiming_normal_(m.zeros(3)),
        lambda m, i: i.kaiming_normal_(m.zeros(3, 3), mode="fan"), lambda m, i: i.eye_(m.zeros(3)),
        lambda m, i: i.orthogonal_(m.zeros(3)), lambda m, i: i.dirac_(m.zeros(3, 3)),
        lambda m, i: i.dirac_(m.zeros(3, 3, 3), 2), lambda m, i: i.sparse_(m.zeros(3), 0.1),
    ],
)  # fmt: skip
def test_what_pytorchs_initialisers_refuse_is_refused(call):
    for library, init in ((torch, torch.nn.init), (cr, nn.init)):
        with pytest.raises(ValueError, match=r"\w"):
            call(library, init)
