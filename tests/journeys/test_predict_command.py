"""`chainrule predict`: new data through the saved preparation, and what is said where it does not fit."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.cli.main import main
from chainrule.data import bundled
from chainrule.train.config import Request
from chainrule.train.reporting import Outcome
from chainrule.train.session import start

TABLE = "size,colour,kind\n" + "".join(
    f"{i % 10 + 10 * (i % 2)},{['red', 'blue'][i % 2]},{['rose', 'iris'][i % 2]}\n" for i in range(60)
)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(TABLE)


def run_of(data: str, **options: Any) -> Outcome:
    return start(Request(data=data, **{"epochs": 20, **options}), "run")


def table_run() -> Outcome:
    return run_of("t.csv", target="kind", layers=(8,))


def predicted(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    status = main(["predict", "run", *args, "--json"])
    out, err = capsys.readouterr()
    assert status == 0, err
    result: dict[str, Any] = json.loads(out)
    return result


def refusal(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["predict", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    return err


def test_rows_without_a_target_get_a_class_and_probabilities_that_sum_to_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table_run()
    Path("new.csv").write_text("colour,size\nred,3\nblue,15\n")
    result = predicted(capsys, "new.csv")
    assert [row["prediction"] for row in result["predictions"]] == ["rose", "iris"]
    assert [row["line"] for row in result["predictions"]] == [2, 3]
    for row in result["predictions"]:
        assert set(row["probabilities"]) == {"iris", "rose"}
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["probabilities"][row["prediction"]] > 0.5
    assert result["score"] is None


def test_rows_with_a_target_are_scored_and_unknown_values_are_noted(capsys: pytest.CaptureFixture[str]) -> None:
    table_run()
    Path("new.csv").write_text("colour,size,kind\nred,3,rose\nblue,15,rose\ngreen,4,\n")
    result = predicted(capsys, "new.csv")
    assert result["scored_rows"] == 2
    assert result["score"] == {"accuracy": 0.5}
    assert result["confusion"] == [[0, 0], [1, 1]]
    assert any("colour: 1 value not seen in training ('green')" in note for note in result["notes"])


def test_predictions_are_csv_on_standard_output_or_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    table_run()
    assert main(["predict", "run", "t.csv"]) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 60
    assert set(rows[0]) == {"line", "prediction", "target", "probability of iris", "probability of rose"}
    assert "t.csv: 60 rows predicted" in err
    assert "include those the run was trained on" in " ".join(err.split())
    assert main(["predict", "run", "t.csv", "--out", "p.csv"]) == 0
    assert Path("p.csv").read_text() == out
    assert "predictions   p.csv" in capsys.readouterr().out


def test_without_data_the_runs_own_test_rows_are_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    for data, options in (("t.csv", {"target": "kind"}), ("iris", {}), ("digits", {"epochs": 3})):
        outcome = start(Request(data=data, **{"epochs": 9, "layers": (8,), **options}), f"run-{data}")  # type: ignore[arg-type]
        assert main(["predict", f"run-{data}", "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["score"] == {"accuracy": outcome.metrics["test"]["accuracy"]}
        assert result["confusion"] == outcome.confusion


def test_regression_is_in_the_unit_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(a, 5000 + 100 * a) for a in np.linspace(-1, 1, 60)]
    Path("r.csv").write_text("a,y\n" + "".join(f"{a},{y}\n" for a, y in rows))
    outcome = run_of("r.csv", target="y", layers=(), lr=0.1, epochs=60)
    Path("new.csv").write_text("a\n0\n0.5\n")
    values = [row["prediction"] for row in predicted(capsys, "new.csv")["predictions"]]
    assert values == pytest.approx([5000, 5050], abs=2)
    score = predicted(capsys)["score"]
    assert score == pytest.approx({name: outcome.metrics["test"][name] for name in ("rmse", "mae", "r2")})


def test_bundled_names_and_files_of_their_columns_are_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    run_of("iris", layers=(8,))
    result = predicted(capsys, "iris")
    assert len(result["predictions"]) == 150
    assert result["score"]["accuracy"] > 0.8
    names = bundled.load("iris").feature_names
    Path("new.csv").write_text(",".join(names) + "\n5.0,3.4,1.5,0.2\n")
    assert predicted(capsys, "new.csv")["predictions"][0]["prediction"] == "setosa"


def test_images_come_from_npy_and_csv_files(capsys: pytest.CaptureFixture[str]) -> None:
    run_of("digits", layers=(32,), epochs=10)
    digits = bundled.load("digits")
    np.save("some.npy", digits.features[:50].reshape(50, 8, 8))
    from_array = [row["prediction"] for row in predicted(capsys, "some.npy")["predictions"]]
    assert np.mean([a == str(b) for a, b in zip(from_array, digits.targets[:50], strict=True)]) > 0.8
    with Path("some.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*digits.feature_names, "label"])
        writer.writerows([*row, label] for row, label in zip(digits.features[:50], digits.targets[:50], strict=True))
    result = predicted(capsys, "some.csv")
    assert [row["prediction"] for row in result["predictions"]] == from_array
    assert result["score"]["accuracy"] > 0.8


BUILDER = """
import numpy as np
from chainrule import nn

def build(outputs=2):
    x = np.random.default_rng(0).normal(size=(60, 3))
    t = (x[:, 0] > 0).astype(int)
    made = {"model": nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, outputs)), "loss": nn.CrossEntropyLoss(),
            "train": (x[:40], t[:40]), "test": (x[40:], t[40:])}
    return made
"""


def test_a_builders_run_predicts_arrays_tables_and_its_test_set(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(BUILDER)
    outcome = run_of("mine.py:build", arguments={"outputs": 3}, optimizer="adam", lr=0.05)
    assert predicted(capsys)["score"] == {"accuracy": outcome.metrics["test"]["accuracy"]}
    np.save("x.npy", np.array([[5.0, 0, 0], [-5, 0, 0]]))
    Path("x.csv").write_text("a,b,c\n5,0,0\n-5,0,0\n")
    for file in ("x.npy", "x.csv"):
        result = predicted(capsys, file)
        assert [row["prediction"] for row in result["predictions"]] == ["1", "0"]
        assert set(result["predictions"][0]["probabilities"]) == {"0", "1", "2"}


def test_a_builders_file_that_changed_or_is_gone_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(BUILDER)
    run_of("mine.py:build")
    Path("mine.py").write_text(BUILDER.replace("Tanh", "ReLU"))
    assert "mine.py changed since the run began" in refusal(capsys, "run")
    Path("mine.py").unlink()
    assert "mine.py is gone, from which the run was made" in refusal(capsys, "run")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("size\n3\n", ["missing: colour"]),
        ("size,color\n3,red\n", ["missing: colour", "unknown: color", "Is 'color' meant for 'colour'?"]),
        ("size,colour,weight\n3,red,1\n", ["unknown: weight", "Leave out the unknown ones."]),
        ("size,colour\ninf,red\n", ["column 'size' holds an infinite value", "line 2 of new.csv"]),
        ("size,colour\nbig,red\n", ["column 'size' must hold numbers", "'big'"]),
        ("size,colour,kind\n1,red,tulip\n", ["a class that is not one of those learned", "learned: iris, rose"]),
        ("size,colour\n", ["new.csv has no rows of data"]),
    ],
)
def test_a_table_that_does_not_fit_is_named(capsys: pytest.CaptureFixture[str], header: str, words: list[str]) -> None:
    table_run()
    Path("new.csv").write_text(header)
    said = refusal(capsys, "run", "new.csv")
    assert [word for word in words if word not in said] == [], said


def test_what_is_no_run_or_no_data_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    table_run()
    np.save("x.npy", np.zeros((2, 3)))
    assert "nowhere is not a run folder" in refusal(capsys, "nowhere", "t.csv")
    assert "cannot read none.csv" in refusal(capsys, "run", "none.csv")
    assert "there is no data set and no file 'irs'" in refusal(capsys, "run", "irs")
    assert "learned from a table with named columns" in refusal(capsys, "run", "x.npy")
    assert "predict takes data, not a function" in refusal(capsys, "run", "mine.py:build")
    assert "the columns of iris are not those" in refusal(capsys, "run", "iris")
    assert "--data-folder applies to bundled data sets" in refusal(capsys, "run", "t.csv", "--data-folder", "d")


def test_a_run_that_did_not_finish_or_has_no_test_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    run_of("iris", layers=(4,), epochs=1, test_fraction=0.0)
    assert "the run run has no test rows" in refusal(capsys, "run")
    Path("run/model.safetensors").unlink()
    said = refusal(capsys, "run", "iris")
    assert "run has no model.safetensors: the run did not finish" in said
    assert "chainrule train --resume run" in said


def test_damaged_files_of_a_run_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    run_of("iris", layers=(4,), epochs=1)
    model = Path("run/model.safetensors")
    whole = model.read_bytes()
    model.write_bytes(whole[:-8])
    assert "run/model.safetensors is no intact safetensors file" in refusal(capsys, "run", "iris")
    model.write_bytes(whole)
    config = json.loads(Path("run/config.json").read_text())
    Path("run/config.json").write_text(json.dumps({**config, "treatment": {"kind": "table"}}))
    assert "the data treatment of the run is damaged" in refusal(capsys, "run", "iris")
    settings = {**config["settings"], "layers": [5]}
    Path("run/config.json").write_text(json.dumps({**config, "settings": settings}))
    assert "do not fit the model of the run" in refusal(capsys, "run", "iris")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 63)), "the images do not have the size"),
        (np.full((2, 64), 17.0), "pixels must lie from 0 to 16"),
        (np.full((2, 64), np.nan), "128 of 128 values are NaN or infinite"),
        (np.zeros((0, 64)), "x.npy has no rows"),
        (np.array(["a"]), "must hold an array of numbers"),
    ],
)
def test_an_array_that_does_not_fit_is_named(capsys: pytest.CaptureFixture[str], array: Any, words: str) -> None:
    run_of("digits", layers=(4,), epochs=1)
    np.save("x.npy", array)
    assert words in refusal(capsys, "run", "x.npy")


def test_npy_files_that_are_truncated_or_hold_objects_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    run_of("digits", layers=(4,), epochs=1)
    np.save("x.npy", np.zeros((2, 64)))
    Path("x.npy").write_bytes(Path("x.npy").read_bytes()[:-9])
    assert "x.npy is not a whole .npy file" in refusal(capsys, "run", "x.npy")
    np.save("x.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "x.npy is not a whole .npy file of numbers" in refusal(capsys, "run", "x.npy")


def test_a_full_disk_leaves_the_old_predictions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table_run()
    Path("p.csv").write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert "cannot write p.csv: No space left on device" in refusal(capsys, "run", "t.csv", "--out", "p.csv")
    assert Path("p.csv").read_text() == "old"
    assert list(Path().glob("*.tmp")) + list(Path().glob(".*.tmp")) == []
