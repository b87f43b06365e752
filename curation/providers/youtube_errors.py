"""What the YouTube Data API means by an error: the allowance is spent, the key is no good, or it will pass."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from curation.classify import parse_retry_after
from curation.errors import one_line


class Kind(Enum):
    """What to do about an error."""

    QUOTA = auto()  # nothing left today
    STALE_TOKEN = auto()
    PASSING = auto()
    REFUSED = auto()


@dataclass(frozen=True, kw_only=True)
class ApiError:
    """An error of the API, and in one line what it says and what to do."""

    kind: Kind
    message: str
    retry_after: float | None = None


ENABLE = "enable 'YouTube Data API v3' for the key's project at https://console.cloud.google.com/apis/library"
RESTRICTED = "change the key's restrictions at https://console.cloud.google.com/apis/credentials"
NEW_KEY = "take the key from https://console.cloud.google.com/apis/credentials"
ADVICE = {
    "keyInvalid": NEW_KEY,
    "API_KEY_INVALID": NEW_KEY,
    "keyExpired": NEW_KEY,
    "accessNotConfigured": ENABLE,
    "SERVICE_DISABLED": ENABLE,
    "API_KEY_SERVICE_BLOCKED": RESTRICTED,
    "API_KEY_IP_ADDRESS_BLOCKED": RESTRICTED,
    "API_KEY_HTTP_REFERRER_BLOCKED": RESTRICTED,
    "ipRefererBlocked": RESTRICTED,
    "dailyLimitExceededUnreg": "the call came without a key; " + NEW_KEY,
}
SPENT = {"quotaExceeded", "dailyLimitExceeded"}
SLOWER = {"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}


def judge(status: int, content: bytes, retry_after: str | None = None) -> ApiError:
    """The meaning of an HTTP error, from its status and its JSON body, in the older or the newer form of Google's."""
    message, reasons, limits = _read(content)
    message = message or f"it answers with HTTP status {status}"
    wait = None if retry_after is None else parse_retry_after(retry_after)
    if status in (403, 429):
        # A day's allowance may also come as a 429 that names its limit.
        if reasons & SPENT or re.search(r"per ?day", f"{message} {limits}", re.IGNORECASE):
            return ApiError(kind=Kind.QUOTA, message=message)
        if status == 429 or reasons & SLOWER:
            return ApiError(kind=Kind.PASSING, message=message, retry_after=wait)
    if status >= 500 or status == 408:
        return ApiError(kind=Kind.PASSING, message=message, retry_after=wait)
    if status == 400 and ("invalidPageToken" in reasons or "page token" in message.lower()):
        return ApiError(kind=Kind.STALE_TOKEN, message=message)
    advice = next((text for reason, text in ADVICE.items() if reason in reasons), None)
    if advice is None and "api key" in message.lower():
        advice = NEW_KEY
    if advice is None and status == 404:
        advice = "check --api-endpoint"
    return ApiError(kind=Kind.REFUSED, message=message.rstrip(".") + (f"; {advice}" if advice else ""))


def _read(content: bytes) -> tuple[str, set[str], str]:
    """Message, reasons and names of limits in an error's body; all empty where it is no such JSON."""
    try:
        error: Any = json.loads(content)["error"]
        details = [part for part in (error.get("details") or []) if isinstance(part, dict)]
        listed = [part for part in (error.get("errors") or []) if isinstance(part, dict)]
        reasons = {str(part["reason"]) for part in [*listed, *details] if "reason" in part}
        limits = " ".join(str((part.get("metadata") or {}).get("quota_limit", "")) for part in details)
        return one_line(re.sub(r"<[^>]*>", "", str(error.get("message", "")))), reasons, limits
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", set(), ""
