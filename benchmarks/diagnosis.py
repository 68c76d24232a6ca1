"""How well `cr.diagnose` names what is wrong with a network, beside rules from the literature, and whether what it
recommends improves training: random networks, healthy ones and with faults planted.

python benchmarks/diagnosis.py [--remedied 100] [--jobs 2] [--json] [--failures DIR]
python benchmarks/diagnosis.py --draw tuning                    the networks to choose thresholds on
python benchmarks/diagnosis.py --calibrate                      the counts of chainrule.diagnose.causes.confidence
python benchmarks/diagnosis.py --only report-faulty-17          one network: what it is, what was said
python benchmarks/diagnosis.py --known                          the known cases: what is expected, what was said
python benchmarks/diagnosis.py --draw report --redraw           trains all networks and twins, writes the record anew

Exit 0 if the goals are reached (precision and recall of the cause 0.9, no false alarm, 0.9 of the recommended remedies
improve), or, of --calibrate, if the counts are those in the source; else 1.
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

CALIBRATION = ("calibration", "calibration_faint")
TRIED_STEPS = 100  # that cr.diagnose.remedies trains its candidates


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
            built.model, built.task.loss, remedies.given(built), optimizer=built.optimizer, steps=TRIED_STEPS
        )
    except Exception as exception:
        return f"{type(exception).__name__}: {exception}"
    return remedies.trial(network, result.recommended, result.tried)


def redraw(name: str) -> tuple[str, dict[str, float]]:
    return name, harm.first_accepted(name)


def counted(name: str) -> list[tuple[str, bool, bool]]:
    """Of each finding in a network: its cause, whether its evidence is clear, and whether it is right."""
    import chainrule.diagnose
    from chainrule.diagnose.causes.confidence import is_clear

    network = draw.network(name)
    built = build(network.spec, network.seed)
    result = chainrule.diagnose.gradients(built.model, built.task.loss, built.shown(), optimizer=built.optimizer)
    silent = scoring.outcome(network, ())
    return [(f.cause, is_clear(f), silent.is_right(answers.said(f.cause))) for f in result.findings]


# the command line ---------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", choices=sorted(draw.DRAWS), default="report", help="which networks (report)")
    parser.add_argument("--remedied", type=int, default=100, help="how many of the faulty ones have remedies tried")
    parser.add_argument("--only", metavar="NAME", help="one network alone")
    parser.add_argument("--known", action="store_true", help="the known cases of tests/diagnose/known_cases.py")
    parser.add_argument("--calibrate", action="store_true", help="count how often findings of each kind are right")
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
    names = draw.names(args.draw)
    with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn")) as pool:
        if args.redraw:
            draw.record(args.draw, dict(pool.map(redraw, names)))
            return 0
        if args.calibrate:
            seen = [name for of in CALIBRATION for name in (*draw.names(of), *draw.twins(of))]
            return calibrated([one for found in pool.map(counted, seen, chunksize=4) for one in found])
        pairs = list(pool.map(outcomes_of, names, chunksize=4))
        twins = list(pool.map(outcomes_of, draw.twins(args.draw), chunksize=4))
        faulty = [name for name in names if "faulty" in name]
        trials = list(pool.map(trial_of, spread(faulty, args.remedied)))
    of_names, of_twins = zip(*pairs, strict=True), zip(*twins, strict=True)
    ours, rules = [scoring.report(a, b) for a, b in zip(of_names, of_twins, strict=True)]
    result: dict[str, Any] = {
        "draw": args.draw,
        "chainrule": ours,
        "baseline": rules,
        "remedies": remedy_report(trials),
        "seconds": sum(pair[0].seconds for pair in (*pairs, *twins)),
    }
    if args.failures is not None:
        write_failures(args.failures, [*pairs, *twins])
    print(json.dumps(result, indent=2) if args.json else as_text(result))
    return 0 if ours["reached"] and (not trials or result["remedies"]["improves"] >= scoring.GOAL) else 1


def calibrated(found: Sequence[tuple[str, bool, bool]]) -> int:
    """Prints how many findings are right, by how clear they are; 0 if the source has the same counts."""
    from chainrule.diagnose.causes import confidence

    print(f"{'right, of so many':26}  clear      near")
    for cause in sorted({cause for cause, _, _ in found}):
        columns = [share_of(found, clear, cause) for clear in (True, False)]
        print(f"{cause:26}" + "".join(f"{right:4}, {of:3} " for right, of in columns))
    clear, near = share_of(found, True), share_of(found, False)
    print(f"CLEARLY, NEARLY = {clear}, {near}")
    same = (clear, near) == (confidence.CLEARLY, confidence.NEARLY)
    print("as in the source" if same else "the source has other counts")
    return 0 if same else 1


def share_of(found: Sequence[tuple[str, bool, bool]], clear: bool, cause: str | None = None) -> tuple[int, int]:
    """How many findings, clear ones or near ones, of one cause or of all, are right, and how many there are."""
    rights = [right for name, is_clear, right in found if is_clear == clear and cause in (None, name)]
    return sum(rights), len(rights)


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


def write_failures(folder: Path, pairs: Sequence[tuple[Outcome, Outcome]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for pair in pairs:
        if pair[0].failed():
            (folder / f"{pair[0].name}.txt").write_text(described(pair), encoding="utf-8")


def described(pair: tuple[Outcome, Outcome]) -> str:
    """One network as text: how it is rebuilt, what was planted, what was said of it."""
    ours, rules = pair
    network = draw.network(ours.name)
    record = draw.accepted(ours.name.partition("-")[0]).get(ours.name, {})
    return "\n".join(
        [
            f"{ours.name}: python benchmarks/diagnosis.py --only {ours.name}",
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
    a, b = ours["figures"], rules["figures"]
    lines = [f"{'draw: ' + result['draw']:34} chainrule   rules"]
    for key in ("primary", "primary_precision", "recall", "precision"):
        lines.append(f"{key.replace('_', ' '):34} {a[key]:9.1%} {b[key]:7.1%}")
    lines.append(f"{'mechanism (the rules name none)':34} {a['mechanism']:9.1%}")
    lines += [f"{key.replace('_', ' '):34} {a[key]:9} {b[key]:7}" for key in ("false_alarms", "errors")]
    lines += [f"{'alarms on twins':34} {ours['alarms on twins']:9} {rules['alarms on twins']:7}"]
    lines += [f"of {a['faulty']} faulty and {a['healthy']} healthy networks, and {ours['twins']} unharmed twins"]
    lines += ["", "confidence     findings   said   right"]
    for row in ours["calibration"]:
        bounds = f"{row['low']:.2f} to {row['high']:.2f}"
        lines.append(f"{bounds:14} {row['findings']:8} {row['confidence']:6.3f} {row['right']:7.3f}")
    lines += [f"mean distance {ours['calibration error']:.3f}", ""]
    lines += [f"{'fault':26} planted  named  by rules   called instead"]
    for name, row in ours["faults"].items():
        instead = ", ".join(f"{cause} {n}" for cause, n in row["instead"].items())
        lines.append(f"{name:26} {row['planted']:7} {row['named']:6} {rules['faults'][name]['named']:9}   {instead}")
    if mended["trials"] or mended["errors"]:
        lines += ["", f"remedies: {mended['recommended']} recommended in {mended['trials']} networks,"]
        lines += [
            f"  {mended['improves']:.1%} improve; with the best of all tried, {mended['any improves']} networks improve"
        ]
        lines += [f"  silent though one improves: {', '.join(mended['silent though one improves']) or 'none'}"]
        lines += [f"  {error}" for error in sorted(set(mended["errors"]))]
    lines += ["", "failures"] + [f"  {name}, {why}" for name, why in ours["failures"].items()]
    lines += [f"{result['seconds']:.0f} s of diagnoses"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
