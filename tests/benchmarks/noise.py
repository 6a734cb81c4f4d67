"""Is the V2 ratio ever silently wrong beside a noisy neighbour? Run by hand, with the machine to itself:

    python tests/benchmarks/noise.py bursts       a process on the measured CPU, busy 40 % of the time in bursts of 0.2 to 2 s
    python tests/benchmarks/noise.py bandwidth    a process on another CPU that streams through memory without pause
    python tests/benchmarks/noise.py steady       a process on another CPU that computes without pause, as a busy browser does

Each of `--trials` compares MobileNetV2 in both runtimes for `--budget` seconds. It is right when the ratio lies within 2 % of
the quiet one (measured first, for four budgets), or when the verdict is inconclusive or too noisy and a caveat says why.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from mnbench import stats, store
from mnbench.commands import compare
from mnbench.records import Verdict
from mnbench.report.progress import Silent

MODEL = "mobilenet_v2_1.0_224"
LIMIT = 0.02
BURSTS = """
import os, random, time
os.sched_setaffinity(0, {%d})
while True:
    until = time.monotonic() + random.uniform(0.2, 2.0)
    while time.monotonic() < until:
        pass
    time.sleep(random.uniform(0.3, 3.0))
"""
STEADY = """
import os
os.sched_setaffinity(0, {%d})
while True:
    pass
"""
BANDWIDTH = """
import os, numpy as np
os.sched_setaffinity(0, {%d})
a, b = np.ones(1 << 25), np.empty(1 << 25)
while True:
    np.copyto(b, a)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("bursts", "bandwidth", "steady"))
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--budget", type=float, default=20.0)
    parser.add_argument("--cache", type=Path, default=Path("models"))
    options = parser.parse_args()
    request = compare.Request(models=(MODEL,), budget_s=options.budget, cache=options.cache)
    quiet, _, _ = trial(replace(request, budget_s=4 * options.budget))
    print(f"quiet: openvino / ort = {quiet.value:.4f} [{quiet.low:.4f}, {quiet.high:.4f}]", flush=True)
    right = 0
    for number in range(options.trials):
        with neighbour(options.kind):
            ratio, verdict, codes = trial(replace(request, seed=number))
        close = ratio is not None and abs(ratio.value / quiet.value - 1) <= LIMIT
        told = verdict in (Verdict.INCONCLUSIVE, Verdict.TOO_NOISY) and bool(codes)
        right += close or told
        shown = "no ratio" if ratio is None else f"{ratio.value:.4f} [{ratio.low:.4f}, {ratio.high:.4f}]"
        print(
            f"{number + 1:2}: {shown} {verdict}; {', '.join(sorted(codes)) or 'no caveat'}{'' if close or told else '  WRONG'}",
            flush=True,
        )
    print(f"{options.kind}: {right} of {options.trials} right")
    return 0 if right == options.trials else 1


def trial(request: compare.Request):
    """Return the ratio between the runtimes, its verdict, and the codes of the caveats."""
    with tempfile.TemporaryDirectory() as folder:
        directory = compare.run(replace(request, out=Path(folder)), Silent())
        analysis = stats.analyse(store.load(directory))
    (comparison,) = analysis.between_backends
    return comparison.ratio, comparison.verdict, {caveat.code for caveat in analysis.caveats}


@contextlib.contextmanager
def neighbour(kind: str):
    """Run a noisy process for as long as the block lasts."""
    cpus = sorted(os.sched_getaffinity(0))
    measured = cpus[-1]
    code = {"bursts": BURSTS % measured, "bandwidth": BANDWIDTH % cpus[0], "steady": STEADY % cpus[0]}[kind]
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
