"""How many threads NumPy's BLAS uses: one for small networks, whose products are too short to share.

With more, OpenBLAS's threads wait for each other by spinning. On a machine where something else runs as well, a run
of one second was seen to take twenty.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

SMALL = 1e8
"""Operations in a batch's forward pass below which one thread is used: about a millisecond of one core."""

SAID = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
"""The environment variables by which a user decides; then nothing is changed here."""


@contextmanager
def threads_for(operations: float, environ: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Within the block NumPy's bundled OpenBLAS uses one thread, if the work is small and the user did not decide.

    Args:
        operations: floating-point operations in the forward pass of a batch.
        environ: the environment.
    """
    library = None if operations >= SMALL or any(environ.get(name) for name in SAID) else _openblas()
    if library is None:
        yield
        return
    before = int(library.scipy_openblas_get_num_threads64_())
    library.scipy_openblas_set_num_threads64_(1)
    try:
        yield
    finally:
        library.scipy_openblas_set_num_threads64_(before)


def _openblas() -> Any | None:
    """The OpenBLAS that came with NumPy; None where NumPy uses another one."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            library = ctypes.CDLL(str(path))
            if hasattr(library, "scipy_openblas_set_num_threads64_"):
                return library
    return None
