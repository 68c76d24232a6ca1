"""`chainrule verify FILE...`: whether a derivation is right, and if not, which factor of which step is wrong."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.cli.screen import in_colour, width, write, write_document
from chainrule.errors import ChainruleError, UsageError

if TYPE_CHECKING:
    from chainrule.verify.result import DerivationResult

DESCRIPTION = """\
Checks derivations. A FILE has three parts:

  given
    x  = [0.5, 0.1]              # a list is a column vector
    t  = [1, 0, 0]
    W2 = random(3, 2)
  forward
    a2 = sigmoid(W2 @ x)
    L  = 1/2 * sum((a2 - t)**2)  # the last scalar is the loss
  claims
    dL/da2 = a2 - t
    dL/dW2 = (dL/da2 * a2) @ x.T

Each claim is judged with the true upstream derivatives, on the data as given and on redraws of it; a wrong one is
matched against the known mistakes. The notation is described in docs/verify.md.

Exit status: 0 all claims are right, 1 a claim is wrong, 2 a file cannot be read or decided.
"""
RIGHT, WRONG, UNDECIDED = 0, 1, 2


def add_to(verbs: Any) -> None:
    """Adds this verb to the command line."""
    parser = verbs.add_parser(
        "verify",
        help="check a derivation, and name the wrong factor",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("files", nargs="*", metavar="FILE", help="a derivation, or a folder of *.txt and *.tex ones")
    parser.add_argument("--json", action="store_true", help="one JSON object for each file, on standard output")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="the language of the report")
    parser.add_argument("--grade", action="store_true", help="points for each claim; a slip costs points once")
    parser.add_argument("--rubric", metavar="FILE.json", help="what claims are worth, for --grade")
    parser.add_argument(
        "--example", metavar="NAME", help="write a worked error of the articles into this folder, and check it"
    )


def run(args: argparse.Namespace) -> int:
    """Checks every file, and says the worst that was found."""
    from chainrule.verify.grade import Rubric

    if args.rubric is not None and not args.grade:
        raise UsageError("--rubric says what claims are worth, for --grade", mend="Add --grade.")
    files = [*written_examples(args.example), *found(args.files)]
    if not files:
        raise UsageError("verify: no file to check", mend="Give a FILE, or --example article3.")
    rubric = Rubric() if args.rubric is None else Rubric.read(Path(args.rubric))
    return max([_checked(file, args, rubric, more=file != files[-1]) for file in files])


def found(names: list[str]) -> Iterator[Path]:
    """The files that were named; of a folder, the derivations in it."""
    for name in names:
        path = Path(name)
        if not path.is_dir():
            yield path
            continue
        inside = sorted([p for p in path.iterdir() if p.suffix in (".txt", ".tex") and p.is_file()])
        if not inside:
            raise UsageError(f"the folder '{name}' holds no derivation", mend="Derivations end in .txt or .tex.")
        yield from inside


def written_examples(name: str | None) -> list[Path]:
    """The examples of that name, or whose names start with it, copied to the working folder.

    A file that is there already is left as it is, and checked: it may have been edited.
    """
    if name is None:
        return []
    from importlib.resources import files

    folder = files("chainrule.verify") / "examples"
    names = sorted([file.name for file in folder.iterdir() if file.name.endswith(".txt")])
    chosen = [n for n in names if n == f"{name}.txt"] or [n for n in names if n.startswith(f"{name}-")]
    if not chosen:
        known = ", ".join([n.removesuffix(".txt") for n in names])
        raise UsageError(f"no example is called '{name}'", mend=f"There are {known}; article0 stands for all of its.")
    for one in chosen:
        if not Path(one).exists():
            Path(one).write_text((folder / one).read_text("utf-8"), "utf-8")
    return [Path(one) for one in chosen]


def _checked(file: Path, args: argparse.Namespace, rubric: Any, *, more: bool) -> int:
    """Checks one file and prints what was found; what cannot be read does not keep the others from being checked."""
    from chainrule.verify.claims import derivation

    try:
        result = derivation(file)
    except (ChainruleError, OSError) as error:
        _refused(file, error, args)
        return UNDECIDED
    _print(result, args, rubric, more=more)
    if not result.decided:
        return UNDECIDED
    return RIGHT if result.ok else WRONG


def _refused(file: Path, error: Exception, args: argparse.Namespace) -> None:
    from chainrule.verify.grade import Grade

    if args.json:
        where = {"line": getattr(error, "line", 0), "column": getattr(error, "column", 0)}
        refusal = {"title": str(file), "ok": False, "error": str(error), **where}
        write_document(json.dumps(refusal, ensure_ascii=False) + "\n")
    elif args.grade:
        write(Grade(str(file), (), str(error)).printed(args.lang) + "\n")
    else:
        print(f"error: {_said(file, error)}", file=sys.stderr)


def _said(file: Path, error: Exception) -> str:
    """What is wrong with a file, with its name once."""
    text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return text if text.startswith(str(file)) else f"{file}: {text}"


def _print(result: DerivationResult, args: argparse.Namespace, rubric: Any, *, more: bool) -> None:
    from chainrule.verify.grade import graded
    from chainrule.verify.report import WIDTH, printed

    if args.grade:
        grade = graded(result, rubric, args.lang)
        if args.json:
            write_document(json.dumps(grade.as_data(), ensure_ascii=False) + "\n")
        else:
            write(grade.printed(args.lang) + "\n")
    elif args.json:
        write_document(json.dumps(result.as_data(), ensure_ascii=False) + "\n")
    else:
        write(printed(result, args.lang, width(WIDTH), colour=in_colour()) + ("\n\n" if more else "\n"))
