"""The derivations of docs/articles.md as LaTeX: sound without a TeX, and compiled where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.explain.gradient import of_program
from chainrule.notation.boxes import Chain, Fenced, Identifier, Numeral, Operator, row
from chainrule.notation.conventions import PRESETS
from chainrule.notation.language.statements import parse_statements
from chainrule.notation.tex import LINE, tex
from chainrule.report import Document, Facts, Heading, Paragraph, Table, to_latex
from chainrule.report.latex_text import LETTERS, SIGNS, escaped
from chainrule.symbolic.expression import Symbol

LEVELS = ("scalar", "matrix", "differential")
F64 = cr.float64
TOKEN = re.compile(
    r"\\begin\{[\w*]+\}|\\end\{[\w*]+\}|\\left(?![a-z])|\\right(?![a-z])|\\[A-Za-z]+|\\.|[{}$]", re.DOTALL
)
PACKAGES = "texlive-latex-recommended, texlive-xetex and texlive-lang-chinese"


def losses() -> dict[str, cr.Tensor]:
    """The networks of the articles, each with a loss: A0 with softmax, A1 and A3 with two layers, A2 without any."""
    cr.manual_seed(4)
    classes = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    layers = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 2), nn.Sigmoid()).double()
    one, x = cr.randn(1, 2, dtype=F64), cr.ones(2, 2, dtype=F64, requires_grad=True)
    y = x + 2
    with cr.explain.record():
        return {
            "A0": F.cross_entropy(classes(cr.randn(2, 3, dtype=F64)), cr.tensor([0, 1])),
            "A1": 0.5 * (layers(one) - cr.rand(1, 2, dtype=F64)).square().sum(),
            "A2": (y * y * 3).mean(),
            "A3": F.mse_loss(layers(one), cr.rand(1, 2, dtype=F64), reduction="sum"),
        }


@cache
def documents(lang: str) -> dict[str, str]:
    """The LaTeX of all of them: every level under the article's own convention, every convention at one level."""
    found = {}
    for article, loss in losses().items():
        own = f"article{article[1]}"
        for level, preset in {*((level, own) for level in LEVELS), *(("matrix", preset) for preset in PRESETS)}:
            e = cr.explain.gradient(loss, level=level, convention=preset, lang=lang)  # type: ignore[arg-type]
            found[f"{article} {level} {preset}"] = e.to_latex()
    program = parse_statements(
        "z = w*x + b; y = sigmoid(z); L = 1/2*(y - y_true)**2", {n: Symbol(n) for n in ("x", "w", "b", "y_true")}
    )
    givens = {"x": 0.5, "w": 0.4, "b": 0.1, "y_true": 0.8}
    for preset in PRESETS:
        found[f"A4 {preset}"] = of_program(
            program, givens, ("w", "b"), convention=preset, lang=lang, lr=0.01
        ).to_latex()
    for make in (lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01), lambda p: optim.Adam(p, 0.01)):
        w = cr.ones(2, 3, requires_grad=True)
        optimizer = make([w])
        (w**3).sum().backward()
        found[type(optimizer).__name__] = cr.explain.update(optimizer, w, lang=lang).to_latex()
    return found


def check(text: str) -> None:
    """Braces, environments and brackets that grow close in order; formulas open and close; nothing is left empty."""
    open_: list[str] = []
    pairs = {"}": "{", r"\right": r"\left", r"\]": r"\["}
    for token in TOKEN.findall(text):
        if token.startswith(r"\begin{"):
            open_.append(token[7:-1])
        elif token.startswith(r"\end{"):
            assert open_.pop() == token[5:-1], text
        elif token in ("{", r"\left", r"\["):
            open_.append(token)
        elif token in pairs:
            assert open_.pop() == pairs[token], text
        elif token == "$":
            if open_ and open_[-1] == "$":
                open_.pop()
            else:
                open_.append("$")
    assert not open_, open_


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_latex_of_every_article_is_balanced_and_in_english_ascii(lang: str) -> None:
    for name, text in documents(lang).items():
        check(text)
        strange = {c for c in text if ord(c) > 126}
        allowed = {c for c in strange if "\u3000" <= c <= "\u9fff" or "\uff00" <= c <= "\uffef" or c in "“”—…、。"}
        assert strange <= (allowed if lang == "zh" else set()), (name, strange)


def test_a_wide_side_of_an_equation_stands_on_several_lines() -> None:
    term = Numeral("0.123456789")
    wide = row(*[part for _ in range(9) for part in (term, Operator("+"))], term)
    lines = tex(Chain(Identifier("z"), (wide, term))).split(r"\\")
    assert len(lines) == 4
    assert lines[1].startswith(r" &\qquad {} +")
    assert max(len(line) for line in lines) < LINE + 40
    bracketed = tex(Chain(Identifier("z"), (Fenced(wide),)))
    assert bracketed.count("aligned") == 4  # lines of their own between the brackets
    check(bracketed)


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("100% of W_1 & {b}", r"100\% of W\_1 \& \{b\}"),
        ("∂L/∂W₂", r"$\partial L/\partial W_{2}$"),
        ("δ⁽²⁾", r"$\delta^{(2)}$"),
        ("rms(δ)", r"$\mathrm{rms}(\delta)$"),
        ("σ′(z²)", r"$\sigma'(z^{2})$"),
        ("−0.5, 4×3", r"$-$0.5, 4$\times$3"),
        ("2.5×10⁻⁷", r"$2.5\times 10^{-7}$"),
        ("a < b | c ~ d^2 \\", r"a \textless{} b \textbar{} c \textasciitilde{} d\textasciicircum{}2 \textbackslash{}"),
        ("梯度 δ", r"梯度 $\delta$"),
    ],
)
def test_mathematics_in_running_text_becomes_a_formula(text: str, latex: str) -> None:
    assert escaped(text) == latex
    check(escaped(text))


def sample(lang: str) -> str:
    """A report with every letter and sign in its text and a table."""
    letters = " ".join([*LETTERS, *SIGNS])
    blocks = [
        Heading(letters),
        Paragraph(f"x² {letters}"),
        Facts([("δ", 2.5e-7)]),
        Table(["∂L/∂z₂", "%"], [["a_1", 1]]),
    ]
    return to_latex(Document("Report & more", "δ", blocks, lang))


def test_a_report_is_one_balanced_file() -> None:
    check(sample("en"))
    assert sample("en").isascii()


# ---- with a TeX ------------------------------------------------------------------------------------------------------


def compiled(text: str, program: str, at: Path) -> str:
    """What the program says about the file."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not on the PATH; Debian has it in {PACKAGES}")
    if "ctexart" in text and not subprocess.run(["kpsewhich", "ctexart.cls"], capture_output=True, check=False).stdout:
        pytest.skip(f"the class ctexart is not installed; Debian has it in {PACKAGES}")
    (at / "derivation.tex").write_text(text, "utf-8")
    command = [path, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "derivation.tex"]
    done = subprocess.run(command, cwd=at, capture_output=True, timeout=240, check=False)
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said[-2000:]
    return said


def article(lang: str) -> str:
    kind = "ctexart" if lang == "zh" else "article"
    body = "\n\\clearpage\n".join(documents(lang).values())
    head = rf"\documentclass{{{kind}}} \usepackage{{amsmath,amssymb}} \begin{{document}}"
    return f"{head}\n{body}\n\\end{{document}}\n"


@pytest.mark.parametrize(("lang", "program"), [("en", "pdflatex"), ("zh", "xelatex")])
def test_the_latex_of_every_article_compiles(lang: str, program: str, tmp_path: Path) -> None:
    said = compiled(article(lang), program, tmp_path)
    assert "Missing character" not in said
    assert (tmp_path / "derivation.pdf").stat().st_size > 10_000


@pytest.mark.parametrize(("lang", "program"), [("en", "pdflatex"), ("zh", "xelatex")])
def test_a_report_compiles(lang: str, program: str, tmp_path: Path) -> None:
    compiled(sample(lang), program, tmp_path)
