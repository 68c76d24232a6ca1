"""Lets the tests of this folder import `catalogue_points` and `recorded_points`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "catalogue")]
