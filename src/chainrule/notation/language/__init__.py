"""The plain notation of derivations: text to tokens, to syntax, to expressions. Nothing is evaluated as Python."""
