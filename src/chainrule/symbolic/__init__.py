"""Formulas as data: what explain and verify share. Read expression, differentiate, simplify, program in this order."""
