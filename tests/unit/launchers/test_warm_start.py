"""A program that is forked from a template cannot tell it from an interpreter of its own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from determined.launchers.local import LocalLauncher
from determined.launchers.protocol import LogLine, RunExit, RunSpec, Warm
from determined.launchers.templates import template_of
from determined.testing.launcher_contract import Gate, make_context, make_spec
from determined.testing.local_machine import Machine

IS_WARM = "import sys; print('warm' if 'determined.launchers.warm' in sys.modules else 'cold')\n"
HELPER = "import json\nCOLOUR = 'green'\n"
PROGRAMS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "arguments": (("train.py", "--lr", "0.1", ""), "import sys\nprint(sys.argv, sys.orig_argv[1:], sys.executable)"),
    "main module": (
        ("train.py",),
        "print(__name__, __package__, __spec__, __doc__, __builtins__, __annotations__)\n"
        "import sys, types\nprint(sys.modules['__main__'].__dict__ is globals(), sorted(globals()))\n"
        "print(type(__loader__).__name__, __loader__.name, __loader__.path == __file__)",
    ),
    "a docstring": (("train.py",), "'''What this is.'''\nprint(__doc__)"),
    "places": (
        ("sub/train.py",),
        "import os, sys\nw = os.environ['DET_WORKDIR']\nprint(os.getcwd() == w, __file__.replace(w, 'W'))\n"
        "print([p.replace(w, 'W') for p in sys.path])",
    ),
    "a module": (
        ("-m", "pack.train", "--epochs", "3"),
        "import os, sys\nw = os.environ['DET_WORKDIR']\nprint(sys.argv[0].replace(w, 'W'), sys.argv[1:], __name__)\n"
        "print(__package__, __spec__.name, [p.replace(w, 'W') for p in sys.path])\n"
        "from . import near\nprint(near.HERE)",
    ),
    "a missing module": (("-m", "no_such_module"), ""),
    "a missing script": (("no_such_script.py",), ""),
    "own modules": (("train.py",), "import helper\nprint(helper.COLOUR, helper.__name__)"),
    "an error": (("train.py",), "def f():\n    raise ValueError('bad: é')\n\nf()"),
    "an error in a helper": (("train.py",), "import broken"),
    "an error that has a cause": (
        ("train.py",),
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise RuntimeError('no') from e",
    ),
    "a syntax error": (("train.py",), "print('a'\n"),
    "exit 0": (("train.py",), "import sys\nsys.exit()"),
    "exit 3": (("train.py",), "import sys\nsys.exit(3)"),
    "exit 256": (("train.py",), "import sys\nsys.exit(256)"),
    "exit -1": (("train.py",), "import sys\nsys.exit(-1)"),
    "exit with words": (("train.py",), "import sys\nsys.exit('out of data')"),
    "exit at once": (("train.py",), "import os\nprint('a', flush=True)\nos._exit(7)"),
    "killed by itself": (("train.py",), "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"),
    "an abort": (("train.py",), "import os\nos.abort()"),
    "terminated": (("train.py",), "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)"),
    "interrupted": (("train.py",), "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)"),
    "at exit": (
        ("train.py",),
        "import atexit, threading, time\natexit.register(print, 'at exit')\n"
        "go = threading.Event()\n"
        "def late():\n    go.wait()\n    print('thread')\n"
        "threading.Thread(target=late).start()\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "print('end')\ngo.set()",
    ),
    "at exit, after an error": (("train.py",), "import atexit\natexit.register(print, 'at exit')\n1 / 0"),
    "a finalizer": (
        ("train.py",),
        "class A:\n    def __del__(self):\n        print('gone')\na = A()\nb = [a]\nb.append(b)\nprint('end')",
    ),
    "a file that nobody closed": (
        ("train.py",),
        "import atexit, os, sys\nf = open('out.txt', 'w')\nf.write('x' * 10)\n"
        "r, w = os.pipe()\n"
        "if os.fork() == 0:\n    os.close(w)\n    os.read(r, 1)\n    print(open('out.txt').read())\n    os._exit(0)\n"
        "os.set_inheritable(w, True)\n",
    ),
    "streams": (
        ("train.py",),
        "import os, sys\nfor s in (sys.stdin, sys.stdout, sys.stderr):\n"
        "    print(s.name, s.encoding, s.errors, s.line_buffering, s.write_through, s.fileno())\n"
        "print(repr(sys.stdin.read()))\nsys.stdout.write('no newline')\nos.write(1, b' at once\\n')\n"
        "print('to stderr', file=sys.stderr)",
    ),
    "signals": (
        ("train.py",),
        "import signal, sys\nfor n in sorted(signal.valid_signals()):\n"
        "    print(n, signal.getsignal(n))\nprint(signal.pthread_sigmask(signal.SIG_BLOCK, []))\n"
        "print(signal.set_wakeup_fd(-1), signal.getitimer(signal.ITIMER_REAL))",
    ),
    "descriptors": (
        ("train.py",),
        "import os\nd = os.environ['DET_RUN_FOLDER']\n"
        "def name(n):\n    try:\n        return os.readlink(f'/proc/self/fd/{n}')\n"
        "    except OSError:\n        return ''\n"
        "names = [name(n) for n in range(3, 100)]\n"
        "print(sorted(n.replace(d, 'D') for n in names if n))",
    ),
    "the environment": (
        ("train.py",),
        "import os, subprocess, sys\n"
        "own = {k: v for k, v in os.environ.items() if k not in ('LC_CTYPE', 'DET_RUN_FOLDER', 'DET_WORKDIR',"
        " 'DET_INFO_DIR', 'PYTHONPATH', 'DET_ALLOCATION_ID', 'PWD')}\nprint(sorted(own.items()))\n"
        "print(os.environ['DET_WORKDIR'] in os.environ['PYTHONPATH'])\n"
        "out = subprocess.run([sys.executable, '-c', 'import os; print(os.environ[\"COLOUR\"])'],"
        " capture_output=True, text=True).stdout\nprint(out)",
    ),
    "what the system shows": (
        ("train.py", "--lr", "0.1"),
        "import os\nprint(open('/proc/self/comm').read())\n"
        "print(open('/proc/self/cmdline').read().strip(chr(0)).split(chr(0))[1:])\n"
        "shown = {e for e in open('/proc/self/environ').read().split(chr(0)) if e}\n"
        "print(sorted(shown ^ {f'{k}={v}' for k, v in os.environ.items()}))",
    ),
    "processes": (
        ("train.py",),
        "import os\nprint(os.getpid() == os.getsid(0) == os.getpgid(0), os.getppid() > 1, os.umask(0o22))",
    ),
    "other processes": (
        ("train.py",),
        "import multiprocessing\n"
        "def square(x):\n    return x * x\n"
        "if __name__ == '__main__':\n"
        "    for method in ('fork', 'spawn'):\n"
        "        with multiprocessing.get_context(method).Pool(2) as pool:\n"
        "            print(method, pool.map(square, [1, 2, 3]))",
    ),
    "pickles": (
        ("train.py",),
        "import pickle\nclass A:\n    x = 1\nprint(pickle.loads(pickle.dumps(A())).x, A.__module__)",
    ),
    "logging": (
        ("train.py",),
        "import logging, warnings\nprint(logging.getLogger().handlers, logging.getLogger().level)\n"
        "logging.basicConfig(level=logging.INFO)\nlogging.info('told')\nwarnings.warn('careful')\n"
        "print(logging.getLogger('determined').handlers)",
    ),
    "interpreter": (
        ("train.py",),
        "import gc, locale, sys, threading\nprint(sys.flags, sys.version, sys.getrecursionlimit(), gc.isenabled())\n"
        "print(sys.getfilesystemencoding(), locale.getlocale(), sys.excepthook is sys.__excepthook__, sys.gettrace())\n"
        "t = threading.current_thread()\nprint(t.name, t is threading.main_thread(), threading.active_count())\n"
        "print(sys.warnoptions, sys._xoptions, sys.path_hooks != [], sys.dont_write_bytecode, sys.prefix)",
    ),
    "a tracing hook": (
        ("train.py",),
        "import inspect\nprint([f.function for f in inspect.stack()][:1])\n"
        "def deep(n):\n    return n if n == 0 else deep(n - 1)\nprint(deep(900))",
    ),
    "asyncio": (("train.py",), "import asyncio\nasync def f():\n    return 5\nprint(asyncio.run(f()))"),
    "a closed stdout": (("train.py",), "import sys\nprint('a')\nsys.stdout.close()"),
}
FILES = {
    "helper.py": HELPER,
    "broken.py": "import helper\n\n\ndef g():\n    return {}['key']\n\n\ng()\n",
    "pack/__init__.py": "",
    "pack/near.py": "HERE = __name__\n",
}


def context_of(folder: Path, words: tuple[str, ...], text: str) -> Path:
    script = "pack/train.py" if words[:2] == ("-m", "pack.train") else words[0]
    return make_context(folder / "context.tgz", {**FILES, script: text} if text else FILES)


def spec_of(words: tuple[str, ...], context: Path, *, is_warm: bool, name: str = "1.a.1") -> RunSpec:
    spec = make_spec(name, sys.executable, *words, env={"COLOUR": "green"}, context=context)
    return dataclasses.replace(spec, warm=Warm(words)) if is_warm else spec


def told(machine: Machine, *specs: RunSpec) -> list[tuple[int | None, list[str], list[str]]]:
    """Exit code and output of runs, one after the other."""

    async def scenario() -> list[tuple[RunExit, list[LogLine]]]:
        found = []
        async with machine.opened() as (launcher, listener):
            for spec in specs:
                await launcher.start(spec)
                end = await listener.exit_of(spec.allocation_id)
                found.append((end, listener.lines.get(spec.allocation_id, [])))
        return found

    def of(spec: RunSpec, lines: list[LogLine], kind: str) -> list[str]:
        folder = str(machine.folder(spec.allocation_id))
        return [line.text.replace(folder, "D") for line in lines if line.stdtype == kind]

    return [
        (end.code, of(spec, lines, "stdout"), of(spec, lines, "stderr"))
        for spec, (end, lines) in zip(specs, asyncio.run(scenario()), strict=True)
    ]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_behaves_as_in_an_interpreter_of_its_own(machine: Machine, tmp_path: Path, name: str) -> None:
    words, text = PROGRAMS[name]
    context = context_of(tmp_path, words, text)
    cold, warm, forked_ahead = told(
        machine,
        spec_of(words, context, is_warm=False, name="1.cold.1"),
        spec_of(words, context, is_warm=True, name="1.warm.1"),
        spec_of(words, context, is_warm=True, name="1.next.1"),
    )
    assert warm == cold
    assert forked_ahead == cold


@pytest.mark.parametrize(("is_warm", "expected"), [(False, "cold"), (True, "warm")])
def test_a_template_is_used_when_it_is_asked_for(
    machine: Machine, tmp_path: Path, is_warm: bool, expected: str
) -> None:
    context = context_of(tmp_path, ("train.py",), IS_WARM)
    assert told(machine, spec_of(("train.py",), context, is_warm=is_warm)) == [(0, [expected], [])]


def test_runs_on_other_slots_share_a_template(machine: Machine, tmp_path: Path) -> None:
    """The ports that a run is given depend on its slots, and are of no use to what is imported."""
    text = (
        "import os\nshim = open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()\n"
        "print(shim[1], os.environ['C10D_PORT'])"
    )
    context = context_of(tmp_path, ("train.py",), text)
    specs = [spec_of(("train.py",), context, is_warm=True, name=f"1.{name}.1") for name in ("a", "b")]
    runs = told(
        machine,
        *(
            dataclasses.replace(spec, env={**spec.env, "C10D_PORT": port})
            for spec, port in zip(specs, "12", strict=True)
        ),
    )
    (template, port), (same, other) = (run[1][0].split() for run in runs)
    assert template == same
    assert (port, other) == ("1", "2")


def test_what_a_program_imports_is_loaded_before_it_starts_and_nothing_of_its_own(
    machine: Machine, tmp_path: Path
) -> None:
    text = "import sys\nbefore = set(sys.modules)\nimport wave, helper\nprint('wave' in before, 'helper' in before)"
    context = context_of(tmp_path, ("train.py",), text)
    assert told(machine, spec_of(("train.py",), context, is_warm=True)) == [(0, ["True False"], [])]


def test_two_runs_share_no_random_numbers_and_no_state(machine: Machine, tmp_path: Path) -> None:
    text = (
        "import random, numpy, json\n"
        "print(random.random(), numpy.random.random(), hasattr(json, 'mark'))\njson.mark = 1"
    )
    context = context_of(tmp_path, ("train.py",), text)
    runs = told(machine, *(spec_of(("train.py",), context, is_warm=True, name=f"1.{name}.1") for name in ("a", "b")))
    (one, other, mark), (one_again, other_again, mark_again) = (run[1][0].split() for run in runs)
    assert one != one_again
    assert other != other_again
    assert mark == mark_again == "False"


def test_a_module_that_ends_the_template_costs_the_run_nothing(machine: Machine, tmp_path: Path) -> None:
    context = context_of(tmp_path, ("train.py",), "print('done')")
    site = tmp_path / "site"
    site.mkdir()
    site.joinpath("deadly.py").write_text("import os\nos._exit(3)\n")
    spec = spec_of(("train.py",), context, is_warm=True)
    spec = dataclasses.replace(
        spec, env={**spec.env, "PYTHONPATH": str(site)}, warm=Warm(("train.py",), modules=("deadly",))
    )
    assert told(machine, spec) == [(0, ["done"], [])]


def test_a_module_that_cannot_be_imported_is_left_to_the_program(machine: Machine, tmp_path: Path) -> None:
    context = context_of(tmp_path, ("train.py",), "import no_such_package")
    ((code, _, errors),) = told(machine, spec_of(("train.py",), context, is_warm=True))
    assert code == 1
    assert errors[-1] == "ModuleNotFoundError: No module named 'no_such_package'"


def test_all_processes_of_a_run_are_killed(machine: Machine, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    text = (
        "import os, subprocess, sys\n"
        f"subprocess.Popen(['sh', '-c', 'cat {gate.path}'], start_new_session=True)\n"
        "if os.fork() == 0:\n    os.setsid()\n    print('child', os.getpid())\n"
        f"open({str(gate.path)!r}).read()\n"
    )
    context = context_of(tmp_path, ("train.py",), text)

    async def scenario() -> RunExit:
        async with machine.opened() as (launcher, listener):
            await launcher.start(spec_of(("train.py",), context, is_warm=True))
            await listener.line_of("1.a.1", "child ")
            await launcher.kill("1.a.1")
            return await listener.exit_of("1.a.1")

    assert asyncio.run(scenario()).code == 128 + signal.SIGKILL
    assert machine.processes() == []


def test_a_process_that_let_go_of_everything_is_found_when_the_shim_is_lost(machine: Machine, tmp_path: Path) -> None:
    text = (
        "import os, signal\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n    print('child', os.getpid())\n    os.closerange(0, 4096)\n"
        "signal.pause()\n"
    )
    context = context_of(tmp_path, ("train.py",), text)

    async def scenario() -> int:
        async with machine.opened() as (launcher, listener):
            await launcher.start(spec_of(("train.py",), context, is_warm=True))
            child = int(await listener.line_of("1.a.1", "child "))
            os.kill(machine.shim()["pid"], signal.SIGKILL)
            assert (await listener.exit_of("1.a.1")).code is None
            return child

    child = asyncio.run(scenario())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_run_outlives_its_template_and_the_launcher(machine: Machine, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    context = context_of(tmp_path, ("train.py",), f"print('up')\nopen({str(gate.path)!r}).readline()\nprint('on')")

    async def scenario() -> tuple[RunExit, list[str]]:
        async with machine.opened() as (launcher, listener):
            await launcher.start(spec_of(("train.py",), context, is_warm=True))
            await listener.line_of("1.a.1", "up")
        async with machine.opened({"1.a.1": 1}) as (launcher, listener):
            assert await launcher.adopt("1.a.1", 1)
            gate.open()
            end = await listener.exit_of("1.a.1")
            return end, listener.texts("1.a.1")

    end, lines = asyncio.run(scenario())
    assert (end.code, lines) == (0, ["on"])


def test_the_next_run_finds_its_processes_forked_and_they_end_with_the_template(
    machine: Machine, tmp_path: Path
) -> None:
    context = context_of(tmp_path, ("train.py",), "import os\nprint(os.getpid(), os.getppid())")

    async def scenario() -> list[psutil.Process]:
        async with machine.opened() as (launcher, listener):
            await launcher.start(spec_of(("train.py",), context, is_warm=True))
            await listener.exit_of("1.a.1")
            first = await waiting(launcher)
            await launcher.start(spec_of(("train.py",), context, is_warm=True, name="1.b.1"))
            await listener.exit_of("1.b.1")
            assert {str(process.pid) for process in first} == set(listener.texts("1.b.1")[0].split())
            return await waiting(launcher)

    # Nobody tells those that wait: they notice that their template is gone.
    assert psutil.wait_procs(asyncio.run(scenario()), timeout=60)[1] == []


def test_a_run_starts_although_what_waited_for_it_was_killed(machine: Machine, tmp_path: Path) -> None:
    context = context_of(tmp_path, ("train.py",), "print('done')")

    async def scenario() -> list[list[str]]:
        async with machine.opened() as (launcher, listener):
            for name in ("1.a.1", "1.b.1"):
                await launcher.start(spec_of(("train.py",), context, is_warm=True, name=name))
                assert (await listener.exit_of(name)).code == 0
                shim, child = await waiting(launcher)
                shim.kill()
                assert psutil.wait_procs([child, shim], timeout=60)[1] == []
            return [listener.texts(name) for name in ("1.a.1", "1.b.1")]

    assert asyncio.run(scenario()) == [["done"], ["done"]]


async def waiting(launcher: LocalLauncher) -> list[psutil.Process]:
    """The shim that waits for a run of the one template, and its child."""
    (template,) = launcher._warm_forkers.pids

    def both() -> list[psutil.Process]:
        # In a thread, which nobody can cancel.
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for shim in psutil.Process(template).children():
                with contextlib.suppress(psutil.Error):
                    if shim.name() == "det-waiting" and (child := shim.children()):
                        return [shim, *child]
            os.sched_yield()
        raise AssertionError("no shim and child wait for a run")

    return await asyncio.to_thread(both)


@pytest.mark.parametrize("ports", [("C10D_PORT",), ("DTRAIN_SSH_PORT", "INTER_TRAIN_PROCESS_COMM_PORT_1")])
def test_runs_in_different_slots_are_forked_from_the_same_template(tmp_path: Path, ports: tuple[str, ...]) -> None:
    argv = (sys.executable, "train.py")
    templates = {
        template_of(
            argv, Warm(("train.py",), modules=()), {**os.environ, **dict.fromkeys(ports, number)}, tmp_path, None
        )
        for number in ("12350", "12360")
    }
    assert len(templates) == 1
    assert None not in templates
