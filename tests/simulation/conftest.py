"""Sums up what was simulated."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    total: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, value in getattr(report, "user_properties", ()):
            if name == "simulated":
                total += Counter(value)
    if total:
        events = sum(total[kind] for kind in ("fact", "delivery", "timer"))
        terminalreporter.write_line(
            f"simulated {total['searches']} searches, {total['compared']} of them compared with an undisturbed one: "
            f"{events} events ({total['fact']} facts, {total['delivery']} deliveries, {total['timer']} timers)"
        )
