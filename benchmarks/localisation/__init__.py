"""Derivations drawn at random as text, with mistakes planted in them, to measure how well `cr.verify` finds them.

pieces        formulas as pieces of text
networks      a random network: its given and forward lines
slopes        the spellings of an activation's derivative
claims        the right claims of a network, in textbook form
spellings     other texts that mean the same
mistakes      the table of named mistakes, and their places in a claim
strangers     mistakes that no table names
evaluation    the numbers of a text, and finite differences of its forward part
derivations   all of it together: a text, and what is wrong with it
scoring       what cr.verify says of it

None of these modules imports chainrule, but for the one call in `scoring`: no formula, parser or derivative is shared
with what is measured.
"""
