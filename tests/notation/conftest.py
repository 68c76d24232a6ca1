"""Lets the tests of this folder import `catalogue_points` and their own helpers."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "catalogue"), str(HERE)]
