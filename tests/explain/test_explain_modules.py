"""Large derivations: modules that open and close, equal ones side by side, long sums in short."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import ArgumentError
from chainrule.explain.step import CallSteps, EqualCalls, Item
from chainrule.notation.conventions import convention

F64 = cr.float64


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        q, k, v = self.qkv(x).split(x.shape[-1], dim=-1)
        return self.project(F.scaled_dot_product_attention(q, k, v, is_causal=True))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2 = nn.LayerNorm(width), Attention(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.feed(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, width: int = 8, blocks: int = 4, vocabulary: int = 11) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList([Block(width) for _ in range(blocks)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, tokens: cr.Tensor) -> cr.Tensor:
        x = self.token(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return x + self.outer(self.inner(x).tanh())


def gpt(**sizes: int) -> tuple[GPT, cr.Tensor]:
    cr.manual_seed(0)
    model = GPT(**sizes).double()
    tokens = cr.randint(0, 11, (2, 6))
    return model, F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


def equal(items: tuple[Item, ...]) -> EqualCalls:
    return next(item for item in items if isinstance(item, EqualCalls))


def rms(x: Any) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(x)))))


# ---- the tree ----------------------------------------------------------------------------------------------------


def test_the_blocks_of_a_transformer_stand_side_by_side_forward_and_back() -> None:
    model, loss = gpt()
    e = cr.explain.gradient(loss, model=model)
    forward, backward = (equal(section.items) for section in e.sections)
    assert [call.path for call in forward.calls] == [f"blocks.{i}" for i in range(4)]
    assert [call.path for call in backward.calls] == [f"blocks.{i}" for i in (3, 2, 1, 0)]
    for call in (*forward.calls, *backward.calls):
        inside = [item.path for item in call.items if isinstance(item, CallSteps)]
        names = ["attention", "feed"] if call in forward.calls else ["feed", "attention"]
        assert inside == [f"{call.path}.{name}" for name in names]
        assert call.kind == "Block"


def test_what_enters_and_leaves_a_block_is_what_its_hooks_see() -> None:
    model, _ = gpt()
    seen: dict[str, tuple[float, float, float, float]] = {}
    values: dict[str, tuple[float, float]] = {}
    for i, block in enumerate(model.blocks):

        def forward(module: Any, args: Any, output: Any, path: str = f"blocks.{i}") -> None:
            values[path] = rms(args[0].detach()), rms(output.detach())

        def backward(module: Any, inner: Any, outer: Any, path: str = f"blocks.{i}") -> None:
            seen[path] = (*values[path], rms(outer[0]), rms(inner[0]))

        block.register_forward_hook(forward)
        block.register_full_backward_hook(backward)
    watched_model, plain = model, GPT().double()
    plain.load_state_dict(watched_model.state_dict())
    cr.manual_seed(1)
    tokens = cr.randint(0, 11, (2, 6))
    losses = [F.cross_entropy(m(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()) for m in (plain, watched_model)]
    losses[1].backward()
    e = cr.explain.gradient(losses[0], model=plain)
    forward_calls, backward_calls = (equal(section.items).calls for section in e.sections)
    for call in forward_calls:
        assert [flow.rms for flow in (*call.enters, *call.leaves)] == pytest.approx(seen[call.path][:2], rel=1e-10)
    for call in backward_calls:
        assert [flow.rms for flow in (*call.enters, *call.leaves)] == pytest.approx(seen[call.path][2:], rel=1e-10)
        gradients = [p.grad.numpy().ravel() for p in watched_model.get_submodule(call.path).parameters()]
        assert call.parameters == pytest.approx(rms(np.concatenate(gradients)), rel=1e-10)


def test_of_what_several_modules_read_each_gives_back_its_part() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)) for _ in range(2))

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return self.one(x) * self.other(x)

    cr.manual_seed(0)
    model, x = Branches().double(), cr.randn(5, 3, dtype=F64).requires_grad_()
    e = cr.explain.gradient(model(x).sum(), model=model)
    backward = {item.path: item for item in e.sections[1].items if isinstance(item, CallSteps)}
    assert set(backward) == {"one", "other"}
    for path in ("one", "other"):
        (part,) = backward[path].leaves
        assert not part.whole
        other = "other" if path == "one" else "one"
        y = model.get_submodule(path)(x) * model.get_submodule(other)(x).detach()
        (expected,) = cr.autograd.grad(y.sum(), [x])
        assert part.rms == pytest.approx(rms(expected), rel=1e-10)
    assert "part of" in str(e.within("one"))


def test_each_step_says_its_module_the_derivative_the_one_it_comes_back_through() -> None:
    model, loss = gpt()
    e = cr.explain.gradient(loss, model=model)
    modules = {one.symbol: one.module for one in e.steps}
    first = next(one for one in e.steps if one.module == "blocks.0.norm1")
    assert modules[first.symbol] == "blocks.0.norm1"
    (read,) = [name for name in first.parts if name.startswith("v")]
    assert e[f"dell/d{read}"].module == "blocks.0", "the input of a block comes back through it"
    weight = e["dell/dW2"]
    assert weight.module == "blocks.0.attention.qkv"
    assert e["ell"].module == ""


def test_a_module_that_is_called_again_and_again_is_one_with_numbered_calls() -> None:
    class Again(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Residual(4)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            for _ in range(6):
                x = self.block(x)
            return x.relu()

    cr.manual_seed(0)
    model, x = Again().double(), cr.randn(3, 4, dtype=F64)
    text = str(cr.explain.gradient(model(x).square().mean(), model=model))
    assert "block: Residual, called 6 times, alike but for the numbers." in text
    assert "block (1)" in text
    assert "block (6)" in text


def test_a_plain_network_has_no_sections_of_modules_and_functional_code_none_either() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return self.fc2(self.fc1(x).tanh())

    model, x = Plain().double(), cr.randn(5, 3, dtype=F64)
    e = cr.explain.gradient(model(x).square().mean(), model=model)
    assert not any(isinstance(item, CallSteps | EqualCalls) for item in e.items)
    assert e["z2"].module == "fc1"
    w = cr.randn(3, 3, dtype=F64, requires_grad=True)
    e = cr.explain.gradient(cr.tanh(x @ w).square().mean(), w)
    assert all(one.module == "" for one in e.steps)


def test_several_models_are_known_by_the_variables_that_hold_them() -> None:
    cr.manual_seed(0)
    encoder, decoder = (nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)).double() for _ in range(2))
    x = cr.randn(5, 3, dtype=F64)
    e = cr.explain.gradient(decoder(encoder(x).exp()).square().mean())
    assert [item.path for item in e.sections[0].items if isinstance(item, CallSteps)] == ["encoder", "decoder"]


# ---- text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_transformer_is_printed_with_closed_modules_and_says_how_to_open_them(lang: str) -> None:
    model, loss = gpt()
    text = str(cr.explain.gradient(loss, model=model, lang=lang))
    assert len(text.splitlines()) < 200
    assert '.within("blocks.0' in text
    assert "full=True" in text
    for i in range(4):
        assert len(re.findall(rf"^ +blocks\.{i}  .*→", text, re.MULTILINE)) == 2


def test_within_a_module_its_steps_are_printed_whole() -> None:
    model, loss = gpt()
    e = cr.explain.gradient(loss, model=model)
    part = e.within("blocks.2")
    text = str(part)
    assert len(text.splitlines()) < 200
    assert {one.module.partition(".attention")[0].partition(".feed")[0] for one in part.steps} <= {
        "blocks.2", "blocks.2.norm1", "blocks.2.norm2",
    }  # fmt: skip
    loss.backward()
    qkv = model.blocks[2].attention.qkv.weight
    (step,) = [one for one in part.steps if one.module == "blocks.2.attention.qkv" and one.shape == qkv.shape]
    np.testing.assert_allclose(step.value, qkv.grad.numpy(), rtol=1e-9, atol=1e-15)
    inner = e.within("blocks.2.attention.qkv")
    assert {one.symbol for one in inner.steps} < {one.symbol for one in part.steps}


def test_within_a_module_that_has_no_steps_is_refused_with_those_that_have() -> None:
    model, loss = gpt(blocks=2)
    with pytest.raises(ArgumentError, match=r"(?s)belongs to a module 'block\.7'.*blocks\.0\.attention"):
        cr.explain.gradient(loss, model=model).within("block.7")


def test_a_derivative_that_was_asked_for_is_printed_though_its_module_is_closed() -> None:
    model, loss = gpt(blocks=6)
    weight = model.blocks[1].attention.project.weight
    text = str(cr.explain.gradient(loss, [weight, model.blocks[3].feed[0].bias], model=model))
    assert len(text.splitlines()) < 200
    assert re.search(r"^ +∂ℓ/∂W⁷ =", text, re.MULTILINE)
    assert ".within(" in text


def test_derivatives_that_were_asked_for_in_equal_modules_are_all_printed() -> None:
    model, loss = gpt(blocks=5)
    weights = [block.feed[0].weight for block in model.blocks]
    e = cr.explain.gradient(loss, weights, model=model)
    text = str(e)
    assert len(text.splitlines()) < 200
    for number in (4, 8, 12, 16, 20):
        assert e[f"dell/dW{number}"].value.shape == weights[0].shape
        upper = str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
        assert re.search(rf"^ +∂ℓ/∂W{upper} =", text, re.MULTILINE), number


def test_without_modules_there_is_nothing_to_open() -> None:
    w = cr.randn(3, 3, dtype=F64, requires_grad=True)
    e = cr.explain.gradient(cr.tanh(w).sum(), w)
    with pytest.raises(ArgumentError, match=r"(?s)there are  none.*Pass model="):
        e.within("0")


def test_in_full_every_step_of_every_module_is_printed() -> None:
    model, loss = gpt()
    e = cr.explain.gradient(loss, model=model, full=True)
    text = str(e)
    assert ".within(" not in text
    assert not any(isinstance(item, EqualCalls) for item in e.items)
    for step in e.steps:
        assert step.formula.split(" = ")[0] in text
    for i, j in pairwise(range(4)):
        assert text.index(f"blocks.{i} (Block)") < text.index(f"blocks.{j} (Block)")


def test_a_hundred_equal_modules_are_a_table_and_each_can_be_opened() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(*[Residual(4) for _ in range(100)]).double()
    e = cr.explain.gradient(model(cr.randn(3, 4, dtype=F64)).square().mean(), model=model)
    text = str(e)
    assert len(text.splitlines()) < 200
    assert "0 to 98: 99 times Residual" in text
    assert len(e.to_html().encode()) < 1_000_000
    assert {one.module.partition(".")[0] for one in e.within("57").steps} == {"57"}


def test_folded_layers_can_be_opened_and_asked_for() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(*[layer for _ in range(100) for layer in (nn.Linear(4, 4), nn.Tanh())]).double()
    loss = model(cr.randn(3, 4, dtype=F64)).square().mean()
    e = cr.explain.gradient(loss, model=model)
    assert e["z40"].module == "76"
    part = e.within("76")
    loss.backward()
    assert [one.symbol for one in part.steps] == ["z40", "dell/dW40", "dell/db40"]
    np.testing.assert_allclose(part["dell/dW40"].value, model[76].weight.grad.numpy(), rtol=1e-9)


def test_by_differentials_a_module_keeps_whole_sections() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(Residual(3), Residual(3)).double()
    e = cr.explain.gradient(model(cr.randn(2, 3, dtype=F64)).square().mean(), model=model, level="differential")
    part = e.within("0")
    assert len(part.sections) > 2
    for section in part.sections[1:]:
        assert section in e.sections


def test_by_differentials_only_what_the_loss_reads_enters_it_directly() -> None:
    model, loss = gpt(blocks=1)
    e = cr.explain.gradient(loss, model=model, level="differential")
    said = [one.reason for one in e.steps if "enters the loss directly" in one.reason]
    assert len(said) == 1, "attention has no differential of its own, but it is not the loss"
    assert said[0].split()[0] in e["ell"].formula


# ---- other forms -------------------------------------------------------------------------------------------------


def test_the_page_has_a_section_that_opens_for_each_module_and_stays_small() -> None:
    model, loss = gpt(width=32)
    html = cr.explain.gradient(loss, model=model).to_html()
    assert len(html.encode()) < 1_000_000
    assert "<script" not in html
    opens = re.findall(r'<details class="module"><summary><b>([^<]*)</b>', html)
    for i in range(4):
        assert opens.count(f"blocks.{i}") == 2
        assert f"<td>blocks.{i}</td>" in html
    assert opens.count("blocks.0.attention") == 1, "the first in full"
    identities = re.findall(r'id="([^"]+)"', html)
    doubled = [name for name, n in Counter(identities).items() if n > 1]
    assert not doubled
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(identities)


def test_the_picture_shows_closed_modules_whose_panels_say_what_goes_through() -> None:
    model, loss = gpt()
    html = cr.explain.gradient(loss, model=model).to_html()
    nodes = re.findall(r'<a href="#(m-\d+)" class="node module target" aria-label="([^"]+)"', html)
    assert [path for _, path in nodes] == [f"blocks.{i}" for i in range(4)]
    for panel, path in nodes:
        text = html[html.index(f'<div id="{panel}"') :][:3000]
        assert f"{path} (Block)" in text
        assert text.count("rms") >= 4


def test_the_module_of_a_wanted_weight_stands_open_on_the_page() -> None:
    model, loss = gpt()
    html = cr.explain.gradient(loss, model.blocks[1].feed[0].weight, model=model).to_html()
    assert '<details class="module" open="open"><summary><b>blocks.1.feed</b>' in html


def test_json_latex_and_markdown_keep_the_modules() -> None:
    model, loss = gpt()
    e = cr.explain.gradient(loss, model=model)
    found = json.loads(e.to_json())
    forward, backward = found["sections"]
    assert [m["path"] for m in forward["modules"]][:4] == [
        "blocks.0",
        "blocks.0.attention",
        "blocks.0.feed",
        "blocks.1",
    ]
    assert {step["module"] for step in backward["steps"]} >= {"", "head", "blocks.3.attention.qkv"}
    assert all(step["repeated"] == 4 for step in forward["steps"] if step["module"].startswith("blocks"))
    (enters,) = next(m for m in backward["modules"] if m["path"] == "blocks.2")["enters"]
    assert enters["rms"] > 0
    assert enters["whole"]
    markdown, latex = e.to_markdown(), e.to_latex()
    assert "\n### blocks.0 (Block)\n" in markdown
    assert "\n#### blocks.0.attention (Attention)\n" in markdown
    assert "| module | enters | rms | leaves | rms |\n| --- | --- | --- | --- | --- |\n| blocks.0 |" in markdown
    assert r"\subsubsection*{blocks.0 (Block)}" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2


# ---- long sums ---------------------------------------------------------------------------------------------------


def wide(samples: int = 60) -> tuple[nn.Sequential, cr.Tensor]:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(400, 2), nn.Sigmoid(), nn.Linear(2, 1)).double()
    return model, F.mse_loss(model(cr.randn(samples, 400, dtype=F64)), cr.randn(samples, 1, dtype=F64))


def test_a_sum_over_a_wide_layer_has_its_first_terms_dots_with_a_count_and_its_last() -> None:
    model, loss = wide()
    e = cr.explain.gradient(loss, model[0].bias, level="scalar")
    left, right = e.steps[0].formula.split(" = ")
    assert left == "z₁,₁²"
    assert right.count(" + ") == 5
    assert "w₁,₃² ⋅ x₃,₁ + ⋯₃₉₆ + w₁,₄₀₀² ⋅ x₄₀₀,₁ + b₁²" in right
    assert "⋯₃₉₆" in (e.steps[0].numbers or "")
    assert "⋯₅₆ + (z₆₀³ − t₆₀)²" in e["ell"].formula
    assert "full=True" in str(e).split("Forward")[0], "what the dots say is said"
    assert r"\cdots_{396}" in e.to_latex()
    assert "<mo>⋯</mo>" in re.sub(r"<mo [^>]*>", "<mo>", e.to_html())


def test_in_full_a_long_sum_is_written_out_and_its_value_is_the_same() -> None:
    model, loss = wide(samples=2)
    short = cr.explain.gradient(loss, model[0].bias, level="scalar")
    full = cr.explain.gradient(loss, model[0].bias, level="scalar", full=True)
    formula = " ".join(full["z2_11"].formula.split())  # its lines are broken somewhere
    assert formula.count(" + ") == 400
    assert "+ w₁,₅² ⋅ x₅,₁ +" in formula
    assert "+ w₁,₃₉₉² ⋅ x₃₉₉,₁ +" in formula
    assert short["dell/db2_1"].value == full["dell/db2_1"].value


@pytest.mark.parametrize("level", ["matrix", "differential"])
def test_a_weight_that_is_used_twenty_times_has_a_short_sum_of_its_routes(level: Any) -> None:
    cr.manual_seed(0)
    w, x = cr.randn(3, 3, dtype=F64, requires_grad=True), cr.randn(2, 3, dtype=F64)
    for _ in range(20):
        x = cr.tanh(x @ w)
    e = cr.explain.gradient(x.square().mean(), w, level=level)
    assert e["dell/dW2"].formula.count(" + ") == 4
    assert "⋯₁₆" in e["dell/dW2"].formula
    full = cr.explain.gradient(x.square().mean(), w, level=level, full=True)
    assert full["dell/dW2"].formula.count(" + ") == 19


def test_how_long_a_sum_may_be_is_part_of_the_convention() -> None:
    model, loss = wide()
    chosen = replace(convention("article1"), terms=6)
    e = cr.explain.gradient(loss, model[0].bias, level="scalar", convention=chosen)
    assert "⋯" in e["ell"].formula
    with pytest.raises(ArgumentError, match="terms is 0, or at least 5"):
        replace(convention("article1"), terms=2)
