"""The step compiler: a program is traced, simplified, fused and compiled ahead of time. See docs/compiler.md."""
