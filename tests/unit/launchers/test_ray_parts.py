"""Runs on several nodes: how they are divided, what their parts are told, how they end, and whose lines are whose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from determined.errors import Unavailable
from determined.launchers.on_ray.numbering import Numbering, counts_file, forget_others
from determined.launchers.on_ray.parts import Ends, divide, told
from determined.launchers.on_ray.placing import members_of, place_for
from determined.launchers.on_ray.wire import Bundle, Node, Place, Reservation, Seat
from determined.launchers.protocol import Member, RunExit, SlotKind


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


def test_what_a_slot_is_decides_which_bundles_are_asked_for() -> None:
    nodes = [Node("a", "10.0.0.1", "one", cpus=8.0, gpus=1.0), Node("b", "10.0.0.2", "two", cpus=8.0, gpus=1.0)]
    assert place_for(2, SlotKind.CPU, nodes) == Place((Bundle(cpus=2),))
    assert place_for(2, SlotKind.CUDA, nodes) == Place((Bundle(gpus=1), Bundle(gpus=1)))
    assert place_for(0, SlotKind.CPU, []) == Place((Bundle(),))


def test_members_are_in_the_order_of_the_seats_and_one_that_is_alone_needs_no_address() -> None:
    nodes = [Node("a", "10.0.0.1", "one", 4.0, 0.0), Node("b", "10.0.0.2", "two", 4.0, 0.0)]
    two = Reservation("r", Place((Bundle(cpus=3), Bundle(cpus=2))), (Seat("b"), Seat("a")))
    assert members_of(two, nodes) == (Member("10.0.0.2", 3), Member("10.0.0.1", 2))
    with pytest.raises(Unavailable, match="node a of the run is gone"):
        members_of(two, nodes[1:])
    assert members_of(Reservation("r", Place((Bundle(cpus=3),)), (Seat("b"),)), []) == (Member("127.0.0.1", 3),)


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


def test_counts_of_runs_that_are_over_are_removed(tmp_path: Path) -> None:
    for name in ("1.a.1", "1.b.1"):
        Numbering(counts_file(tmp_path, name), 2, 0).next(0, 1)
    forget_others(tmp_path, {"1.b.1"})
    assert list(tmp_path.iterdir()) == [counts_file(tmp_path, "1.b.1")]
