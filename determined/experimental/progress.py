"""Shows how a search is doing: a live table on a terminal, one line per change elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from determined.common.terminal import visible
from determined.experimental.failure import explain_failure
from determined.experimental.watch import RETRIES, RETRY_STATUSES, Summary, watch

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console, RenderableType
    from rich.live import Live

    from determined.common.api.session import Session

_COUNTS = ("running", "queued", "idle", "completed", "errored", "canceled")
_STYLES = {
    "COMPLETED": "green",
    "ERROR": "bold red",
    "CANCELED": "yellow",
    "PAUSED": "yellow",
    "RUNNING": "cyan",
    "ACTIVE": "cyan",
}
_REFRESHES_PER_S = 2
_MAX_HPARAMS = 6
_COUNTS_EVERY_S = 10.0
"""Without a terminal, a line for nothing but changed counts of trials is printed at most so often."""


class ProgressView:
    """A view of one search; a context manager. Give it each summary as it comes.

    Args:
        console: where to show it; standard error by default, so that standard output stays for results.
        clock: seconds that never go back.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        if console is None:
            from rich.console import Console as NewConsole

            console = NewConsole(stderr=True)
        self.console = console
        self._live: Live | None = None
        self._last: Summary | None = None
        self._shown: tuple[object, ...] = ()
        self._clock = clock
        self._begin = clock()
        self._printed_at = float("-inf")

    def __enter__(self) -> ProgressView:
        if self.console.is_terminal:
            from rich.live import Live

            self._live = Live(console=self.console, get_renderable=self._render, refresh_per_second=_REFRESHES_PER_S)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, summary: Summary) -> None:
        """Show the search as it is now."""
        self._last = summary
        if self._live is not None:
            self._live.refresh()
            return
        now = self._clock()
        change = _notable(summary)
        if change[:-1] != self._shown[:-1] or (change != self._shown and now - self._printed_at >= _COUNTS_EVERY_S):
            self._shown, self._printed_at = change, now
            self.console.print(describe(summary), markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        return "" if self._last is None else _table(self._last, self._clock() - self._begin)


def follow_experiment(
    session: Session, experiment_id: int, *, console: Console | None = None, stop_when_paused: bool = False
) -> str:
    """Show an experiment until it is over, and if it failed, why.

    Args:
        console: as in ``ProgressView``.
        stop_when_paused: return also when it is paused, instead of waiting for it to go on.
    Returns:
        The final state, such as ``COMPLETED``; or ``PAUSED``.
    Raises:
        NotFoundException: no such experiment.
        Unavailable: the master went away and did not come back.
    """
    state = ""
    with session.with_retries(RETRIES, RETRY_STATUSES) as patient:
        with ProgressView(console) as view, contextlib.closing(watch(patient, experiment_id)) as summaries:
            for summary in summaries:
                view.update(summary)
                state = summary.state
                if stop_when_paused and state == "PAUSED":
                    break
        if state == "ERROR" and (why := explain_failure(patient, experiment_id)):
            view.console.print(why, markup=False, highlight=False, soft_wrap=True)
    return state


def describe(summary: Summary) -> str:
    """A search in one line of plain text."""
    parts = [f"experiment {summary.id} {_state(summary)}{_percent(summary)}", f"trials: {_counts(summary)}"]
    if summary.best_trial_id is not None:
        parts.append(f"best: {_best(summary)}")
    if summary.waiting_for:
        parts.append(f"waiting: {visible(summary.waiting_for)}")
    if summary.message:
        parts.append(visible(summary.message))
    return " | ".join(parts)


def _notable(summary: Summary) -> tuple[object, ...]:
    """What is worth a new line when it changes, the least important last; progress counts in tenths."""
    tenths = None if summary.progress is None else int(summary.progress * 10)
    best = (summary.best_trial_id, repr(summary.best_metric))
    return (summary.state, tenths, best, summary.waiting_for, summary.message, summary.trials)


def _table(summary: Summary, elapsed_s: float) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    name = visible(summary.name)
    kind = f" ({visible(summary.searcher_type)})" if summary.searcher_type else ""
    grid.add_row("experiment", Text(f"{summary.id}  {name}{kind}"))
    state = Text.assemble(
        (_state(summary), _STYLES.get(summary.state, "")), f"{_percent(summary)}  {_clock(elapsed_s)}"
    )
    grid.add_row("state", state)
    if summary.progress is not None:
        grid.add_row("", ProgressBar(total=1.0, completed=min(max(summary.progress, 0.0), 1.0), width=40))
    grid.add_row("trials", Text(_counts(summary)))
    if summary.best_trial_id is not None:
        grid.add_row("best", Text(_best(summary)))
    if summary.best_hparams:
        grid.add_row("", Text(_hparams(summary)))
    if summary.waiting_for:
        grid.add_row("waiting", Text(visible(summary.waiting_for), style="yellow"))
    if summary.message:
        grid.add_row("", Text(visible(summary.message)))
    return grid


def _state(summary: Summary) -> str:
    return visible(summary.state or "UNKNOWN")


def _percent(summary: Summary) -> str:
    return "" if summary.progress is None else f" {summary.progress:.0%}"


def _counts(summary: Summary) -> str:
    counts = [f"{count} {name}" for name in _COUNTS if (count := getattr(summary.trials, name))]
    return f"{summary.trials.total}" + (f" ({', '.join(counts)})" if counts else "")


def _best(summary: Summary) -> str:
    return f"{visible(summary.metric_name)} {number(summary.best_metric)} (trial {summary.best_trial_id})"


def _hparams(summary: Summary) -> str:
    items = list((summary.best_hparams or {}).items())
    shown = "  ".join(f"{visible(name)}={number(value)}" for name, value in items[:_MAX_HPARAMS])
    return shown + ("  ..." if len(items) > _MAX_HPARAMS else "")


def number(value: Any) -> str:
    """A value as people read it: floats in short form, anything else as it is."""
    return f"{value:.6g}" if isinstance(value, float) else visible(value)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
