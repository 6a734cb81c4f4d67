"""What verdicts of the study `layers` rest on: the cases of a claim, shares that can be believed, and what distorts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mnbench.records import Case, Estimate, Run
from mnbench.studies.common.cell_verdicts import family_level
from mnbench.studies.common.readings import listed
from mnbench.studies.layers.records import Seen
from mnbench.studies.layers.shares import share_of_kinds

SHOWN_CUT_PCT = 2
"""From so many per cent of the inference on, what a profile cuts off its times is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """The planned cases that a claim is about."""

    seen: tuple[Seen, ...]
    lost: tuple[str, ...]
    """Where there is no profile, and why: each leaves the verdict open."""
    strict: float
    """Level of each interval for those of all cases to hold together at the plan's."""
    setting: str
    """Threads, batches and precisions of the cases."""

    @property
    def number(self) -> int:
        return len(self.seen) + len(self.lost)

    @property
    def open(self) -> list[None]:
        """What is known of the lost ones, for a verdict."""
        return [None] * len(self.lost)


def cells_of(run: Run, seen: Sequence[Seen], refused: Mapping[tuple[str, str], str], model: str | None = None) -> Cells:
    """Return the cases of one network, or of all. `refused` says by (model, backend) why there is no profile."""
    planned = [case for case in run.plan.cases if case.backend != "null" and model in (None, case.model)]
    mine = tuple(one for one in seen if model in (None, one.profile.model))
    found = {(one.profile.model, one.profile.backend) for one in mine}
    lost = tuple(
        f"{case.model} in {case.backend} ({refused.get((case.model, case.backend)) or 'no profile was made'})"
        for case in planned
        if (case.model, case.backend) not in found
    )
    return Cells(seen=mine, lost=lost, strict=family_level(run.plan.level, len(planned)), setting=_setting(planned))


def _setting(cases: Sequence[Case]) -> str:
    batches = ", ".join(str(batch) for batch in dict.fromkeys(case.batch for case in cases)) or "1"
    precisions = ", ".join(dict.fromkeys(case.precision for case in cases)) or "fp32"
    return f"One thread, batch {batches}, {precisions}"


def believed(one: Seen, kinds: Sequence[str], level: float) -> Estimate | None:
    """Return the share of time of some kinds together, with an interval that also holds it without the profiler's own work.

    That work is known only where nodes take longer together than a plain inference. Where it cannot be the same in each node,
    the interval holds both ends: all of it in these nodes, and none. None with fewer than three launches.
    """
    share = share_of_kinds(one.parts, kinds, level)
    if share is None or one.excess_pct is None:
        return share
    if one.less_profiling:
        without = [sum(one.less_profiling.get(kind, 0.0) for kind in kinds)]
    else:
        left = 1 - one.excess_pct / 100
        without = [(share.value - one.excess_pct) / left, share.value / left]
    shifts = [value - share.value for value in without]
    return replace(share, low=max(0.0, share.low + min(0.0, *shifts)), high=share.high + max(0.0, *shifts))


def limits(cells: Cells, kinds: Sequence[str], judged: int | None = None) -> str:
    """Say what the profiles of these cases distort, and what of it a verdict on `judged` of them (None: on all) allows for."""
    seen, number = cells.seen, cells.number if judged is None else judged
    cut = [f"{one.cut_pct:.0f} % of the inference of {one.where}" for one in seen if one.cut_pct >= SHOWN_CUT_PCT]
    excess = [f"{one.excess_pct:.0f} % in {one.where}{_without(one, kinds)}" for one in seen if one.excess_pct is not None]
    said = [f"{cells.setting}; time is that of the profile's nodes."]
    if number > 1:
        said.append(f"Judged by wider intervals than those shown: they hold in all {number} judged cases together.")
    if cut:
        said.append(
            "The runtime's profile gives each node's time in whole microseconds and drops the rest, so that nodes of few "
            f"microseconds seem shorter than they are. Over all nodes that drops about {listed(cut)}."
        )
    if excess:
        said.append(
            "Where nodes take longer together than an inference without profiling, the profiler's own work is among their "
            f"time, and weighs on short nodes; of the sum of the nodes it is {listed(excess)}. The intervals shown do not "
            "hold that, but a verdict that it could change is left open."
        )
    if cells.lost:
        said.append(f"Without a profile: {listed(cells.lost)}.")
    return " ".join(said)


def _without(one: Seen, kinds: Sequence[str]) -> str:
    if not one.less_profiling:
        return " (it cannot be the same in each node)"
    share = sum(one.less_profiling.get(kind, 0.0) for kind in kinds)
    return f" (the share is {share:.1f} % if each node has as much of it)"
