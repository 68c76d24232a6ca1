"""Law: x[key] and x[key] = v mean what they mean in PyTorch, values and gradients, for any key."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import chainrule as cr

torch = pytest.importorskip("torch")
SHAPE = (3, 4, 2)
X = np.arange(24.0).reshape(SHAPE)

bound = st.none() | st.integers(-5, 5)
slices = st.builds(slice, bound, bound, st.none() | st.integers(1, 3))


@st.composite
def index_lists(draw: st.DrawFn, joint: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """An integer array of the joint shape, whose places are in [-2, 1]: inside every axis."""
    n = int(np.prod(joint))
    return np.array(draw(st.lists(st.integers(-2, 1), min_size=n, max_size=n)), np.int64).reshape(joint)


@st.composite
def keys(draw: st.DrawFn) -> tuple[tuple[str, Any], ...]:
    """A key as (kind, data) pairs, from which each library makes its own key."""
    joint = draw(st.sampled_from([(2,), (3,), (2, 2), (1,)]))
    parts: list[tuple[str, Any]] = []
    used, dots = 0, False
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["int", "slice", "none", "dots", "list", "tensor", "mask", "0-d"]))
        if kind == "none":
            parts.append((kind, None))
        elif kind == "dots" and not dots:
            parts.append((kind, None))
            dots = True
        elif used < 3 and kind in ("int", "0-d"):
            parts.append((kind, draw(st.integers(-2, 1))))
            used += 1
        elif used < 3 and kind == "slice":
            parts.append((kind, draw(slices)))
            used += 1
        elif used < 3 and kind in ("list", "tensor"):
            parts.append((kind, draw(index_lists(joint))))
            used += 1
        elif used < 3 and kind == "mask" and not dots:
            size = SHAPE[used]
            mask = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
            assume(mask.sum() == joint[-1] and len(joint) == 1)
            parts.append((kind, mask))
            used += 1
    assume(parts)
    return tuple(parts)


def key_for(lib: Any, parts: tuple[tuple[str, Any], ...]) -> Any:
    made = []
    for kind, data in parts:
        if kind == "none":
            made.append(None)
        elif kind == "dots":
            made.append(Ellipsis)
        elif kind == "list":
            made.append(data.tolist())
        elif kind in ("tensor", "mask", "0-d"):
            made.append(lib.tensor(data))
        else:
            made.append(data)
    return made[0] if len(made) == 1 and parts[0][0] != "list" else tuple(made)


laws = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@laws
@given(keys())
def test_reading_agrees_in_values_and_gradients(parts: tuple[tuple[str, Any], ...]) -> None:
    theirs = torch.tensor(X, requires_grad=True)
    try:
        want = theirs[key_for(torch, parts)]
    except (IndexError, TypeError):
        assume(False)
    ours = cr.tensor(X, requires_grad=True)
    got = ours[key_for(cr, parts)]
    assert got.shape == tuple(want.shape)
    np.testing.assert_array_equal(got.detach().numpy(), want.detach().numpy())
    weights = np.linspace(0.5, 2.0, want.numel()).reshape(tuple(want.shape))
    (got * cr.tensor(weights)).sum().backward()
    (want * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), 1e-12)


@laws
@given(keys(), st.booleans(), st.booleans())
def test_writing_agrees_in_values_and_gradients(
    parts: tuple[tuple[str, Any], ...], with_gradient: bool, number: bool
) -> None:
    shape = tuple(torch.tensor(X)[key_for(torch, parts)].shape)
    n = int(np.prod(shape))
    places = torch.arange(24).reshape(SHAPE)[key_for(torch, parts)].reshape(-1).tolist()
    assume(len(set(places)) == n)  # where one place is written twice, which write wins is undefined
    data = np.linspace(-1.0, 1.0, n).reshape(shape)
    results = []
    for lib in (cr, torch):
        x = lib.tensor(X, requires_grad=with_gradient)
        y = x * 2.0
        v = lib.tensor(data, requires_grad=with_gradient)
        y[key_for(lib, parts)] = 0.5 if number else v * 3.0
        if with_gradient:
            (y * lib.tensor(X + 1)).sum().backward()
            results.append([y.tolist(), x.grad.tolist(), None if number else v.grad.tolist()])
        else:
            results.append([y.tolist()])
    assert results[0] == results[1]


@pytest.mark.parametrize("key", [3, -4, (0, 4), [0, 3], (slice(None), [4]), (0, 0, 0, 0), (0, 0, 2)])
def test_an_index_out_of_range_is_an_index_error_for_reading_and_writing(key: Any) -> None:
    for kind in (True, False):
        x = cr.tensor(X, requires_grad=kind) * 1.0
        with pytest.raises(IndexError):
            x[key]
        with pytest.raises(IndexError):
            x[key] = 0.0


@pytest.mark.parametrize(
    ("key", "kind"),
    [("a", TypeError), (1.5, TypeError), ((..., 0, ...), ValueError), (cr.tensor([0.5]), IndexError),
     (cr.tensor([True, False]), IndexError), (cr.tensor([1], dtype=cr.uint8), IndexError)],
)  # fmt: skip
def test_a_key_that_is_none_is_refused(key: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        cr.tensor(X)[key]


def test_a_value_that_does_not_fit_names_both_shapes() -> None:
    x = cr.tensor(X)
    with pytest.raises(RuntimeError, match=r"(?s)\(4, 2\).*\(3,\)"):
        x[0] = cr.ones(3)


def test_writing_python_numbers_keeps_their_precision() -> None:
    x = cr.zeros(2, dtype=cr.float64)
    x[0] = 0.1
    x[1:] = [0.2]
    assert x.tolist() == [0.1, 0.2]


def test_a_float_written_to_integers_is_cut_off() -> None:
    x = cr.zeros(2, dtype=cr.int64)
    x[0] = 2.7
    assert x.tolist() == torch.tensor([2, 0]).tolist()


def test_a_write_to_stretched_memory_is_refused() -> None:
    with pytest.raises(RuntimeError, match="clone"):
        cr.zeros(1).expand(3)[0] = 1.0


def test_an_integer_beside_an_index_array_selects_first() -> None:
    assert cr.tensor(X)[0, :, [0, 1, 1]].shape == tuple(torch.tensor(X)[0, :, [0, 1, 1]].shape) == (4, 3)
