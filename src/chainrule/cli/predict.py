"""`chainrule predict RUN [DATA]`: what a trained model says about new data, and how well, where that is known."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from chainrule.cli.screen import write_document

DESCRIPTION = """\
Predicts with the model of a run. New data goes through the preparation that was learned in training.

DATA is a CSV or Parquet file with the columns of the training data (where the target column is there
too, the predictions are scored), an .npy file of inputs, or the name of a bundled data set. Without
DATA, the run's own test rows are predicted.

The predictions are written to standard output as CSV, or to a file with --out.
"""


def add_to(verbs: Any) -> None:
    """Adds this verb to the command line."""
    parser = verbs.add_parser(
        "predict",
        help="predict with a trained run",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("folder", metavar="RUN", help="the run folder that train wrote")
    parser.add_argument("data", nargs="?", metavar="DATA", help="what to predict; by default the run's test rows")
    parser.add_argument("--out", metavar="FILE.csv", help="write the predictions here")
    parser.add_argument("--json", action="store_true", help="one JSON object with everything, on standard output")
    parser.add_argument("--data-folder", metavar="FOLDER", help="where the IDX files of fashion-mnist are")


def run(args: argparse.Namespace) -> int:
    """Predicts, and writes what came out."""
    from rich.console import Console

    from chainrule.report import print_document
    from chainrule.train.files import jsonable, write_text
    from chainrule.train.prediction import predict
    from chainrule.train.reporting import prediction_summary

    predictions = predict(args.folder, args.data, args.data_folder)
    if args.out is not None:
        write_text(Path(args.out), predictions.to_csv())
    if args.json:
        write_document(json.dumps(jsonable(predictions.to_dict()), ensure_ascii=False) + "\n")
        return 0
    if args.out is None:
        write_document(predictions.to_csv())
    summary = prediction_summary(predictions, args.out)
    print_document(summary, Console(stderr=args.out is None))
    return 0
