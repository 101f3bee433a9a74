"""A master of plain HTTP behind something that does TLS for it, as nginx or Caddy do."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from determined.common import local_ports
from determined.testing.cluster import LocalMaster, MasterFailed
from tests.e2e.support import MODEL, SCRIPTS, created, state_of, trials_of

REMOTE = """
name: searcher
entrypoint: python3 run_remote.py
searcher: {name: single, metric: validation_loss, max_length: 1000}
resources: {slots_per_trial: 0}
max_restarts: 0
"""


@contextlib.contextmanager
def tls_proxy(port: int, upstream: int, context: ssl.SSLContext) -> Iterator[list[int]]:
    """Pass every connection on to the master, as it is but for TLS; gives the number of each that it took."""
    loop = asyncio.new_event_loop()
    taken: list[int] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while block := await reader.read(1 << 16):
                writer.write(block)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(len(taken))
        try:
            above, below = await asyncio.open_connection("127.0.0.1", upstream)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, below), pump(above, writer))

    async def start() -> asyncio.Server:
        return await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)

    async def finish(server: asyncio.Server) -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield taken
    finally:
        asyncio.run_coroutine_threadsafe(finish(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_clients_trials_and_the_search_inside_of_a_trial_go_through_the_proxy(tmp_path: Path) -> None:
    authority = trustme.CA()
    vouching = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(vouching)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    port = local_ports.any_free("127.0.0.1")
    address = f"https://localhost:{port}"
    folder = tmp_path / "context"
    (folder / "model").mkdir(parents=True)
    for source in MODEL.iterdir():
        if source.is_file():
            (folder / "model" / source.name).write_text(source.read_text())
    for name in ("search_methods.py", "run_remote.py"):
        (folder / name).write_text((SCRIPTS / name).read_text())
    (tmp_path / "searcher.yaml").write_text(REMOTE)
    arguments = ["--url", address, "--url-cert", str(vouching)]
    with (
        LocalMaster(tmp_path / "m", arguments=arguments) as master,
        tls_proxy(port, master.port, context) as taken,
        master.session() as session,
    ):
        # No more than the address and who vouches for it; the login was handed to this account for that address, too.
        outside = {"DET_MASTER": address, "DET_MASTER_CERT_FILE": str(vouching)}
        det = ("e", "create", "-f", str(tmp_path / "searcher.yaml"), str(folder))
        done = master.run([sys.executable, "-m", "determined.cli", *det], **outside)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{master.log}"
        outer = created(done.stdout)
        assert state_of(session, outer) == "STATE_COMPLETED"
        inner = trials_of(session, outer + 1)
        assert [trial["state"] for trial in inner] == ["STATE_COMPLETED"] * 6
        # Each trial has come this way, and not by the master's own address, which it was not told.
        assert len(taken) > 1 + len(inner)


def test_a_certificate_for_the_proxy_needs_an_address_of_the_proxy(tmp_path: Path) -> None:
    vouching = tmp_path / "authority.pem"
    trustme.CA().cert_pem.write_to_path(vouching)
    folder = tmp_path / "m"
    with pytest.raises(MasterFailed, match="--url-cert is for checking --url"):
        LocalMaster(folder, arguments=["--url-cert", str(vouching)]).start()
    missing = ["--url", "https://box.test", "--url-cert", str(tmp_path / "none.pem")]
    with pytest.raises(MasterFailed, match=r"none\.pem cannot be used"):
        LocalMaster(folder, arguments=missing).start()
