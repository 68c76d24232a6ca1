"""Passes: functions from a graph to a graph that means the same. `simplify` runs those that every target wants."""
