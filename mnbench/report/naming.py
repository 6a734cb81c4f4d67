"""Short names and conditions for titles, labels and captions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mnbench.records import NULL_BACKEND, Analysis, Case, Caveat, Condition, Run
from mnbench.stats.analysis import DRIFTING
from mnbench.stats.condition import condition_of

SPELLINGS = {"mobilenet": "MobileNet", "shufflenet": "ShuffleNet", "nasnet": "NASNet", "resnet": "ResNet"}
LONGEST_LABEL = 26
FIRST_CAVEATS = ("cgroup-quota",)
"""Codes of the caveats that stand before the tables: a quota may be in every figure there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortNames:
    """Labels by model, and what was left out of all of them."""

    labels: dict[str, str]
    left_out: str
    """Words that every name shares, such as `mobilenet v2`; empty when nothing was left out."""

    def __getitem__(self, model: str) -> str:
        return self.labels[model]


def short_names(models: Sequence[str], own: Collection[str] = ()) -> ShortNames:
    """Return labels for `models` without the words that all of them share at the start or at the end.

    Those in `own` are the user's, and keep the names that tables call them.
    """
    words = {model: [model] if model in own else model.split("_") for model in dict.fromkeys(models)}
    head, tail = _shared(list(words.values()))
    first = next(iter(words.values()), [])
    left_out = [*first[:head], *first[len(first) - tail :]]
    labels = {model: _cut(model) if model in own else _label(parts[head : len(parts) - tail]) for model, parts in words.items()}
    if len(set(labels.values())) < len(labels):  # a label that two networks share says nothing
        labels, left_out = {model: model for model in words}, []
    return ShortNames(labels=labels, left_out=" ".join(left_out))


def conditions(run: Run) -> str:
    """Return the sentence part that says where and how the run was measured: CPU, kind of cores, threads, batch, precision."""
    cases = networks(run) or list(run.plan.cases)
    return " · ".join(
        (
            run.environment.cpu_model,
            *_kinds(run),
            _several(cases, lambda case: case.threads, "thread", plural="threads"),
            "batch " + _listed(cases, lambda case: case.batch),
            _listed(cases, lambda case: case.precision),
            *_circumstances(run),
        )
    )


def caveats_by_place(caveats: Iterable[Caveat]) -> tuple[list[Caveat], list[Caveat]]:
    """Return the caveats that stand before the tables, and those after them."""
    listed = list(caveats)
    first = [caveat for caveat in listed if caveat.code in FIRST_CAVEATS]
    return first, [caveat for caveat in listed if caveat not in first]


def _kinds(run: Run) -> list[str]:
    """Return which cores a run was measured on, where the host has several kinds."""
    measured = run.environment.kinds_of(run.plan.cpus)
    return [" and ".join(kind.name for kind in measured)] if measured else []


def _circumstances(run: Run) -> Iterator[str]:
    """Say beside which load and over which time a run was made, where that is part of what its figures mean."""
    condition = condition_of(run)
    if condition.rule != "quiet":
        yield condition_words(condition)
    if run.plan.blocks > 1 and run.plan.over_s:
        over_s = run.plan.over_s
        yield f"{run.plan.blocks} blocks over {f'{over_s / 60:.0f} min' if over_s >= 120 else f'{over_s:.0f} s'}"


def latency_legend(run: Run) -> str:
    """Return the sentence that says what stands under "latency" in a table, in the words of `LATENCY_METHOD`."""
    return (
        f"Latency: geometric mean of the launches' medians, with its {run.plan.level * 100:g} % interval. A ratio compares "
        "typical latencies (lower quartiles), which neighbours disturb less: it may differ from the quotient of two latencies "
        "by a per cent or two. Intervals are those of this run; another hour may differ by more (`--blocks` measures it)."
    )


def ratio_legend(run: Run) -> str:
    """Return the sentence that says what a ratio in a table is a ratio to."""
    if not run.plan.environments:
        return f"Ratio: to {run.plan.baseline} in the same backend."
    first, *later = (known.label for known in run.plan.environments)
    return f"Ratio: {' or '.join(later)} over {first}, the same case in both."


def networks(run: Run) -> list[Case]:
    """Return the cases of the plan that time a network."""
    return [case for case in run.plan.cases if not is_null(case)]


def is_null(case: Case) -> bool:
    """Tell whether the case times the harness and not a network."""
    return case.backend == NULL_BACKEND


def series_of(cases: Iterable[Case]) -> dict[str, str]:
    """Return, by case id, the name of the line each case belongs to: its backend, and whatever else differs among `cases`."""
    every = list(cases)
    several = {name for name in ("precision", "threads", "batch") if len({getattr(case, name) for case in every}) > 1}

    def name(case: Case) -> str:
        parts = {
            "precision": case.precision,
            "threads": f"{case.threads} thread{'s' if case.threads != 1 else ''}",
            "batch": f"batch {case.batch}",
        }
        differing = [part for key, part in parts.items() if key in several]
        return ", ".join([case.backend, *differing, *filter(None, (case.variant, case.environment))])

    return {case.id: name(case) for case in every}


def condition_words(condition: Condition) -> str:
    """Return a run's condition as a person reads it."""
    return "quiet" if condition.rule == "quiet" else f"beside {condition.busy_cpus:.1f} busy CPUs"


def _shared(names: list[list[str]]) -> tuple[int, int]:
    """Count the words all names share at their start and at their end, leaving each name at least one word."""
    if len(names) < 2:
        return 0, 0
    spare = min(len(words) for words in names) - 1
    head = 0
    while head < spare and len({words[head] for words in names}) == 1:
        head += 1
    tail = 0
    while head + tail < spare and len({words[-1 - tail] for words in names}) == 1:
        tail += 1
    return head, tail


def _label(words: list[str]) -> str:
    parts: list[str] = []
    for place, word in enumerate(words):
        if word in SPELLINGS:
            parts.append(SPELLINGS[word])
        elif place and words[place - 1] in SPELLINGS and word[:1] == "v" and word[1:].isdigit():
            parts[-1] += word.upper()
        else:
            parts.append(word.upper() if len(word) == 1 else word)
    return _cut(" ".join(parts))


def _cut(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def _listed(cases: Sequence[Case], attribute: Callable[[Case], int | str]) -> str:
    return ", ".join(str(value) for value in dict.fromkeys(attribute(case) for case in cases)) or "none"


def _several(cases: Sequence[Case], attribute: Callable[[Case], int], singular: str, *, plural: str) -> str:
    shown = _listed(cases, attribute)
    return f"{shown} {singular if shown == '1' else plural}"


def percentiles_legend(run: Run, analysis: Analysis) -> str:
    """Return what the percentiles rest on, and why some that were asked for are not there; empty where none were."""
    shown = {percent for result in analysis.results for percent, found in result.percentiles.items() if found}
    missing = " and ".join(f"p{percent:g}" for percent in run.plan.percentiles if percent not in shown)
    if not missing and not shown:
        return ""
    drifting = any(caveat.code == DRIFTING for caveat in analysis.caveats)
    because = "the machine's speed drifted" if drifting else "so few launches or inferences leave its interval open"
    why = f" No case has {missing}: {because}.{'' if drifting else ' Raise --budget.'}" if missing else ""
    if not shown:
        return why.strip()
    return (
        "Percentiles of all steady rounds, disturbed ones included; each launch weighs the same. "
        f"Inferences follow each other without a pause: this says nothing of waiting in a queue.{why}"
    )
