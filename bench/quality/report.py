"""Tables of a campaign for people, and the figures and targets for machines."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from bench.quality.campaign import MARKS, METHODS, WORKERS, Outcome, Run
from bench.quality.problems import DIVISOR, FUNCTION_NAMES, RUNGS, TABLE_NAMES
from bench.quality.verdicts import LIMIT, Verdict, verdicts
from bench.support import Check, Section, table

EXPLANATION = f"""# Quality of searches

Mean normalised regret, with its standard error over seeds, when 5, 10, 25 and 50 times the longest training R has been
spent, all workers taken together. 0 is the best point there is, 1 the median of random points; the regret is the true
one, at full length, of the point that the search would recommend: the best one at the longest length that any of its
trials has reached.

Functions: Hartmann with a fidelity, R = {RUNGS[-1]}, rungs {", ".join(map(str, RUNGS))}, divisor {DIVISOR}. Tables:
networks that were trained in full, so only methods without early stopping; a report is one recorded run, the truth is
the mean of all. A unit of training takes 1, and nothing else takes time. TPE is told of running trials, except where a
name ends in ``-default``.
"""


def section(outcomes: Mapping[Run, Outcome]) -> Section:
    """Everything there is to say about some outcomes."""
    judged = verdicts(outcomes)
    parts = [EXPLANATION]
    for problem in FUNCTION_NAMES + TABLE_NAMES:
        parts += [_table(problem, workers, outcomes) for workers in WORKERS]
    for title, problems in (("all functions", FUNCTION_NAMES), ("all tables", TABLE_NAMES)):
        parts += [_summary(title, problems, workers, outcomes) for workers in WORKERS]
    parts += [_verdicts(judged), _worse(judged)]
    return Section(
        "quality",
        "\n".join(part for part in parts if part),
        {f"{v.pairing.ours} - {v.pairing.peer}, {v.workers} workers": v.whole.mean for v in judged},
        [_check(verdict) for verdict in judged if verdict.pairing.counts],
    )


def _table(problem: str, workers: int, outcomes: Mapping[Run, Outcome]) -> str:
    rows = []
    for method in METHODS:
        found = [o for r, o in outcomes.items() if (r.method, r.problem, r.workers) == (method.name, problem, workers)]
        if found:
            cells = [_cell([outcome.regret[i] for outcome in found]) for i in range(len(MARKS))]
            rows.append((method.name, *cells, len(found), f"{statistics.fmean(o.trials for o in found):.0f}"))
    return table(f"{problem}, {workers} workers", (*_HEAD, "seeds", "trials"), rows) if rows else ""


def _summary(title: str, problems: Sequence[str], workers: int, outcomes: Mapping[Run, Outcome]) -> str:
    """The mean over problems, its error from the seeds that a method has finished on all of them."""
    rows = []
    for method in METHODS:
        seeds: dict[int, list[Outcome]] = {}
        for run, outcome in outcomes.items():
            if run.method == method.name and run.workers == workers and run.problem in problems:
                seeds.setdefault(run.seed, []).append(outcome)
        full = max((len(found) for found in seeds.values()), default=0)
        complete = [found for found in seeds.values() if len(found) == full]
        if complete:
            cells = [_cell([statistics.fmean(o.regret[i] for o in found) for found in complete]) for i in range(4)]
            rows.append((method.name, *cells, len(complete)))
    return table(f"Mean of {title}, {workers} workers", (*_HEAD, "seeds"), rows) if rows else ""


_HEAD = ("method", *(f"{mark}R" for mark in MARKS))


def _cell(values: Sequence[float]) -> str:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.fmean(values):.3f} ± {error:.3f}"


def _verdicts(judged: Sequence[Verdict]) -> str:
    rows = [
        (
            v.pairing.ours,
            v.pairing.peer,
            v.workers,
            f"{v.whole.mean:+.4f} ± {v.whole.error:.4f}",
            f"{v.whole.errors:+.1f}",
            f"{v.of_best_report.mean:+.4f} ± {v.of_best_report.error:.4f}",
            v.whole.number,
            v.words if v.pairing.counts else f"({v.words})",
        )
        for v in judged
    ]
    head = ("ours", "other", "workers", "mean difference", "in errors", "other rule", "seeds", "ours is")
    note = (
        f"\nThe difference is the mean over problems and marks, paired by seed; below 0 is better. Worse: by more than "
        f"{LIMIT:g} standard errors, or in a single cell (problem and mark) by a t test at 5 % after Holm. "
        "In brackets: for information. Other rule: the difference if searches recommended the trial with the best "
        "report of any length.\n"
    )
    return table("Pairs", head, rows) + note


def _worse(judged: Sequence[Verdict]) -> str:
    rows = [
        (v.pairing.ours, v.pairing.peer, v.workers, problem, f"{mark}R", f"{d.mean:+.3f} ± {d.error:.3f}")
        for v in judged
        for problem, mark, d in v.worse
    ]
    return (
        table("Cells that are worse", ("ours", "other", "workers", "problem", "mark", "difference"), rows)
        if rows
        else ""
    )


def _check(verdict: Verdict) -> Check:
    target = f"{verdict.pairing.ours} is at least equal to {verdict.pairing.peer} with {verdict.workers} workers"
    return Check(target, verdict.whole.mean, verdict.met)
