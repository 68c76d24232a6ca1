"""The benchmark's report, with measurements made up, and its command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.bench import processes, session
from chainrule.bench.contenders import CONTENDERS, chosen
from chainrule.bench.machine import Peak
from chainrule.bench.session import Effort, Entry, Measurement, Row, Run, Session, race
from chainrule.bench.table import as_json, document
from chainrule.bench.workloads import find
from chainrule.cli.main import main
from chainrule.report import to_text

MACHINE = {"processor": "a processor, 2 cores", "date": "2026-01-01"}
PEAK = Peak(1, 100e9, {4: 1e9})


def measured(contender: str, time: float, distance: float = 1e-7) -> Measurement:
    return Measurement(contender, "a way", time, 1.1 * time, 0.25, 3.5, distance)


def run_of(*measurements: Measurement, sweep: tuple[Row, ...] = ()) -> Run:
    row = Row(find("W3"), 1, 12.0, "operations", 18.0, measurements)
    return Run(MACHINE, [PEAK], [row], sweep)


def text(run: Run) -> str:
    return to_text(document(run), 140)


def line(page: str, start: str) -> str:
    """The line of a table that begins so."""
    return next(one for one in page.split("The same batch")[-1].splitlines() if one.startswith(start))


def test_a_row_shows_times_shares_of_the_floor_and_the_ratio_to_the_best_peer() -> None:
    page = text(run_of(measured("chainrule", 16.0), measured("torch", 160.0), measured("jax", 64.0)))
    assert "W3   MLP 64-64-64-10, batch 32, adam" in page
    assert line(page, "W3").split() == (["W3", "12", "16", "(75%)", "160", "(8%)", "64", "(19%)", "0.25", "18", "met"])


def test_a_missed_goal_is_called_so() -> None:
    assert line(text(run_of(measured("chainrule", 19.0))), "W3 ").endswith("18 missed")


def test_a_peer_that_computes_something_else_is_marked_and_not_compared_with() -> None:
    run = run_of(measured("chainrule", 16.0), measured("torch", 160.0), measured("jax", 8.0, distance=0.1))
    page = text(run)
    assert "8 (150%) ×" in line(page, "W3")
    assert line(page, "W3, JAX").endswith("its results are 1.0e-01 from our eager ones")
    assert run.rows[0].ratio == 0.1


def test_a_contender_that_fails_leaves_a_gap_and_its_error() -> None:
    page = text(run_of(measured("chainrule", 16.0), Measurement("torch", "a way", failure="MemoryError: no")))
    assert line(page, "W3, PyTorch").split(maxsplit=2)[2] == "MemoryError: no"


def test_the_sweep_counts_who_is_ahead_and_shows_the_worst() -> None:
    def row(name: str, ours: float, theirs: float, floor: float) -> Row:
        times = [measured("chainrule", ours), measured("jax", theirs)]
        return Row(find(name), 1, floor, "operations", None, times)

    swept = (row("S1", 10, 20, 2.0), row("S2", 30, 20, 15.0), row("S3", 9, 20, 3.0), row("S4", 8, 20, 0.1))
    page = text(run_of(measured("chainrule", 16.0), sweep=swept))
    assert "Ahead of every peer on 3 of 4." in page
    worst_to_peer, worst_to_floor = page.split("The worst to best peer")[1].split("The worst to floor")
    assert [one.split()[0] for one in worst_to_peer.splitlines() if one.startswith("S")] == ["S2", "S1", "S3", "S4"]
    assert [one.split()[0] for one in worst_to_floor.splitlines() if one.startswith("S")] == ["S1", "S3", "S2"]


def test_the_json_has_every_measurement() -> None:
    found = json.loads(json.dumps(as_json(run_of(measured("chainrule", 16.0), measured("jax", 64.0)))))
    (row,) = found["rows"]
    assert row["name"] == "W3"
    assert row["ratio"] == 0.25
    assert row["measurements"][0]["share"] == 0.75
    assert row["measurements"][1] | {"share": None} == {
        "contender": "jax", "variant": "a way", "fixed": 64.0, "fresh": pytest.approx(70.4), "first_call": 0.25,
        "memory": 3.5, "distance": 1e-7, "failure": None, "agrees": True, "share": None,
    }  # fmt: skip


class Scripted:
    """A worker that answers at once with what a test wrote down."""

    def __init__(self, name: str, times: list[float]) -> None:
        self.contender = next(one for one in CONTENDERS if one.name == name)
        self.times = iter(times)

    def ask(self, command: str, *arguments: object) -> dict[str, Any]:
        return {"us": next(self.times)} if command == "time" else {"us": 1.0}


def entry(name: str, variant: str, trial: float, times: list[float]) -> Entry:
    worker: Any = Scripted(name, times)
    results = {"loss": np.ones(10, np.float32)}
    return Entry(worker, variant, {"first_call": 0.5, "memory": None}, results, trial)


def test_the_faster_way_of_writing_is_timed_and_medians_are_reported() -> None:
    slow, quick = entry("torch", "default", 9.0, []), entry("torch", "fused", 7.0, [7.0, 70.0, 8.0])
    ours = entry("chainrule", "compile", 1.0, [3.0, 1.0, 2.0])
    ours_found, torch_found = race([ours, slow, quick], {}, Effort(rounds=3))
    assert (ours_found.contender, ours_found.fixed) == ("chainrule", 2.0)
    assert (torch_found.variant, torch_found.fixed, torch_found.agrees) == ("fused", 8.0, True)


def test_a_wrong_compiled_step_is_found_by_our_eager_one_and_is_no_match_for_anybody() -> None:
    ours, eager = entry("chainrule", "compile", 1.0, [1.0]), entry("chainrule-eager", "eager", 1.0, [2.0])
    peer = entry("jax", "jit", 1.0, [3.0])
    ours.results["loss"][3] = 1.1  # type: ignore[index]
    found = race([ours, eager, peer], {}, Effort(rounds=1))
    assert [one.agrees for one in found] == [False, True, True]
    assert Row(find("W3"), 1, 12.0, "operations", None, found).ratio is None


def test_a_floor_is_what_takes_longer_operations_or_memory() -> None:
    peak = Peak(1, 100e9, {64: 10e9})
    assert peak.floor(flops=10**6, update_bytes=10**4, footprint=64) == (10.0, "operations")
    assert peak.floor(flops=10**4, update_bytes=10**6, footprint=64) == (100.0, "memory")
    assert peak.floor(flops=0, update_bytes=10**6, footprint=64)[0] == 0.0


def test_a_process_that_dies_answers_with_its_status(tmp_path: Path) -> None:
    worker = processes.Worker(chosen("none")[1], 1, tmp_path)
    worker._process.kill()
    assert worker.ask("ready")["error"].startswith("its process ended with status")
    worker.close()


def test_a_command_that_fails_answers_with_the_error_and_the_process_lives_on(tmp_path: Path) -> None:
    worker = processes.Worker(chosen("none")[1], 1, tmp_path)
    try:
        assert worker.ask("build", "W1", "no such way") == {"error": "KeyError: 'no such way'"}
        assert worker.ask("build", "W1", "eager").keys() == {"first_call", "memory", "results"}
        assert worker.ask("time", 0.01)["us"] > 0
    finally:
        worker.close()


@contextmanager
def nobody(threads: int, folder: Path) -> Iterator[Any]:
    yield lambda contender, variant: Scripted(contender.name, [1.0] * 10)


def test_a_session_measures_each_row_at_each_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "crew", nobody)
    monkeypatch.setattr(session, "build", lambda workload, contenders, processes: [])
    monkeypatch.setattr(session.machine, "peak", lambda n, sizes, _: Peak(n, 1e9, dict.fromkeys(sizes, 1e9)))
    said: list[str] = []
    found = Session(chosen("none"), say=said.append).run([find("W1"), find("W3")], [find("S1")], [1, 2])
    assert [(row.workload.name, row.threads) for row in found.rows] == [("W1", 1), ("W3", 1), ("W1", 2), ("W3", 2)]
    assert [(row.workload.name, row.threads) for row in found.sweep] == [("S1", 1), ("S1", 2)]
    assert said[1] == "W1  one neuron, 1 thread"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "W77"], "there is no row 'W77'"),
        (["--rows", "none"], "bench what?"),
        (["--threads", "0"], "--threads takes numbers from 1"),
        (["--threads", "one"], "not 'one'"),
        (["--rounds", "0"], "--rounds takes a number from 1, not 0"),
        (["--peers", "caffe"], "--peers takes auto, none or"),
    ],
)
def test_the_command_line_says_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_our_rows_alone_need_no_peer_and_leave_nothing_behind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--rows", "W1", "--peers", "none", "--threads", "1", "--rounds", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["rows"]
    eager = row["measurements"][1]
    assert eager["failure"] is None
    assert 1 < eager["fixed"] < 10_000
    assert found["peaks"][0]["flops"] > 1e9
    assert list(tmp_path.iterdir()) == []
