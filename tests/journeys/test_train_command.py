"""`chainrule train`: what it learns, what it writes, what it says."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.cli.main import main
from chainrule.data import bundled
from chainrule.train.config import Request
from chainrule.train.problem import Examples
from chainrule.train.sources import load

QUICK = ["--layers", "8", "--epochs", "3", "--quiet"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def trained(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    """What `chainrule train ... --json` says."""
    status = main(["train", *args, "--json"])
    out, err = capsys.readouterr()
    assert status == 0, err
    result: dict[str, Any] = json.loads(out)
    return result


def flowers(path: Path) -> Path:
    """A table of mixed columns with gaps, whose class follows from two of them."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["size", "colour", "year", "kind"])
        for i in range(90):
            kind = i % 3
            size = "" if i % 11 == 0 else f"{2 * kind + rng.normal() * 0.4:.2f}"
            colour = "NA" if i % 13 == 0 else ["red", "blue", "white"][kind]
            writer.writerow([size, colour, 2020, ["rose", "iris", "lily"][kind]])
    return path


def line(path: Path, n: int = 80) -> Path:
    """A table where y = 1000 + 50 a - 30 b."""
    rng = np.random.default_rng(1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "y"])
        for a, b in rng.normal(size=(n, 2)):
            writer.writerow([a, b, 1000 + 50 * a - 30 * b])
    return path


def test_digits_reaches_97_percent_in_the_median_of_five_seeds_with_the_defaults(
    capsys: pytest.CaptureFixture[str],
) -> None:
    accuracies = []
    for seed in range(5):
        result = trained(capsys, "digits", "--seed", str(seed), "--quiet")
        accuracies.append(result["metrics"]["test"]["accuracy"])
        assert result["rows"] == {"train": 1294, "validation": 144, "test": 359}
    assert statistics.median(accuracies) >= 0.97


def test_the_test_rows_keep_the_share_of_each_class_and_are_in_no_other_part() -> None:
    problem = load(Request(data="digits"))
    parts = [problem.train, problem.validation, problem.test]
    assert all(isinstance(part, Examples) for part in parts)
    everything = bundled.load("digits")
    rows = np.concatenate([part.inputs for part in parts if isinstance(part, Examples)])
    assert sorted(map(bytes, rows * np.float32(16))) == sorted(map(bytes, everything.features))
    counts = np.bincount(parts[2].targets)  # type: ignore[union-attr]  # Examples
    assert np.all(np.abs(counts - 0.2 * np.bincount(everything.targets)) < 1)


def test_the_validation_fraction_does_not_change_the_test_rows() -> None:
    tests = [load(Request(data="iris", validation=fraction)).test for fraction in (0.0, 0.1, 0.3)]
    assert isinstance(tests[0], Examples)
    assert all(np.array_equal(tests[0].targets, test.targets) for test in tests if isinstance(test, Examples))


def test_table_statistics_are_those_of_the_training_rows_alone(tmp_path: Path) -> None:
    problem = load(Request(data=str(line(tmp_path / "line.csv")), target="y"))
    assert isinstance(problem.train, Examples)
    assert isinstance(problem.test, Examples)
    np.testing.assert_allclose(problem.train.inputs.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(problem.train.inputs.std(axis=0), 1, atol=1e-5)
    assert np.all(np.abs(problem.test.inputs.mean(axis=0)) > 1e-4)


def test_a_run_folder_holds_everything_and_other_programs_read_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    result = trained(capsys, "iris", *QUICK, "--out", "run")
    run = tmp_path / "run"
    names = {
        "config.json",
        "metrics.jsonl",
        "checkpoint.safetensors",
        "model.safetensors",
        "result.json",
        "report.html",
    }
    assert {path.name for path in run.iterdir()} == names
    weights = safetensors.load_file(run / "model.safetensors")
    assert {name: array.shape for name, array in weights.items()} == {
        "0.weight": (8, 4), "0.bias": (8,), "2.weight": (3, 8), "2.bias": (3,),
    }  # fmt: skip
    config = json.loads((run / "config.json").read_text())
    assert config["settings"]["layers"] == [8]
    assert config["origin"]["kind"] == "bundled"
    assert len(config["origin"]["sha256"]) == 64
    records = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
    assert records == result["history"] == json.loads((run / "result.json").read_text())["history"]
    assert set(records[0]) == {
        "epoch", "train_loss", "lr", "seconds", "gradient_norms", "validation_loss", "validation", "watch",
    }  # fmt: skip
    assert set(records[0]["gradient_norms"]) == {"0", "2"}
    page = (run / "report.html").read_text()
    assert "Gradient norm of each layer" in page
    assert "Test rows of each class" in page


def test_json_is_one_object_and_nothing_else_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    result = trained(capsys, "iris", "--layers", "8", "--epochs", "2")
    assert result["epochs"] == 2
    assert np.sum(result["confusion"]) == result["rows"]["test"] == 30
    accuracy = np.trace(result["confusion"]) / 30
    assert result["metrics"]["test"]["accuracy"] == pytest.approx(accuracy)


def test_the_end_of_a_run_says_the_metric_the_table_and_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iris", *QUICK, "--out", "here"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("iris: test accuracy ")
    assert "Test rows of each class (down) by predicted class (across)" in out
    assert "run folder   here" in out


def test_plain_progress_has_about_ten_lines_and_a_short_run_one_for_each_epoch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for epochs, lines in (("3", 3), ("60", 10)):
        assert main(["train", "iris", "--layers", "4", "--epochs", epochs, "--out", f"run{epochs}"]) == 0
        err = capsys.readouterr().err
        assert sum(text.startswith("epoch ") for text in err.splitlines()) == lines
        assert "\x1b" not in err


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        trained(capsys, "iris", *QUICK, "--seed", seed, "--out", name)
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_table_of_words_numbers_and_gaps_is_learned(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = flowers(tmp_path / "flowers.csv")
    result = trained(capsys, str(path), "--target", "kind", "--epochs", "30", "--quiet")
    assert result["task"] == "classification"
    assert result["classes"] == ["iris", "lily", "rose"]
    assert result["metrics"]["test"]["accuracy"] > 0.8
    treatment = "\n".join(result["treatment"])
    assert "colour: category" in treatment
    assert "year: left out; it is 2020 in every training row" in treatment


def test_a_parquet_file_gives_the_same_result_as_the_csv_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = list(csv.DictReader(line(tmp_path / "t.csv").read_text().splitlines()))
    columns = {name: [float(row[name]) for row in rows] for name in rows[0]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    results = [trained(capsys, f"t.{kind}", "--target", "y", *QUICK) for kind in ("csv", "parquet")]
    assert results[0]["metrics"] == results[1]["metrics"]


def test_regression_errors_are_in_the_unit_of_the_target(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = line(tmp_path / "line.csv")
    args = ["--target", "y", "--layers", "none", "--epochs", "60", "--lr", "0.05", "--quiet"]
    metrics = trained(capsys, str(path), *args, "--out", "run")["metrics"]["test"]
    assert metrics["rmse"] < 1
    assert metrics["r2"] > 0.999
    assert metrics["mae"] <= metrics["rmse"]
    assert metrics["loss"] < 1e-3
    status = main(["predict", "run", "line.csv", "--json"])
    assert status == 0
    first = json.loads(capsys.readouterr().out)["predictions"][0]
    assert first["prediction"] == pytest.approx(first["target"], abs=3)
    assert first["target"] > 500


def test_the_task_can_be_forced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{i},{i % 3}\n" for i in range(60)))
    assert trained(capsys, str(path), "--target", "y", *QUICK)["task"] == "classification"
    assert trained(capsys, str(path), "--target", "y", "--task", "regression", *QUICK)["task"] == "regression"


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad", "adadelta"])
def test_every_optimizer_learns_iris_at_its_default_rate(capsys: pytest.CaptureFixture[str], optimizer: str) -> None:
    result = trained(capsys, "iris", "--optimizer", optimizer, "--epochs", "40", "--quiet")
    assert result["metrics"]["train"]["accuracy"] > 0.8


@pytest.mark.parametrize("schedule", ["none", "cosine", "step", "onecycle"])
def test_every_schedule_moves_the_rate_as_it_says(capsys: pytest.CaptureFixture[str], schedule: str) -> None:
    result = trained(capsys, "iris", "--schedule", schedule, "--epochs", "9", "--lr", "0.01", "--quiet")
    rates = [record["lr"] for record in result["history"]]
    if schedule == "none":
        assert rates == [0.01] * 9
    elif schedule == "step":
        np.testing.assert_allclose(rates, np.repeat([0.01, 0.001, 0.0001], 3))
    elif schedule == "cosine":
        np.testing.assert_allclose(rates, 0.005 * (1 + np.cos(np.pi * np.arange(9) / 9)))
    else:
        assert rates[0] == pytest.approx(0.01 / 25)
        assert max(rates) <= 0.01
        assert rates[-1] < rates[4]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"])
def test_every_activation_trains(capsys: pytest.CaptureFixture[str], activation: str) -> None:
    result = trained(capsys, "iris", "--activation", activation, "--epochs", "30", "--quiet")
    assert result["history"][-1]["train_loss"] < result["history"][0]["train_loss"]


@pytest.mark.parametrize("loss", ["mse", "l1", "huber"])
def test_every_loss_for_numbers_trains(capsys: pytest.CaptureFixture[str], tmp_path: Path, loss: str) -> None:
    path = line(tmp_path / "line.csv")
    result = trained(capsys, str(path), "--target", "y", "--loss", loss, "--epochs", "20", "--quiet")
    assert result["metrics"]["test"]["r2"] > 0.8


def test_batches_of_one_row_take_a_step_for_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--batch-size", "1", "--optimizer", "sgd", "--lr", "0.01", "--epochs", "3", "--quiet"]
    result = trained(capsys, "iris", *args)
    assert result["settings"]["batch_size"] == 1
    assert result["metrics"]["train"]["accuracy"] > 0.8


def test_early_stopping_ends_the_run_and_keeps_the_best_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--lr", "0.05", "--epochs", "150", "--early-stopping", "4", "--quiet"]
    result = trained(capsys, "iris", *args)
    losses = [record["validation_loss"] for record in result["history"]]
    assert result["epochs"] < 150
    assert result["epochs"] - result["best_epoch"] == 4
    assert result["best_epoch"] == int(np.argmin(losses)) + 1
    assert result["stopped"] == "no lower validation loss in 4 epochs"
    assert result["metrics"]["validation"]["loss"] == min(losses)


def test_without_validation_or_test_rows_the_last_epoch_counts(capsys: pytest.CaptureFixture[str]) -> None:
    result = trained(capsys, "iris", "--validation", "0", "--test-fraction", "0", *QUICK)
    assert result["rows"] == {"train": 150}
    assert result["best_epoch"] == 3
    assert set(result["metrics"]) == {"train"}
    assert "validation_loss" not in result["history"][0]


def test_runs_without_out_get_folders_of_their_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folders = {trained(capsys, "iris", *QUICK)["run"] for _ in range(3)}
    assert len(folders) == 3
    assert all(folder.startswith("runs/iris-") for folder in folders)


@pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)
def test_fashion_mnist_is_tested_on_its_official_images(capsys: pytest.CaptureFixture[str]) -> None:
    result = trained(capsys, "fashion-mnist", "--layers", "16", "--epochs", "1", "--batch-size", "256", "--quiet")
    assert result["rows"] == {"train": 54000, "validation": 6000, "test": 10000}
    assert result["metrics"]["test"]["accuracy"] > 0.7
