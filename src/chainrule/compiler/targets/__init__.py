"""Targets of the compiler: each turns a graph of primitives into something that runs."""
