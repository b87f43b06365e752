"""The footage server over real HTTP: ranges, heads, and each fault a downloader meets."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.demo.server import FootageServer, ServerFault, parse_range

BODY = bytes(range(256)) * 2000  # 512,000 bytes


@pytest.fixture
def server(tmp_path):
    (tmp_path / "a video.mp4").write_bytes(BODY)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.webm").write_bytes(b"webm")
    (tmp_path.parent / "secret.txt").write_text("outside")
    with FootageServer(tmp_path) as running:
        yield running
    assert running.errors == []


def fetch(server, path, method="GET", **headers):
    """(status, headers, body) without following anything."""
    connection = http.client.HTTPConnection(server.base_url.removeprefix("http://"), timeout=5)
    try:
        connection.request(method, server.url(path).removeprefix(server.base_url), headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_whole_file_with_its_type_and_length(server):
    status, headers, body = fetch(server, "a video.mp4")
    assert (status, body) == (200, BODY)
    assert headers["Content-Type"] == "video/mp4" and headers["Content-Length"] == str(len(BODY))
    assert headers["Accept-Ranges"] == "bytes"
    assert fetch(server, "deep/b.webm")[1]["Content-Type"] == "video/webm"
    assert fetch(server, "empty.mp4")[::2] == (200, b"")


def test_head_sends_no_body(server):
    status, headers, body = fetch(server, "a video.mp4", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(BODY)), b"")


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-99", slice(0, 100)),
        ("bytes=511990-", slice(511990, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=5-9999999", slice(5, None)),
    ],
)
def test_ranges(server, asked, part):
    status, headers, body = fetch(server, "a video.mp4", Range=asked)
    assert (status, body) == (206, BODY[part])
    start, stop, _ = part.indices(len(BODY))
    assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(BODY)}"


def test_range_outside_the_file_is_416(server):
    status, headers, _ = fetch(server, "a video.mp4", Range="bytes=512000-")
    assert (status, headers["Content-Range"]) == (416, "bytes */512000")


@given(st.binary(max_size=60), st.one_of(st.none(), st.integers(0, 80)), st.one_of(st.none(), st.integers(0, 80)))
def test_parsed_ranges_agree_with_slices(body, first, last):
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    if (first is None and last is None) or (first is not None and last is not None and last < first):
        assert parse_range(header, len(body)) is None
        return
    expected = (
        body[-last:]
        if first is None and last
        else body[first : None if last is None else last + 1]
        if first is not None
        else b""
    )
    if expected:
        low, high = parse_range(header, len(body))
        assert body[low : high + 1] == expected
    else:
        with pytest.raises(ValueError, match="range"):
            parse_range(header, len(body))


@pytest.mark.parametrize("header", [None, "", "bytes=", "bytes=a-b", "items=0-1", "bytes=0-1,4-5"])
def test_ranges_it_cannot_serve_mean_the_whole(header):
    assert parse_range(header, 10) is None


@pytest.mark.parametrize("path", ["nothing.mp4", "../secret.txt", "deep", ""])
def test_what_is_not_a_file_inside_the_folder_is_404(server, path):
    assert fetch(server, path)[0] == 404


@pytest.mark.parametrize("status", [403, 404, 410, 429, 500, 503])
def test_status_faults(server, status):
    server.set_fault("a video.mp4", ServerFault(status=status, retry_after=7))
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(server.url("a video.mp4"), timeout=5)
    assert caught.value.code == status and caught.value.headers["Retry-After"] == "7"
    caught.value.close()
    server.set_fault("a video.mp4", None)
    assert fetch(server, "a video.mp4")[0] == 200


def test_fault_that_ends_after_two_requests(server):
    server.set_fault("a video.mp4", ServerFault(status=503, times=2))
    assert [fetch(server, "a video.mp4")[0] for _ in range(3)] == [503, 503, 200]
    assert [r.status for r in server.requests] == [503, 503, 200]


def test_truncated_body(server):
    server.set_fault("a video.mp4", ServerFault(truncate=1000))
    with pytest.raises(http.client.IncompleteRead) as caught:
        fetch(server, "a video.mp4")
    assert caught.value.partial == BODY[:1000]


def test_wrong_type_and_body(server):
    page = b"<html>Sign in to confirm you are not a bot</html>"
    server.set_fault("a video.mp4", ServerFault(content_type="text/html", body=page))
    status, headers, body = fetch(server, "a video.mp4")
    assert (status, headers["Content-Type"], body) == (200, "text/html", page)
    server.set_fault("not there.mp4", ServerFault(body=b"x"))
    assert fetch(server, "not there.mp4")[::2] == (200, b"x")


def test_stall_before_the_answer_and_within_the_body(server):
    server.set_fault("deep/b.webm", ServerFault(stall=0.3))
    started = time.monotonic()
    assert fetch(server, "deep/b.webm")[2] == b"webm"
    assert time.monotonic() - started >= 0.3
    server.set_fault("a video.mp4", ServerFault(stall=0.3, stall_after=4096))
    with urllib.request.urlopen(server.url("a video.mp4"), timeout=5) as answer:
        started = time.monotonic()
        head = answer.read(4096)
        before = time.monotonic() - started
        rest = answer.read()
        assert head + rest == BODY and time.monotonic() - started >= 0.25 > before


def test_slow_link(server):
    server.set_fault("a video.mp4", ServerFault(bytes_per_second=100_000))
    started = time.monotonic()
    fetch(server, "a video.mp4", Range="bytes=0-39999")
    assert 0.3 < time.monotonic() - started < 2.0


def test_many_clients_at_once(server):
    bodies = []
    threads = [threading.Thread(target=lambda: bodies.append(fetch(server, "a video.mp4")[2])) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bodies) == 16 and all(body == BODY for body in bodies)


def test_closing_does_not_wait_for_stalled_clients_and_is_silent(tmp_path, capfd):
    (tmp_path / "a.mp4").write_bytes(BODY)
    with FootageServer(tmp_path, faults={"a.mp4": ServerFault(stall=60)}) as running:
        waiting = http.client.HTTPConnection(running.base_url.removeprefix("http://"), timeout=5)
        waiting.request("GET", "/a.mp4")
        idle = http.client.HTTPConnection(running.base_url.removeprefix("http://"), timeout=5)
        idle.connect()
        gone = http.client.HTTPConnection(running.base_url.removeprefix("http://"), timeout=5)
        gone.request("GET", "/a.mp4")
        gone.close()
        time.sleep(0.1)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    waiting.close()
    idle.close()
    with pytest.raises(OSError):
        urllib.request.urlopen(running.base_url, timeout=1)
    assert capfd.readouterr().err == "" and running.errors == []


def test_folder_that_is_none_and_faults_that_cannot_be(tmp_path):
    with pytest.raises(NotADirectoryError, match="not a folder"):
        FootageServer(tmp_path / "none")
    with pytest.raises(RuntimeError, match="not running"):
        _ = FootageServer(tmp_path).base_url
    for wrong in ({"status": 200}, {"bytes_per_second": 0}, {"stall": -1}):
        with pytest.raises(ValueError):
            ServerFault(**wrong)
