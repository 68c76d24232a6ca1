"""`chainrule explain "z = w*x + b; ..."` and `chainrule explain RUN`: how a gradient follows, with its numbers."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.cli.screen import width, write, write_document
from chainrule.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from chainrule.explain.explanation import Explanation

WIDEST = 120
"""Lines are no longer than this, however wide the terminal is."""

DESCRIPTION = """\
Prints the derivation of a gradient, with its numbers put in.

WHAT is a program, or the folder of a trained run:

  chainrule explain "z = w*x + b; y = sigmoid(z); L = 1/2*(y - t)**2" \\
      --at x=0.5,w=0.4,b=0.1,t=0.8 --wrt w,b --lr 0.01

  chainrule explain runs/digits --sample 3 --layer 2

A program is one or more statements with semicolons between them; its loss is the last quantity of one element. The
formulas are read, never run as Python. Lists in --at are columns, nested lists are rows: W=[[1,2],[3,4]].
"""


def add_to(verbs: Any) -> None:
    """Adds this verb to the command line."""
    parser = verbs.add_parser(
        "explain",
        help="derive a gradient step by step, with its numbers",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("what", metavar="WHAT", help="a program, or a run folder that train wrote")
    parser.add_argument("--at", metavar="NAME=VALUE,...", help="what the program reads")
    parser.add_argument("--wrt", metavar="NAME,...", help="whose derivatives are wanted; by default all that are given")
    parser.add_argument("--lr", type=float, metavar="RATE", help="a step of gradient descent as well")
    parser.add_argument("--sample", type=int, metavar="N", help="which test row of a run, from 1 (1)")
    parser.add_argument("--layer", metavar="NAME", help="whose parameters' gradients are wanted, of a run")
    parser.add_argument("--level", choices=("auto", "scalar", "matrix", "differential"), default="auto")
    parser.add_argument(
        "--convention", default="article1", metavar="NAME", help="article0 ... article4, nielsen, pytorch"
    )
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="the language of the prose")
    parser.add_argument("--within", metavar="MODULE", help="the steps of one module, where the report closes it")
    parser.add_argument("--full", action="store_true", help="nothing folded or left out")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--html", nargs="?", const="-", metavar="FILE", help="as an HTML page")
    form.add_argument("--latex", action="store_true", help="as LaTeX")
    form.add_argument("--markdown", action="store_true", help="as Markdown")
    form.add_argument("--json", action="store_true", help="as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Derives, and prints."""
    # "" would be the current folder, and a long program is refused as a path by the operating system
    is_run = 0 < len(args.what) < 1000 and "\n" not in args.what and Path(args.what).is_dir()
    if not is_run and "=" not in args.what:
        raise UsageError(
            f"explain: '{args.what}' is neither a run folder nor a program", mend='A program: "z = w*x; L = z**2".'
        )
    found = of_run(args) if is_run else of_text(args)
    if args.within is not None:
        found = found.within(args.within)
    show(found, args)
    return 0


def show(found: Explanation, args: argparse.Namespace) -> None:
    """Prints an explanation in the form that was asked for."""
    if args.html is not None:
        page = found.to_html(None if args.html == "-" else args.html)
        if args.html == "-":
            write_document(page)
    elif args.latex:
        write_document(found.to_latex())
    elif args.markdown:
        write_document(found.to_markdown())
    elif args.json:
        write_document(found.to_json() + "\n")
    else:
        write(found.to_text(width(WIDEST)) + "\n")


# ---- a program --------------------------------------------------------------------------------------------------


def of_text(args: argparse.Namespace) -> Explanation:
    """The explanation of statements."""
    from chainrule.explain.gradient import of_program
    from chainrule.notation.language.statements import parse_statements
    from chainrule.symbolic.expression import Symbol

    for option in ("sample", "layer"):
        if getattr(args, option) is not None:
            raise UsageError(f"--{option} applies to a run folder, not to a program")
    values = values_of(args.at or "")
    program = parse_statements(args.what, {name: Symbol(name, value.shape) for name, value in values.items()})
    wanted = args.wrt.split(",") if args.wrt else list(values)
    return of_program(
        program, values, [name.strip() for name in wanted], level=args.level, convention=args.convention,
        lang=args.lang, full=args.full, lr=args.lr,
    )  # fmt: skip


def values_of(text: str) -> dict[str, np.ndarray[Any, Any]]:
    """`x=0.5,W=[[1,2],[3,4]]` as arrays; a list is a column.

    Raises:
        UsageError: for what is not NAME=VALUE, a name twice, or a value that is no number or list of numbers.
    """
    import numpy as np

    found: dict[str, np.ndarray[Any, Any]] = {}
    for part in _parts(text):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name.isidentifier():
            raise UsageError(f"--at takes NAME=VALUE with commas between, not '{part.strip()}'")
        if name in found:
            raise UsageError(f"--at gives '{name}' twice")
        try:
            array = np.array(json.loads(value), np.float64)
        except (ValueError, TypeError, RecursionError):
            raise UsageError(f"--at: the value of '{name}' is no number and no list of numbers: '{value}'") from None
        if not np.isfinite(array).all():
            raise UsageError(f"--at: the value of '{name}' is not finite: '{value}'")
        if array.ndim > 2 or array.size == 0:
            raise UsageError(f"--at: '{name}' is a number, a column or a matrix, not of shape {array.shape}")
        found[name] = array.reshape(-1, 1) if array.ndim == 1 else array
    return found


def _parts(text: str) -> list[str]:
    """The text between commas that are not in brackets."""
    parts, depth = [""], 0
    for c in text:
        depth += (c == "[") - (c == "]")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [part for part in parts if part.strip()]


# ---- a run ------------------------------------------------------------------------------------------------------


def of_run(args: argparse.Namespace) -> Explanation:
    """The explanation of a trained model's loss on one of the run's test rows."""
    from chainrule.errors import ChainruleError
    from chainrule.explain.gradient import gradient
    from chainrule.tensor.tensor import wrap
    from chainrule.train.prediction import trained

    for option in ("at", "wrt", "lr"):
        if getattr(args, option) is not None:
            raise UsageError(f"--{option} applies to a program, not to a run folder")
    model, loss, test = trained(args.what)
    number = 1 if args.sample is None else args.sample
    if not 1 <= number <= len(test):
        raise UsageError(f"--sample takes a test row from 1 to {len(test)}, not {number}")
    x, y = wrap(test.inputs[number - 1 : number], None), wrap(test.targets[number - 1 : number], None)
    model.eval()
    try:
        part = model if args.layer is None else model.get_submodule(args.layer)
    except ChainruleError:
        names = ", ".join([name for name, _ in model.named_modules() if name])
        raise UsageError(f"the model has no layer '{args.layer}'", mend=f"It has: {names}") from None
    wanted = list(part.parameters())
    if not wanted:
        raise UsageError(f"the layer '{args.layer}' has no parameters")
    value = loss(model(x), y)
    return gradient(
        value, wanted, level=args.level, convention=args.convention, lang=args.lang, full=args.full, model=model,
        names={"x": x, "y": y, **dict(model.named_parameters())},
    )  # fmt: skip
