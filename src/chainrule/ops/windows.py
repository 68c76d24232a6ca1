"""Windows: where a kernel stands on a padded plane, for convolution and pooling.

`seen` takes the elements under every window, `overlapped` adds numbers back into those places: each is the
other's transpose, and both are slices, so that every reader has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

from chainrule.errors import ArgumentError, ShapeError
from chainrule.ops.maths import Maths, Value
from chainrule.shapes import Shape

Pair = tuple[int, int]
"""One number for the height and one for the width."""

Key = tuple[slice, slice, slice, slice]


@dataclass(frozen=True)
class Windows:
    """The windows of a kernel on planes of one size; `count` says how many there are down and across.

    Window (i, j) sees, at place (p, q) of the kernel, the element (i s + p d, j s + q d) of the padded plane, for
    stride s and dilation d.
    """

    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    count: Pair

    @cached_property
    def margins(self) -> tuple[Pair, Pair]:
        """How many rows, and columns, to add (before, after) so that each window stands on elements."""
        reach = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in self._axes]
        top, left = (max(r - n - p, 0) for r, n, p in zip(reach, self.size, self.padding, strict=True))
        return (self.padding[0], top), (self.padding[1], left)

    @cached_property
    def padded(self) -> Pair:
        """The size of the plane with its margins."""
        height, width = (n + before + after for n, (before, after) in zip(self.size, self.margins, strict=True))
        return height, width

    @cached_property
    def inside(self) -> Key:
        """The key of the plane without its margins, for arrays (N, C, height, width)."""
        rows, columns = (slice(p, p + n) for p, n in zip(self.padding, self.size, strict=True))
        return (slice(None), slice(None), rows, columns)

    @cached_property
    def rows(self) -> list[slice]:
        """For each row of the kernel, which rows of the padded plane the windows see there."""
        return self._steps(0)

    @cached_property
    def columns(self) -> list[slice]:
        """The same for columns."""
        return self._steps(1)

    @cached_property
    def taps(self) -> list[Key]:
        """For each place in the kernel, row by row, the key of what the windows see there on the padded plane."""
        return [(slice(None), slice(None), row, column) for row in self.rows for column in self.columns]

    @cached_property
    def tile(self) -> bool:
        """True if each element of the plane is seen by exactly one window."""
        reached = tuple([n * k for n, k in zip(self.count, self.kernel, strict=True)])
        return self.stride == self.kernel and self.dilation == (1, 1) and reached == self.padded == self.size

    def _steps(self, axis: int) -> list[slice]:
        n, s, d, k = self._axes[axis]
        return [slice(p * d, p * d + (n - 1) * s + 1, s) for p in range(k)]

    @property
    def _axes(self) -> list[tuple[int, int, int, int]]:
        return list(zip(self.count, self.stride, self.dilation, self.kernel, strict=True))


@lru_cache(1024)
def windows_on(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool = False
) -> Windows:
    """The windows that fit on a padded plane; with `ceil_mode` also a last one that reaches over the edge.

    There are floor((n + 2 p - d (k - 1) - 1) / s) + 1 of them on an axis; with `ceil_mode` the quotient is rounded
    up, and a window that would start beyond the plane and its first margin is left out.

    Raises:
        ArgumentError: for a kernel, stride or dilation below 1, or a negative padding.
        ShapeError: if no window fits.
    """
    for name, numbers, least in (
        ("kernel size", kernel, 1), ("stride", stride, 1), ("dilation", dilation, 1), ("padding", padding, 0),
    ):  # fmt: skip
        if min(numbers) < least:
            raise ArgumentError(f"{name} {numbers}: each number is {least} or more")
    counts = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        counts.append(count)
    if min(counts) < 1:
        reach = tuple([d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)])
        padded = tuple([n + 2 * p for n, p in zip(size, padding, strict=True)])
        raise ShapeError(f"a kernel that reaches over {reach} elements does not fit on a padded plane of {padded}")
    return Windows(size, kernel, stride, padding, dilation, (counts[0], counts[1]))


def seen(m: Maths, x: Value, windows: Windows, fill: float = 0.0) -> Value:
    """(N, C, height, width) to (N, C, down, across, places): the elements under each window, margins filled."""
    if windows.padded != windows.size:
        x = m.pad(x, widths=((0, 0), (0, 0), *windows.margins), value=fill)
    shape = (*x.shape[:2], *windows.count, 1)
    return m.cat(*[m.reshape(m.slice(x, key=tap), shape=shape) for tap in windows.taps], axis=4)


def overlapped(m: Maths, v: Value, windows: Windows) -> Value:
    """(N, C, down, across, places) to (N, C, height, width): each number added where its window saw the element."""
    whole: Shape = (*v.shape[:2], *windows.padded)
    every = (slice(None),) * 4
    parts = [m.embed(m.slice(v, key=(*every, t)), key=tap, shape=whole) for t, tap in enumerate(windows.taps)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total if windows.padded == windows.size else m.slice(total, key=windows.inside)


def places(windows: Windows) -> int:
    """How many elements a window sees."""
    return prod(windows.kernel)
