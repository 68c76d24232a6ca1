"""Where the time of a compiled training step goes, kernel by kernel (`step.profile`).

python benchmarks/kernels.py W5 W8 W9 [--threads 1] [--kinds]    the rows of `chainrule bench`; --kinds: sums only

A kind "update" is a matrix product or a sum over the batch that ends in the optimiser's update of a parameter.
"""

from __future__ import annotations

import argparse

import chainrule as cr
from chainrule.bench.programs.torchlike import chainrule_compiled
from chainrule.bench.worker import batches
from chainrule.bench.workloads import ROWS, Workload, find
from chainrule.compiler.profiled import KernelTime, Profile


def profile_of(workload: Workload) -> Profile:
    """Of a step from the initial weights, on the first batch."""
    (_, make), *_ = chainrule_compiled(workload)
    program = make()
    x, y = (program.tensor(array) for array in batches(workload)[0])
    found: Profile = program.step.profile(x, y)
    return found


def kind_of(kernel: KernelTime) -> str:
    """The kernel's kind; of the weights' gradients with their update in one, "update"."""
    is_update = kernel.kind in ("gemm", "columns") and kernel.operators[-1] == "sub" and "mul" in kernel.operators[1:]
    return "update" if is_update else kernel.kind


def by_kind(profile: Profile) -> str:
    """A line for each kind of kernel, the longest first."""
    kinds: dict[str, list[KernelTime]] = {}
    for kernel in profile.kernels:
        kinds.setdefault(kind_of(kernel), []).append(kernel)
    lines = []
    for kind, kernels in sorted(kinds.items(), key=lambda item: -sum([k.seconds for k in item[1]])):
        seconds, flops = (sum([getattr(k, name) for k in kernels]) for name in ("seconds", "flops"))
        rate = flops / max(seconds, 1e-12)
        share, peak = seconds / profile.seconds, rate / profile.flops_per_second
        lines.append(
            f"{kind:12} {seconds * 1e6:9.1f} us {share:6.1%}  {rate / 1e9:6.0f} GFLOP/s, {peak:.0%} of one core"
        )
    return "\n".join(lines)


def row(name: str) -> Workload:
    """A row of the bench; argparse says what is wrong with any other name."""
    try:
        return find(name)
    except StopIteration:
        raise argparse.ArgumentTypeError(f"{name} is none of {', '.join([w.name for w in ROWS])}") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="+", metavar="ROW", type=row)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kinds", action="store_true")
    args = parser.parse_args()
    cr.set_num_threads(args.threads)
    for workload in args.rows:
        profile = profile_of(workload)
        print(f"\n{workload.name}  {workload.title}\n{by_kind(profile)}")
        if not args.kinds:
            print(profile)


if __name__ == "__main__":
    main()
