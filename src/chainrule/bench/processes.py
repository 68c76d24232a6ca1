"""The processes that the benchmark starts, as seen from the one that starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chainrule.bench.contenders import Contender, environment


class Worker:
    """A contender's process, as seen from here."""

    def __init__(self, contender: Contender, threads: int, folder: Path) -> None:
        self.contender = contender
        self._log = (folder / f"{contender.name}.log").open("ab")
        command = [sys.executable, "-m", "chainrule.bench.worker", contender.name, str(threads), str(folder)]
        with processors(threads):
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=environment(threads, str(folder)),
                text=True,
            )

    def ask(self, *command: object) -> dict[str, Any]:
        """Sends a command and waits for its answer; a process that died answers with an error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("\t".join(map(str, command)) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            return {"error": f"its process ended with status {self._process.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()


@contextmanager
def processors(threads: int) -> Iterator[None]:
    """Within the block, processes that are started may use so many processors only, where the system can say that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[-threads:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
