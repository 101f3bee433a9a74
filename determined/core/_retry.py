"""How long a run keeps trying to reach a master that does not answer.

A healthy trial must outlive its master: it waits, and reports when the master is back. Every report is safe to
send twice, so a lost answer is no reason to give up either.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from determined.errors import InvalidInput

VARIABLE = "DET_RETRY_CONFIG"


class RetryPolicy(NamedTuple):
    """Number of retries and the pauses before them.

    Attributes:
        total: retries after the first try; with the default pauses, 3,000 take about eight hours.
        backoff_factor: seconds before the second retry; doubled for each one after it.
        backoff_max: the longest pause in seconds, so that a restarted master is noticed soon.
    """

    total: int = 3000
    backoff_factor: float = 0.2
    backoff_max: float = 10.0

    def pauses(self) -> Iterator[float]:
        """Seconds to wait before each retry; spread, so that a thousand trials do not knock at once."""
        for number in range(self.total):
            yield self.pause(number)

    def pause(self, number: int) -> float:
        """Seconds to wait before retry ``number``, counted from 0."""
        longest: float = min(self.backoff_max, self.backoff_factor * 2 ** min(number, 30))
        return longest * random.uniform(0.5, 1.0)


def retry_policy(environ: Mapping[str, str] = os.environ) -> RetryPolicy:
    """The default policy, changed by the JSON object in ``DET_RETRY_CONFIG``; its other keys are ignored.

    Raises:
        InvalidInput: the variable is not a JSON object, or a value is not a number of at least 0.
    """
    text = environ.get(VARIABLE)
    if not text:
        return RetryPolicy()
    try:
        given = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f'{VARIABLE} is not JSON ({error}); write for example {{"total": 20}}') from error
    if not isinstance(given, dict):
        raise InvalidInput(f'{VARIABLE} is {text[:80]!r}; write a JSON object, for example {{"total": 20}}')
    known = {name: given[name] for name in RetryPolicy._fields if given.get(name) is not None}
    for name, value in known.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise InvalidInput(f"{VARIABLE}: {name} is {value!r}; give a number of at least 0")
    if "total" in known:
        known["total"] = int(known["total"])
    return RetryPolicy(**known)
