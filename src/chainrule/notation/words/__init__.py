"""The prose of explain and verify in English and Chinese."""

from chainrule.notation.words.words import Words, words

__all__ = ["Words", "words"]
