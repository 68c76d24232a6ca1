"""How well `cr.diagnose` names what is wrong with a network, beside rules from the literature, and whether what it
recommends improves training: random networks, healthy ones and with faults planted.

python benchmarks/diagnosis.py --networks 200 --healthy 100 --remedied 40 [--jobs 2] [--json] [--failures DIR]
python benchmarks/diagnosis.py --only faulty-17         one network: what it is, what was said
python benchmarks/diagnosis.py --known                  the known cases: what is expected, what was said
python benchmarks/diagnosis.py --redraw                 trains all networks and their twins, writes the record anew

Exit 0 if the goals are reached on half B (precision and recall of the cause 0.9, no false alarm, 0.9 of the recommended
remedies improve), else 1.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diagnosis_networks import answers, baseline, draw, harm, remedies, scoring
from diagnosis_networks.build import build
from diagnosis_networks.draw import Network
from diagnosis_networks.remedies import Trial
from diagnosis_networks.scoring import Outcome

TRIED_STEPS = 50  # that cr.diagnose.remedies trains its candidates


def measured(network: Network) -> tuple[answers.Said, ...]:
    """What cr.diagnose says of a network."""
    import chainrule.diagnose  # here, because the networks and the rules work without it

    built = build(network.spec, network.seed)
    result = chainrule.diagnose.gradients(built.model, built.task.loss, built.shown(), optimizer=built.optimizer)
    return answers.of_diagnosis(result)


def by_rules(network: Network) -> tuple[answers.Said, ...]:
    """What the rules of the literature say of it."""
    return baseline.diagnose(build(network.spec, network.seed))


def outcome_of(diagnose: Callable[[Network], tuple[answers.Said, ...]], name: str) -> Outcome:
    """An exception is an outcome too: nothing was found."""
    network = draw.network(name)
    start = time.perf_counter()
    try:
        said, error = diagnose(network), ""
    except Exception as exception:
        said, error = (), f"{type(exception).__name__}: {exception}"
    return scoring.outcome(network, said, time.perf_counter() - start, error)


def outcomes_of(name: str) -> tuple[Outcome, Outcome]:
    return outcome_of(measured, name), outcome_of(by_rules, name)


def trial_of(name: str) -> Trial | str:
    """The trial of a network's remedies, or why there is none."""
    from chainrule import diagnose

    network = draw.network(name)
    built = build(network.spec, network.seed)
    try:
        result = diagnose.remedies(
            built.model, built.task.loss, built.shown(), optimizer=built.optimizer, steps=TRIED_STEPS
        )
    except Exception as exception:
        return f"{type(exception).__name__}: {exception}"
    return remedies.trial(network, result.recommended, result.tried)


def redraw(name: str) -> tuple[str, dict[str, float]]:
    return name, harm.first_accepted(name)


# the command line ---------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=200, help="networks with faults")
    parser.add_argument("--healthy", type=int, default=100, help="networks without")
    parser.add_argument(
        "--remedied", type=int, default=40, help="of the faulty ones of half B, how many have remedies tried"
    )
    parser.add_argument("--half", choices=["A", "B"], help="only this half: A is the one to choose thresholds on")
    parser.add_argument("--only", metavar="NAME", help="one network alone")
    parser.add_argument("--known", action="store_true", help="the known cases of tests/diagnose/known_cases.py")
    parser.add_argument("--redraw", action="store_true", help="write the record of accepted networks anew")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--failures", type=Path, metavar="DIR", help="write every failure there as a text file")
    args = parser.parse_args()
    if args.only:
        print(described(outcomes_of(args.only)))
        return 0
    if args.known:
        return known()
    for library in ("OMP", "OPENBLAS", "MKL"):  # of the jobs: the matrices are small, and the jobs share the cores
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    names = draw.names(args.networks, args.healthy)
    with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn")) as pool:
        if args.redraw:
            draw.record(dict(pool.map(redraw, names)))
            return 0
        names = [name for name in names if args.half in (None, draw.network(name).half)]
        pairs = list(pool.map(outcomes_of, names, chunksize=4))
        reported = args.half or "B"
        faulty = [name for name in names if name.startswith("faulty") and draw.network(name).half == reported]
        trials = list(pool.map(trial_of, spread(faulty, args.remedied)))
    ours, rules = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    result: dict[str, Any] = {
        "chainrule": scoring.report(ours),
        "baseline": scoring.report(rules),
        "remedies": remedy_report(trials),
        "seconds": sum(o.seconds for o in ours),
    }
    if args.failures is not None:
        write_failures(args.failures, pairs, result["chainrule"]["half A"]["threshold"])
    print(json.dumps(result, indent=2) if args.json else as_text(result))
    return 0 if result["chainrule"]["reached"] and result["remedies"]["improves"] >= scoring.GOAL else 1


def known() -> int:
    """Prints what is said of each known case; 0 if every primary cause is an expected one."""
    import chainrule.diagnose

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "diagnose"))
    cases: dict[str, Any] = importlib.import_module("known_cases").CASES
    wrong = 0
    for name, make in cases.items():
        case = make()
        result = chainrule.diagnose.gradients(case.model, case.loss_fn, case.batches, optimizer=case.optimizer)
        said = [finding.cause for finding in answers.of_diagnosis(result)]
        expected = sorted(answers.said(cause).cause for cause in case.expected)
        right = said[0] in expected if said and expected else said == expected
        wrong += not right
        print(f"{'right' if right else 'WRONG'}  {name:30} said {said or 'healthy'}, expected {expected or 'healthy'}")
    return 1 if wrong else 0


def spread(names: Sequence[str], count: int) -> list[str]:
    """`count` names at even distances: neighbours have the same fault."""
    count = min(count, len(names))
    return [names[i * len(names) // count] for i in range(count)]


def remedy_report(trials: Sequence[Trial | str]) -> dict[str, Any]:
    """How often the recommended remedy improves, how often any does, and how often none was recommended though."""
    done = [t for t in trials if isinstance(t, Trial)]
    recommended = [t for t in done if t.recommended is not None]
    helped = sum(t.recommended_improves for t in recommended)
    return {
        "trials": len(done),
        "errors": [t for t in trials if isinstance(t, str)],
        "recommended": len(recommended),
        "improves": helped / len(recommended) if recommended else 0.0,
        "any improves": sum(t.best is not None for t in done),
        "silent though one improves": [t.name for t in done if t.recommended is None and t.best is not None],
        "in vain": [asdict(t) for t in recommended if not t.recommended_improves],
        "each": [{"best": t.best, "improves": t.recommended_improves, **asdict(t)} for t in done],
    }


def write_failures(folder: Path, pairs: Sequence[tuple[Outcome, Outcome]], threshold: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for pair in pairs:
        if pair[0].failed(threshold):
            (folder / f"{pair[0].name}.txt").write_text(described(pair), encoding="utf-8")


def described(pair: tuple[Outcome, Outcome]) -> str:
    """One network as text: how it is rebuilt, what was planted, what was said of it."""
    ours, rules = pair
    network = draw.network(ours.name)
    record = draw.accepted().get(ours.name, {})
    return "\n".join(
        [
            f"{ours.name}, half {ours.half}: python benchmarks/diagnosis.py --only {ours.name}",
            f"planted   {' and '.join(ours.faults) or 'nothing'}",
            f"right     {sorted(set().union(*(f.causes for f in network.faults)))}",
            f"said      {_findings(ours)}",
            f"rules     {_findings(rules)}",
            f"losses    {record}",
            f"network   {network.spec}",
            f"unharmed  {network.twin}",
            "",
        ]
    )


def _findings(outcome: Outcome) -> str:
    if outcome.error:
        return outcome.error
    said = [f"{s.cause} ({', '.join(sorted(s.mechanisms)) or '-'}; {s.confidence:.2f})" for s in outcome.said]
    return ", ".join(said) or "nothing"


def as_text(result: dict[str, Any]) -> str:
    ours, rules, mended = result["chainrule"], result["baseline"], result["remedies"]
    a, b, r = ours["half A"], ours["half B"], rules["half B"]
    lines = [f"{'half B':34} chainrule   rules"]
    for key in ("primary", "primary_precision", "recall", "precision", "mechanism"):
        lines.append(f"{key.replace('_', ' '):34} {b[key]:9.1%} {r[key]:7.1%}")
    lines += [f"{key.replace('_', ' '):34} {b[key]:9} {r[key]:7}" for key in ("false_alarms", "errors")]
    lines += [f"of {b['faulty']} faulty and {b['healthy']} healthy networks; confidence at least {a['threshold']:.2f}"]
    lines += ["", "confidence   findings   said   right"]
    for row in ours["calibration"]:
        bounds = f"{row['low']:.1f} to {row['high']:.1f}"
        lines.append(f"{bounds:12} {row['findings']:8} {row['confidence']:6.2f} {row['right']:7.2f}")
    lines += [f"mean distance {ours['calibration error']:.3f}", ""]
    lines += [f"{'fault':26} planted  named  by rules   called instead"]
    for name, row in ours["faults"].items():
        instead = ", ".join(f"{cause} {n}" for cause, n in row["instead"].items())
        lines.append(f"{name:26} {row['planted']:7} {row['named']:6} {rules['faults'][name]['named']:9}   {instead}")
    lines += ["", f"remedies: {mended['recommended']} recommended in {mended['trials']} networks,"]
    lines += [
        f"  {mended['improves']:.1%} improve; with the best of all tried, {mended['any improves']} networks improve"
    ]
    lines += [f"  silent though one improves: {', '.join(mended['silent though one improves']) or 'none'}"]
    lines += [f"  {error}" for error in sorted(set(mended["errors"]))]
    lines += ["", f"failures: {', '.join(ours['failures']) or 'none'}", f"{result['seconds']:.0f} s of diagnoses"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
