"""BLAS uses one thread for small work, as many as before for large work, and what the user says in any case."""

from __future__ import annotations

import pytest

from chainrule.train import threads


@pytest.mark.parametrize(
    ("operations", "environ", "within"),
    [
        (threads.SMALL / 2, {}, 1),
        (threads.SMALL * 2, {}, 2),
        (threads.SMALL / 2, {"OMP_NUM_THREADS": "2"}, 2),
        (threads.SMALL / 2, {"OPENBLAS_NUM_THREADS": ""}, 1),
    ],
)
def test_small_work_gets_one_thread_unless_the_user_decided(
    operations: float, environ: dict[str, str], within: int
) -> None:
    library = threads._openblas()
    if library is None:
        pytest.skip("NumPy came without an OpenBLAS of its own")
    before = library.scipy_openblas_get_num_threads64_()
    library.scipy_openblas_set_num_threads64_(2)
    try:
        with threads.threads_for(operations, environ):
            assert library.scipy_openblas_get_num_threads64_() == within
        assert library.scipy_openblas_get_num_threads64_() == 2
    finally:
        library.scipy_openblas_set_num_threads64_(before)


def test_nothing_happens_without_an_openblas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_openblas", lambda: None)
    with threads.threads_for(1, {}):
        pass
