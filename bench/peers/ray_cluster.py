"""A Ray cluster on this machine: a head without CPUs, and nodes with one CPU each.

``python ray_cluster.py NODES`` prints the address, and ends the cluster when its standard input is closed.
"""

import os
import shutil
import sys
import tempfile

FOLDER = tempfile.mkdtemp(prefix="r-", dir="/tmp")
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_TMPDIR=FOLDER,
    # Otherwise its workers give way to whatever else runs.
    RAY_worker_niceness="0",
)

MEMORY_BYTES = 80 * 2**20


def main() -> None:
    # Not before the environment is set, which it reads.
    import ray.cluster_utils

    cluster = ray.cluster_utils.Cluster()
    try:
        for cpus in (0, *[1] * int(sys.argv[1])):
            cluster.add_node(num_cpus=cpus, object_store_memory=MEMORY_BYTES, include_dashboard=False)
        print(cluster.address, flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()
        shutil.rmtree(FOLDER, ignore_errors=True)


main()
