"""The table of named mistakes: for each, the names that a verdict may give it, and the edits that make it.

An edit takes one piece of a right claim and yields what a slip would put in its place. Two kinds may come to the same
on a given claim (a lost 1/4 is "factor n" for a batch of 4): `derivations` finds those by their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from localisation.networks import Activation, Network
from localisation.pieces import Piece, call, matmul, negative, over, places, plus, times, turned, word
from localisation.slopes import slope


@dataclass(frozen=True)
class Place:
    """Where an edit works: the network, the name that the claim differentiates by, and how derivatives are written.

    Args:
        symbols: for every name whose derivative the file claims, its symbol (`dL/dz2` or `delta2`).
    """

    net: Network
    name: str
    symbols: dict[str, str]


Edit = Callable[[Piece, Place], Iterator[Piece]]


@dataclass(frozen=True)
class Kind:
    """A kind of mistake.

    Args:
        name: what is planted.
        accepted: the names that are right for it, wherever it stands; none for a mistake that no table names.
        edit: the replacements of one piece.
        whole: whether only the whole claim is edited (a factor in front), not its parts.
        chance: how early it is tried: kinds that fit any claim late, those that few claims offer a place early.
    """

    name: str
    accepted: frozenset[str]
    edit: Edit
    whole: bool = False
    chance: float = 1.0


def edited(kind: Kind, claim: Piece, place: Place) -> Iterator[Piece]:
    """The claim with this mistake, at every place where it can be made."""
    if kind.whole:
        yield from kind.edit(claim, place)
        return
    for piece, put in places(claim):
        for new in kind.edit(piece, place):
            yield put(new)


# Factors ------------------------------------------------------------------------------------------------------------


def _without(parts: tuple[Piece, ...], i: int) -> tuple[Piece, ...]:
    return (*parts[:i], *parts[i + 1 :])


def _dropped_factor(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.form == "times":
        for i in range(len(piece.parts)):
            yield times(*_without(piece.parts, i))
    if piece.form == "matmul" or (piece.form == "call" and piece.text == "outer"):
        yield from piece.parts


def _activation_for_derivative(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role == "slope":
        function, _, z, a, _ = piece.about
        yield word(a)
        if function != "square":
            yield word(f"{function}({z})")


def _derivative_at_wrong_layer(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role == "slope":
        function, spelling, _, a, _ = piece.about
        for step in place.net.steps:
            if isinstance(step, Activation) and step.out != a and _near(place.net, step.out, a):
                yield slope(function, spelling, step.source, step.out)


def _near(net: Network, one: str, other: str) -> bool:
    """Names that a writer may confuse: of one shape, or of neighbouring layers."""
    if net.shapes[one] == net.shapes[other]:
        return True
    numbers = [int("".join(filter(str.isdigit, name)) or "0") for name in (one, other)]
    return abs(numbers[0] - numbers[1]) == 1


def _derivative_at_a(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role == "slope":
        function, spelling, _, a, before = piece.about
        if "{z}" in spelling and "{a}" not in spelling:
            yield slope(function, f"{function}'({{z}})" if before else spelling, a, a)


def _forgotten_bias(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role == "slope":
        function, _, _, _, before = piece.about
        if " + b" in before:
            yield call(f"{function}'", word(before[: before.rindex(" + b")]))


def _forgotten_mask(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.form in ("times", "matmul"):
        for i, part in enumerate(piece.parts):
            inner = part.parts[0] if part.form == "call" and part.text == "diag" else part
            if inner.role == "mask" or (inner.role == "slope" and inner.about[0] == "relu"):
                yield times(*_without(piece.parts, i))


# Matrices -----------------------------------------------------------------------------------------------------------


def _missing_transpose(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.form == "turned":
        yield piece.parts[0]
    if piece.form == "call" and piece.text == "outer":
        yield matmul(piece.parts[0], piece.parts[1])


def _swapped_factors(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.form == "matmul":
        left, right = piece.parts
        yield matmul(right, left)
        if right.form == "turned":
            yield matmul(right.parts[0], turned(left))
    if piece.form == "call" and piece.text == "outer":
        yield replace(piece, parts=piece.parts[::-1])


def _index_off_by_one(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role == "weight":
        for name, _ in place.net.given:
            if name[0] in "Ww" and name != piece.text and _near(place.net, name, piece.text):
                yield replace(piece, text=name)
    if piece.role == "upstream":
        for name, symbol in place.symbols.items():
            here = piece.about[0]
            if name != here and name != place.name and name[0] == here[0] and _near(place.net, name, here):
                yield word(symbol, "upstream", name)
    if piece.role == "previous" and "_" in piece.text:
        for name in place.net.shapes:
            if name != piece.text and name.split("_")[0] == piece.text.split("_")[0]:
                yield replace(piece, text=name)


def _previous_of_wrong_layer(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role == "previous":
        outputs = ["x", *(step.out for step in place.net.steps if step.out[0] in "aurdx")]
        for name in outputs:
            layers = [text.split("_")[0] for text in (name, piece.text)]
            if name in place.net.shapes and layers[0] != layers[1] and _near(place.net, name, piece.text):
                yield replace(piece, text=name)


def _after_the_update(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role == "weight" and piece.text in place.symbols:
        step = times(word(place.net.learning_rate), word(place.symbols[piece.text]))
        yield plus(word(piece.text), negative(step))


# Signs, constants and sums ------------------------------------------------------------------------------------------


def _wrong_sign(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.form == "plus":
        for i, part in enumerate(piece.parts):
            yield replace(piece, parts=(*piece.parts[:i], negative(part), *piece.parts[i + 1 :]))
    if piece.form == "negative":
        yield piece.parts[0]
    if piece.role == "slope" and piece.form == "word" and " - " in piece.text:
        yield replace(piece, text=piece.text.replace(" - ", " + ", 1))


def _negated(piece: Piece, place: Place) -> Iterator[Piece]:
    yield negative(piece)


def _twice(piece: Piece, place: Place) -> Iterator[Piece]:
    yield times(word("2", "coefficient"), piece)


def _half(piece: Piece, place: Place) -> Iterator[Piece]:
    yield times(word("1/2", "coefficient"), piece)
    yield over(piece, word("2"))


def _counts(place: Place) -> set[str]:
    """The numbers that a writer may take for n: the batch, the outputs, both together, and the width of the claim."""
    net = place.net
    rows = net.shapes[net.loss.outputs[0]][0]
    counts = {net.batch, rows, rows * net.batch, net.shapes[place.name][0], len(net.loss.outputs)}
    return {str(n) for n in counts if n > 1} | ({"n"} if "n" in net.shapes else set())


def _times_n(piece: Piece, place: Place) -> Iterator[Piece]:
    for n in sorted(_counts(place)):
        yield times(word(n, "coefficient"), piece)


def _over_n(piece: Piece, place: Place) -> Iterator[Piece]:
    for n in sorted(_counts(place)):
        yield times(word(f"1/{n}", "coefficient"), piece)


def _sum_for_mean(piece: Piece, place: Place) -> Iterator[Piece]:
    """The 1/n of an averaged loss is lost: 2/12 becomes 2."""
    if not place.net.loss.count:
        return
    if piece.form == "times" and piece.parts[0].role == "coefficient":
        top = piece.parts[0].text.partition("/")[0]
        rest = piece.parts[1:]
        yield times(*rest) if top == "1" else times(word(top, "coefficient"), *rest)
    if piece.form == "over" and piece.parts[1].role == "coefficient":
        yield piece.parts[0]


def _mean_for_sum(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.form == "call" and piece.text == "sum" and piece.role in ("batch sum", "broadcast sum"):
        yield replace(piece, text="mean")


def _missing_sum(role: str) -> Edit:
    def edit(piece: Piece, place: Place) -> Iterator[Piece]:
        if piece.form == "call" and piece.role == role:
            yield piece.parts[0]

    return edit


def _missing_sum_over_neurons(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role == "neurons" and piece.form == "plus":
        for i in range(len(piece.parts)):
            yield plus(*_without(piece.parts, i))
    if piece.role == "through the weights" and piece.form == "matmul" and place.net.batch == 1:
        yield times(piece.parts[0], turned(piece.parts[1]))


def _overwritten(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role in ("paths", "neurons") and piece.form == "plus" and place.name[0] not in "Ww":
        yield from piece.parts


def _overwritten_weight(piece: Piece, place: Place) -> Iterator[Piece]:
    """Of a weight that two layers share, which is what a recurrent network does in time."""
    if piece.role == "paths" and piece.form == "plus" and place.name[0] in "Ww":
        yield from piece.parts


def _double_counting(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role in ("paths", "neurons") and piece.form == "plus":
        for part in piece.parts:
            yield plus(*piece.parts, part)
        yield plus(piece, piece)


def _counted_twice(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.form == "times":
        for i, part in enumerate(piece.parts):
            if part.role != "coefficient":
                squared = Piece("times", (part, part))
                yield replace(piece, parts=(*piece.parts[:i], squared, *piece.parts[i + 1 :]))


def _wrong_quantity(piece: Piece, place: Place) -> Iterator[Piece]:
    """Any other value of the same shape: z for a, the target for the input."""
    if piece.role in ("previous", "weight", "output", "target") and piece.form == "word":
        for name, shape in place.net.shapes.items():
            if shape == place.net.shapes[piece.text] and name not in (piece.text, place.net.loss.out, "lr", "n"):
                yield word(name)


# The loss -----------------------------------------------------------------------------------------------------------


def _softmax_by_elements(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role == "fused" and piece.about[0] == "softmax":
        _, a, t, coefficient = piece.about
        front = [word(coefficient, "coefficient")] if coefficient else []
        yield times(*front, negative(times(word(t), plus(word("1"), negative(word(a))))))
    if piece.role == "softmax":
        a = piece.about[0]
        g = _upstream_of_softmax(piece, a)
        if g is not None:
            yield times(g, word(a), plus(word("1"), negative(word(a))))


def _upstream_of_softmax(piece: Piece, a: str) -> Piece | None:
    """g, where the softmax's derivative still stands as it was drawn: inside sum(g * a), or behind the Jacobian."""
    if piece.form == "matmul":
        return piece.parts[1]
    for part, _ in places(piece):
        if part.role == "softmax sum" and part.form == "call" and part.parts[0].form == "times":
            others = [factor for factor in part.parts[0].parts if factor.text != a]
            return times(*others) if others else None
    return None


def _log_of_wrong_thing(piece: Piece, place: Place) -> Iterator[Piece]:
    """The derivative of log(z), or of log(1 - a), where it is log(a); and the other way round."""
    if piece.role == "log" and piece.form == "over":
        numerator, bottom = piece.parts
        a = place.net.loss.outputs[0]
        z = next(step.source for step in place.net.steps if isinstance(step, Activation) and step.out == a)
        rest = plus(word("1"), negative(word(a)))
        yield over(numerator, word(z))
        yield over(numerator, word(a) if bottom.form != "word" else rest)


# The table ----------------------------------------------------------------------------------------------------------


ANYWHERE, SELDOM = 0.5, 8.0  # the chances of kinds that fit every claim, and of those that fit few


def _kind(name: str, edit: Edit, *also: str, whole: bool = False, chance: float = 1.0) -> Kind:
    return Kind(name, frozenset({name, *also}), edit, whole, ANYWHERE if whole else chance)


BATCH, AXIS, NEURONS = (
    "missing sum over the batch",
    "missing sum over a broadcast axis",
    "missing sum over neurons",
)
DROPPED = "dropped term"

NAMED: tuple[Kind, ...] = (
    _kind("dropped factor", _dropped_factor, "loss derivative forgotten"),
    _kind("activation for its derivative", _activation_for_derivative),
    _kind("derivative at the wrong layer", _derivative_at_wrong_layer, "index off by one"),
    _kind("derivative at a instead of z", _derivative_at_a, "a for z"),
    _kind("missing transpose", _missing_transpose),
    _kind("swapped factors", _swapped_factors, "missing transpose", "outer product in the wrong order"),
    _kind("wrong sign", _wrong_sign),
    _kind("wrong sign", _negated, whole=True),
    _kind("factor 2", _twice, "double counting", whole=True),
    _kind("factor 1/2", _half, whole=True),
    _kind("factor n", _times_n, "mean over the wrong axis", whole=True),
    _kind("factor 1/n", _over_n, "mean over the wrong axis", whole=True),
    _kind("sum for mean", _sum_for_mean, "factor n", "dropped factor", chance=SELDOM),
    _kind("mean for sum", _mean_for_sum, "factor 1/n"),
    _kind(BATCH, _missing_sum("batch sum"), AXIS),
    _kind(AXIS, _missing_sum("broadcast sum"), BATCH, chance=SELDOM),
    _kind(
        NEURONS, _missing_sum_over_neurons, "overwritten instead of added", "elementwise for matrix product", DROPPED
    ),
    _kind(NEURONS, _missing_sum("softmax sum"), "softmax treated as elementwise", chance=SELDOM),
    _kind("overwritten instead of added", _overwritten, DROPPED),
    _kind("overwritten instead of added", _overwritten_weight, DROPPED, "missing sum over time"),
    _kind("double counting", _double_counting, chance=SELDOM),
    _kind("weights after the update", _after_the_update),
    _kind("forgotten mask", _forgotten_mask, "dropped factor"),
    _kind("softmax treated as elementwise", _softmax_by_elements, chance=SELDOM),
    _kind("log of the wrong thing", _log_of_wrong_thing, "z for a", chance=SELDOM),
    _kind(
        "index off by one",
        _index_off_by_one,
        "previous activation of the wrong layer",
        "W of the wrong layer",
        "derivative of the wrong quantity",
    ),
    _kind("forgotten bias", _forgotten_bias, chance=SELDOM),
    _kind("previous activation of the wrong layer", _previous_of_wrong_layer, "index off by one"),
    _kind("factor counted twice", _counted_twice, "double counting", "loss for its derivative"),
    _kind(
        "wrong quantity",
        _wrong_quantity,
        "z for a",
        "target for prediction",
        "W of the wrong layer",
        "previous activation of the wrong layer",
        "index off by one",
    ),
)
