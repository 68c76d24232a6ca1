"""Documents refuse what does not fit together."""

import subprocess
import sys
from pathlib import Path

import pytest

from chainrule import errors
from chainrule.errors import ArgumentError
from chainrule.report import Bars, Series, Table
from chainrule.report.document import alignments


def test_a_series_names_both_lengths_when_they_differ():
    with pytest.raises(ArgumentError, match=r"Series\('train'\): xs and ys differ(.|\n)*xs  2(.|\n)*ys  1"):
        Series("train", [1, 2], [0.5])


def test_bars_name_both_lengths_when_they_differ():
    with pytest.raises(ArgumentError, match=r"labels  1(.|\n)*values  2"):
        Bars("Recall", ["a"], [0.5, 0.6])


def test_a_table_names_the_row_that_does_not_fit_its_columns():
    with pytest.raises(ArgumentError, match=r"columns and rows\[1\] differ"):
        Table(["a", "b"], [[1, 2], [3]])


def test_a_table_needs_a_column():
    with pytest.raises(ArgumentError, match="at least one column"):
        Table([], [])


def test_a_table_refuses_an_alignment_of_another_length():
    with pytest.raises(ArgumentError, match="columns and alignment"):
        Table(["a", "b"], [], alignment=["left"])


@pytest.mark.parametrize("emphasis", [[], [[0.5]]])
def test_a_table_refuses_emphasis_of_another_shape(emphasis):
    with pytest.raises(ArgumentError, match="emphasis"):
        Table(["a", "b"], [[1, 2]], emphasis=emphasis)


@pytest.mark.parametrize("shade", [-0.1, 1.5, float("nan")])
def test_a_table_names_an_emphasis_outside_zero_to_one(shade):
    with pytest.raises(ArgumentError, match=rf"emphasis\[0\]  {shade}"):
        Table(["a"], [[1]], emphasis=[[shade]])


def test_columns_of_numbers_stand_right_and_others_left():
    assert alignments(Table(["name", "n"], [["a", 1], ["b", None]])) == ("left", "right")
    assert alignments(Table(["name"], [["a"]], alignment=["center"])) == ("center",)


def test_the_report_package_imports_no_numpy_of_its_own():
    # `chainrule` itself may import NumPy, so an empty package of that name stands in for it.
    program = (
        "import sys, types; package = types.ModuleType('chainrule');"
        "package.__path__ = [sys.argv[1]]; sys.modules['chainrule'] = package;"
        "import chainrule.report; assert 'numpy' not in sys.modules;"
        "print(sorted(name for name in sys.modules if name.startswith('chainrule.')"
        " and not name.startswith('chainrule.report')))"
    )
    folder = str(Path(errors.__file__).parent)
    result = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['chainrule.errors']"
