"""`chainrule train DATA`: trains a network and writes a run folder; `--resume` goes on with an interrupted one."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from chainrule.cli.screen import write_document
from chainrule.errors import UsageError
from chainrule.train.config import ACTIVATIONS, LOSSES, OPTIMIZERS, SCHEDULES, TASKS, Request, option_name

DESCRIPTION = """\
Trains a network and writes a run folder with the model, the history of every epoch, a checkpoint
to go on from and a report to read.

DATA is one of
  digits, iris, wine, breast_cancer, fashion-mnist
  a CSV or Parquet file, with --target COLUMN
  FILE.py:function, which returns a dictionary with model, loss, train and optionally test and
  optimizer; train and test are (inputs, targets), a Dataset or a DataLoader

A test part (stratified by class) is held out first and chooses nothing; a validation part of the
rest chooses the epoch whose weights are kept. All scaling is learned from the training rows alone.
"""


def add_to(verbs: Any) -> None:
    """Adds this verb to the command line."""
    parser = verbs.add_parser(
        "train",
        help="train a network and write a run folder",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("data", nargs="?", metavar="DATA", help="what to learn")
    parser.add_argument("--resume", metavar="RUN", help="go on with the interrupted run in this folder")
    _add_data_options(parser.add_argument_group("the data"))
    _add_model_options(parser.add_argument_group("the network"))
    _add_training_options(parser.add_argument_group("the training"))
    output = parser.add_argument_group("what is written")
    output.add_argument("--out", metavar="FOLDER", help="run folder; runs/<data>-<time> by default; never overwritten")
    output.add_argument("--quiet", action="store_true", help="no progress")
    output.add_argument("--json", action="store_true", help="one JSON object with everything, on standard output")


def _add_data_options(group: Any) -> None:
    group.add_argument("--target", metavar="COLUMN", help="the column to learn")
    group.add_argument("--task", metavar="TASK", help=f"{_or(TASKS)}, where the column leaves it open")
    group.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="arguments",
                       help="a keyword for the function, as JSON or text; may be repeated")  # fmt: skip
    group.add_argument("--data-folder", metavar="FOLDER", help="where the IDX files of fashion-mnist are")
    group.add_argument("--test-fraction", type=float, metavar="F", help="share held out to test (0.2)")
    group.add_argument("--validation", type=float, metavar="F", help="share of the rest that chooses the epoch (0.1)")


def _add_model_options(group: Any) -> None:
    group.add_argument("--layers", type=_sizes, metavar="N,N", help="sizes of the hidden layers (256,128), or none")
    group.add_argument("--activation", metavar="NAME", help=f"{_or(ACTIVATIONS)} (relu)")
    group.add_argument("--loss", metavar="NAME", help=f"{_or(LOSSES)} (cross_entropy for classes, mse for numbers)")


def _add_training_options(group: Any) -> None:
    rates = ", ".join(f"{name} {defaults.lr:g}" for name, defaults in OPTIMIZERS.items())
    group.add_argument("--optimizer", metavar="NAME", help=f"{_or(OPTIMIZERS)} (adam)")
    group.add_argument("--lr", type=float, metavar="RATE", help=f"learning rate ({rates})")
    group.add_argument("--momentum", type=float, metavar="M", help="for sgd, momentum (0.9) and rmsprop")
    group.add_argument("--weight-decay", type=float, metavar="W", help="0, and 0.01 for adamw")
    group.add_argument("--schedule", metavar="NAME", help=f"of the learning rate: {_or(SCHEDULES)} (cosine)")
    group.add_argument("--epochs", type=int, metavar="N", help="about 1,800 steps by default, 10 to 200 epochs")
    group.add_argument("--batch-size", type=int, metavar="N", help="32; 1 is plain SGD, one random row a step")
    group.add_argument(
        "--seed", type=int, default=None, metavar="N", help="of the splits, the weights and the order (0)"
    )
    group.add_argument("--early-stopping", type=int, metavar="PATIENCE",
                       help="stop after so many epochs without a lower validation loss")  # fmt: skip
    group.add_argument("--no-compile", action="store_const", const=False, dest="compile",
                       help="run the model's Python code at every step, not a program compiled from it")  # fmt: skip
    group.add_argument("--watch", type=float, metavar="F",
                       help="share of the time for looking at each layer (0.01); 0 for none")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Trains or resumes, and says what came out."""
    request = None if args.resume is not None else _request(args)
    if request is None:
        _check_resume_alone(args)
    from chainrule.train import session
    from chainrule.train.files import jsonable
    from chainrule.train.progress import progress_on

    with progress_on(sys.stderr, quiet=args.quiet) as progress:
        try:
            if request is None:
                outcome = session.resume(args.resume, [progress], progress.say)
            else:
                outcome = session.start(request, args.out, [progress], progress.say)
        except session.Interrupted as interrupt:
            raise Advised(interrupt) from interrupt
    if args.json:
        write_document(json.dumps(jsonable(outcome.to_dict()), ensure_ascii=False) + "\n")
        return 0
    from rich.console import Console

    from chainrule.report import print_document
    from chainrule.train.reporting import summary

    print_document(summary(outcome), Console())
    return 0


class Advised(KeyboardInterrupt):
    """Ctrl-C, with what to do next."""

    def __init__(self, interrupt: Any) -> None:
        self.advice = f"{interrupt}\nGo on with: chainrule train --resume {interrupt.folder.path}"
        super().__init__(self.advice)


def _request(args: argparse.Namespace) -> Request:
    if args.data is None:
        raise UsageError("train what?", mend="Name DATA (try: chainrule train digits), or --resume RUN.")
    said = {name: getattr(args, name) for name in REQUEST_OPTIONS if getattr(args, name) is not None}
    said["arguments"] = dict(map(argument, args.arguments))
    return Request(data=args.data, **said)


def _check_resume_alone(args: argparse.Namespace) -> None:
    said = ["DATA"] if args.data is not None else []
    said += [option_name(name) for name in (*REQUEST_OPTIONS, "out") if getattr(args, name) not in (None, [])]
    if said:
        raise UsageError(
            f"--resume goes on with a run as it was begun, and {', '.join(said)} cannot be changed",
            mend="Leave them out; --quiet and --json may be given.",
        )


REQUEST_OPTIONS = (
    "target", "task", "arguments", "data_folder", "test_fraction", "validation", "layers", "activation", "loss",
    "optimizer", "lr", "momentum", "weight_decay", "schedule", "epochs", "batch_size", "seed", "early_stopping",
    "compile", "watch",
)  # fmt: skip
"""The options that become the Request, each under the name of its field."""


def argument(text: str) -> tuple[str, Any]:
    """Name and value of `--set name=value`; the value is JSON where it is, else text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--set takes name=value, not '{text}'")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _sizes(text: str) -> tuple[int, ...]:
    if text == "none":
        return ()
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"whole numbers with commas between, or none, not '{text}'") from None


def _or(names: Any) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"
