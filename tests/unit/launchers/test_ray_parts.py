"""Runs on several nodes: how they are divided, what their parts are told, how they end, and whose lines are whose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from determined.launchers.on_ray.numbering import Numbering
from determined.launchers.on_ray.parts import Ends, divide, told
from determined.launchers.protocol import RunExit


@pytest.mark.parametrize(
    ("slots", "nodes", "shares"),
    [
        (0, [2, 2], (0,)),
        (2, [2, 2], (2,)),
        (4, [2, 8, 2], (4,)),
        (4, [0, 2, 2], (2, 2)),
        (4, [3, 3, 3], (2, 2)),
        (5, [4, 4], (3, 2)),
        (6, [2, 4], (4, 2)),
        (7, [1, 4, 4], (4, 3)),
        (9, [1, 4, 4], (4, 4, 1)),
        # More than there is: for nodes like the largest, which may come.
        (6, [2, 1], (2, 2, 2)),
        (5, [2], (2, 2, 1)),
        (4, [], (4,)),
        (4, [0], (4,)),
    ],
)
def test_a_run_is_on_as_few_nodes_as_can_be_in_equal_parts(slots: int, nodes: list[int], shares: tuple[int]) -> None:
    assert divide(slots, nodes) == shares


def test_each_part_is_told_its_own_name_and_slots_and_everything_else_alike() -> None:
    env = {"DET_ALLOCATION_ID": "1.a.1", "DET_RESOURCES_ID": "1.a.1", "DET_SLOT_IDS": "[3, 4, 7]", "DET_HPARAMS": "{}"}
    files = {"cluster.json": json.dumps({"slot_ids": [3, 4, 7], "agent_id": "ray"}), "trial.json": "{}"}
    assert told(env, files, 0, (3,)) == (env, files)
    second, of_second = told(env, files, 1, (2, 1))
    own = {"DET_RESOURCES_ID": "1.a.1.1", "DET_CONTAINER_ID": "1.a.1.1", "DET_SLOT_IDS": "[7]"}
    assert second == env | own
    assert json.loads(of_second["cluster.json"]) == {"slot_ids": [7], "agent_id": "ray"}
    assert of_second["trial.json"] == "{}"
    assert json.loads(told(env, files, 0, (2, 1))[0]["DET_SLOT_IDS"]) == [3, 4]


def ended(*codes: int | None, kill_wanted: bool = False) -> tuple[int | None, list[bool]]:
    """The code of a run whose parts end in this order, and when the others have to be ended."""
    ends = Ends(len(codes))
    asked = []
    for number, code in enumerate(codes):
        assert not ends.is_over
        asked.append(ends.add(number, RunExit(code, float(number))))
    assert ends.is_over
    return ends.whole(kill_wanted).code, asked


def test_a_run_ends_well_when_all_of_its_parts_do() -> None:
    assert ended(0, 0, 0) == (0, [False] * 3)


def test_the_first_part_that_fails_ends_the_others_and_gives_the_exit_code() -> None:
    assert ended(0, 3, 137) == (3, [False, True, False])


def test_a_lost_part_makes_the_whole_run_lost_although_another_was_heard_to_fail_before() -> None:
    """The processes of other nodes notice first that their peers are gone, and end with errors of their own."""
    assert ended(1, None, 0) == (None, [True, False, False])
    assert ended(None, 137) == (None, [True, False])


def test_what_was_to_die_was_not_lost() -> None:
    assert ended(137, None, kill_wanted=True)[0] == 137
    assert ended(None, kill_wanted=True)[0] == 137
    assert ended(0, 0, kill_wanted=True)[0] == 0


def test_a_run_of_one_part_ends_as_that_does() -> None:
    for end in (RunExit(0, 1.0), RunExit(3, 1.0), RunExit(None, 1.0, "its node was lost")):
        ends = Ends(1)
        ends.add(0, end)
        assert ends.whole(False) == end
        assert ends.has_lost == (end.code is None)


def test_a_part_that_ends_twice_ended_as_it_did_first() -> None:
    ends = Ends(2)
    assert ends.add(1, RunExit(4, 1.0))
    assert not ends.add(1, RunExit(0, 2.0))
    assert not ends.is_over
    ends.add(0, RunExit(137, 3.0))
    assert ends.whole(False) == RunExit(4, 3.0, "first on node 2 of its 2")


def test_a_later_master_knows_whose_lines_it_has(tmp_path: Path) -> None:
    numbering = Numbering(tmp_path / "n", 2, 0)
    for part, size, first in ((0, 3, 0), (1, 2, 3), (0, 1, 5)):
        assert numbering.next(part, size) == first
        numbering.took(part, size)
    assert numbering.next(1, 4) == 6
    # It died before the last lines were stored, or after.
    assert Numbering(tmp_path / "n", 2, 6).counts == (4, 2)
    assert Numbering(tmp_path / "n", 2, 10).counts == (4, 6)
    numbering.forget()
    assert Numbering(tmp_path / "n", 2, 0).counts == (0, 0)
