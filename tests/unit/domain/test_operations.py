from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from determined.domain.ids import ExperimentId, RunId, allocation_id, task_id
from determined.domain.operations import Close, Create, Progress, ValidateAfter

RID = uuid.UUID(int=1)


@dataclass
class HasUuid:
    uuid: str


def test_hyperparameters_are_kept_as_json_text_whichever_way_they_came() -> None:
    assert json.loads(Create(RID, {"lr": 0.1, "layers": [1, 2]}).hparams) == {"lr": 0.1, "layers": [1, 2]}
    assert Create(RID, '{"lr": 0.10}').hparams == '{"lr": 0.10}'


@pytest.mark.parametrize("checkpoint", ["c1", HasUuid("c1")])
def test_a_checkpoint_is_named_by_its_uuid_or_given_as_an_object(checkpoint: Any) -> None:
    assert Create(RID, {}, checkpoint).checkpoint == "c1"
    assert Create(RID, {}).checkpoint is None


@pytest.mark.parametrize(
    "text", ["[1]", "1", "null", '{"x": NaN}', '{"x": -Infinity}', '{"x": 1e999}', '{"x": [1, {"y": 1e400}]}']
)
def test_text_that_is_no_object_of_finite_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hparams"):
        Create(RID, text)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Create("no uuid", {}), TypeError, "request_id must be a uuid.UUID, got str"),  # type: ignore[arg-type]
        (lambda: Create(RID, [1]), TypeError, "hparams must be a mapping, got list"),  # type: ignore[arg-type]
        (lambda: Create(RID, {"x": float("nan")}), ValueError, "JSON compliant"),
        (lambda: Create(RID, {}, source_trial="a"), TypeError, "source_trial must be a uuid.UUID, got str"),  # type: ignore[arg-type]
        (lambda: Create(RID, {}, "c1", source_trial=RID), ValueError, "not from both; give one"),
        (lambda: ValidateAfter("no", 1), TypeError, "request_id"),  # type: ignore[arg-type]
        (lambda: ValidateAfter(RID, 1.5), TypeError, "length must be an integer, got 1.5"),  # type: ignore[arg-type]
        (lambda: ValidateAfter(RID, True), TypeError, "length must be an integer, got True"),
        (lambda: ValidateAfter(RID, -1), ValueError, "between 0 and"),
        (lambda: ValidateAfter(RID, 2**63), ValueError, "between 0 and"),
        (lambda: Close("no"), TypeError, "request_id"),  # type: ignore[arg-type]
        (lambda: Progress("half"), TypeError, "must be a number"),  # type: ignore[arg-type]
        (lambda: Progress(True), TypeError, "must be a number"),
        (lambda: Progress(float("inf")), ValueError, "must be finite"),
    ],
)
def test_malformed_operations_cannot_be_made(make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


def test_lengths_of_numpy_become_plain_integers() -> None:
    assert type(ValidateAfter(RID, np.int64(5)).length) is int


def test_tasks_and_allocations_are_named_after_their_trial() -> None:
    assert task_id(ExperimentId(5), RID) == f"5.{RID}"
    assert allocation_id(ExperimentId(5), RID, RunId(2)) == f"5.{RID}.2"
