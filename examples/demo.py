"""Runs the ASHA example from nothing: a master of its own, a search over real data, and the best trial at the end."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the demo keeps its master and its search")
    folder: Path = parser.parse_args().folder.absolute()
    env = {k: v for k, v in os.environ.items() if not k.startswith("DET_")}
    env |= {
        "DET_DATA_DIR": str(folder / "master"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}",
    }
    search = folder / "asha"
    # A finished search would only say that it is finished; each demo is a new one.
    shutil.rmtree(search, ignore_errors=True)
    shutil.copytree(HERE / "asha", search, ignore=shutil.ignore_patterns("local_search_runner", "__pycache__"))
    det = [sys.executable, "-m", "determined.cli"]
    up = subprocess.run([*det, "deploy", "local", "cluster-up", "--json"], env=env, stdout=subprocess.PIPE, check=False)
    if up.returncode:
        return up.returncode
    link = json.loads(up.stdout).get("link")
    print("ASHA on handwritten digits: examples/asha/run_local_searcher.py", flush=True)
    print(f"Watch it in a browser: {link}\n" if link else "", flush=True)
    started = time.monotonic()
    try:
        code = subprocess.run([sys.executable, "run_local_searcher.py"], cwd=search, env=env, check=False).returncode
        print(f"\nThe search took {time.monotonic() - started:.0f} s.", flush=True)
        subprocess.run([*det, "e", "list"], env=env, check=False)
        if sys.stdin.isatty() and link:
            input("\nThe web UI stays until you press Enter. ")
    except (KeyboardInterrupt, EOFError):
        print()
        code = 130
    finally:
        subprocess.run([*det, "deploy", "local", "cluster-down"], env=env, check=False)
    if code == 0:
        print(
            "\nWhat to read next: examples/asha/asha.py (the search method), "
            "examples/asha/experiment_files/train.py (the training script), docs/tutorial.md."
        )
    return code


if __name__ == "__main__":
    sys.exit(main())
