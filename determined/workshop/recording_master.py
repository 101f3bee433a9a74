"""Recordings out of a master: the facts of an experiment, and what its trials reported, as they come over HTTP."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from determined._version import __version__
from determined.common.api.errors import BadResponseException, MasterNotFoundException
from determined.common.api.session import Session
from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.domain.records import JournalRow
from determined.wire.times import from_text
from determined.wire.values import restore
from determined.workshop.recording_file import Header, Line, Report

TRIALS_AT_ONCE = 200
_GROUPS = ("training", "validation")
_encode = msgspec.json.Encoder().encode


def header_of(session: Session, experiment_id: int) -> Header:
    """What the master says of an experiment as a whole.

    Raises:
        NotFoundException: there is none of this id.
    """
    found = session.get(f"/api/v1/experiments/{experiment_id}")["experiment"]
    return Header(
        software=__version__,
        experiment_id=ExperimentId(experiment_id),
        name=str(found["name"]),
        state=str(found["state"]).removeprefix("STATE_"),
        config=without_secrets(found["config"]),
    )


def without_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration that may be given away: keys, passwords and environment variables are left out."""
    kept = dict(config)
    for section in ("checkpoint_storage", "environment"):
        if isinstance(kept.get(section), Mapping):
            kept[section] = {name: value for name, value in kept[section].items() if name not in _SECRET}
    return kept


_SECRET = (
    *("access_key", "secret_key", "connection_string", "credential"),
    *("environment_variables", "registry_auth", "pod_spec"),
)


def lines_of(session: Session, experiment_id: int) -> Iterator[Line]:
    """Every fact that is recorded so far, in order, then the reports of the trials.

    Cost: one page in memory, and the place of each report.

    Raises:
        Unavailable: the master went away.
        BadResponseException: it did not give all that it has.
    """
    expected: defaultdict[int, set[tuple[int, str, int]]] = defaultdict(set)
    for row in journal_of(session, experiment_id):
        if row.kind == "metrics_reported":
            told = msgspec.json.decode(row.body)
            if told["group"] in _GROUPS:
                expected[told["trial_id"]].add((told["run_id"], told["group"], told["steps"]))
        yield row
    trials = sorted(expected)
    for start in range(0, len(trials), TRIALS_AT_ONCE):
        yield from _reports(session, {t: expected.pop(t) for t in trials[start : start + TRIALS_AT_ONCE]})


def journal_of(session: Session, experiment_id: int) -> Iterator[JournalRow]:
    """The facts, in order."""
    after = 0
    while True:
        before = after
        for value in _streamed(session, f"/api/v1/experiments/{experiment_id}/journal", {"after": after}):
            after = int(value["seq"])
            yield JournalRow(
                experiment_id=ExperimentId(experiment_id),
                seq=after,
                at=value["at"],
                kind=value["kind"],
                format=value["format"],
                body=_encode(value["body"]),
            )
        # A master that stops ends its streams in good order, so only one without news is sure to be at the end.
        if after == before:
            return


def _reports(session: Session, expected: Mapping[int, set[tuple[int, str, int]]]) -> Iterator[Report]:
    missing = {trial: set(places) for trial, places in expected.items()}
    for group in _GROUPS:
        path = f"/api/v1/trials/metrics/{group}_metrics"
        for batch in _streamed(session, path, {"trialIds": list(expected)}):
            for value in batch["metrics"]:
                report = _report(value)
                # What came after the facts were read is not part of the recording.
                if (report.run_id, group, report.steps) in expected[report.trial_id]:
                    missing[report.trial_id].discard((report.run_id, group, report.steps))
                    yield report
    left = sum(map(len, missing.values()))
    if left:
        raise BadResponseException(
            f"the master at {session.master_url} did not give {left} reports of the trials {min(missing)} to "
            f"{max(missing)}, which its journal names; try again"
        )


def _report(value: Mapping[str, Any]) -> Report:
    metrics = value["metrics"]
    group = str(value["group"])
    return Report(
        trial_id=TrialId(value["trialId"]),
        run_id=RunId(value["trialRunId"]),
        group=group,
        steps=int(value["totalBatches"]),
        at=from_text(value["endTime"]),
        archived=bool(value["archived"]),
        metrics=restore(metrics["validation_metrics" if group == "validation" else "avg_metrics"]),
    )


def _streamed(session: Session, path: str, params: Mapping[str, Any]) -> Iterator[Any]:
    """The results in a stream; a broken one raises."""
    with contextlib.closing(session.stream(path, params)) as stream:
        for line in stream:
            try:
                yield line["result"]
            except (KeyError, TypeError) as error:
                raise MasterNotFoundException(f"{session.master_url}{path} sent a line that is no result") from error
