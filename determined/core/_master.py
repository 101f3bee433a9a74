"""The line from a run to its master: JSON over HTTP, with the run's token, kept up for as long as the run lives."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from determined.common.api import errors
from determined.common.api.session import Session
from determined.core._background import Background
from determined.core._retry import RetryPolicy, retry_policy
from determined.errors import DeterminedError, Exhausted, Unavailable

logger = logging.getLogger("determined.core")

_DISK_FULL = 507


class Master:
    """Calls to the master of this run. Safe to use from several threads, and after a fork.

    Args:
        url: the master as this process reaches it.
        allocation_token: of this run.
        policy: how to behave when the master does not answer; by default as ``DET_RETRY_CONFIG`` says.
        background: what sends reports, if those who make them shall not wait. All other calls wait for it, so that the
            master hears of everything in the order in which it happened.
    """

    def __init__(
        self,
        url: str,
        allocation_token: str,
        policy: RetryPolicy | None = None,
        background: Background | None = None,
    ) -> None:
        self.url = url
        self._background = background
        self.policy = retry_policy() if policy is None else policy
        # Retries are made here and not in the session, so that one rule covers lost connections and refusals for now.
        self._token = allocation_token
        self._cert = _certificate(url)
        self._session = self._open()

    def get(self, path: str) -> Any:
        """The answer to a GET, however long it takes the master to answer or to come back."""
        self.finish_reports()
        return self._keep_trying(lambda: self._session.get(path))

    def get_once(self, path: str, *, params: Mapping[str, Any] | None = None, timeout_s: float) -> Any:
        """The answer to a GET that is sent once.

        Raises:
            Unavailable: the master cannot be reached, or did not answer in time.
        """
        try:
            return self._session.get(path, params=params, timeout_s=timeout_s)
        except errors.UntrustedCertificateException:
            if not self._trusts_another():
                raise
            return self._session.get(path, params=params, timeout_s=timeout_s)

    def post(self, path: str, body: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The answer to a POST of JSON, however long it takes; what is sent may arrive more than once."""
        self.finish_reports()
        return self._post(path, body, params)

    def report(self, path: str, body: Any, params: Mapping[str, Any] | None = None) -> None:
        """The same for what has no answer; with a background it returns before it is sent.

        Raises:
            Exception: with a background also what an earlier report has failed with.
        """
        if self._background is None:
            self._post(path, body, params)
        else:
            self._background.add(lambda: self._post(path, body, params))

    def finish_reports(self) -> None:
        """Wait until all reports have been sent.

        Raises:
            Exception: what one of them has failed with.
        """
        if self._background is not None:
            self._background.finish()

    def _post(self, path: str, body: Any, params: Mapping[str, Any] | None) -> Any:
        return self._keep_trying(lambda: self._session.post(path, json=body, params=params))

    def signal(self, path: str) -> Any:
        """The answer to a POST without a body, however long it takes; it may arrive more than once."""
        self.finish_reports()
        return self._keep_trying(lambda: self._session.post(path))

    def close(self) -> None:
        """Send what waits, and close the connections; a later call opens new ones."""
        try:
            if self._background is not None:
                self._background.close()
        finally:
            self._session.close()

    def _keep_trying(self, call: Callable[[], Any]) -> Any:
        pauses = self.policy.pauses()
        since: float | None = None
        while True:
            try:
                answer = call()
            except DeterminedError as error:
                if isinstance(error, errors.UntrustedCertificateException) and self._trusts_another():
                    continue
                pause = next(pauses, None) if _may_pass(error) else None
                if pause is None:
                    raise
                if since is None:
                    since = time.monotonic()
                    logger.warning("the master at %s does not serve (%s); trying until it does", self.url, error)
                time.sleep(pause)
                continue
            if since is not None:
                logger.warning("the master at %s serves again, after %.0f s", self.url, time.monotonic() - since)
            return answer

    def _open(self) -> Session:
        return Session(self.url, allocation_token=self._token, cert=self._cert)

    def _trusts_another(self) -> bool:
        """Whether the master was given another certificate since this run has read it; from now on that one counts.

        A run outlives its master, and the next one may show a renewed certificate.
        """
        now = _certificate(self.url)
        if now == self._cert:
            return False
        before, self._cert = self._session, now
        self._session = self._open()
        before.close()
        return True


def _may_pass(error: DeterminedError) -> bool:
    if isinstance(error, errors.UntrustedCertificateException):
        return False
    if isinstance(error, errors.APIException) and error.status_code == _DISK_FULL:
        return True
    return isinstance(error, (Unavailable, Exhausted))


def _certificate(url: str) -> Any:
    if not url.startswith("https:"):
        return None
    from determined.common.api import certs

    return certs.default_load(url)
