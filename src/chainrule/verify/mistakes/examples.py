"""The networks that the examples of the catalogue are set in, as derivation files without claims."""

from __future__ import annotations


def example(network: str, claim: str) -> str:
    """A derivation file with one claim."""
    return f"{network}claims\n  {claim}\n"


ONE_SAMPLE = """\
given
  x  = [0.5, 0.1]
  t  = [1, 0]
  W1 = random(3, 2)
  b1 = random(3)
  W2 = random(2, 3)
  b2 = random(2)
forward
  z1 = W1 @ x + b1
  a1 = sigmoid(z1)
  z2 = W2 @ a1 + b2
  a2 = sigmoid(z2)
  L  = 1/2 * sum((a2 - t)**2)
"""

SQUARE = """\
given
  x  = [0.5, 0.1, -0.4]
  t  = [1, 0, 0.5]
  W1 = random(3, 3)
  b1 = random(3)
  W2 = random(3, 3)
  b2 = random(3)
  W3 = random(3, 3)
  b3 = random(3)
forward
  z1 = W1 @ x + b1
  a1 = tanh(z1)
  z2 = W2 @ a1 + b2
  a2 = sigmoid(z2)
  z3 = W3 @ a2 + b3
  a3 = sigmoid(z3)
  L  = 1/2 * sum((a3 - t)**2)
"""

THREE_SAMPLES = """\
given
  X  = random(3, 3)                  # three samples side by side
  T  = random(3, 3)
  W1 = random(3, 3)
  b1 = random(3)
  W2 = random(3, 3)
  b2 = random(3)
forward
  z1 = W1 @ X + b1
  a1 = sigmoid(z1)
  z2 = W2 @ a1 + b2
  L  = 1/2 * sum((z2 - T)**2, axis=all)
"""

BATCH = """\
given
  X  = random(2, 5)                  # five samples side by side
  T  = random(3, 5)
  W1 = random(4, 2)
  b1 = random(4)
  W2 = random(3, 4)
  b2 = random(3)
forward
  Z1 = W1 @ X + b1
  A1 = relu(Z1)
  Z2 = W2 @ A1 + b2
  L  = mean((Z2 - T)**2, axis=all)
"""

CLASSES = """\
given
  x = [0.5, -0.2]
  t = [0, 0, 1]
  W = random(3, 2)
  b = random(3)
forward
  z = W @ x + b
  p = softmax(z)
  L = -sum(t * log(p))
"""

RECURRENCE = """\
given
  x1 = [0.5, -0.2]
  x2 = [0.1, 0.7]
  x3 = [-0.3, 0.4]
  h0 = [0.2, -0.1]
  t  = [1, 0]
  U  = random(2, 2)
  W  = random(2, 2)
forward
  h1 = tanh(U @ x1 + W @ h0)
  h2 = tanh(U @ x2 + W @ h1)
  h3 = tanh(U @ x3 + W @ h2)
  L  = 1/2 * sum((h3 - t)**2)
"""

RESIDUAL = """\
given
  x = [0.5, -0.2]
  t = [1, 0]
  W = random(2, 2)
forward
  a = tanh(x)
  z = W @ a
  y = a + z
  L = 1/2 * sum((y - t)**2)
"""

SCALE = """\
given
  x = [0.5, -0.2, 0.8]
  t = [1, 0, 0.3]
  g = 1.5
forward
  y = g * x
  L = 1/2 * sum((y - t)**2)
"""
