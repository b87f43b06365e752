"""Errors are classed by what they come from, and each class has its policy."""

from __future__ import annotations

import errno
import pickle
import urllib.error
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path

import av
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UnsupportedError

from curation.classify import class_of_status, classify, parse_retry_after
from curation.errors import POLICIES, Action, ErrorClass, StageError, one_line


def http_error(status: int, **headers: str) -> urllib.error.HTTPError:
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return urllib.error.HTTPError("http://example.org/v", status, "reason", message, None)


def from_ytdlp(error: Exception) -> DownloadError:
    """As yt-dlp's report_error wraps what went wrong."""
    return DownloadError(f"ERROR: {error}", (type(error), error, None))


def test_every_class_has_a_policy() -> None:
    assert set(POLICIES) == set(ErrorClass)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Video unavailable. This video has been removed by the uploader", ErrorClass.GONE),
        (
            "Video unavailable. This video is no longer available because the account has been terminated",
            ErrorClass.GONE,
        ),
        ("Private video. Sign in if you've been granted access to this video", ErrorClass.PRIVATE),
        ("Video unavailable. This video is private", ErrorClass.PRIVATE),
        ("Join this channel to get access to members-only content", ErrorClass.PRIVATE),
        ("Sign in to confirm your age. This video may be inappropriate for some users.", ErrorClass.PRIVATE),
        ("The uploader has not made this video available in your country", ErrorClass.GEO),
        ("Sign in to confirm you\N{RIGHT SINGLE QUOTATION MARK}re not a bot. Use --cookies", ErrorClass.BOT_CHECK),
        ("Got HTTP Error 403 caused by Cloudflare anti-bot challenge", ErrorClass.BOT_CHECK),
        ("This content isn't available, try again later. The session has been rate-limited", ErrorClass.RATE_LIMITED),
        ("No video formats found!", ErrorClass.UNSUPPORTED),
        ("This video is DRM protected", ErrorClass.UNSUPPORTED),
        ("HTTP Error 503: Service Unavailable. Giving up after 3 retries", ErrorClass.NETWORK),
        ("12 bytes read, 99 more expected. Giving up after 3 retries", ErrorClass.NETWORK),
        ("Something that nobody has seen before", ErrorClass.UNKNOWN),
    ],
)
def test_what_sites_say(message: str, expected: ErrorClass) -> None:
    found = classify(from_ytdlp(ExtractorError(message, expected=True, ie="youtube", video_id="abc")))
    assert found.error_class is expected
    assert "youtube" not in found.message and "ERROR" not in found.message
    assert isinstance(found.__cause__, DownloadError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (GeoRestrictedError("Nope"), ErrorClass.GEO),
        (UnsupportedError("http://example.org/page"), ErrorClass.UNSUPPORTED),
        (ExtractorError("Unable to download", cause=http_error(410)), ErrorClass.GONE),
        (OSError(errno.ENOSPC, "No space left on device"), ErrorClass.DISK_FULL),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), ErrorClass.DISK_FULL),
        (TimeoutError("timed out"), ErrorClass.NETWORK),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), ErrorClass.NETWORK),
        (urllib.error.URLError(TimeoutError("timed out")), ErrorClass.NETWORK),
        (urllib.error.URLError(OSError(errno.ENOSPC, "No space left")), ErrorClass.DISK_FULL),
        (requests.ConnectionError("no route"), ErrorClass.NETWORK),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x"), ErrorClass.MISSING),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), ErrorClass.MISSING),
        (KeyError("formats"), ErrorClass.UNKNOWN),
        (ValueError("odd"), ErrorClass.UNKNOWN),
    ],
)
def test_types_and_their_causes(error: Exception, expected: ErrorClass) -> None:
    assert classify(error).error_class is expected
    assert classify(from_ytdlp(error)).error_class is expected


def test_a_cause_counts_when_the_outer_error_says_nothing() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as inner:
            raise RuntimeError("could not go on") from inner
    except RuntimeError as outer:
        assert classify(outer).error_class is ErrorClass.DISK_FULL


def test_words_in_addresses_and_identifiers_do_not_count() -> None:
    message = "Unable to download webpage http://example.org/private video/captcha-rate-limit.mp4: odd"
    error = ExtractorError(
        message.replace("private video", "x"), expected=True, ie="generic", video_id="geo-restricted"
    )
    assert classify(from_ytdlp(error)).error_class is ErrorClass.UNKNOWN


def test_pyav_errors(tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("this is no video")
    for path, expected in [
        (text, ErrorClass.CORRUPT),
        (tmp_path / "none.mp4", ErrorClass.MISSING),
        (tmp_path, ErrorClass.UNSUPPORTED),
    ]:
        with pytest.raises(av.error.FFmpegError) as raised:
            av.open(str(path))
        assert classify(raised.value).error_class is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, ErrorClass.PRIVATE),
        (403, ErrorClass.PRIVATE),
        (404, ErrorClass.GONE),
        (408, ErrorClass.NETWORK),
        (410, ErrorClass.GONE),
        (416, ErrorClass.UNSUPPORTED),
        (429, ErrorClass.RATE_LIMITED),
        (451, ErrorClass.GEO),
        (500, ErrorClass.NETWORK),
        (503, ErrorClass.NETWORK),
    ],
)
def test_http_statuses_of_all_libraries(status: int, expected: ErrorClass) -> None:
    response = requests.Response()
    response.status_code = status
    assert class_of_status(status) is expected
    assert classify(http_error(status)).error_class is expected
    assert classify(requests.HTTPError("failed", response=response)).error_class is expected
    assert classify(from_ytdlp(Exception(f"HTTP Error {status}: reason"))).error_class is expected


def test_retry_after_is_read_from_the_answer() -> None:
    assert classify(http_error(429, Retry_After="120")).retry_after == 120
    assert classify(from_ytdlp(http_error(503, Retry_After="7"))).retry_after == 7
    assert classify(http_error(429)).retry_after is None
    moment = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert parse_retry_after("Thu, 01 Jan 2026 12:00:30 GMT", moment) == 30
    assert parse_retry_after("Thu, 01 Jan 2026 11:00:00 GMT", moment) == 0
    assert parse_retry_after("soon") is None


@given(st.text(max_size=40))
def test_retry_after_takes_any_text(value: str) -> None:
    found = parse_retry_after(value)
    assert found is None or found >= 0


@given(st.sampled_from(list(ErrorClass)), st.integers(1, 2000), st.none() | st.floats(0, 1e6))
def test_pauses_grow_up_to_their_bound_and_obey_the_server(
    error_class: ErrorClass, tries: int, retry_after: float | None
) -> None:
    policy = POLICIES[error_class]
    pause = policy.pause(tries, retry_after)
    if policy.action is Action.GIVE_UP or (policy.tries is not None and tries >= policy.tries):
        assert pause is None
    else:
        assert pause is not None
        assert pause >= (retry_after or 0)
        assert pause <= max(policy.longest, retry_after or 0)
        later = policy.pause(tries + 1, retry_after)
        assert later is None or later >= pause


def test_network_pauses_double() -> None:
    policy = POLICIES[ErrorClass.NETWORK]
    assert [policy.pause(tries) for tries in (1, 2, 3, 4)] == [30, 60, 120, 240]
    with pytest.raises(ValueError, match="counts from 1"):
        policy.pause(0)


@given(st.text())
def test_one_line_is_one_short_line(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert len(line) <= 300


def test_stage_errors_read_well_and_travel_between_processes() -> None:
    error = StageError(ErrorClass.GONE, "removed\nlong ago", retry_after=3.0)
    assert str(error) == "gone: removed long ago"
    sent = pickle.loads(pickle.dumps(error))
    assert (sent.error_class, sent.message, sent.retry_after, str(sent)) == (
        ErrorClass.GONE,
        error.message,
        3.0,
        str(error),
    )
    assert classify(error) is error
