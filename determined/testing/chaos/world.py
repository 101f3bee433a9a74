"""Plays the four searches on one master while faults happen, and looks at what must hold all the time."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from determined.testing.chaos.faults import Fault, Kind
from determined.testing.chaos.invariants import Invariants, Violated
from determined.testing.chaos.searches import SEARCHES
from determined.testing.cluster import LocalMaster, MasterFailed
from determined.testing.digest import digest
from determined.testing.fault_proxy import Fault as NetworkFault
from determined.testing.fault_proxy import FaultProxy, seeded

STUCK_AFTER_S = 120.0
ORPHANS_AFTER_S = 10.0
LOOK_EVERY_S = 0.5
DONE = "trained"


@dataclass
class Outcome:
    """What came of one play.

    Attributes:
        digests: of each search, with and without what a killed trial may do again.
        repeated: units of training done again, by search.
        deaths: of trials, by search.
        injected: how often each fault happened.
        network: calls that were disturbed.
        violations: what did not hold.
        seconds: how long it took.
    """

    digests: dict[tuple[str, bool], Any] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    network: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


class World:
    """One master, four runners, their trials, and a network between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.proxy = FaultProxy(lambda method, path: NetworkFault.NONE)
        self.master = LocalMaster(folder, slots=4, arguments=["--url", self.proxy.url])
        self.runners: dict[str, subprocess.Popen[bytes]] = {}
        self.done: set[str] = set()
        self.outcome = Outcome()
        self.invariants = Invariants(self.master.data / "master.db")
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._paused: dict[int, Callable[[], None]] = {}
        self._began = 0.0
        self._selector = selectors.DefaultSelector()

    def play(self, faults: Sequence[Fault]) -> Outcome:
        """From nothing to the end of all four searches."""
        began = time.monotonic()
        with self.proxy:
            try:
                self._start_master()
                self._play(faults)
                self._judge()
            except (Violated, MasterFailed) as error:
                self.outcome.violations.append(str(error))
            finally:
                self._clear()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    # ---- the course of time

    def _play(self, faults: Sequence[Fault]) -> None:
        for name in SEARCHES:
            self._start_runner(name)
        self._began = time.monotonic()
        for fault in faults:
            self._at(fault.at_s, partial(self._inject, fault))
        while len(self.done) < len(SEARCHES):
            if self._now() > STUCK_AFTER_S:
                raise Violated(f"stuck: {sorted(set(SEARCHES) - self.done)} did not end in {STUCK_AFTER_S:.0f} s")
            self._wait_for_a_runner()
            while self._due and self._due[0][0] <= self._now():
                self._due.pop(0)[2]()
            self._look()

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _at(self, at_s: float, act: Callable[[], None]) -> None:
        self._due.append((at_s, len(self._due), act))
        self._due.sort(key=lambda entry: entry[:2])

    def _wait_for_a_runner(self) -> None:
        patience = LOOK_EVERY_S if not self._due else min(LOOK_EVERY_S, max(0.0, self._due[0][0] - self._now()))
        for key, _ in self._selector.select(patience):
            self._on_runner_gone(key.data)

    def _look(self) -> None:
        """What must hold at every moment."""
        self.invariants.check()
        alive: dict[str, set[str]] = {}
        for process in self.master.trial_processes():
            with contextlib.suppress(psutil.Error):
                # A process that dies meanwhile has no environment any more.
                if allocation := process.environ().get("DET_ALLOCATION_ID"):
                    alive.setdefault(allocation.rpartition(".")[0], set()).add(allocation)
        for trial, runs in alive.items():
            if len(runs) > 1:
                raise Violated(f"two runs of {trial} live at once: {sorted(runs)}")

    # ---- processes

    def _start_master(self) -> None:
        self.master.start()
        self.proxy.upstream = self.master.port
        # Clients go through the network that fails.
        self.master.env["DET_MASTER"] = self.proxy.url

    def _start_runner(self, name: str) -> None:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "determined.testing.chaos.search", name, str(folder)]
        with (folder / "log").open("ab") as log:
            runner = subprocess.Popen(command, stdout=log, stderr=log, env=self.master.env)
        self.runners[name] = runner
        descriptor = os.pidfd_open(runner.pid)
        self._selector.register(descriptor, selectors.EVENT_READ, (name, descriptor, runner))

    def _on_runner_gone(self, key: tuple[str, int, subprocess.Popen[bytes]]) -> None:
        name, descriptor, runner = key
        self._selector.unregister(descriptor)
        os.close(descriptor)
        code = runner.wait()
        if code == 0:
            self.done.add(name)
            return
        log = (self.folder / name / "log").read_text()[-3000:]
        if "AssertionError" in log:
            raise Violated(f"the search method of {name} found: {log}")
        # Whatever supervises a search starts it again, with the same command.
        self._start_runner(name)

    def _trials(self, search: str) -> list[psutil.Process]:
        """Main processes of the running trials of one search, by their number."""
        return [process for _, process in self._numbered_trials(search)]

    def _numbered_trials(self, search: str) -> list[tuple[int, psutil.Process]]:
        experiment = self.invariants.experiment_of(search)
        found = []
        for process in self.master.trial_processes():
            with contextlib.suppress(psutil.Error):
                env = process.environ()
                if env.get("DET_EXPERIMENT_ID") == str(experiment) and _is_training(process):
                    found.append((int(env.get("DET_TRIAL_ID", "0")), process))
        return sorted(found, key=lambda entry: entry[0])

    # ---- faults

    def _inject(self, fault: Fault) -> None:
        act: Mapping[Kind, Callable[[Fault], bool]] = {
            Kind.MASTER_KILL: self._kill_master,
            Kind.MASTER_STOP: self._stop_master,
            Kind.MASTER_PAUSE: self._pause_master,
            Kind.MASTER_KILL_IN_RECOVERY: self._kill_master_twice,
            Kind.MASTER_SECOND: self._start_second_master,
            Kind.RUNNER_KILL: self._kill_runner,
            Kind.RUNNER_PAUSE: self._pause_runner,
            Kind.RUNNER_SECOND: self._start_second_runner,
            Kind.RUNNER_AND_MASTER_KILL: self._kill_runner_and_master,
            Kind.TRIAL_KILL: self._kill_trial,
            Kind.TRIAL_PAUSE: self._pause_trial,
            Kind.SHIM_KILL: self._kill_shim,
            Kind.TRIAL_AND_MASTER_KILL: self._kill_trial_and_master,
            Kind.ALL_KILL: self._kill_all,
            Kind.NETWORK_BAD: self._spoil_network,
            Kind.NETWORK_DOWN: self._cut_network,
        }
        self._look()
        if act[fault.kind](fault):
            self.outcome.injected[fault.kind.name] += 1

    def _kill_master(self, fault: Fault) -> bool:
        self.master.kill()
        self._start_master()
        return True

    def _stop_master(self, fault: Fault) -> bool:
        # One that is paused would not hear of it.
        self._paused.get(self.master.pid, lambda: None)()
        self.master.stop()
        self._start_master()
        return True

    def _kill_master_twice(self, fault: Fault) -> bool:
        self.master.kill()
        # Its second death comes somewhere in the first half second of its start.
        starting = self.master.launch()
        with contextlib.suppress(subprocess.TimeoutExpired):
            starting.wait(timeout=(fault.pick % 100) / 200 + 0.2)
        starting.kill()
        starting.wait()
        self._start_master()
        return True

    def _pause_master(self, fault: Fault) -> bool:
        return self._pause(self.master.pid, fault.lasts_s)

    def _start_second_master(self, fault: Fault) -> bool:
        second = self.master.launch(port=0)
        if second.wait(timeout=STUCK_AFTER_S) == 0:
            raise Violated("a second master served on the same data")
        return True

    def _kill_runner(self, fault: Fault) -> bool:
        runner = self.runners[fault.search]
        runner.kill()
        return fault.search not in self.done

    def _pause_runner(self, fault: Fault) -> bool:
        if fault.search in self.done:
            return False
        return self._pause(self.runners[fault.search].pid, fault.lasts_s)

    def _start_second_runner(self, fault: Fault) -> bool:
        folder = self.folder / fault.search
        if fault.search in self.done or not (folder / "searcher" / "experiment_id.txt").exists():
            return False
        # The first one must be at work and stay there while the second one tries.
        first = self.runners[fault.search]
        first.send_signal(signal.SIGSTOP)
        try:
            if not _holds_lock(folder / "searcher" / ".searcher.lock", first.pid):
                return False
            command = [sys.executable, "-m", "determined.testing.chaos.search", fault.search, str(folder)]
            second = subprocess.run(command, env=self.master.env, capture_output=True, text=True, check=False)
        finally:
            first.send_signal(signal.SIGCONT)
        if "another search runner" not in second.stderr:
            raise Violated(f"a second runner was not refused: {second.returncode} {second.stderr[-1000:]}")
        return True

    def _kill_runner_and_master(self, fault: Fault) -> bool:
        killed = self._kill_runner(fault)
        self._kill_master(fault)
        return killed

    def _kill_trial(self, fault: Fault) -> bool:
        # One that has completed its last operation and fails on its way out ends as an error: that is no lost work.
        done = self.invariants.stopping_trials()
        trials = [process for number, process in self._numbered_trials(fault.search) if number not in done]
        if trials:
            self._note_death(fault.search)
            with contextlib.suppress(psutil.Error):
                trials[fault.pick % len(trials)].kill()
        return bool(trials)

    def _pause_trial(self, fault: Fault) -> bool:
        trials = self._trials(fault.search)
        return bool(trials) and self._pause(trials[fault.pick % len(trials)].pid, fault.lasts_s)

    def _kill_shim(self, fault: Fault) -> bool:
        trials = self._trials(fault.search)
        if not trials:
            return False
        self._note_death(fault.search)
        with contextlib.suppress(psutil.Error):
            # A trial whose own shim is gone already has none above it.
            for parent in trials[fault.pick % len(trials)].parents():
                if parent.name() == "det-shim":
                    parent.kill()
                    return True
        return False

    def _kill_trial_and_master(self, fault: Fault) -> bool:
        self.master.kill()
        killed = self._kill_trial(fault)
        self._start_master()
        return killed

    def _kill_all(self, fault: Fault) -> bool:
        self.master.kill()
        for name in SEARCHES:
            self.runners[name].kill()
            self._note_death(name, max(1, len(self._trials(name))))
        for process in self.master.run_processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._start_master()
        return True

    def _spoil_network(self, fault: Fault) -> bool:
        self.proxy.policy = seeded(fault.pick, 0.3)
        self._at(self._now() + fault.lasts_s, self._mend_network)
        return True

    def _cut_network(self, fault: Fault) -> bool:
        self.proxy.policy = lambda method, path: NetworkFault.DROP_REQUEST
        self._at(self._now() + fault.lasts_s, self._mend_network)
        return True

    def _mend_network(self) -> None:
        self.proxy.policy = lambda method, path: NetworkFault.NONE

    def _pause(self, pid: int, lasts_s: float) -> bool:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)

            def go_on() -> None:
                with contextlib.suppress(psutil.Error):
                    process.resume()

            self._paused[pid] = go_on
            process.suspend()
            self._at(self._now() + lasts_s, go_on)
            return True
        return False

    def _note_death(self, search: str, trials: int = 1) -> None:
        self.outcome.deaths[search] += trials

    # ---- the end

    def _judge(self) -> None:
        """Take the digests once nothing is left to happen."""
        self._mend_network()
        for go_on in self._paused.values():
            go_on()
        self._end_without_orphans()
        self.invariants.check()
        self.outcome.network = sum(n for kind, n in self.proxy.faults.items() if kind is not NetworkFault.NONE)
        for name in SEARCHES:
            experiment = self.invariants.experiment_of(name)
            for killed in (False, True):
                self.outcome.digests[name, killed] = digest(self.master.data, experiment, DONE, killed=killed)
            self.outcome.repeated[name] = self.invariants.repeated(experiment, DONE)

    def _end_without_orphans(self) -> None:
        end = time.monotonic() + ORPHANS_AFTER_S
        while self.invariants.uncollected():
            if time.monotonic() > end:
                raise Violated("checkpoints that are not kept were not deleted")
            self._selector.select(LOOK_EVERY_S / 5)
        while left := self.master.run_processes():
            if time.monotonic() > end:
                raise Violated(f"processes are left {ORPHANS_AFTER_S:.0f} s after the end: {left}")
            # A process beside a run may stay, for another.
            psutil.wait_procs(left, timeout=LOOK_EVERY_S / 5)
        self.master.stop()

    def _clear(self) -> None:
        for runner in self.runners.values():
            runner.kill()
            runner.wait()
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fd)
            os.close(key.fd)
        self._selector.close()
        self.master.kill()
        for process in self.master.run_processes():
            with contextlib.suppress(psutil.Error):
                process.kill()


def _is_training(process: psutil.Process) -> bool:
    return "determined.testing.chaos.training" in process.cmdline()


def _holds_lock(path: Path, pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return any(file.path == str(path) for file in psutil.Process(pid).open_files())
    return False
