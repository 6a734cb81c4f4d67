"""Does the method keep its promises on this machine, over many whole runs? Run by hand, with the machine to itself:

    python tests/benchmarks/trials.py planted    one of two cases slower by `--pct` %: how often is it found in `--budget` s?
    python tests/benchmarks/trials.py pairs RUN ...   stored runs of one thing: how often does `diff` call a case slower?
    python tests/benchmarks/trials.py agree RUN ...   the same: how often do two runs' ratios agree within their intervals?
    python tests/benchmarks/trials.py same       one environment under two names, in turn: how often is one called slower?

`planted` and `same` measure: `--trials`, `--budget` (seconds a run) and `--seed` change what is done.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnbench import stats, store
from mnbench.commands import compare
from mnbench.records import Case, Comparison, Plan, Run, Verdict
from mnbench.report.progress import Silent
from mnbench.stats.analysis import compare_pairs, differences_of, pairs_of, trusted_samples
from mnbench.stats.between_runs import diff
from mnbench.stats.covariate import adjusted_difference, stream_logs
from mnbench.stats.rounds import launch_logs
from mnbench.stats.selftest import wilson

GATE_PCT = 3.0
FEWEST_AGREEING = 0.93
SIMULATED = 200
MORE = 1.4
"""Times the spread between runs that their intervals promise: what the test of the agreement should see."""
SUBJECTS = tuple(itertools.product(("mobilenet_v2_1.0_224", "mobilenet_v1_1.0_224"), ("ort", "openvino")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("planted", "pairs", "agree", "same"))
    parser.add_argument("runs", nargs="*", type=Path, help="run directories, for `pairs` and `agree`")
    parser.add_argument("--trials", type=int, help="runs (default: 40 planted, 10 same)")
    parser.add_argument("--budget", type=float, help="seconds of measuring a run (default: 20 planted, 40 same)")
    parser.add_argument("--pct", type=float, default=3.0, help="the slow-down that is planted (default 3)")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each further one has the next")
    parser.add_argument("--cache", type=Path, default=Path("models"))
    options = parser.parse_args()
    return {"planted": planted, "pairs": pairs, "agree": agree, "same": same}[options.what](options)


def planted(options: argparse.Namespace) -> int:
    """Compare a copy with a copy that is slower, over and over."""
    trials, found = options.trials or 40, 0
    for number in range(trials):
        model, backend = SUBJECTS[(options.seed + number) % len(SUBJECTS)]
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


def agree(options: argparse.Namespace) -> int:
    """Compare every ratio of each two runs at a common speed of the memory; say what a test of that could have seen.

    The test: the root mean square of (difference / its error) over pairs and ratios, against simulated runs of the same waves,
    streams and noise, in which launches are independent. Its power is that against runs whose ratios spread 1.4 times as much.
    """
    runs = [Launches.of(store.load(directory)) for directory in options.runs]
    agreeing, spread = agreement(runs)
    generator = np.random.default_rng(options.seed)
    usual, more = (
        np.array([agreement([run.redrawn(times, generator) for run in runs]) for _ in range(SIMULATED)])
        for times in (1.0, MORE)
    )
    limit = float(np.quantile(usual[:, 1], 0.95))
    pairs, ratios = len(runs) * (len(runs) - 1) // 2, len(runs[0].pairs)
    print(f"{100 * agreeing:.1f} % of {pairs * ratios} pairs of ratios agree ({ratios} ratios, {len(runs)} runs)")
    alike = f"{np.median(usual[:, 1]):.2f}, 95 % below {limit:.2f}"
    print(f"they differ by {spread:.2f} times their errors; runs that are alike: {alike}")
    power = float(np.mean(more[:, 1] > limit))
    print(
        f"runs that spread {MORE:g} times as much would differ by {np.median(more[:, 1]):.2f} and agree in "
        f"{100 * np.median(more[:, 0]):.0f} %; the test would see them in {100 * power:.0f} of 100 cases"
    )
    return 0 if agreeing >= FEWEST_AGREEING and spread <= limit else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Launches:
    """What of a run its ratios rest on."""

    pairs: tuple[tuple[str, str], ...]
    """Case ids, case over baseline."""
    logs: Mapping[str, Mapping[int, float]]
    """Log of the typical latency, by case and launch."""
    stream: Mapping[int, float]

    @classmethod
    def of(cls, run: Run) -> Launches:
        trusted = trusted_samples(run)
        logs = {case.id: launch_logs([s for s in trusted if s.case == case]) for case in run.plan.cases}
        pairs = tuple((case.id, baseline.id) for case, baseline in pairs_of(run.plan))
        return cls(pairs=pairs, logs=logs, stream=stream_logs(trusted))

    def redrawn(self, times: float, generator: np.random.Generator) -> Launches:
        """Return a run with the same waves and noise and independent launches, its cases' means spread `times` as much."""
        logs = {}
        for case, found in self.logs.items():
            own = [value - self._wave(launch) for launch, value in found.items()]
            sd = statistics.stdev(own) if len(own) > 1 else 0.0
            offset = generator.normal(0, sd * math.sqrt((times**2 - 1) / max(1, len(found))))
            logs[case] = dict(zip(found, offset + generator.normal(0, sd, len(found)), strict=True))
        return replace(self, logs=logs)

    def _wave(self, launch: int) -> float:
        """Return what all cases did in a wave: the mean over cases of the logarithm less the case's mean."""
        have = [found for found in self.logs.values() if launch in found]
        return statistics.fmean(found[launch] - statistics.fmean(found.values()) for found in have)


def simulated(runs: Sequence[Launches], times: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return `agreement` of simulated runs like these, a row for each simulation."""
    return np.array([agreement([run.redrawn(times, generator) for run in runs]) for _ in range(SIMULATED)])


def agreement(runs: Sequence[Launches]) -> tuple[float, float]:
    """Return the share of ratios that agree at 95 %, and the root mean square of difference / error, over pairs of runs."""
    within, squares = [], []
    for new, old in itertools.combinations(runs, 2):
        for case, baseline in new.pairs:
            logs = [differences_of(run.logs[case], run.logs[baseline]) for run in (new, old)]
            mean = adjusted_difference(logs[0], new.stream, logs[1], old.stream)
            if mean is not None and mean.error:
                within.append(abs(mean.value) <= mean.reach(0.95))
                squares.append((mean.value / mean.error) ** 2)
    return statistics.fmean(within), math.sqrt(statistics.fmean(squares))


def same(options: argparse.Namespace) -> int:
    """Compare this environment with itself, over and over: every difference is a false one."""
    slower = faster = compared_pairs = runs_wrong = 0
    trials = options.trials or 10
    for number in range(trials):
        request = compare.Request(
            budget_s=options.budget or 40.0, seed=options.seed + number, cache=options.cache, regimes=("steady",),
            environments=(("OLD", sys.prefix), ("NEW", sys.prefix)),
        )  # fmt: skip
        verdicts = [
            r.vs_baseline.verdict for r in stats.analyse(measured(compare.plan(request), request)).results if r.vs_baseline
        ]
        counts = Counter(verdicts)
        slower, faster, compared_pairs = (
            slower + counts[Verdict.SLOWER], faster + counts[Verdict.FASTER], compared_pairs + len(verdicts)
        )  # fmt: skip
        runs_wrong += counts[Verdict.SLOWER] > 0
        print(f"{number + 1:2}: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}", flush=True)
    print(f"of {compared_pairs} comparisons of one thing with itself {slower} were called slower and {faster} faster")
    print(f"{runs_wrong} of {trials} runs had a case called slower")
    return 0 if slower + faster <= 0.05 * compared_pairs else 1


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
