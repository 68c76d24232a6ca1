"""Module: members, state, modes, types, copies. What is compared with PyTorch stands in tests/reference."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections import OrderedDict

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import ArgumentTypeError, ChainruleError, StateError, UnsupportedError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.head = nn.Linear(4, 2)
        self.register_buffer("steps", cr.tensor([1, 2]))
        self.register_buffer("scratch", cr.zeros(2), persistent=False)

    def forward(self, x):
        return self.head(self.body(x).relu())


def test_a_member_is_an_ordinary_attribute_and_is_listed():
    net = Net()
    assert net.__dict__["body"] is net._modules["body"] is net.body
    assert list(net._modules) == ["body", "head"]
    assert list(net._buffers) == ["steps", "scratch"]
    assert {"body", "steps"} <= set(dir(net))


def test_writing_to_the_private_mappings_is_writing_the_attribute():
    net = Net()
    net._modules["extra"] = nn.ReLU()
    net.body._parameters["bias"] = None
    assert isinstance(net.extra, nn.ReLU)
    assert net.body.bias is None
    assert repr(net).count("ReLU") == 1
    del net._modules["extra"]
    assert not hasattr(net, "extra")
    with pytest.raises(KeyError):
        net._modules["steps"]


def test_a_shared_parameter_is_listed_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert "1.weight" in net.state_dict()


def test_a_second_init_keeps_the_members():
    net = Net()
    nn.Module.__init__(net)
    assert len(list(net.parameters())) == 4


def test_a_name_can_change_its_kind():
    net = Net()
    net._parameters["body"] = nn.Parameter(cr.ones(1))
    assert list(net._kinds)[-1] == "body"
    net.body = nn.Linear(3, 4)
    net.body = nn.Parameter(cr.ones(1))
    assert [n for n, _ in net.named_parameters()] == ["body", "head.weight", "head.bias"]
    net.body = nn.ReLU()
    assert [n for n, _ in net.named_children()] == ["head", "body"]
    net.body = None
    assert list(net.children()) == [net.head]
    del net.body
    assert "body" not in net._modules
    net.body = 3
    assert net.body == 3


def test_a_buffer_is_assigned_like_an_attribute_and_keeps_whether_it_is_saved():
    net = Net()
    net.scratch = cr.ones(2)
    net.mask = nn.Buffer(cr.ones(1))
    net.hidden = nn.Buffer(cr.ones(1), persistent=False)
    assert [n for n, _ in net.named_buffers()] == ["steps", "scratch", "mask", "hidden"]
    assert {"scratch", "hidden"}.isdisjoint(net.state_dict())
    assert "mask" in net.state_dict()
    net.steps = None
    assert "steps" not in net.state_dict()


def test_the_error_of_a_property_is_not_hidden():
    class Broken(nn.Module):
        @property
        def size(self):
            return self.sizes[0]

    with pytest.raises(AttributeError, match="no attribute 'sizes'"):
        _ = Broken().size


def test_use_before_init_names_the_missing_call():
    class Late(nn.Module):
        def __init__(self) -> None:
            pass

    with pytest.raises(AttributeError, match="Call super"):
        list(Late().parameters())
    with pytest.raises(AttributeError, match="Call super"):
        Late().weight = nn.Parameter(cr.ones(1))


def test_a_mistake_with_a_name_reads_like_a_sentence():
    with pytest.raises(KeyError) as error:
        nn.ReLU().add_module("a.b", nn.ReLU())
    assert str(error.value) == 'module name can\'t contain ".", got: a.b'
    assert isinstance(error.value, ChainruleError)


def test_a_parameter_that_was_computed_is_refused():
    p = nn.Parameter(cr.ones(2))
    p.edge = (cr.ones(2, requires_grad=True) * 2).edge
    with pytest.raises(ValueError, match="Cannot assign non-leaf Tensor to parameter 'p'"):
        nn.ReLU().register_parameter("p", p)


def test_a_parameter_shares_memory_and_has_its_own_gradient():
    x = cr.ones(3)
    p = nn.Parameter(x)
    assert p.value is x.value
    assert (p.requires_grad, x.requires_grad) == (True, False)
    (p * 2).sum().backward()
    assert p.grad.tolist() == [2.0, 2.0, 2.0]
    assert repr(p).startswith("Parameter containing:\ntensor(")
    assert not nn.Parameter(x, requires_grad=False).requires_grad
    assert nn.Parameter().shape == (0,)
    with pytest.raises(ArgumentTypeError, match="not list"):
        nn.Parameter([1.0])


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"]
)
def test_a_copy_has_its_own_memory_and_the_same_state_and_sharing(duplicate):
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Dropout(0.3)).eval()
    net[1].weight = net[0].weight
    net[0].register_buffer("steps", nn.Buffer(cr.tensor([1.0]), persistent=True))
    other = duplicate(net)
    assert repr(other) == repr(net)
    assert other[0].weight is other[1].weight
    for name in ("weight", "steps"):
        assert not np.shares_memory(getattr(other[0], name).value, getattr(net[0], name).value)
    assert not other[2].training
    assert list(other.state_dict()) == list(net.state_dict())
    for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True):
        assert a.tolist() == b.tolist()
    other.load_state_dict(net.state_dict())
    assert type(other[0].weight) is nn.Parameter
    assert other[0].weight.requires_grad


def test_a_module_is_freed_without_the_collector():
    net = Net()
    net(cr.ones(1, 3)).sum().backward()
    gone = weakref.ref(net)
    gc.disable()
    try:
        del net
        assert gone() is None
    finally:
        gc.enable()


def test_state_dict_shares_memory_and_keep_vars_gives_the_parameters():
    net = Net()
    state = net.state_dict(prefix="net.")
    assert list(state) == ["net.steps", "net.body.weight", "net.body.bias", "net.head.weight", "net.head.bias"]
    assert isinstance(state, OrderedDict)
    assert np.shares_memory(state["net.body.bias"].value, net.body.bias.value)
    assert not state["net.body.bias"].requires_grad
    assert net.state_dict(keep_vars=True)["body.bias"] is net.body.bias


def test_loading_lists_all_that_does_not_fit_and_loads_nothing():
    net = Net()
    before = {k: v.tolist() for k, v in net.state_dict().items()}
    state = {k: v + 1 for k, v in net.state_dict().items()}
    state["head.weight"] = cr.zeros(3, 4)
    state["body.bias"] = np.zeros(4)
    state["tail"] = state.pop("head.bias")
    with pytest.raises(StateError) as error:
        net.load_state_dict(state)
    text = str(error.value)
    for part in (
        "Error(s) in loading state_dict for Net:", 'Missing key(s) in state_dict: "head.bias".',
        'Unexpected key(s) in state_dict: "tail".', "size mismatch for head.weight", "chainrule.Size([3, 4])",
        'the value of "body.bias" is a ndarray, not a Tensor',
    ):  # fmt: skip
        assert part in text
    assert {k: v.tolist() for k, v in net.state_dict().items()} == before


def test_loading_says_so_when_only_a_prefix_differs():
    net = Net()
    state = {f"module.{k}": v for k, v in net.state_dict().items()}
    with pytest.raises(StateError, match=r"removeprefix\('module\.'\)"):
        net.load_state_dict(state)


def test_loading_without_strict_returns_what_was_missing_and_unexpected():
    net = Net()
    result = net.load_state_dict({"body.bias": cr.ones(4), "tail": cr.ones(1)}, strict=False)
    assert net.body.bias.tolist() == [1.0] * 4
    assert result.unexpected_keys == ["tail"]
    assert "head.weight" in result.missing_keys
    assert repr(result).startswith("IncompatibleKeys(missing_keys=['steps'")


def test_loading_converts_the_elements_and_is_seen_by_the_graph():
    net = nn.Linear(2, 1)
    y = (net(cr.ones(1, 2)) ** 2).sum()
    loss = (net.weight * net.weight).sum() + y
    net.load_state_dict({"weight": cr.ones(1, 2, dtype=cr.float64), "bias": cr.ones(1)})
    assert net.weight.dtype is cr.float32
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_loading_by_assignment_takes_the_tensors_themselves():
    net = nn.Linear(2, 1)
    net.weight.requires_grad_(False)
    state = {"weight": cr.ones(1, 2, dtype=cr.float64), "bias": nn.Parameter(cr.ones(1))}
    net.load_state_dict(state, assign=True)
    assert net.weight.value is state["weight"].value
    assert net.bias is state["bias"]
    assert isinstance(net.weight, nn.Parameter)
    assert not net.weight.requires_grad


def test_memory_that_cannot_be_written_is_refused_before_anything_is_loaded():
    net = nn.Linear(2, 1)
    net.bias.value.flags.writeable = False
    with pytest.raises(StateError, match='the memory of "bias" is read-only'):
        net.load_state_dict({"weight": cr.zeros(1, 2), "bias": cr.zeros(1)})
    assert net.weight.value.any()


def test_extra_state_travels_with_the_tensors():
    class Counted(nn.Linear):
        count = 7

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    first, second = nn.Sequential(Counted(1, 1)), nn.Sequential(Counted(1, 1))
    first[0].count = 9
    state = first.state_dict()
    assert state["0._extra_state"] == {"count": 9}
    second.load_state_dict(state)
    assert second[0].count == 9
    del state["0._extra_state"]
    with pytest.raises(StateError, match="_extra_state"):
        second.load_state_dict(state)


def test_train_and_eval_reach_every_module():
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    assert not any(m.training for m in net.eval().modules())
    assert all(m.training for m in net.train().modules())


def test_zero_grad_takes_gradients_away_or_sets_them_to_zero():
    net = Net()
    net(cr.ones(1, 3)).sum().backward()
    grad = net.body.weight.grad
    net.zero_grad(set_to_none=False)
    assert net.body.weight.grad is grad
    assert not grad.value.any()
    (net(cr.ones(1, 3)) ** 2).sum().backward(create_graph=True)
    assert net.head.bias.grad.edge is not None
    net.zero_grad(set_to_none=False)
    assert net.head.bias.grad.tolist() == [0.0, 0.0]
    assert net.head.bias.grad.edge is None
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_requires_grad_freezes_a_part():
    net = Net()
    net.body.requires_grad_(False)
    net(cr.ones(1, 3)).sum().backward()
    assert net.body.weight.grad is None
    assert net.head.weight.grad is not None


def test_conversions_keep_the_parameters_and_convert_their_gradients():
    net = Net()
    net(cr.ones(1, 3)).sum().backward()
    p = net.body.weight
    assert net.double() is net
    assert net.body.weight is p
    assert (p.dtype, p.grad.dtype, net.steps.dtype, net.scratch.dtype) == (cr.float64, cr.float64, cr.int64, cr.float64)
    net(cr.ones(1, 3, dtype=cr.float64)).sum().backward()
    assert net.half().body.weight.dtype is cr.float16
    assert net.float().to("cpu", cr.float64).body.weight.dtype is cr.float64
    assert net.to(cr.ones(1)).cpu().body.weight.dtype is cr.float32
    assert net.type(cr.float64).steps.dtype is cr.float64


def test_devices_other_than_the_cpu_are_refused():
    net = Net()
    for move in (net.cuda, lambda: net.cuda(1), lambda: net.to("cuda"), lambda: net.to(device="mps")):
        with pytest.raises(UnsupportedError, match="chainrule runs on the CPU"):
            move()
    with pytest.raises(ArgumentTypeError, match="unexpected keyword argument 'devise'"):
        net.to(devise="cpu")


def test_apply_visits_the_parts_before_the_whole():
    seen: list[str] = []
    net = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU()))
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "ReLU", "Sequential", "Sequential"]


def test_paths_lead_to_modules_parameters_and_buffers():
    net = nn.Sequential(Net())
    assert net.get_submodule("0.body") is net[0].body
    assert net.get_submodule("") is net
    assert net.get_parameter("0.body.bias") is net[0].body.bias
    assert net.get_buffer("0.steps") is net[0].steps
    with pytest.raises(AttributeError, match=r"`steps` is not an nn\.Module"):
        net.get_submodule("0.steps.x")


def test_a_module_may_be_its_own_descendant():
    net = Net()
    net.body.parent = net
    assert len(list(net.modules())) == 3
    assert len(list(net.parameters())) == 4


def test_linear_starts_uniform_within_one_by_the_root_of_the_inputs():
    layer = nn.Linear(100, 300)
    for p in layer.parameters():
        assert np.abs(p.value).max() <= 0.1
        assert np.abs(p.value).max() > 0.095
    assert nn.Linear(2, 2, dtype=cr.float64).weight.dtype is cr.float64
    cr.manual_seed(3)
    first = nn.Linear(5, 5).weight.tolist()
    cr.manual_seed(3)
    assert nn.Linear(5, 5).weight.tolist() == first


def test_linear_without_inputs_warns_and_gives_its_bias():
    with pytest.warns(UserWarning, match="zero-element"):
        layer = nn.Linear(0, 3)
    assert layer(cr.zeros(2, 0)).tolist() == [[0.0, 0.0, 0.0]] * 2


@pytest.mark.parametrize(("size", "error"), [(-1, ValueError), (2.5, TypeError), (True, TypeError), ("3", TypeError)])
def test_a_size_that_is_none_is_refused(size, error):
    with pytest.raises(error, match="in_features is"):
        nn.Linear(size, 3)


def test_flatten_unflatten_and_identity_move_elements():
    x = cr.arange(12).reshape(2, 6)
    assert nn.Unflatten(1, (2, 3))(x).shape == (2, 2, 3)
    assert nn.Flatten()(x.reshape(2, 3, 2)).tolist() == x.tolist()
    assert nn.Identity(1, any_option=2)(x) is x
    with pytest.raises(TypeError, match="no named axes"):
        nn.Unflatten("features", (2, 3))
    with pytest.raises(TypeError, match="tuple of ints"):
        nn.Unflatten(1, 3)


def test_linear_takes_one_sample_without_an_axis_for_the_batch() -> None:
    layer = nn.Linear(3, 2)
    x = cr.rand(3)
    np.testing.assert_array_equal(layer(x).detach().numpy(), layer(x.unsqueeze(0)).detach().numpy()[0])
    with pytest.raises(RuntimeError, match="has 4 features"):
        layer(cr.rand(4))
