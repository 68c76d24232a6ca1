"""`chainrule diagnose WHAT`: why the gradients of a model are as large as they are, and whether that is healthy."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.cli.screen import width, write, write_document
from chainrule.errors import UsageError

if TYPE_CHECKING:
    from chainrule.train.session import Prepared

DESCRIPTION = """\
Measures the gradient of every layer, splits its change from layer to layer by cause, and says what keeps
it from doing its work. With --try, what may mend it is tried on copies and measured before and after;
only what improved is recommended. Nothing of yours is trained or changed.

WHAT is one of
  FILE.py:function   as for `chainrule train`: it returns a dictionary with model, loss and train, and
                     optionally optimizer; diagnosed as the function returns it, before training
  RUN                a run folder: the weights of its best epoch, on its training data
  digits, iris, ...  what `chainrule train` would train on it, before training

Exit status: 0 healthy, 1 a finding (with --fail-on: one of those), 2 it could not be diagnosed.
"""
HEALTHY, FOUND = 0, 1
BATCHES = 4
"""How many batches are measured by default: the spread over them shows what is chance."""


def add_to(verbs: Any) -> None:
    """Adds this verb to the command line."""
    parser = verbs.add_parser(
        "diagnose",
        help="why gradients vanish or explode here",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("what", metavar="WHAT", help="FILE.py:function, a run folder, or the name of a data set")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="arguments",
                        help="a keyword for the function, as JSON or text; may be repeated")  # fmt: skip
    parser.add_argument("--batches", type=int, default=BATCHES, metavar="N", help=f"how many to measure ({BATCHES})")
    parser.add_argument("--try", action="store_true", dest="tries", help="try what may mend it, on copies")
    parser.add_argument("--steps", type=int, default=0, metavar="K", help="with --try: compare after K training steps")
    parser.add_argument("--html", metavar="FILE.html", help="write the report with its pictures here")
    parser.add_argument("--json", action="store_true", help="one JSON object with everything, on standard output")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="the language of the report")
    parser.add_argument("--fail-on", type=_names, metavar="CAUSE,CAUSE",
                        help="exit with 1 for these causes alone, such as vanishing,exploding")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Diagnoses, prints what was found, and says by the exit status whether there was something."""
    if args.batches < 1:
        raise UsageError("--batches is at least 1", got=[f"--batches  {args.batches}"])
    if args.steps < 0 or (args.steps and not args.tries):
        raise UsageError("--steps K is for --try: how many steps each remedy trains", got=[f"--steps  {args.steps}"])
    check_causes(args.fail_on or ())
    from chainrule.diagnose import report
    from chainrule.diagnose.diagnosis import gradients
    from chainrule.diagnose.remedies import remedies

    prepared = prepared_for(args.what, args.arguments)
    batches = list(islice(prepared.batches, args.batches))
    diagnosis = gradients(prepared.model, prepared.loss, batches, prepared.optimizer)
    trials = None
    if args.tries:
        trials = remedies(
            prepared.model, prepared.loss, batches, prepared.optimizer, steps=args.steps, diagnosis=diagnosis
        )
    if args.html is not None:
        from chainrule.train.files import write_text

        write_text(Path(args.html), diagnosis.to_html(lang=args.lang, trials=trials))
    if args.json:
        data = {"what": args.what, **report.to_dict(diagnosis, trials)}
        write_document(json.dumps(data, ensure_ascii=False) + "\n")
    else:
        write(diagnosis.to_text(args.lang, width=width(report.WIDTH), trials=trials))
    return status(sorted({one.cause for one in diagnosis.findings}), args.fail_on)


def check_causes(names: Sequence[str]) -> None:
    """Raises UsageError for the name of a cause that there is not: with it nothing would ever fail."""
    from chainrule.notation.words import words

    known = dict.fromkeys([key.partition(": ")[0] for key in words("en").diagnosis.mechanisms])
    for name in names:
        if name not in known:
            raise UsageError(f"--fail-on: there is no cause '{name}'", mend=f"There are {', '.join(known)}.")


def status(causes: Sequence[str], fail_on: Sequence[str] | None) -> int:
    """1 if something was found, or something that the user wants to fail on."""
    failing = [cause for cause in causes if fail_on is None or cause in fail_on]
    return FOUND if failing else HEALTHY


def prepared_for(what: str, arguments: Sequence[str]) -> Prepared:
    """The model, loss, batches and optimizer that are meant; of a run with the weights of its best epoch.

    Raises:
        UsageError, DataError, FileFormatError, StateError: as `chainrule train` and `chainrule predict` do.
    """
    from chainrule.cli.train import argument
    from chainrule.tensor.tensor import wrap
    from chainrule.train.config import Request
    from chainrule.train.run import RunFolder
    from chainrule.train.session import prepare, rebuilt

    if not Path(what).is_dir():
        return prepare(Request(data=what, arguments=dict(map(argument, arguments))))
    if arguments:
        raise UsageError("--set is for FILE.py:function; a run has its arguments", got=[f"WHAT  {what}"])
    folder = RunFolder(Path(what))
    prepared = rebuilt(folder, folder.read_config())
    prepared.model.load_state_dict({name: wrap(array, None) for name, array in folder.read_model().items()})
    return prepared


def _names(text: str) -> tuple[str, ...]:
    names = tuple([name.strip() for name in text.split(",") if name.strip()])
    if not names:
        raise argparse.ArgumentTypeError("names of causes with commas between")
    return names
