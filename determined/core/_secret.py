"""What the processes of one trial know, and nobody else does."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from pathlib import Path

from determined import files
from determined._info import get_cluster_info
from determined.core._links import code
from determined.errors import InvalidInput, PermissionDenied

VARIABLE = "DET_RANKS_SECRET"
_FILE = "ranks.key"
_SHORTEST = 16


def group_key() -> bytes:
    """The key of this trial's processes.

    It comes from ``DET_RANKS_SECRET``, else from the token of the run, else from a file of the user, which is made
    when first needed: that one serves the machine, or all that share the user's folder.

    Raises:
        InvalidInput: the variable is too short to be a secret.
        PermissionDenied: others could read the file.
    """
    info = get_cluster_info()
    run = "" if info is None else info.allocation_id
    given = os.environ.get(VARIABLE)
    if given is not None:
        if len(given) < _SHORTEST:
            raise InvalidInput(f"{VARIABLE} has {len(given)} characters; give at least {_SHORTEST} random ones")
        secret = given.encode()
    else:
        secret = _of_the_user() if info is None else info.session_token.encode()
    return code(hashlib.sha256(secret).digest(), b"processes of a trial", run.encode())


def _of_the_user() -> bytes:
    import platformdirs

    path = platformdirs.user_data_path("determined-search", appauthor=False) / _FILE
    if not path.exists():
        _make(path)
    status = path.stat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise PermissionDenied(f"{path} must belong to you alone (mode 600); delete it, and it is made again")
    return path.read_bytes()


def _make(path: Path) -> None:
    files.make_folder(path.parent, "ranks.home", 0o700)
    mine = path.with_name(f"{_FILE}.{secrets.token_hex(8)}")
    files.write_file(mine, secrets.token_bytes(32), "ranks.key", 0o600)
    with files.action("ranks.key.link"):
        try:
            # The processes of a trial come here at once; all must go on with the same file.
            os.link(mine, path)
        except FileExistsError:
            pass
        finally:
            mine.unlink()
