"""`chainrule VERB ...`: parses the command line, runs the verb, and turns a user's mistake into a message.

Exit status: 0 all well, 2 a mistake that the message explains, 130 Ctrl-C. An error of ours keeps its traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from chainrule.cli import bench, diagnose, explain, predict, train, verify
from chainrule.errors import ChainruleError, UsageError

VERBS = (train, predict, explain, verify, diagnose, bench)
MISTAKE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError, so that every mistake reads alike."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, mend=f"See: {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns the exit status.

    Args:
        argv: the arguments after the program's name; by default those of this process.
    """
    try:
        args = parser().parse_args(argv)
        status: int = args.run(args)
        sys.stdout.flush()
    except ChainruleError as error:
        print(f"error: {error}", file=sys.stderr)
        return MISTAKE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the exit's flush finds no pipe
        return BROKEN_PIPE
    except KeyboardInterrupt as interrupt:
        print(f"\n{getattr(interrupt, 'advice', 'interrupted')}", file=sys.stderr)
        return INTERRUPTED
    return status


def parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    top = Parser(
        prog="chainrule",
        description="Neural networks whose every gradient can be read, checked and explained.",
        allow_abbrev=False,
    )
    verbs = top.add_subparsers(title="verbs", dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add_to(verbs)
    return top
