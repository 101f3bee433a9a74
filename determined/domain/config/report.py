"""Collects the problems and warnings of a whole configuration."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from determined.domain.config.bounds import MAX_NAME, MAX_PROBLEMS
from determined.domain.config.document import Document
from determined.domain.config.paths import Path, path_text
from determined.errors import InvalidConfig, Problem


class Report:
    """Everything that is wrong with one document; beyond a bound, problems are counted only."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._problems: list[Problem] = list(document.problems)
        self._uncounted = 0
        self.warnings: list[str] = []

    @property
    def is_full(self) -> bool:
        """Whether further problems are not listed, so that there is no use in explaining them well."""
        return len(self._problems) >= MAX_PROBLEMS

    def add(self, path: Path, message: str) -> None:
        """Note a problem at a place."""
        if self.is_full:
            self._uncounted += 1
        else:
            self._problems.append(Problem(path_text(path), message, self._document.line(path)))

    def warn(self, path: Path, message: str) -> None:
        """Note something that is allowed but probably not meant."""
        if len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append(f"{path_text(path)}: {message}")

    def raise_if_any(self) -> None:
        """End here when there are problems.

        Raises:
            InvalidConfig: with all of them, in the order of their lines.
        """
        if not self._problems:
            return
        listed = sorted(self._problems[:MAX_PROBLEMS], key=lambda problem: problem.line or 0)
        rest = self._uncounted + len(self._problems) - len(listed)
        if rest:
            listed.append(Problem("", f"has {rest} more problems; they show once these are solved"))
        raise InvalidConfig(listed)


def suggestion(given: object, known: Iterable[str]) -> str:
    """A question with the known name that is nearest to what was given, or nothing."""
    near = difflib.get_close_matches(str(given)[:MAX_NAME].lower(), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
