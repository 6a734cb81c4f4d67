"""`mnbench selftest`: on this machine, how often is the method wrong, and how small a difference does it find?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from mnbench import catalog, store
from mnbench.commands.compare import DEFAULT_BASELINE, Listener, Request, execute, plan
from mnbench.records import Case, Caveat, Plan, Run
from mnbench.stats.analysis import analyse
from mnbench.stats.selftest import ALPHA, Power, Rate, evaluate, noisy_cases
from mnbench.system.files import write_atomically

COPIES = ("copy1", "copy2", "copy3", "copy4")
PLANTED = ("slow1", "slow2", "slow3", "slow5")
QUICK = ("copy1", "copy2", "slow3", "slow5")
BUDGET_S = 285.0
QUICK_BUDGET_S = 55.0
"""With the cache full, the whole command stays within 5 minutes, or 60 seconds with --quick."""
RESULT_FILE = "selftest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """What a self-test found."""

    run_id: str
    powers: tuple[Power, ...]
    floor_ns: float | None
    """What the null session is timed at: the clock and an empty call."""
    sentence: str
    caveats: tuple[Caveat, ...] = ()


def make_plan(request: Request, *, quick: bool, budget_s: float | None = None) -> Plan:
    """Return a plan of copies and planted slow-downs of each network in each backend. Raises as `compare.plan` does."""
    models = request.models or (catalog.card(DEFAULT_BASELINE).name,)
    seconds = budget_s if budget_s is not None else QUICK_BUDGET_S if quick else BUDGET_S
    base = plan(replace(request, models=models, budget_s=seconds))
    variants = QUICK if quick else (*COPIES, *PLANTED)
    cases = tuple(
        case if case.backend == "null" else replace(case, variant=variant)
        for case in base.cases
        for variant in (variants if case.backend != "null" else ("",))
    )
    return replace(base, cases=cases, launches=500, regimes=("steady",))


def run(
    request: Request,
    listener: Listener,
    *,
    quick: bool = False,
    budget_s: float | None = None,
    planned: Callable[[], None] = lambda: None,
) -> Path:
    """Measure, judge and store; return the run directory. As `compare.run`."""
    the_plan = make_plan(request, quick=quick, budget_s=budget_s)
    planned()
    directory = execute(the_plan, request, listener)
    judged = judge(store.load(directory))
    write_atomically(directory / RESULT_FILE, msgspec.json.format(msgspec.json.encode(judged), indent=1) + b"\n")
    return directory


def judge(run: Run) -> SelfTest:
    """Return what the raw samples of a self-test's run say. Pure."""
    powers, analysis = tuple(evaluate(run)), analyse(run)
    null = next((r.latency_ns for r in analysis.results if r.case.backend == "null"), None)
    return SelfTest(
        run_id=run.id,
        powers=powers,
        floor_ns=null.value if null else None,
        sentence=sentence(powers, noisy_cases(run)),
        caveats=analysis.caveats,
    )


def sentence(powers: Sequence[Power], noisy: Sequence[Case] = ()) -> str:
    """Say what this machine resolves: the smallest difference found, in the shortest time for it; or why it cannot be said.

    It cannot where cases were too noisy, or where copies were called different more often than the level allows for (the
    whole of Wilson's interval lies above it): a method that finds what is not there finds what is there as well.
    """
    if noisy:
        more = f" and {len(noisy) - 3} more" if len(noisy) > 3 else ""
        names = ", ".join(case.id for case in noisy[:3]) + more
        return f"On this machine it cannot be said what is resolved: too many rounds were disturbed ({names})."
    resolved = [
        (power.smallest_found_pct, power.seconds, power)
        for power in powers
        if power.launches > 1 and power.smallest_found_pct is not None
    ]
    if not resolved:
        return "On this machine no planted difference was found in 90 % of trials: it is too noisy, or the test too short."
    pct, seconds, power = min(resolved, key=lambda entry: entry[:2])
    wrong = power.false_positives
    if wrong.low > ALPHA:
        return (
            f"On this machine it cannot be said what is resolved: of identical pairs {_rate(wrong)} were called different, more"
            f" than the {100 * ALPHA:g} % that the method promises."
        )
    return (
        f"On this machine a difference of {pct:g} % is resolved in {seconds:.0f} s: found in {_rate(power.found[f'{pct:g}'])};"
        f" identical pairs called different: {_rate(wrong)}."
    )


def _rate(rate: Rate) -> str:
    return f"{rate.hits} of {rate.trials} trials (95 % interval {100 * rate.low:.0f} to {100 * rate.high:.0f} %)"
