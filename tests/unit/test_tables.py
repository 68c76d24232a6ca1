"""Tables: what a file holds, what a preparation learns from the training rows, and every message."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data.preparation import Dropped, Numeric, Preparation, Presence, fit_preparation
from chainrule.data.tables import Table, is_numeric, numbers, read_table
from chainrule.data.target import labelled_rows, read_target, split_rows, target_values
from chainrule.errors import ArgumentError, ChainruleError, DataError, FileFormatError, IndexOutOfRangeError

try:
    pyarrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
except ImportError:
    pyarrow = None

needs_pyarrow = pytest.mark.skipif(pyarrow is None, reason="pyarrow is not installed")

PETS = """\
age,weight,colour,kind
1,4.5,black,cat
3,,white,cat
5,20,black,dog
7,30.5,,dog
9,5.5,white,cat
11,25,brown,dog
"""


def table_of(**columns) -> Table:
    """A table in memory; None is a missing value."""
    length = len(next(iter(columns.values())))
    cells = {
        name: cells if isinstance(cells, np.ndarray) else [None if c is None else str(c) for c in cells]
        for name, cells in columns.items()
    }
    return Table(tuple(cells), cells, "memory", tuple(range(2, length + 2)))


def read(tmp_path: Path, content: str | bytes, name: str = "data.csv", **options) -> Table:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, **options)


def message(error: type[ChainruleError], call, *arguments, **options) -> str:
    """What the call says when it fails with that error."""
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    return str(caught.value)


def prepare(table: Table, target: str, rows=None, task=None, **options) -> Preparation:
    return fit_preparation(table, read_target(table, target, task=task), rows, **options)


# Reading CSV


def test_a_csv_file_becomes_columns_of_text_with_none_for_missing(tmp_path):
    table = read(tmp_path, PETS)
    assert table.names == ("age", "weight", "colour", "kind")
    assert table.columns["weight"] == ["4.5", None, "20", "30.5", "5.5", "25"]
    assert table.columns["colour"][3] is None
    assert len(table) == 6
    assert table.source == str(tmp_path / "data.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_each_of_the_four_delimiters_is_recognised(tmp_path, delimiter):
    table = read(tmp_path, PETS.replace(",", delimiter))
    assert table.columns == read(tmp_path, PETS).columns


def test_decimal_commas_do_not_hide_the_semicolon_between_the_fields(tmp_path):
    table = read(tmp_path, "a;b;c\n1,5;2,5;x\n2,5;3,5;y\n")
    assert table.names == ("a", "b", "c")


def test_a_delimiter_can_be_given(tmp_path):
    assert read(tmp_path, "a:b\n1:2\n", delimiter=":").columns == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize("delimiter", ["::", "", " ", '"', "\n"])
def test_a_delimiter_that_cannot_divide_fields_is_refused(tmp_path, delimiter):
    text = message(ArgumentError, read, tmp_path, PETS, delimiter=delimiter)
    assert "must be one character, not a blank, a quote or a line end" in text
    assert f"delimiter  {delimiter!r}" in text


@given(content=st.one_of(st.binary(), st.text(st.sampled_from('ab1,;"\n\r\t |')).map(str.encode)))
def test_any_bytes_give_a_table_or_one_of_our_errors(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "data.csv"
    path.write_bytes(content)
    try:
        table = read_table(path)
    except (DataError, FileFormatError):
        return
    assert len(table) >= 1
    assert all(len(table.columns[name]) == len(table) for name in table.names)


def test_quoted_fields_may_hold_delimiters_quotes_and_line_ends(tmp_path):
    table = read(tmp_path, 'a, b\n1, "x, ""y""\nz"\n2,w\n')
    assert table.columns["b"] == ['x, "y"\nz', "w"]
    assert table.place(1).startswith("line 4 of")


def test_a_byte_order_mark_crlf_and_blank_lines_make_no_difference(tmp_path):
    plain = read(tmp_path, "ä,b\n1,2\n3,4\n")
    decorated = read(tmp_path, b"\xef\xbb\xbf" + "ä , b\r\n\r\n 1,2 \r\n3,4\r\n\r\n".encode())
    assert decorated.names == plain.names
    assert decorated.columns == plain.columns


@pytest.mark.parametrize("cell", ["", " ", "NA", "n/a", "NaN", "nan", "NULL", "None", "?", '""'])
def test_each_word_for_missing_is_missing(tmp_path, cell):
    assert read(tmp_path, f"a,b\n{cell},1\n").columns["a"] == [None]


@given(
    cells=st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8)] * 2),
        min_size=1,
        max_size=8,
    )
)
def test_what_a_csv_writer_wrote_is_read_back(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("csv") / "data.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("first", "second"), *cells])
    table = read_table(path, delimiter=",")
    expected = [c.strip() or None for c, _ in cells]
    found = table.columns["first"]
    assert [e for e, f in zip(expected, found, strict=True) if f is not None] == [f for f in found if f]


def test_a_ragged_line_is_named_with_both_widths(tmp_path):
    text = message(FileFormatError, read, tmp_path, "a,b\n1,2\n\n1,2,3\n")
    assert "line 4 has 3 fields where the header has 2" in text
    assert "line 1: a, b" in text
    assert "line 4: 1, 2, 3" in text
    assert "quotes" in text


def test_an_empty_file_says_so(tmp_path):
    assert "data.csv is empty" in message(FileFormatError, read, tmp_path, b"")


@pytest.mark.parametrize("content", ["\n\n  \n", b"\xef\xbb\xbf"])
def test_a_file_of_blank_lines_says_so(tmp_path, content):
    assert "holds only blank lines" in message(FileFormatError, read, tmp_path, content)


def test_a_header_alone_has_no_rows(tmp_path):
    assert "has no rows of data\n    only a header: a, b" in message(DataError, read, tmp_path, "a,b\n")


def test_a_column_name_that_occurs_twice_is_named(tmp_path):
    assert "more than one column named a" in message(DataError, read, tmp_path, "a,b,a\n1,2,3\n")


def test_a_column_without_a_name_is_numbered(tmp_path):
    text = message(DataError, read, tmp_path, ",b\n1,2\n")
    assert "column 1 of" in text
    assert "index=False" in text


def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path):
    text = message(FileFormatError, read, tmp_path, "a,b\n1,2\ncafé,3\n".encode("latin-1"))
    assert "line 3 is not UTF-8 text\n    the byte 0xe9" in text


def test_a_zero_byte_is_not_text(tmp_path):
    assert "line 2 holds a zero byte" in message(FileFormatError, read, tmp_path, b"a,b\n1,\x00\n")


@pytest.mark.parametrize(("start", "what"), [(b"PK\x03\x04", "Excel"), (b"\x1f\x8b", "gzip"), (b"\xff\xfe", "UTF-16")])
def test_a_known_other_format_is_called_by_its_name(tmp_path, start, what):
    text = message(FileFormatError, read, tmp_path, start + b"rest")
    assert what in text
    assert "Save it as CSV in UTF-8." in text


def test_a_file_cut_off_inside_quotes_names_the_line_where_the_record_starts(tmp_path):
    text = message(FileFormatError, read, tmp_path, 'a,b\n1,x\n2,"y\nz')
    assert "the record that starts on line 3 is malformed" in text
    assert "truncated" in text


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert "cannot read" in message(DataError, read_table, tmp_path / "nowhere.csv")
    assert "nowhere.csv: No such file" in message(DataError, read_table, tmp_path / "nowhere.csv")


# Reading Parquet


@needs_pyarrow
def test_a_parquet_file_becomes_numbers_with_nan_and_text_with_none(tmp_path):
    path = tmp_path / "data.parquet"
    columns = {
        "whole": pyarrow.array([1, None, 3]),
        "real": pyarrow.array([0.5, float("nan"), 2.0]),
        "text": pyarrow.array(["x", None, "NA"]),
        "truth": pyarrow.array([True, False, None]),
        "coded": pyarrow.array(["u", "v", "u"]).dictionary_encode(),
        "nothing": pyarrow.nulls(3),
        "day": pyarrow.array([0, 1, 2], pyarrow.date32()),
    }
    parquet.write_table(pyarrow.table(columns), path)
    table = read_table(path)
    np.testing.assert_array_equal(table.columns["whole"], [1, np.nan, 3])
    np.testing.assert_array_equal(table.columns["real"], [0.5, np.nan, 2])
    assert table.columns["text"] == ["x", None, None]
    assert table.columns["truth"] == ["True", "False", None]
    assert table.columns["coded"] == ["u", "v", "u"]
    assert table.columns["nothing"] == [None] * 3
    assert table.columns["day"][0] == "1970-01-01"
    assert table.place(0).startswith("row 1 of")


@needs_pyarrow
def test_csv_and_parquet_of_the_same_data_are_prepared_alike(tmp_path):
    path = tmp_path / "pets.parquet"
    from_csv = read(tmp_path, PETS)
    columns = {name: list(from_csv.columns[name]) for name in from_csv.names}
    columns["age"] = [int(c) for c in columns["age"]]
    columns["weight"] = [None if c is None else float(c) for c in columns["weight"]]
    parquet.write_table(pyarrow.table(columns), path)
    ours, theirs = prepare(from_csv, "kind"), prepare(read_table(path), "kind")
    assert ours == theirs
    np.testing.assert_array_equal(ours.apply(from_csv).features, ours.apply(read_table(path)).features)


@needs_pyarrow
def test_a_number_in_parquet_taken_as_category_has_no_point(tmp_path):
    path = tmp_path / "data.parquet"
    parquet.write_table(pyarrow.table({"zip": [1, 2, 1, None], "y": ["a", "a", "b", "b"]}), path)
    preparation = prepare(read_table(path), "y", categorical=["zip"])
    assert preparation.feature_names == ("zip = 1", "zip = 2", "zip is missing")


@needs_pyarrow
def test_a_truncated_parquet_file_says_so(tmp_path):
    path = tmp_path / "data.parquet"
    parquet.write_table(pyarrow.table({"a": list(range(1000))}), path)
    text = message(FileFormatError, read, tmp_path, path.read_bytes()[:-20], name="cut.pq")
    assert "cut.pq is not a whole Parquet file" in text


@needs_pyarrow
def test_a_parquet_column_of_lists_is_refused_with_its_type(tmp_path):
    path = tmp_path / "data.parquet"
    parquet.write_table(pyarrow.table({"a": [[1], [2]]}), path)
    text = message(DataError, read_table, path)
    assert "column 'a'" in text
    assert "the Parquet type list<" in text


@needs_pyarrow
def test_a_parquet_file_without_rows_says_so(tmp_path):
    path = tmp_path / "data.parquet"
    parquet.write_table(pyarrow.table({"a": pyarrow.array([], pyarrow.int64())}), path)
    assert "has no rows of data" in message(DataError, read_table, path)


@needs_pyarrow
def test_an_infinite_number_in_parquet_is_named_with_its_row(tmp_path):
    path = tmp_path / "data.parquet"
    parquet.write_table(pyarrow.table({"a": [1.0, float("inf")]}), path)
    text = message(DataError, numbers, read_table(path), "a")
    assert "column 'a' holds an infinite value\n    inf\n    in row 2 of" in text


def test_without_pyarrow_the_way_to_install_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    text = message(DataError, read, tmp_path, b"PAR1....", name="data.parquet")
    assert "pip install chainrule[tables]" in text


# What a column holds


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (["1", "-2.5", "3e4", None], True),
        (["1", "x"], False),
        (["1_000", "2"], False),
        (["-nan", "2"], False),
        (["1,5", "2"], False),
        ([None, None], True),
    ],
)
def test_a_column_is_numeric_where_every_value_writes_a_number(cells, numeric):
    assert is_numeric(table_of(a=cells), "a") is numeric


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999"])
def test_an_infinite_value_is_named_with_column_and_line(cell):
    table = table_of(a=["1", cell, "3"], y=["u", "v", "u"])
    text = message(DataError, prepare, table, "y")
    assert f"column 'a' holds an infinite value\n    {cell}\n    in line 3 of memory" in text


def test_a_part_of_a_table_still_names_the_lines_of_the_file():
    part = table_of(a=["1", "2", "x"]).take([2, 0])
    assert "'x'\n    in line 4 of memory" in message(DataError, numbers, part, "a")


def test_rows_that_do_not_exist_are_refused():
    assert "there is no row 3\n    rows  0..2" in message(IndexOutOfRangeError, table_of(a=[1, 2, 3]).take, [0, 3])
    assert "there is no row -1" in message(IndexOutOfRangeError, table_of(a=[1, 2, 3]).take, [-1])


def test_a_mask_in_place_of_row_numbers_is_refused():
    text = message(ArgumentError, table_of(a=[1, 2]).take, [True, False])
    assert "rows must be a list of row numbers\n    rows  (2,)  bool" in text


# The target


@pytest.mark.parametrize(
    ("cells", "task", "classes"),
    [
        (["b", "a", "a"], "classification", ("a", "b")),
        (["True", "False", "True"], "classification", ("False", "True")),
        (["10", "9", "10", "9.0"], "classification", ("9", "10")),
        (["1", "2", "3"], "regression", ()),
        (["0.5", "1", "0.5", "1"], "regression", ()),
        ([i % 21 for i in range(100)], "regression", ()),
        ([i % 20 for i in range(100)], "classification", tuple(str(i) for i in range(20))),
    ],
)
def test_the_task_is_recognised_and_classes_are_in_order(cells, task, classes):
    target = read_target(table_of(y=cells), "y")
    assert (target.task, target.classes) == (task, classes)


def test_the_task_can_be_forced_and_the_reason_says_so():
    target = read_target(table_of(y=[1, 2, 1, 2]), "y", task="regression")
    assert target.task == "regression"
    assert target.describe() == "y: target; regression, because it was asked for"
    forced = read_target(table_of(y=[0.5, 1.5, 0.5, 2]), "y", task="classification")
    assert forced.classes == ("0.5", "1.5", "2")


def test_the_reason_for_the_task_is_in_words():
    assert read_target(table_of(y=[1, 2, 1, 2]), "y").describe() == (
        "y: target; classification into 2 classes (1, 2), because its values are 2 different whole numbers"
    )
    assert "because its values are words" in read_target(table_of(y=["a", "b", "a"]), "y").describe()


def test_an_unknown_task_is_refused():
    assert "task  'ranking'" in message(ArgumentError, read_target, table_of(y=[1]), "y", task="ranking")


def test_an_unknown_target_lists_the_columns_and_suggests_one():
    text = message(DataError, read_target, table_of(Species=["a"], size=[1]), "specis")
    assert "memory has no column 'specis'" in text
    assert "columns: Species, size" in text
    assert "Is 'Species' meant for 'specis'?" in text


def test_a_target_without_values_says_so():
    text = message(DataError, read_target, table_of(x=[1, 2], y=[None, None]), "y")
    assert "the target column 'y' of memory has no values: all 2 are missing" in text


def test_a_target_of_one_class_says_which():
    text = message(DataError, read_target, table_of(y=["a", "a", None]), "y")
    assert "holds one class only" in text
    assert "'a' in all 2 rows" in text


def test_a_constant_regression_target_says_its_value():
    text = message(DataError, read_target, table_of(y=[2.5, 2.5, None]), "y")
    assert "holds the same number in every row" in text
    assert "2.5 in 2 rows" in text


def test_a_target_in_which_no_class_repeats_says_so():
    text = message(DataError, read_target, table_of(y=list("abcdefg")), "y")
    assert "no class of the target column 'y' of memory has two rows" in text
    assert "7 different values in 7 rows: a, b, c, d, e, and 2 more" in text
    numeric = message(DataError, read_target, table_of(y=[1, 2, 3]), "y", task="classification")
    assert "or ask for regression" in numeric


def test_regression_on_words_names_the_first_of_them():
    text = message(DataError, read_target, table_of(y=["1", "many"]), "y", task="regression")
    assert "column 'y' must hold numbers\n    'many'\n    in line 3 of memory" in text


def test_target_values_of_rows_without_one_are_refused():
    table = table_of(y=["a", "b", "a", None])
    text = message(DataError, target_values, table, read_target(table, "y"))
    assert "1 of 4 rows" in text
    assert "labelled_rows" in text


# The preparation


def test_statistics_come_from_the_training_rows_alone():
    table = table_of(
        x=[1, None, 3, 8, 1000, 2000, 3000],
        c=["p", "q", "p", "q", "r", "s", None],
        y=["a", "b", "a", "b", "a", "b", "a"],
    )
    x, c = prepare(table, "y", rows=[0, 1, 2, 3]).treatments
    filled = np.array([1, 3, 3, 8])
    assert x == Numeric("x", median=3.0, mean=filled.mean(), std=pytest.approx(filled.std()), gaps=1)
    assert (c.levels, c.gaps) == (("p", "q"), 0)


values_and_gaps = st.lists(st.one_of(st.none(), st.integers(-1000, 1000)), min_size=8, max_size=8)


@given(training=values_and_gaps, held=values_and_gaps, other_held=values_and_gaps)
def test_the_values_of_held_out_rows_never_change_a_preparation(training, held, other_held):
    def fitted(rest):
        x, z, y = training + rest, range(16), ["a", "b"] * 8
        return prepare(table_of(x=x, c=x, z=z, y=y), "y", rows=range(8), categorical=["c"])

    assert fitted(held) == fitted(other_held)


def test_standardised_training_features_have_mean_zero_and_deviation_one():
    values = np.random.default_rng(0).normal(50, 7, 200)
    table = table_of(x=values, y=["a", "b"] * 100)
    features = prepare(table, "y").apply(table).features
    assert features.dtype == np.float32
    assert features.mean() == pytest.approx(0, abs=1e-6)
    assert features.std() == pytest.approx(1, rel=1e-6)


def test_huge_and_tiny_numbers_are_standardised_without_overflow():
    table = table_of(huge=[1e200, 3e200], tiny=[1e-200, 3e-200], y=[1.5, 2.5])
    np.testing.assert_allclose(prepare(table, "y").apply(table).features, [[-1, -1], [1, 1]])


def test_numbers_too_large_to_standardise_are_an_error():
    text = message(DataError, prepare, table_of(x=[-1.7e308, 1.7e308, 1.7e308], y=[1, 2, 3]), "y")
    assert "column 'x' cannot be standardised in float64\n    values from -1.7e+308 to 1.7e+308" in text


def test_missing_numbers_get_the_training_median_and_a_feature_that_marks_them():
    table = table_of(x=[0, None, 4, 100], y=["a", "b", "a", "b"])
    preparation = prepare(table, "y")
    prepared = preparation.apply(table)
    assert preparation.feature_names == ("x", "x is missing")
    assert prepared.features[:, 1].tolist() == [0, 1, 0, 0]
    assert prepared.features[1, 0] == prepared.features[2, 0]  # the median is 4
    assert prepared.notes == ()


def test_a_number_missing_for_the_first_time_is_filled_and_noted():
    preparation = prepare(table_of(x=[1, 2, 6], y=["a", "b", "a"]), "y")
    prepared = preparation.apply(table_of(x=[None, 2]))
    assert prepared.features.shape == (2, 1)
    assert prepared.features[0] == prepared.features[1]
    assert prepared.notes == ("x: 1 missing value filled with the training median 2; none was missing in training",)


def test_categories_become_one_feature_each_and_missing_one_of_its_own():
    table = table_of(c=["q", None, "p"], y=["a", "b", "a"])
    preparation = prepare(table, "y")
    assert preparation.feature_names == ("c = p", "c = q", "c is missing")
    assert preparation.apply(table).features.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_an_unknown_category_has_all_features_zero_and_is_counted():
    preparation = prepare(table_of(c=["p", "q", "p"], y=["a", "b", "a"]), "y")
    prepared = preparation.apply(table_of(c=["z", "q", None, "z"]))
    assert prepared.features.tolist() == [[0, 0], [0, 1], [0, 0], [0, 0]]
    assert prepared.notes == ("c: 3 values not seen in training ('z', missing), so all its features are 0 there",)


def test_a_constant_column_is_dropped_with_a_note():
    table = table_of(x=[5, 5, 5], c=["k"] * 3, e=[None] * 3, z=[1, 2, 3], y=["a", "b", "a"])
    preparation = prepare(table, "y")
    assert preparation.feature_names == ("z",)
    assert preparation.notes == (
        "x: left out; it is 5 in every training row",
        "c: left out; it is 'k' in every training row",
        "e: left out; it has no values in the training rows",
    )


def test_a_column_constant_in_the_training_rows_alone_is_dropped():
    table = table_of(x=[5, 5, 6], w=["k", None, None], z=[1, 2, 3], y=["a", "b", "a"])
    preparation = prepare(table.take([0, 1, 2]), "y", rows=[0, 1])
    assert isinstance(preparation.treatments[0], Dropped)


def test_a_column_without_words_in_the_training_rows_is_dropped():
    table = table_of(c=[None, None, "w"], z=[1, 2, 3], y=["a", "b", "a"])
    assert prepare(table, "y", rows=[0, 1]).notes == ("c: left out; it has no values in the training rows",)


def test_a_constant_number_with_gaps_keeps_the_feature_that_marks_them():
    preparation = prepare(table_of(x=[1, None, 1], y=["a", "b", "a"]), "y")
    assert preparation.treatments == (Presence("x", 1.0, 1),)
    prepared = preparation.apply(table_of(x=[1, 2, None]))
    assert prepared.features.tolist() == [[0], [0], [1]]
    assert prepared.notes == ("x: 1 value other than 1, the only one in training",)


def test_more_than_a_hundred_categories_are_dropped_with_a_note():
    def with_levels(n):
        return table_of(name=[f"n{i}" for i in range(n)], z=range(n), y=["a", "b"] * (n // 2) + ["a"] * (n % 2))

    assert len(prepare(with_levels(100), "y").feature_names) == 101
    assert prepare(with_levels(101), "y").notes == (
        "name: left out; 101 different values in 101 training rows (more than 100) look like a name, not a category",
    )


def test_the_treatment_is_stated_in_words_a_line_for_each_column(tmp_path):
    assert prepare(read(tmp_path, PETS), "kind", ignore=["age"]).describe() == [
        "age: left out; as asked",
        "weight: number; 1 value missing in training, marked in a feature and replaced by the training "
        "median 20; standardised (mean 17.5833, standard deviation 9.58043)",
        "colour: category; one 0/1 feature for each of 3 values (black, brown, white) and one for missing "
        "(1 value in training); any other value has 0 in all of them",
        "kind: target; classification into 2 classes (cat, dog), because its values are words",
    ]


def test_a_regression_target_and_a_presence_are_stated_in_words():
    lines = prepare(table_of(x=[1, None, 1, 1], z=[1, 2, 3, 4], y=[0.5, 1.5, 2.5, 3.5]), "y").describe()
    assert lines == [
        "x: number; always 1 in training where it is not missing, so that only a feature for missing is kept "
        "(1 value missing)",
        "z: number; a missing value gets the training median 2.5; standardised (mean 2.5, standard deviation 1.11803)",
        "y: target; regression, because its values are 4 different numbers; "
        "standardised (mean 2, standard deviation 1.11803)",
    ]


def test_the_kind_of_a_column_can_be_forced():
    table = table_of(code=[1, 2, 1, 2], x=[1, 2, 3, 4], y=["a", "b", "a", "b"])
    preparation = prepare(table, "y", categorical=["code"], numeric=["x"])
    assert preparation.feature_names == ("code = 1", "code = 2", "x")


def test_forcing_words_to_numbers_names_the_first_of_them():
    text = message(DataError, prepare, table_of(c=["1", "x"], z=[1, 2], y=[1, 2]), "y", numeric=["c"])
    assert "column 'c' must hold numbers\n    'x'\n    in line 3 of memory" in text


def test_choices_for_an_unknown_column_the_target_or_twice_are_refused():
    table = table_of(size=[1, 2, 3], y=["a", "b", "a"])
    assert "Is 'size' meant for 'sise'?" in message(DataError, prepare, table, "y", ignore=["sise"])
    assert "column 'y', which is the target" in message(ArgumentError, prepare, table, "y", numeric=["y"])
    assert "column 'size', which is named twice" in message(
        ArgumentError, prepare, table, "y", numeric=["size"], ignore=["size"]
    )


def test_a_table_with_nothing_to_learn_from_says_why_for_each_column():
    text = message(DataError, prepare, table_of(x=[5, 5, 5], y=["a", "b", "a"]), "y")
    assert "no column of memory is left to learn from\n    x: left out; it is 5 in every training row" in text


def test_training_rows_of_one_class_are_refused():
    table = table_of(x=[1, 2, 3, 4], y=["a", "a", "b", "b"])
    text = message(DataError, prepare, table, "y", rows=[0, 1])
    assert "the training rows of memory hold one class of 'y' only\n    'a' in all 2 rows" in text


def test_training_rows_with_one_target_number_are_refused():
    table = table_of(x=[1, 2, 3], y=[0.5, 0.5, 1])
    text = message(DataError, prepare, table, "y", rows=[0, 1])
    assert "the same number in every row" in text
    assert "in the training rows of memory" in text


def test_no_training_row_with_a_target_is_refused():
    table = table_of(x=[1, 2, 3, 4], y=["a", "b", "a", None])
    text = message(DataError, prepare, table, "y", rows=[3])
    assert "no training row of memory has a value of the target 'y'" in text


def test_rows_without_a_target_take_no_part_and_are_counted():
    table = table_of(x=[1, 2, 1000, 3], y=["a", "b", None, "a"])
    preparation = prepare(table, "y")
    assert preparation.notes == ("1 row without a value of the target 'y' left out",)
    assert preparation.training_rows == 3
    assert preparation.treatments[0].mean == 2


# Applying it


def test_class_targets_are_positions_and_regression_targets_are_standardised():
    classes = table_of(x=[1, 2, 3], y=["b", "a", "b"])
    prepared = prepare(classes, "y").apply(classes)
    assert prepared.targets.tolist() == [1, 0, 1]
    assert prepared.targets.dtype == np.int64
    amounts = table_of(x=[1, 2, 3], y=[10.5, 20.5, 60.5])
    preparation = prepare(amounts, "y")
    prepared = preparation.apply(amounts)
    assert prepared.targets.shape == (3, 1)
    assert prepared.targets.dtype == np.float32
    assert prepared.targets.mean() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(preparation.restore_target(prepared.targets), [[10.5], [20.5], [60.5]], rtol=1e-6)


def test_a_table_without_the_target_is_prepared_with_no_targets():
    preparation = prepare(table_of(x=[1, 2, 3], y=["b", "a", "b"]), "y")
    prepared = preparation.apply(table_of(x=[4]))
    assert prepared.features.shape == (1, 1)
    assert len(prepared.targets) == len(prepared.labelled_rows) == 0


def test_only_rows_with_a_target_are_there_for_scoring():
    preparation = prepare(table_of(x=[1, 2, 3], y=["b", "a", "b"]), "y")
    prepared = preparation.apply(table_of(x=[1, 2, 3], y=[None, "a", "b"]))
    assert prepared.features.shape == (3, 1)
    assert prepared.labelled_rows.tolist() == [1, 2]
    assert prepared.targets.tolist() == [0, 1]
    np.testing.assert_array_equal(prepared.labelled_features, prepared.features[1:])


def test_a_class_is_the_same_however_its_number_is_spelled():
    preparation = prepare(table_of(x=[1, 2, 3, 4], y=["0", "1", "0", "1"]), "y")
    assert preparation.apply(table_of(x=[1, 2], y=["1.0", "0.0"])).targets.tolist() == [1, 0]


def test_a_class_that_was_never_learned_is_named_with_its_line():
    preparation = prepare(table_of(x=[1, 2, 3], y=["b", "a", "b"]), "y")
    text = message(DataError, preparation.apply, table_of(x=[1, 2], y=["a", "c"]))
    assert "'c'\n    learned: a, b\n    in line 3 of memory" in text


def test_missing_and_unknown_columns_are_named_with_a_suggestion():
    preparation = prepare(table_of(size=[1, 2, 3], age=[3, 4, 9], y=["b", "a", "b"]), "y")
    text = message(DataError, preparation.apply, table_of(Size=[1], age=[2], other=[3]))
    assert "missing: size\n    unknown: Size, other" in text
    assert "Is 'Size' meant for 'size'?" in text


def test_unknown_columns_alone_are_refused_too():
    preparation = prepare(table_of(size=[1, 2, 3], y=["b", "a", "b"]), "y")
    text = message(DataError, preparation.apply, table_of(size=[1], other=[3]))
    assert "unknown: other\n    Leave out the unknown ones." in text
    assert "missing" not in text


def test_columns_that_were_left_out_may_be_there_or_not():
    table = table_of(k=[1, 1, 1], i=[7, 8, 9], x=[1, 2, 3], y=["b", "a", "b"])
    preparation = prepare(table, "y", ignore=["i"])
    with_them, without = preparation.apply(table), preparation.apply(table_of(x=[1, 2, 3]))
    np.testing.assert_array_equal(with_them.features, without.features)


def test_words_in_a_column_that_was_numbers_are_named():
    preparation = prepare(table_of(x=[1, 2, 3], y=["b", "a", "b"]), "y")
    text = message(DataError, preparation.apply, table_of(x=["1", "two"]))
    assert "column 'x' must hold numbers\n    'two'\n    in line 3 of memory" in text


def test_a_value_too_far_from_training_for_float32_is_named():
    preparation = prepare(table_of(x=[1, 2, 3], y=[1.5, 2, 3]), "y")
    text = message(DataError, preparation.apply, table_of(x=["2", "1e300"]))
    assert "column 'x': too far from the training values for float32\n    1e+300" in text
    assert "in line 3 of memory" in text
    target = message(DataError, preparation.apply, table_of(x=[1, 2], y=["2", "1e300"]))
    assert "column 'y': too far" in target


# Splitting


def test_a_split_of_a_table_keeps_the_classes_and_leaves_out_rows_without_one():
    table = table_of(x=range(31), y=["a"] * 20 + ["b"] * 10 + [None])
    target = read_target(table, "y")
    train, held = split_rows(table, target, 0.3, np.random.default_rng(0))
    assert sorted([*train, *held]) == labelled_rows(table, target).tolist() == list(range(30))
    assert np.bincount(target_values(table.take(held), target)).tolist() == [6, 3]


def test_a_split_for_regression_is_drawn_from_the_rows_with_a_target():
    table = table_of(x=range(11), y=[None, *np.arange(10) + 0.5])
    train, held = split_rows(table, read_target(table, "y"), 0.2, np.random.default_rng(0))
    assert len(held) == 2
    assert sorted([*train, *held]) == list(range(1, 11))


# As JSON


cells = st.one_of(st.none(), st.sampled_from(["p", "q", 'é, "r"', "1", "2.5"]))
reals = st.one_of(st.none(), st.floats(-(2**40), 2**40, width=32))


@given(data=st.data(), task=st.sampled_from(["classification", "regression"]), n=st.integers(4, 20))
def test_a_preparation_survives_json_and_prepares_the_same(data, task, n):
    columns = st.lists(cells, min_size=n, max_size=n), st.lists(reals, min_size=n, max_size=n)
    words, amounts = (data.draw(column) for column in columns)
    table = table_of(words=words, amounts=amounts, z=range(n), y=[i % 2 for i in range(n)])
    preparation = prepare(table, "y", task=task)
    content = json.loads(json.dumps(preparation.to_dict(), allow_nan=False))
    assert content == preparation.to_dict()
    again = Preparation.from_dict(content)
    assert again == preparation
    np.testing.assert_array_equal(again.apply(table).features, preparation.apply(table).features)
    assert again.describe() == preparation.describe()


def saved(**changes) -> dict:
    content = prepare(table_of(x=[1, 2, 3], c=["p", "q", "p"], y=["a", "b", "a"]), "y").to_dict()
    return {**content, **changes}


def test_another_format_is_refused():
    text = message(FileFormatError, Preparation.from_dict, saved(format=2))
    assert "not a table preparation of format 1\n    format  2" in text
    assert "format  None" in message(FileFormatError, Preparation.from_dict, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": [{"kind": "wavelet", "name": "x"}]},
        {"columns": [{"kind": "dropped", "name": "x"}]},
        {"columns": [{"kind": "dropped", "name": "x", "reason": 3}]},
        {"columns": [{"kind": "dropped", "name": "x", "reason": "r", "more": 1}]},
        {"columns": None},
        {"columns": ["x"]},
        {"target_mean": "0"},
        {"target": {}},
        {"more": 1},
    ],
)
def test_a_damaged_preparation_is_refused(changes):
    text = message(FileFormatError, Preparation.from_dict, saved(**changes))
    assert "the table preparation is damaged" in text


def test_the_loaded_arrays_fit_a_whole_run_from_file_to_features(tmp_path):
    table = read(tmp_path, PETS)
    target = read_target(table, "kind")
    train, held = split_rows(table, target, 0.34, np.random.default_rng(1))
    preparation = fit_preparation(table, target, train)
    prepared = preparation.apply(table.take(held))
    assert prepared.features.shape == (2, len(preparation.feature_names))
    assert sorted(prepared.targets.tolist()) == [0, 1]
    assert preparation.apply(table).features.dtype == np.float32
