"""How fast the videos of one site may follow each other within a call."""

from __future__ import annotations

import random
import threading
import time

from curation.downloading.pauses import IN_A_ROW
from curation.errors import ErrorClass


class Pacing:
    """Keeps the sites apart: `sleep` is the least and the most seconds between two videos of one."""

    def __init__(self, sleep: tuple[float, float]) -> None:
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at: dict[str, float] = {}
        self._refusals: dict[str, int] = {}

    def resting(self) -> dict[str, float]:
        """The sites that are not to be asked now, with the seconds that they are to be left alone."""
        with self._lock:
            moment = time.monotonic()
            self._free_at = {site: at for site, at in self._free_at.items() if at > moment}
            return {site: at - moment for site, at in self._free_at.items()}

    def begin(self, site: str) -> bool:
        """Take a site's turn; False if another worker was faster."""
        with self._lock:
            if self._free_at.get(site, 0.0) > time.monotonic():
                return False
            self._rest(site)
            return True

    def end(self, site: str) -> None:
        """A video of the site has come in, or has not."""
        with self._lock:
            self._rest(site)

    def refused(self, site: str, error_class: ErrorClass | None) -> bool:
        """Count how a video ended (None: well); whether the site has refused so many in a row that it wants a pause."""
        with self._lock:
            if error_class is ErrorClass.RATE_LIMITED:
                self._refusals[site] = self._refusals.get(site, 0) + 1
            elif error_class is not ErrorClass.NETWORK:  # a site that answers, if only that a video is gone
                self._refusals[site] = 0
            return self._refusals.get(site, 0) >= IN_A_ROW

    def _rest(self, site: str) -> None:
        if self._sleep[1] > 0:
            self._free_at[site] = time.monotonic() + random.uniform(*self._sleep)
