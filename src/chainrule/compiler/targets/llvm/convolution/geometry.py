"""The sizes of a convolution, and how its rows of taps fall onto rows of positions."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from chainrule.ops.windows import Pair


@dataclass(frozen=True)
class RowTaps:
    """The rows of a kernel that see rows of one residue: `count` of them from row `first`, `step` apart.

    The row p of them with number a sees, for output row i, row (i + shift + a * shift_step) * stride + residue of
    the padded plane.
    """

    residue: int
    first: int
    step: int
    count: int
    shift: int
    shift_step: int


@dataclass(frozen=True)
class Geometry:
    """A convolution of `images` in `groups`; channels and outputs are those of one group.

    Args:
        size: of the planes, without padding.
        count: positions of the kernel down and across: the size of the output planes.
    """

    images: int
    groups: int
    channels: int
    outputs: int
    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    count: Pair

    @property
    def row_taps(self) -> tuple[RowTaps, ...]:
        """The rows of the kernel by the residue, modulo the stride, of the plane's rows that they see."""
        s, d, height = self.stride[0], self.dilation[0], self.kernel[0]
        step = s // gcd(s, d)
        return tuple(
            [
                RowTaps(p * d % s, p, step, len(range(p, height, step)), p * d // s, step * d // s)
                for p in range(min(step, height))
            ]
        )

    @property
    def reach(self) -> int:
        """How many rows further, in rows of one residue, the last tap sees."""
        return (self.kernel[0] - 1) * self.dilation[0] // self.stride[0]

    @property
    def is_inside(self) -> bool:
        """True if each row that is reached lies in the plane."""
        return not self.padding[0] and self.stride[0] == 1

    @property
    def columns(self) -> int:
        """The staged planes of a group: one for each channel and column of the kernel, channels outside."""
        return self.channels * self.kernel[1]

    @property
    def flops(self) -> int:
        """Operations of any of the three convolutions, those that see padding included."""
        down, across = self.count
        return 2 * self.images * self.groups * self.outputs * self.columns * self.kernel[0] * down * across


def largest_divisor(total: int, most: int) -> int:
    """The largest divisor of `total` that is at most `most`, and 1 where that is less."""
    return max(n for n in range(1, max(min(total, most), 1) + 1) if total % n == 0)
