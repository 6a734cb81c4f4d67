"""Does the method keep its promises on this machine, over many whole runs? Run by hand, with the machine to itself:

    python tests/benchmarks/trials.py planted    one of two cases slower by `--pct` %: how often is it found in `--budget` s?
    python tests/benchmarks/trials.py pairs RUN ...   stored runs of one thing: how often does `diff` call a case slower?
    python tests/benchmarks/trials.py spread     whole default runs: do the ratios spread no more than their intervals promise?

Each prints one line a run and a sum. `--trials`, `--budget` (seconds a run) and `--seed` change what is done.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mnbench import compare, stats, store
from mnbench.records import Case, Comparison, Plan, Run, Verdict
from mnbench.report.progress import Silent
from mnbench.stats.analysis import compare_pairs, trusted_samples
from mnbench.stats.between_runs import diff
from mnbench.stats.covariate import stream_logs
from mnbench.stats.intervals import holm, t_quantile
from mnbench.stats.rounds import launch_logs
from mnbench.stats.selftest import wilson

MOST_OVER = 1.2
"""All ratios' spread together over what is promised: some 16 ratios of ten runs, of which many share a case, stay below it by
chance alone 19 times in 20."""
GATE_PCT = 3.0
SUBJECTS = tuple(itertools.product(("mobilenet_v2_1.0_224", "mobilenet_v1_1.0_224"), ("ort", "openvino")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("planted", "pairs", "spread"))
    parser.add_argument("runs", nargs="*", type=Path, help="run directories, for `pairs`")
    parser.add_argument("--trials", type=int, help="runs (default: 40 planted, 10 spread)")
    parser.add_argument("--budget", type=float, help="seconds of measuring a run (default: 20 planted, 90 spread)")
    parser.add_argument("--pct", type=float, default=3.0, help="the slow-down that is planted (default 3)")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each further one has the next")
    parser.add_argument("--cache", type=Path, default=Path("models"))
    options = parser.parse_args()
    return {"planted": planted, "pairs": pairs, "spread": spread}[options.what](options)


def planted(options: argparse.Namespace) -> int:
    """Compare a copy with a copy that is slower, over and over."""
    trials, found = options.trials or 40, 0
    for number in range(trials):
        model, backend = SUBJECTS[number % len(SUBJECTS)]
        variants = ("copy1", f"slow{options.pct:g}")
        copy, slow = (Case(model=model, backend=backend, variant=variant) for variant in variants)
        request = compare.Request(
            models=(model,), backends=(backend,), budget_s=options.budget or 20.0, seed=options.seed + number,
            cache=options.cache, regimes=("steady",),
        )  # fmt: skip
        run = measured(replace(compare.plan(request), cases=(copy, slow), launches=500), request)
        comparison = compared(run, slow, copy)
        # By the interval: a slow-down below the margin of ±2 % is surely there and `equivalent` all the same.
        found += comparison.ratio is not None and comparison.ratio.low > 1.0
        print(f"{number + 1:2}: {model} {backend}: {shown(comparison)}, {run.measuring_s:.0f} s", flush=True)
    rate = wilson(found, trials)
    print(
        f"a planted {options.pct:g} % was found in {found} of {trials} runs [{100 * rate.low:.0f} %, {100 * rate.high:.0f} %]"
    )
    return 0 if found >= 0.9 * trials else 1


def pairs(options: argparse.Namespace) -> int:
    """Compare each two of some stored runs, in both directions, as the gate does."""
    runs = [store.load(directory) for directory in options.runs]
    slower = failed = 0
    widths: list[float] = []
    for old, new in itertools.permutations(runs, 2):
        found = diff(old, new, fail_if_slower_pct=GATE_PCT)
        names = [entry.case.id for entry in found.cases if entry.verdict is Verdict.SLOWER]
        slower += bool(names)
        failed += bool(found.regressions or found.slower_backends)
        widths += [entry.ratio.half_width_pct for entry in found.cases if entry.ratio is not None]
        if names:
            print(f"{old.id} -> {new.id}: slower: {', '.join(names)}", flush=True)
    count = len(runs) * (len(runs) - 1)
    print(f"of {count} pairs {slower} had a case called slower, {failed} would fail at {GATE_PCT:g} %")
    print(f"half widths: median {statistics.median(widths):.1f} %, {len(widths)} of {count * len(found.cases)} cases compared")
    return 0 if slower <= 0.05 * count else 1


def spread(options: argparse.Namespace) -> int:
    """Repeat the default run, and set each ratio's spread over the runs beside what one run's interval promises.

    A half width h of a 95 % interval over n launches promises a standard deviation of h / t(n - 1) between runs (of logs).
    """
    logs: dict[str, list[float]] = {}
    promised: dict[str, list[float]] = {}
    for number in range(options.trials or 10):
        request = compare.Request(budget_s=options.budget or 90.0, seed=options.seed + number, cache=options.cache)
        run = measured(compare.plan(request), request)
        widths = []
        for name, comparison, launches in ratios(run):
            logs.setdefault(name, []).append(math.log(comparison.ratio.value))
            half = math.log(comparison.ratio.high / comparison.ratio.low) / 2
            promised.setdefault(name, []).append(half / t_quantile(run.plan.level, launches - 1))
            widths.append(100 * half)
        print(f"run {number + 1}: median half width of {len(widths)} ratios {statistics.median(widths):.2f} %", flush=True)
    print("ratio, runs, spread between runs (sd, %), promised by one run's interval (rms sd, %), p of its being more")
    ps = [excess_p(logs[name], promised[name]) for name in logs]
    kept = [adjusted >= 0.05 for adjusted in holm(ps)]
    for name, p, fits in zip(logs, ps, kept, strict=True):
        between, within = statistics.stdev(logs[name]), root_mean_square(promised[name])
        print(f"{name}, {len(logs[name])}, {100 * between:.2f}, {100 * within:.2f}, {p:.3f}{'' if fits else '  MORE'}")
    over = root_mean_square([statistics.stdev(logs[name]) / root_mean_square(promised[name]) for name in logs])
    alone = sum(p < 0.05 for p in ps)
    print(f"all ratios together spread {over:.2f} times what is promised; {alone} of {len(ps)} more at 5 % each")
    print(f"{len(kept) - sum(kept)} of {len(kept)} ratios spread more than promised (F tests, Holm over the ratios, 5 %)")
    return 0 if all(kept) and over <= MOST_OVER else 1


def excess_p(logs: list[float], promised: list[float]) -> float:
    """Return how likely a spread between runs as large as that of `logs` is, if it is what is promised (an F test)."""
    from scipy.stats import f

    between, within = statistics.stdev(logs), root_mean_square(promised)
    degrees = 5 * (len(promised) - 1)  # behind the promise, taken low: a run of few launches has about five
    return float(f.sf((between / within) ** 2, len(logs) - 1, degrees))


def root_mean_square(values: Sequence[float]) -> float:
    return math.sqrt(statistics.fmean(value * value for value in values))


def ratios(run: Run) -> Iterator[tuple[str, Comparison, int]]:
    """Yield each comparison of a run that has an interval, with its name and the launches it rests on."""
    analysis = stats.analyse(run)
    launches = {result.case.id: result.launches for result in analysis.results}
    for comparison in (*(r.vs_baseline for r in analysis.results if r.vs_baseline), *analysis.between_backends):
        if comparison.ratio is not None:
            fewest = min(launches[comparison.case.id], launches[comparison.baseline.id])
            yield f"{comparison.case.id} / {comparison.baseline.id}", comparison, fewest


def compared(run: Run, case: Case, baseline: Case) -> Comparison:
    """Return the comparison of two cases that a plan's own pairs do not hold."""
    trusted = trusted_samples(run)
    logs = {one.id: launch_logs([s for s in trusted if s.case == one]) for one in (case, baseline)}
    (comparison,) = compare_pairs([(case, baseline)], logs, run.plan, stream_logs(trusted))
    return comparison


def measured(plan: Plan, request: compare.Request) -> Run:
    """Return the run of a plan; its directory is not kept."""
    with tempfile.TemporaryDirectory() as folder:
        return store.load(compare.execute(plan, replace(request, out=Path(folder)), Silent()))


def shown(comparison: Comparison) -> str:
    ratio = comparison.ratio
    return "no ratio" if ratio is None else f"{ratio.value:.4f} [{ratio.low:.4f}, {ratio.high:.4f}] {comparison.verdict}"


if __name__ == "__main__":
    sys.exit(main())
