"""Both languages say every sentence, about the same things, and a missing language is refused."""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict

import pytest

from chainrule.errors import ArgumentError
from chainrule.notation.blocks import text_of
from chainrule.notation.boxes import Identifier
from chainrule.notation.prose import said
from chainrule.notation.words import Words, words
from chainrule.notation.words.words import LANGUAGES

SENTENCES = [name for name, one in vars(Words).items() if inspect.isfunction(one) and not name.startswith("_")]


def example(name: str) -> dict[str, object]:
    """Something for each thing that a sentence speaks of, told apart by its name."""
    given: dict[str, object] = {}
    for parameter in list(inspect.signature(getattr(Words, name)).parameters.values())[1:]:
        kind = str(parameter.annotation)
        if kind.startswith("Sequence"):
            given[parameter.name] = ["first", "second"]
        elif kind.startswith("bool"):
            given[parameter.name] = True
        elif kind.startswith("int"):
            given[parameter.name] = 7
        elif kind.startswith("Prose"):
            given[parameter.name] = ("because",)
        else:
            given[parameter.name] = parameter.name.upper() if kind.startswith("str") else Identifier(parameter.name)
    return given


@pytest.mark.parametrize("name", SENTENCES)
def test_a_sentence_speaks_of_the_same_things_in_both_languages(name: str) -> None:
    given = example(name)
    mentioned, texts = [], []
    for language in LANGUAGES:
        text = text_of(getattr(words(language), name)(**given))
        assert text
        texts.append(text)
        mentioned.append({p for p, v in given.items() if isinstance(v, Identifier) and v.text in text})
    assert mentioned[0] == mentioned[1]
    english, chinese = [bool(re.search("[\u4e00-\u9fff]", text)) for text in texts]
    assert not english
    assert chinese or texts[0] == texts[1]  # a sentence of formulas alone is the same


def test_the_languages_have_no_sentence_that_the_protocol_does_not_name() -> None:
    for language in LANGUAGES:
        own = {n for n, f in inspect.getmembers(words(language), inspect.ismethod) if not n.startswith("_")}
        assert own == set(SENTENCES)
        assert all(asdict(words(language).labels).values())


def test_a_language_that_there_is_no_prose_in_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"'fr'(.|\n)*en, zh"):
        words("fr")


def test_formulas_stay_formulas_inside_a_sentence() -> None:
    z = Identifier("z")
    assert said("{a} and {b}.", a=z, b="the rest") == (z, " and the rest.")
    assert words("en").right(z) == (z, " is right.")
