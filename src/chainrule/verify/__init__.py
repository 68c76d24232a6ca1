"""Checking: high precision, against which floats and derivative rules are measured."""
