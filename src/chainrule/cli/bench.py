"""`chainrule bench`: how fast training steps are, beside other libraries and beside what the machine can do."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from chainrule.cli.screen import write_document
from chainrule.errors import UsageError

DESCRIPTION = """\
Times whole training steps (forward, loss, backward, update): ours compiled and eager, and those of
PyTorch, torch.compile and JAX where they are installed (pip install 'chainrule[bench]').

Each contender runs in a process of its own, with empty caches and a fixed number of threads. All of
them start from the same weights; after ten steps, losses and parameters must agree with our eager ones.
Then they are timed in turns. The floor of a row is what its operations take at this machine's
measured peak, or its update at the bandwidth of the memory or cache that holds it.
"""


def add_to(verbs: Any) -> None:
    """Adds this verb to the command line."""
    parser = verbs.add_parser(
        "bench",
        help="time training steps beside other libraries",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--rows", metavar="W1,W3", help="which rows, W4 for all of W4/1, W4/32 and W4/128; or none")
    parser.add_argument("--peers", default="auto", metavar="NAMES", help="torch,jax; none; auto: what is installed")
    parser.add_argument("--threads", default="1,2", metavar="N,N", help="numbers of threads, one table each (1,2)")
    parser.add_argument("--sweep", action="store_true", help="40 random networks as well")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="how often each has its turn (9)")
    parser.add_argument("--json", action="store_true", help="one JSON object with everything, on standard output")


def run(args: argparse.Namespace) -> int:
    """Measures, and prints the tables."""
    from chainrule.bench.contenders import chosen
    from chainrule.bench.session import Effort, Session
    from chainrule.bench.table import as_json, document
    from chainrule.bench.workloads import select, sweep
    from chainrule.train.files import jsonable

    rows = select(args.rows)
    if not rows and not args.sweep:
        raise UsageError("bench what?", mend="--rows none goes with --sweep.")
    if args.rounds < 1:
        raise UsageError(f"--rounds takes a number from 1, not {args.rounds}")
    session = Session(chosen(args.peers), Effort(args.rounds), _say)
    found = session.run(rows, sweep() if args.sweep else (), _threads(args.threads))
    if args.json:
        write_document(json.dumps(jsonable(as_json(found)), ensure_ascii=False) + "\n")
        return 0
    from rich.console import Console

    from chainrule.report import print_document

    print_document(document(found), Console())
    return 0


def _say(line: str) -> None:
    if sys.stderr.isatty():
        print(line, file=sys.stderr, flush=True)


def _threads(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(dict.fromkeys(int(count) for count in text.split(",")))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise UsageError(f"--threads takes numbers from 1 with commas between, not '{text}'")
    return counts
