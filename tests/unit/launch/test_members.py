"""How many processes a launcher starts, and what each of them is told."""

from __future__ import annotations

import pytest

from determined._info import ClusterInfo, RendezvousInfo, TrialInfo
from determined.launch._arguments import split
from determined.launch._members import members
from determined.launch.torch_distributed import torchrun_arguments


def run_of(addresses: list[str], rank: int, slots: list[int]) -> ClusterInfo:
    trial = TrialInfo(3, 5, 42, {}, {}, 0, 2, False, None)
    known = ClusterInfo("http://m", "c", "host", [0], "5.trial", "5.trial.2", "token", "TRIAL", trial_info=trial)
    known._rendezvous_info = RendezvousInfo(addresses, rank, slots)
    return known


def test_one_machine_starts_a_process_for_each_slot_and_one_without_slots() -> None:
    who = members(run_of(["127.0.0.1"], 0, [4]))
    assert (who.here, who.size, who.machines, who.chief) == (4, 4, 1, "127.0.0.1")
    assert members(run_of(["127.0.0.1"], 0, [0])).size == 1
    assert members(run_of(["127.0.0.1"], 0, [4]), 2).size == 2
    assert members(None, 3).size == 3


def test_a_machine_of_several_tells_its_processes_their_place_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C10D_PORT", "12353")
    who = members(run_of(["10.0.0.1", "10.0.0.2"], 1, [3, 2]))
    assert who.variables(1) == {
        "RANK": "4",
        "WORLD_SIZE": "5",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "LOCAL_SIZE": "2",
        "GROUP_RANK": "1",
        "GROUP_WORLD_SIZE": "2",
        "CROSS_RANK": "1",
        "CROSS_SIZE": "2",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "12353",
        "DET_CHIEF_IP": "10.0.0.1",
    }


@pytest.mark.parametrize(("processes", "told"), [(None, "--nproc-per-node N"), (0, "give 1 or more")])
def test_off_the_cluster_somebody_must_say_how_many(processes: int | None, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        members(None, processes)


def test_torchrun_is_told_of_all_machines_and_what_the_user_says_comes_later() -> None:
    two = members(run_of(["10.0.0.1", "10.0.0.2"], 1, [2, 2]))
    words = torchrun_arguments(two, ["--max_restarts", "3"], ["python3", "train.py", "--x"])
    text = " ".join(words)
    assert "--nnodes 2 --nproc_per_node 2" in text
    assert f"--node_rank 1 --master_addr 10.0.0.1 --master_port {two.port}" in text
    assert text.index("--max_restarts 0") < text.index("--max_restarts 3") < text.index("--no_python")
    assert text.endswith("-m determined.launch._rank python3 train.py --x")
    one = members(run_of(["127.0.0.1"], 0, [2]))
    assert "--standalone" in torchrun_arguments(one, [], ["x"])
    assert "--standalone" not in torchrun_arguments(one, ["--master_port=1"], ["x"])


def test_arguments_of_the_launcher_end_with_two_dashes() -> None:
    assert split(["--", "python3", "t.py", "--", "b"], "m") == ([], ["python3", "t.py", "--", "b"])
    assert split(["python3", "t.py", "--", "--trial"], "m") == ([], ["python3", "t.py", "--", "--trial"])
    assert split(["--a", "1", "--", "sh"], "m") == (["--a", "1"], ["sh"])
    _, command = split(["train.py", "x"], "m")
    assert command[1:] == ["train.py", "x"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no script was given"),
        (["--"], "no script was given"),
        (["--nnodes", "1", "python3"], "put -- between"),
        (["--trial", "model:Trial"], "trial classes"),
        (["--nnodes", "1", "--", "--trial", "model:Trial"], "trial classes"),
    ],
)
def test_a_command_line_that_cannot_work_is_refused_with_a_sentence(arguments: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        split(arguments, "determined.launch.multi")
