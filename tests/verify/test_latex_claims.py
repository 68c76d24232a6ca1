"""Claims in LaTeX, as textbooks write them."""

from __future__ import annotations

import pytest

from chainrule.errors import NotationError
from chainrule.verify import derivation

NETWORK = """given
  x  = [0.5, 0.1]
  y  = [1, 0]
  W2 = random(3, 2, seed=1)
  b2 = zeros(3)
  W3 = random(4, 3)
  b3 = zeros(4)
  W4 = random(2, 4)
  b4 = zeros(2)
forward
  z2 = W2 @ x + b2
  a2 = sigmoid(z2)
  z3 = W3 @ a2 + b3
  a3 = sigmoid(z3)
  z4 = W4 @ a3 + b4
  a4 = sigmoid(z4)
  L  = 1/2 * sum((a4 - y)**2)
claims
"""


def verdicts(*claims: str) -> list[tuple[str, str]]:
    return [(c.name, c.verdict) for c in derivation(text=NETWORK + "\n".join(claims)).claims]


@pytest.mark.parametrize(
    ("claim", "names"),
    [
        (r"\delta^{L} = (a^{L} - y) \odot \sigma'(z^{L})", ["dL/dz4"]),
        (r"\delta^{l} = (W^{l+1})^T \delta^{l+1} \odot \sigma'(z^{l})", ["dL/dz2", "dL/dz3"]),
        (r"\delta^{(l)} = \sigma'(z^{(l)}) \odot (W^{(l+1)})^T \delta^{(l+1)}", ["dL/dz2", "dL/dz3"]),
        (r"\delta_l = W_{l+1}^T \delta_{l+1} \circ a_l \circ (1 - a_l)", ["dL/dz2", "dL/dz3"]),
        (r"\frac{\partial L}{\partial W^{l}} = \delta^{l} (a^{l-1})^T", ["dL/dW2", "dL/dW3", "dL/dW4"]),
        (r"\frac{\partial C}{\partial W^{4}} = \delta^{4} a^{3\top}", ["dL/dW4"]),
        (r"\partial L / \partial b^{l} = \delta^{l}", ["dL/db2", "dL/db3", "dL/db4"]),
        (r"$\delta^3 = \operatorname{diag}(\sigma'(z^3)) W^{4T} \delta^4$", ["dL/dz3"]),
        (r"\delta^{4} = \frac{(a^4 - y)}{1} \odot \left(a^4 - (a^4)^2\right)", ["dL/dz4"]),
    ],
)
def test_a_right_claim_in_latex_is_right(claim: str, names: list[str]) -> None:
    assert verdicts(claim) == [(name, "right") for name in names]


def test_a_slip_in_latex_is_named_as_in_the_plain_notation() -> None:
    result = derivation(
        text=NETWORK + r"  \delta^{l} = W^{l+1T} \delta^{l+1} \odot a^{l}" + "\n  dL/dW2 = dL/dz2 @ x.T\n"
    )
    assert [c.verdict for c in result.claims] == ["wrong", "wrong", "consequence"]
    assert result.first_wrong is not None
    assert result.first_wrong.name == "dL/dz3"
    assert result.first_wrong.mistake is not None
    assert result.first_wrong.mistake.name == "activation for its derivative"


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (r"\delta^{9} = \delta^{3}", "no quantity is called 'delta9'"),
        (r"\delta^{l} = q^{l}", "no layer has all quantities"),
        (r"\delta^{3} = (a^{3}", r"'\)' is missing"),
        (r"a^{3} = \delta^{3}", "'a3' is not a derivative"),
        (r"\delta^{3} = \input{a}", "is not a quantity"),
        (r"\delta^{3} = a^{3} \odot", "is not a quantity"),
        ("\\delta^{3} = " + "(" * 500, "nested more than"),
    ],
)
def test_latex_that_is_no_claim_is_refused_with_its_line(claim: str, message: str) -> None:
    with pytest.raises(NotationError, match=message) as caught:
        verdicts(claim)
    assert caught.value.line == 19


@pytest.mark.parametrize("command", ["frac", "dfrac", "tfrac"])
def test_fractions_of_every_size_are_read(command: str) -> None:
    text = (
        "given\n  W2 = random(2, 3)\n  x = random(3)\nforward\n  z2 = W2 @ x\n  L = sum(z2**2)\n"
        f"claims\n  \\{command}{{\\partial L}}{{\\partial z^{{2}}}} = 2 z^{{2}}\n"
    )
    assert derivation(text=text).ok
