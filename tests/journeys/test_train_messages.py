"""Each mistake on the command line of `chainrule train` has a message that says what was wrong, and status 2."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from chainrule.cli.main import main

TABLE = "x,colour,y\n" + "".join(f"{i},{['red', 'blue'][i % 2]},{'ab'[i % 3 == 0]}\n" for i in range(40))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(TABLE)


def refusal(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """What is said on standard error; nothing else may happen."""
    before = sorted(Path().rglob("*.json*"))
    assert main(["train", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert sorted(Path().rglob("*.json*")) == before, "a mistake leaves no run folder"
    return err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["digit"], ["there is no data set and no file 'digit'", "Did you mean digits?"]),
        (["what"], ["there is no data set and no file 'what'", "data sets: digits, iris", "FILE.py:function"]),
        (["none.csv", "--target", "y"], ["cannot read none.csv: No such file or directory"]),
        (["none.py:build"], ["cannot read none.py: No such file or directory"]),
        (["none.py"], ["none.py is a Python file", "none.py:build"]),
        (["t.csv"], ["which column of t.csv is to be learned?", "columns: x, colour, y", "--target y"]),
        (["t.csv", "--target", "z"], ["t.csv has no column 'z'", "columns: x, colour, y"]),
        (["t.csv", "--target", "colours"], ["Is 'colour' meant for 'colours'?"]),
        (["t.csv", "--target", "y", "--task", "regression"], ["column 'y' must hold numbers", "line 2 of t.csv"]),
        (["t.csv", "--target", "y", "--loss", "mse"], ["--loss mse does not fit classification", "cross_entropy"]),
        (["iris", "--target", "y"], ["--target applies to a CSV or Parquet file only, not to iris"]),
        (["iris", "--task", "regression"], ["--task applies to a CSV or Parquet file only"]),
        (["iris", "--set", "a=1"], ["--set applies to FILE.py:function only, not to iris"]),
        (["t.csv", "--target", "y", "--data-folder", "d"], ["--data-folder applies to a bundled data set"]),
        (["iris", "--data-folder", "d"], ["the data set iris is not read from a folder"]),
        (["fashion-mnist", "--data-folder", "d"], ["images-idx3-ubyte", "in the folder d"]),
        (["iris", "--optimizer", "adamm"], ["--optimizer: there is no 'adamm'; there are sgd", "Did you mean adam?"]),
        (["iris", "--activation", "rulu"], ["--activation: there is no 'rulu'", "Did you mean relu?"]),
        (["iris", "--loss", "cross"], ["--loss: there is no 'cross'"]),
        (["iris", "--schedule", "cos"], ["--schedule: there is no 'cos'"]),
        (["t.csv", "--target", "y", "--task", "clustering"], ["--task: there is no 'clustering'"]),
        (["iris", "--momentum", "0.9"], ["--momentum does not apply to the optimizer adam", "sgd, momentum, rmsprop"]),
        (["iris", "--validation", "0", "--early-stopping", "3"], ["--early-stopping needs validation rows"]),
        (["iris", "--lr", "0"], ["--lr must be above 0, not 0.0"]),
        (["iris", "--lr", "nan"], ["--lr must be above 0, not nan"]),
        (["iris", "--optimizer", "sgd", "--momentum", "1"], ["--momentum must be from 0 to below 1, not 1.0"]),
        (["iris", "--weight-decay", "-1"], ["--weight-decay must be at least 0"]),
        (["iris", "--epochs", "0"], ["--epochs must be a whole number of at least 1, not 0"]),
        (["iris", "--batch-size", "0"], ["--batch-size must be a whole number of at least 1, not 0"]),
        (["iris", "--seed", "-1"], ["--seed must be a whole number from 0"]),
        (["iris", "--validation", "1"], ["--validation must be from 0 to below 1, not 1.0"]),
        (["iris", "--test-fraction", "-0.1"], ["--test-fraction must be from 0 to below 1"]),
        (["iris", "--early-stopping", "0"], ["--early-stopping must be a whole number of at least 1"]),
        (["iris", "--layers", "8,0"], ["--layers must be whole numbers of at least 1, or none, not 0"]),
        (["iris", "--layers", "8;4"], ["--layers: whole numbers with commas between, or none, not '8;4'"]),
        (["iris", "--epochs", "many"], ["argument --epochs: invalid int value: 'many'", "train --help"]),
        (["iris", "--epoch", "3"], ["unrecognized arguments: --epoch 3"]),
        (["iris", "--test-fraction", "0.001"], ["leaves no row to hold out", "Set --test-fraction to a larger"]),
        (["iris", "--validation", "0.001"], ["leaves no row to hold out", "Set --validation to a larger"]),
        ([], ["train what?", "chainrule train digits"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named(capsys: pytest.CaptureFixture[str], args: list[str], words: list[str]) -> None:
    said = refusal(capsys, *args)
    assert [word for word in words if word not in said] == [], said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "t.csv is empty"),
        (b"x,y\n", "t.csv has no rows of data"),
        (b"x,y\n" + b"1,a\n" * 20, "holds one class only: nothing to learn"),
        (b"x,y\n" + b"1,0.5\n" * 20, "holds the same number in every row"),
        (b"x,y\n" + b"1,a\n1,b\n" * 10, "no column of t.csv is left to learn from"),
        (b"x,y\n" + b"1,a\ninf,b\n" * 10, "column 'x' holds an infinite value"),
        (b"x,y\n1,a\n2\n", "line 3 has 1 fields where the header has 2"),
        (b'x,y\n1,a\n"2,b\n', "the record that starts on line 3 is malformed"),
        (b"\xff\xfe" + "x,y\n1,a\n".encode("utf-16-le"), "is UTF-16 text, not CSV"),
        (b"PAR1 not really", "t.csv is not a whole Parquet file"),
        (b"x,y\n" + b"1,\n" * 9, "has no values: all 9 are missing"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_named(
    capsys: pytest.CaptureFixture[str], content: bytes, words: str
) -> None:
    if content.startswith(b"PAR1"):
        pytest.importorskip("pyarrow")
    Path("t.csv").write_bytes(content)
    assert words in refusal(capsys, "t.csv", "--target", "y")


def idx(shape: tuple[int, ...], array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    return header + array.astype(np.uint8).tobytes()


def test_a_truncated_idx_file_and_labels_out_of_range_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "idx"
    folder.mkdir()
    images = idx((20, 2, 2), np.arange(80))
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx((20,), np.arange(20) % 10))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx((20,), np.arange(20) % 12))
    said = refusal(capsys, "fashion-mnist", "--data-folder", "idx")
    assert "labels must lie in 0..9" in said
    assert "the largest label  11" in said
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx((20,), np.arange(20) % 10))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(images[:50]))
    assert "the file is truncated" in refusal(capsys, "fashion-mnist", "--data-folder", "idx")


def test_official_test_images_leave_nothing_to_a_test_fraction(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "idx"
    folder.mkdir()
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx((20, 2, 2), np.arange(80)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx((20,), np.arange(20) % 10))
    said = refusal(capsys, "fashion-mnist", "--data-folder", "idx", "--test-fraction", "0.3")
    assert "it has a test part of its own, 20 images" in said


def test_a_folder_with_something_in_it_is_not_overwritten(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    said = refusal(capsys, "iris", "--out", "mine")
    assert "mine is there already, and nothing is overwritten" in said
    assert "--resume mine" in said
    assert refusal(capsys, "iris", "--out", "t.csv").startswith("error: t.csv is there already")


def test_a_folder_that_cannot_be_made_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot write t.csv/run: Not a directory" in refusal(capsys, "iris", "--out", "t.csv/run")


# ---- a builder's mistakes -------------------------------------------------------------------------------------

START = """
import numpy as np
from chainrule import nn, optim
x = np.random.default_rng(0).normal(size=(40, 3))
t = np.arange(40) % 2
model = nn.Linear(3, 2)
good = {"model": model, "loss": nn.CrossEntropyLoss(), "train": (x, t)}
"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 3", ["mine.py:build must return a dictionary with the keys model, loss, train", "it returned int"]),
        ("return {'model': model, 'los': 1}", ["wrong keys", "missing: loss, train", "unknown: los"]),
        ("return {**good, 'model': 3}", ["under the key 'model': it must be a Module", "model  int"]),
        ("return {**good, 'loss': 'mse'}", ["under the key 'loss'", "loss  str"]),
        ("return {**good, 'optimizer': 'adam'}", ["under the key 'optimizer': it must be an Optimizer"]),
        ("return {**good, 'model': nn.ReLU()}", ["a model without parameters"]),
        ("return {**good, 'train': x}", ["key 'train': it must be a pair (inputs, targets)", "ndarray"]),
        ("return {**good, 'train': (x, t, t)}", ["key 'train': it must be a pair", "tuple of 3"]),
        ("return {**good, 'train': (x, t[:9])}", ["inputs and targets differ in length", "(40, 3)", "(9,)"]),
        ("return {**good, 'train': ('a', t)}", ["key 'train', inputs: it must be an array of numbers"]),
        ("return {**good, 'train': (x[:0], t[:0])}", ["no row"]),
        ("return {**good, 'train': (x * 0, t)}", ["all 40 rows are the same"]),
        ("return {**good, 'train': (x, t * 0)}", ["one class only", "the label 0 in all 40 rows"]),
        ("return {**good, 'train': (x, t * 3)}", ["the label 3 is out of range", "the model gives 2 outputs: 0..1"]),
        ("return {**good, 'train': (x, t - 1)}", ["labels must be 0 or above"]),
        ("return {**good, 'test': (x, t * 5)}", ["key 'test', targets: the label 5 is out of range"]),
        ("x[7, 1] = np.nan\n    return good", ["1 of 120 values are NaN or infinite", "nan at index [7, 1]"]),
        ("x[:, 2] = np.inf\n    return good", ["40 of 120 values are NaN or infinite", "inf at index [0, 2]"]),
        ("return {**good, 'loss': nn.MSELoss(), 'train': (x, x[:, :2] / 0)}", ["targets: row 0 is NaN or infinite"]),
        ("return 1 // 0", ["mine.py:build raised an error", "ZeroDivisionError", "in mine.py:10"]),
        ("raise SystemExit(3)", ["mine.py:build raised an error", "SystemExit: 3"]),
        ("return {**good, 'model': nn.Linear(4, 2)}", ["linear", "(2, 3)"]),
    ],
)  # fmt: skip
def test_a_builder_that_returns_the_wrong_thing_is_told_which(
    capsys: pytest.CaptureFixture[str], body: str, words: list[str]
) -> None:
    with np.errstate(all="ignore"):
        Path("mine.py").write_text(f"{START}\ndef build():\n    {body}\n")
        said = refusal(capsys, "mine.py:build")
    assert [word for word in words if word not in said] == [], said


def test_a_builder_file_that_cannot_be_imported_is_told_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text("import numpy\nimport nonsense_of_mine\n")
    said = refusal(capsys, "mine.py:build")
    assert "mine.py cannot be imported" in said
    assert "No module named 'nonsense_of_mine'" in said
    assert "in mine.py:2" in said
    Path("mine.py").write_text("def build(:\n")
    assert re.search(r"SyntaxError.*\n    in mine.py:1", refusal(capsys, "mine.py:build"))


def test_a_function_that_is_not_there_or_takes_other_arguments_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(f"{START}\ndef build(width=3):\n    return good\n")
    said = refusal(capsys, "mine.py:built")
    assert "mine.py has no function 'built'" in said
    assert "functions: build" in said
    assert "Did you mean build?" in said
    said = refusal(capsys, "mine.py:build", "--set", "depth=3")
    assert "does not take these arguments" in said
    assert "it is build(width=3)" in said
    assert "--set takes name=value, not 'width'" in refusal(capsys, "mine.py:build", "--set", "width")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--layers", "8"], "--layers cannot be set: mine.py:build brings its own model and the loss"),
        (["--loss", "mse", "--activation", "relu"], "--activation and --loss cannot be set"),
        (["--lr", "0.1"], "--lr cannot be set: mine.py:build brings its own optimizer"),
        (["--test-fraction", "0.1"], "--test-fraction does not apply to mine.py:build"),
    ],
)
def test_options_for_what_a_builder_brings_along_contradict_it(
    capsys: pytest.CaptureFixture[str], option: list[str], words: str
) -> None:
    made = "{**good, 'optimizer': optim.SGD(model.parameters(), lr=0.1)}"
    Path("mine.py").write_text(f"{START}\ndef build():\n    return {made}\n")
    assert words in refusal(capsys, "mine.py:build", *option)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--batch-size", "8"], "brings its own batches (a DataLoader)"),
        (["--validation", "0.2"], "--validation does not apply to mine.py:build: its DataLoader makes the batches"),
        (["--early-stopping", "2"], "--early-stopping needs validation rows, which a DataLoader cannot hold out"),
    ],
)
def test_options_that_a_data_loader_rules_out_are_named(
    capsys: pytest.CaptureFixture[str], option: list[str], words: str
) -> None:
    made = "{**good, 'train': DataLoader(TensorDataset(cr.tensor(x).float(), cr.tensor(t)), batch_size=4)}"
    Path("mine.py").write_text(
        "import chainrule as cr\nfrom chainrule.data import DataLoader, TensorDataset\n"
        f"{START}\ndef build():\n    return {made}\n"
    )
    assert words in refusal(capsys, "mine.py:build", *option)


def test_an_error_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    import chainrule.train.session as session

    def broken(*_: object) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(session, "prepare", broken)
    with pytest.raises(AssertionError, match="a bug"):
        main(["train", "iris"])


def test_a_verb_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian", "iris"]) == 2
    assert "invalid choice: 'trian'" in capsys.readouterr().err
    assert main([]) == 2
    assert "VERB" in capsys.readouterr().err


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["train", "--help"])
    assert leaving.value.code == 0
    out = capsys.readouterr().out
    for option in ("--layers", "--resume", "--set", "--early-stopping", "--json", "--data-folder"):
        assert option in out
