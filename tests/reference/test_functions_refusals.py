"""Refused calls: each error is caught by the class that PyTorch raises, and names what was wrong and where."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import chainrule as cr

torch = pytest.importorskip("torch")

Call = Callable[[Any], Any]
REFUSED: list[tuple[str, Call, str]] = [
    ("matmul inner sizes", lambda m: m.ones(2, 3) @ m.ones(4, 5), r"matmul.*3 and 4(?s:.*)\(2, 3\)(?s:.*)\(4, 5\)"),
    ("matmul of a number", lambda m: m.tensor(1.0) @ m.ones(2), r"at least 1D"),
    ("matmul vector sizes", lambda m: m.ones(3) @ m.ones(4), r"3 and 4"),
    ("mm of vectors", lambda m: m.mm(m.ones(3), m.ones(3, 1)), r"2-D"),
    ("bmm batches", lambda m: m.bmm(m.ones(2, 3, 4), m.ones(3, 4, 5)), r"batch"),
    ("dot sizes", lambda m: m.dot(m.ones(2), m.ones(3)), r"\(2,\)(?s:.*)\(3,\)"),
    ("add shapes", lambda m: m.ones(2, 3) + m.ones(4), r"add.*\(2, 3\).*\(4,\)|\(2, 3\) and \(4,\)"),
    ("mul shapes", lambda m: m.ones(2, 3) * m.ones(3, 2), r"\(2, 3\) and \(3, 2\)"),
    ("where shapes", lambda m: m.where(m.ones(2) > 0, m.ones(3), m.ones(3)), r"\(2,\)"),
    ("reshape", lambda m: m.ones(2, 3).reshape(4, 2), r"\(4, 2\) is invalid for input of size 6"),
    ("reshape -1 twice", lambda m: m.ones(6).reshape(-1, -1), r"only one"),
    ("view", lambda m: m.ones(2, 3).T.view(6), r"reshape"),
    ("permute count", lambda m: m.ones(2, 3).permute(0), r"permute"),
    ("permute twice", lambda m: m.ones(2, 3).permute(0, 0), r"permute"),
    ("transpose axis", lambda m: m.ones(2, 3).transpose(0, 2), r"\[-2, 1\], but got 2"),
    ("sum axis", lambda m: m.ones(2, 3).sum(2), r"\[-2, 1\], but got 2"),
    ("sum axis twice", lambda m: m.ones(2, 3).sum((0, 0)), r"twice"),
    ("softmax axis", lambda m: m.ones(2, 3).softmax(5), r"but got 5"),
    ("unsqueeze axis", lambda m: m.ones(2).unsqueeze(3), r"but got 3"),
    ("argmax axis", lambda m: m.ones(2).argmax(1), r"but got 1"),
    ("sort axis", lambda m: m.ones(2).sort(1), r"but got 1"),
    ("cat nothing", lambda m: m.cat([]), r"non-empty"),
    ("cat sizes", lambda m: m.cat([m.ones(2, 3), m.ones(2, 4)]), r"\(2, 3\) and \(2, 4\)"),
    ("cat axis", lambda m: m.cat([m.ones(2)], 1), r"but got 1"),
    ("stack sizes", lambda m: m.stack([m.ones(2), m.ones(3)]), r"\(2,\)(?s:.*)\(3,\)"),
    ("expand", lambda m: m.ones(3).expand(2), r"\(3,\)"),
    ("expand fewer", lambda m: m.ones(2, 3).expand(3), r"fewer"),
    ("repeat fewer", lambda m: m.ones(2, 3).repeat(2), r"repeat"),
    ("split", lambda m: m.ones(4).split([1, 2]), r"sum to 4"),
    ("split zero", lambda m: m.ones(4).split(0), r"positive"),
    ("chunk zero", lambda m: m.ones(4).chunk(0), r"greater than 0"),
    ("narrow", lambda m: m.ones(4).narrow(0, 3, 2), r"exceeds"),
    ("gather index", lambda m: m.ones(2, 3).gather(1, m.tensor([[3]])), r"3"),
    ("gather negative", lambda m: m.ones(2, 3).gather(1, m.tensor([[-1]])), r"-1"),
    ("gather ndim", lambda m: m.ones(2, 3).gather(1, m.tensor([0])), r"gather"),
    ("gather float", lambda m: m.ones(2, 3).gather(1, m.ones(1, 1)), r"integers"),
    ("index_select", lambda m: m.ones(2, 3).index_select(0, m.tensor([2])), r"2"),
    ("masked_fill", lambda m: m.ones(2).masked_fill(m.ones(2), 0.0), r"bool"),
    ("topk", lambda m: m.ones(2).topk(3), r"k = 3"),
    ("kthvalue", lambda m: m.ones(2).kthvalue(3), r"k = 3"),
    ("max of nothing", lambda m: m.ones(0).max(), r"empty|nothing"),
    ("argmin of nothing", lambda m: m.ones(0).argmin(), r"empty|nothing"),
    ("mean of integers", lambda m: m.ones(2, dtype=m.int64).mean(), r"floating-point"),
    ("softmax of integers", lambda m: m.tensor([1, 2]).softmax(0), r"softmax.*floating-point"),
    ("norm p", lambda m: m.ones(2).norm("odd"), r"odd"),
    ("exp of a list", lambda m: m.exp([1.0]), r"exp\(\): argument 'x|input'.*must be Tensor, not list"),
    ("add None", lambda m: m.ones(2) + None, r"None"),
    ("add text", lambda m: m.ones(2) + "a", r"str"),
    ("matmul list", lambda m: m.matmul(m.ones(2, 2), [[1.0]]), r"list"),
    ("flatten order", lambda m: m.ones(2, 3).flatten(1, 0), r"start_dim"),
    ("diag of a cube", lambda m: m.diag(m.ones(2, 2, 2)), r"1D or 2D"),
    ("t of a cube", lambda m: m.ones(2, 2, 2).t(), r"<= 2"),
    ("clamp without bounds", lambda m: m.ones(2).clamp(), r"min.*max"),
    ("rounding mode", lambda m: m.div(m.ones(1), 2, rounding_mode="up"), r"up"),
    ("one element", lambda m: m.ones(2).item(), r"2 elements"),
    ("bitwise of floats", lambda m: m.ones(2) & m.ones(2), r"."),
    ("integer division by zero", lambda m: m.tensor([1]) // m.tensor([0]), r"divided by zero"),
    ("integer remainder by zero", lambda m: m.tensor([1]) % 0, r"divided by zero"),
    ("integers to negative powers", lambda m: m.tensor([2]) ** -1, r"negative integer powers"),
    ("meshgrid indexing", lambda m: m.meshgrid(m.ones(2), m.ones(2), indexing="zz"), r"zz"),
    ("roll", lambda m: m.ones(4).roll((1, 2)), r"dims"),
    ("tril of a vector", lambda m: m.ones(3).tril(), r"two axes|2"),
    ("broadcast_tensors", lambda m: m.broadcast_tensors(m.ones(2), m.ones(3)), r"\(2,\) and \(3,\)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "call", "words"), [pytest.param(*case, id=case[0]) for case in REFUSED])
def test_a_refusal_has_pytorchs_class_and_says_what_was_wrong(name: str, call: Call, words: str) -> None:
    try:
        call(torch)
    except Exception as error:
        theirs = type(error)
    else:
        pytest.fail("PyTorch allows it")
    with pytest.raises(
        (theirs,) if theirs is not NotImplementedError else (RuntimeError, TypeError, NotImplementedError)
    ) as ours:
        call(cr)
    assert re.search(words, str(ours.value)), str(ours.value)


def test_the_users_line_and_names_are_in_the_message() -> None:
    images, weights = cr.ones(2, 3), cr.ones(4, 5)
    with pytest.raises(RuntimeError) as caught:
        images @ weights
    text = str(caught.value)
    assert "'images'" in text
    assert "'weights'" in text
    assert "test_the_users_line_and_names_are_in_the_message" in text
    assert re.search(r"test_functions_refusals\.py:\d+", text)


def test_a_reduction_of_an_empty_axis_names_the_shape() -> None:
    with pytest.raises(RuntimeError, match=r"\(0, 3\)"):
        cr.zeros(0, 3).amax(0)
