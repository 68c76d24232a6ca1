"""The run folder: everything that is needed to look at a run, to go on with it and to predict with it.

config.json             what was asked, the settings, the data's origin and treatment, versions
metrics.jsonl           a line for each epoch; its `watch` is what was seen of the layers (layers.py)
checkpoint.safetensors  where to go on: arrays, and JSON in its header
model.safetensors       the weights of the best epoch
result.json             what came out
report.html             all of it to read
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule.errors import DataError, FileFormatError, UsageError
from chainrule.interop.safetensors import save_file
from chainrule.train.checkpoint import Arrays, load_arrays
from chainrule.train.files import cannot_write, read_json, write_json, write_text, writing
from chainrule.train.loop import Record

FORMAT = 1


@dataclass(frozen=True)
class RunFolder:
    """A run folder's files by name."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def write_config(self, content: Mapping[str, Any]) -> None:
        """Writes config.json."""
        write_json(self.config, {"format": FORMAT, **content})

    def read_config(self) -> dict[str, Any]:
        """What config.json holds.

        Raises:
            DataError: there is no such folder or file.
            FileFormatError: it is damaged, or of another format.
        """
        if not self.config.is_file():
            raise DataError(
                f"{self.path} is not a run folder: it has no {self.config.name}",
                mend="Name the folder that `chainrule train` said it wrote.",
            )
        content = read_json(self.config)
        if content.get("format") != FORMAT:
            raise FileFormatError(
                f"{self.config} is not of format {FORMAT}", got=[f"format  {content.get('format')!r}"]
            )
        return content

    def part_of_config(self, content: Mapping[str, Any], name: str) -> Any:
        """An entry of config.json.

        Raises:
            FileFormatError: it is not there.
        """
        if name not in content:
            raise FileFormatError(f"{self.config} is damaged: it has no '{name}'")
        return content[name]

    def write_model(self, weights: Arrays) -> None:
        """Writes model.safetensors, whole or not at all."""
        with writing(self.model):
            save_file(weights, self.model, metadata={"format": "chainrule"})

    def read_model(self) -> Arrays:
        """The weights in model.safetensors.

        Raises:
            DataError: there are none: the run did not finish.
            FileFormatError: the file is damaged.
        """
        if not self.model.is_file():
            raise DataError(
                f"{self.path} has no {self.model.name}: the run did not finish",
                mend=f"Go on with: chainrule train --resume {self.path}",
            )
        return load_arrays(self.model)[0]

    def write_result(self, content: Mapping[str, Any]) -> None:
        """Writes result.json."""
        write_json(self.result, content)

    def write_report(self, html: str) -> None:
        """Writes report.html."""
        write_text(self.report, html)

    def read_history(self, epochs: int) -> list[Record]:
        """The records of the first epochs; what comes after them is dropped from the file.

        A run that was stopped hard may have written lines after its last checkpoint, the last one in part.

        Raises:
            FileFormatError: a line of those epochs is missing or damaged.
        """
        try:
            lines = self.metrics.read_text("utf-8").splitlines() if self.metrics.is_file() else []
            records = [json.loads(line) for line in lines[:epochs]]
        except (OSError, ValueError) as error:
            raise FileFormatError(f"{self.metrics} is damaged", got=[str(error)]) from error
        if [record.get("epoch") for record in records] != list(range(1, epochs + 1)):
            raise FileFormatError(
                f"{self.metrics} does not have a line for each of the {epochs} epochs of the checkpoint",
                got=[f"{len(records)} lines"],
            )
        if len(lines) > epochs:
            write_text(self.metrics, "".join(line + "\n" for line in lines[:epochs]))
        return records


def create(out: str | None, name: str) -> RunFolder:
    """A new folder: the one asked for, or runs/<name>-<time>. Nothing is ever overwritten.

    Raises:
        UsageError: the folder asked for is there already and not empty.
        FileWriteError: it cannot be made.
    """
    path = Path(out) if out is not None else _unused(Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UsageError(
                f"{path} is there already, and nothing is overwritten",
                mend=f"Name another folder with --out, or go on with that run: --resume {path}",
            )
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return RunFolder(path)


def _unused(path: Path) -> Path:
    """The path, or the first of path-2, path-3 ... that is not there."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate
