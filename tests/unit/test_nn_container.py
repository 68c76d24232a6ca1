"""Containers behave like lists and dictionaries, and number their members."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import ArgumentTypeError, IndexOutOfRangeError


def names(container: nn.Module) -> list[str]:
    return [type(m).__name__ for m in container]


def test_sequential_passes_each_result_on():
    double = nn.Linear(1, 1, bias=False)
    nn.init.constant_(double.weight, 2.0)
    assert nn.Sequential(double, double, nn.Identity())(cr.ones(1, 1)).tolist() == [[4.0]]
    x = cr.ones(1)
    assert nn.Sequential()(x) is x


def test_a_slice_of_a_sequential_keeps_its_names_and_shares_its_modules():
    net = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh(), c=nn.Sigmoid()))
    part = net[1:]
    assert [n for n, _ in part.named_children()] == ["b", "c"]
    assert part.b is net.b is net[1] is net[-2]


@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])
def test_members_can_be_added_replaced_and_taken_out(kind):
    net = kind() if kind is nn.ModuleList else kind(nn.ReLU())
    if kind is nn.ModuleList:
        net.append(nn.ReLU())
    net.append(nn.Tanh()).extend([nn.Sigmoid(), nn.SiLU()])
    net.insert(1, nn.Mish())
    net.insert(-1, nn.GELU())
    net.insert(len(net), nn.Softsign())
    assert names(net) == ["ReLU", "Mish", "Tanh", "Sigmoid", "GELU", "SiLU", "Softsign"]
    assert [n for n, _ in net.named_children()] == [str(i) for i in range(7)]
    net[0] = nn.Softplus()
    del net[1:3]
    assert type(net.pop(-1)) is nn.Softsign
    assert names(net) == ["Softplus", "Sigmoid", "GELU", "SiLU"]
    assert [n for n, _ in net.named_children()] == ["0", "1", "2", "3"]
    assert net[1] in net
    assert nn.ReLU() not in net
    assert len(net) == 4


@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])
def test_a_place_beyond_the_end_or_no_module_is_refused(kind):
    net = kind(nn.ReLU()) if kind is nn.Sequential else kind([nn.ReLU()])
    for call in (lambda: net[1], lambda: net.pop(3), lambda: net.insert(3, nn.ReLU()), lambda: net.__delitem__(-2)):
        with pytest.raises(IndexOutOfRangeError, match=r"is out of range: .* has 1 members"):
            call()
    for call in (lambda: net.append(1), lambda: net.insert(0, "a"), lambda: net.__setitem__(0, None)):
        with pytest.raises(ArgumentTypeError, match="is not a Module subclass"):
            call()
    assert names(net) == ["ReLU"]


def test_sequentials_and_lists_are_joined():
    a, b = nn.Sequential(nn.ReLU()), nn.Sequential(nn.Tanh())
    assert names(a + b) == ["ReLU", "Tanh"]
    a += b
    assert names(a) == ["ReLU", "Tanh"]
    assert names(nn.ModuleList(a) + nn.ModuleList(b)) == ["ReLU", "Tanh", "Tanh"]
    with pytest.raises(ValueError, match="only objects of Sequential"):
        a.__add__([nn.ReLU()])


def test_a_module_dict_is_a_dictionary_of_modules():
    heads = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
    heads.update([("c", nn.SiLU())])
    heads.update(nn.ModuleDict({"d": nn.Mish()}))
    assert list(heads) == list(heads.keys()) == ["a", "b", "c", "d"]
    assert type(heads.pop("a")) is nn.ReLU
    assert "a" not in heads
    assert [k for k, _ in heads.items()] == ["b", "c", "d"]
    assert [type(m) for m in heads.values()] == [nn.Tanh, nn.SiLU, nn.Mish]
    heads["b"] = nn.ELU()
    assert type(heads["b"]) is nn.ELU
    del heads["b"]
    heads.clear()
    assert len(heads) == 0
    with pytest.raises(ArgumentTypeError, match="update should be called with an iterable"):
        heads.update(3)
    with pytest.raises(ArgumentTypeError, match="element #0 should be a pair"):
        heads.update([nn.ReLU()])
    with pytest.raises(KeyError, match="keys"):
        heads["keys"] = nn.ReLU()


def test_parameter_containers_hold_parameters():
    p = nn.Parameter(cr.ones(2))
    ps = nn.ParameterList([p, cr.zeros(3)])
    assert ps[0] is p
    assert isinstance(ps[1], nn.Parameter)
    ps += [cr.ones(1)]
    ps[1] = cr.ones(4)
    assert [tuple(q.shape) for q in ps] == [(2,), (4,), (1,)]
    assert len(list(ps.parameters())) == 3
    assert len(ps[:2]) == 2
    assert repr(ps).splitlines()[1] == "  (0): Parameter containing: [chainrule.float32 of size 2]"
    with pytest.raises(ArgumentTypeError, match="a Parameter or Tensor is expected, not int"):
        ps.append(3)

    named = nn.ParameterDict({"a": p})
    named["b"] = cr.zeros(1)
    assert sorted(n for n, _ in named.named_parameters()) == ["a", "b"]
    assert named.state_dict().keys() == {"a", "b"}
