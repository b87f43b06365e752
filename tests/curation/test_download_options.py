"""What is passed through to yt-dlp arrives, bad values end the command before anything starts, secrets stay secret."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from yt_dlp.cookies import YoutubeDLCookieJar

from curation.commands import main
from curation.errors import ErrorClass
from curation.providers.cookies import check_cookies, cookie_stream, read_cookies
from curation.providers.web_settings import WebSettings
from curation.providers.ytdlp import WebFetcher
from db.engine import Catalogue
from db.models import Attempt, Video
from tests.curation.download_cases import add, attempts, fetch, files, row
from tests.curation.fault_server import FaultServer, Page

SECRET = "s3cret-cookie-value"
COOKIES = f"# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\t{SECRET}\n"


def call(catalogue: Catalogue, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["download", "--dataset", str(catalogue.folder), "--keep-free", "0", *arguments])


def everything_stored(catalogue: Catalogue) -> str:
    """All bytes of the dataset folder, its catalogue with them, and all rows of videos and attempts."""
    with catalogue.reading() as session:
        rows = [vars(each) for table in (Video, Attempt) for each in session.scalars(select(table))]
    texts = [path.read_bytes().decode("latin-1") for path in catalogue.folder.rglob("*") if path.is_file()]
    return str(rows) + "".join(texts)


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, object]]:
    """What the settings below become for yt-dlp."""
    web = WebSettings(
        max_height=480,
        network_retries=3,
        fragment_retries=7,
        timeout=4,
        sleep_requests=1.5,
        cookies=COOKIES,
        proxy="http://user:passw@localhost:3128",
    )
    yield WebFetcher(web, stop=threading.Event(), cache=tmp_path, rate=5000.0)._options()


def test_options_reach_yt_dlp(options: dict[str, object]) -> None:
    assert options["format"] == "bv*[height<=480][vcodec^=avc1]/bv*[height<=480]/b[height<=?480]"
    wanted = {"retries": 3, "fragment_retries": 7, "socket_timeout": 4, "sleep_interval_requests": 1.5}
    wanted |= {"ratelimit": 5000.0, "proxy": "http://user:passw@localhost:3128", "noplaylist": True}  # type: ignore[dict-item]
    assert {name: options[name] for name in wanted} == wanted
    assert set(options["retry_sleep_functions"]) == {"http", "fragment", "file_access", "extractor"}  # type: ignore[call-overload]


def test_yt_dlp_takes_these_options(options: dict[str, object]) -> None:
    from yt_dlp import YoutubeDL

    with YoutubeDL(options) as downloader:
        assert [(cookie.domain, cookie.value) for cookie in downloader.cookiejar] == [("127.0.0.1", SECRET)]
        assert downloader.proxies["all"] == "http://user:passw@localhost:3128"


def test_a_format_of_ones_own(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    assert WebSettings(format="worst").selection == "worst"
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie)))
    result = call(catalogue, "--format", "bv*[height>9999]")
    assert result.exit_code == 1 and "no format that --format selects" in result.output
    assert row(catalogue, video_id).error_class == ErrorClass.UNSUPPORTED
    assert call(catalogue, "--retry", "--format", "best").exit_code == 0


def test_cookies_are_sent_and_kept_secret(
    catalogue: Catalogue, server: FaultServer, movie: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "cookies.txt"
    path.write_text(COOKIES)
    add(catalogue, server.put("a.mp4", Page(body=movie)), server.put("b.mp4", Page(statuses=[404] * 9)))
    result = call(catalogue, "--cookies", str(path), "--json")
    assert json.loads(result.stdout)["downloaded"] == 1
    assert {asked.cookie for asked in server.asked} == {f"session={SECRET}"}
    assert path.read_text() == COOKIES, "the file is the person's"
    assert SECRET not in result.output + caplog.text + everything_stored(catalogue)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file"),
        ("", "holds no cookies"),
        ("# Netscape HTTP Cookie File\n", "holds no cookies"),
        ('[{"name": "session"}]', "JSON"),
        (f"{COOKIES}127.0.0.1 FALSE / FALSE 0 session {SECRET}\n", "line 3 has 1 fields"),
        (COOKIES.replace("\t0\t", f"\t{SECRET}\t"), "line 2 has no number"),
        ("\udcff\udcfe", "not UTF-8"),
    ],
)
def test_a_bad_cookie_file_is_a_usage_error(
    catalogue: Catalogue, server: FaultServer, tmp_path: Path, text: str | None, says: str
) -> None:
    add(catalogue, server.put("a.mp4", Page()))
    path = tmp_path / "cookies.txt"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    result = call(catalogue, "--cookies", str(path))
    assert result.exit_code == 2
    assert says in result.output and str(path) in result.output.replace("\n", "") and SECRET not in result.output
    assert server.asked == [] and attempts(catalogue) == []


def test_a_folder_is_no_cookie_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Is a directory"):
        read_cookies(tmp_path)


FIELDS = st.tuples(
    st.sampled_from(["example.org", ".example.org", "#HttpOnly_.a", "", "# a"]),
    st.sampled_from(["TRUE", "FALSE", "x"]),
    st.sampled_from(["/", "", "a"]),
    st.sampled_from(["TRUE", "FALSE"]),
    st.sampled_from(["", "0", "1999999999", "19.5", "soon", "-1"]),
    st.sampled_from(["name", ""]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
)
LINES = st.lists(FIELDS.map("\t".join) | st.text(alphabet="a\t# ", max_size=9), max_size=4).map("\n".join)


@settings(max_examples=300)
@given(LINES)
def test_whatever_passes_the_check_yt_dlp_reads_without_a_word(text: str) -> None:
    try:
        check_cookies(text)
    except ValueError:
        return
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        YoutubeDLCookieJar(cookie_stream(text)).load()
    assert said.getvalue() == ""


class _Proxy(BaseHTTPRequestHandler):
    """Fetches what it is asked for; keeps how it was asked."""

    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Proxy-Authorization")))
        with urlopen(self.path) as response:
            body = response.read()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", response.headers["Content-Type"])
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[tuple[int, list[tuple[str, str | None]]]]:
    seen: list[tuple[str, str | None]] = []
    handler = type("Handler", (_Proxy,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield running.server_port, seen
        running.shutdown()


def test_a_proxy_is_used_and_its_password_kept_secret(
    catalogue: Catalogue,
    server: FaultServer,
    movie: bytes,
    proxy: tuple[int, list[tuple[str, str | None]]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    port, seen = proxy
    url = server.put("a.mp4", Page(body=movie))
    (video_id,) = add(catalogue, url)
    result = call(catalogue, "--proxy", f"http://someone:pass-word1@127.0.0.1:{port}")
    assert result.exit_code == 0, result.output
    basic = "Basic " + base64.b64encode(b"someone:pass-word1").decode()
    assert {(path, sent) for path, sent in seen} == {(url, basic)}
    assert files(catalogue) == [f"{video_id}.mp4"]
    assert "pass-word1" not in result.output + caplog.text + everything_stored(catalogue)


def test_nobody_at_the_proxy(catalogue: Catalogue, server: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    (video_id,) = add(catalogue, server.put("a.mp4", Page()))
    result = call(catalogue, "--network-retries", "0", "--proxy", f"http://someone:pass-word1@127.0.0.1:{port}")
    assert result.exit_code == 1
    assert row(catalogue, video_id).error_class == ErrorClass.NETWORK and server.asked == []
    assert "pass-word1" not in result.output + caplog.text + everything_stored(catalogue)


@pytest.mark.parametrize(
    "proxy_url",
    ["", "localhost:3128", "ftp://host:1", "http://", "http://u:p4ssw0rd@host:none", "http://u:p4ssw0rd@h o"],
)
def test_a_malformed_proxy_is_a_usage_error(catalogue: Catalogue, proxy_url: str) -> None:
    result = call(catalogue, "--proxy", proxy_url)
    assert result.exit_code == 2 and "proxy must be an address" in result.output and "p4ssw0rd" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sleep", "x"],
        ["--sleep", "9-3"],
        ["--sleep", "-1"],
        ["--sleep", "1-inf"],
        ["--rate-limit", "0"],
        ["--rate-limit", "fast"],
        ["--rate-limit", "-5K"],
        ["--format", " "],
        ["--fragment-retries", "-1"],
        ["--cookies-from-browser", "lynx"],
        ["--cookies", "a.txt", "--cookies-from-browser", "firefox"],
    ],
)
def test_bad_values_are_usage_errors(catalogue: Catalogue, arguments: list[str]) -> None:
    result = call(catalogue, *arguments)
    assert result.exit_code == 2 and "Traceback" not in result.output


def test_no_such_browser_on_this_machine(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    result = call(catalogue, "--cookies-from-browser", "firefox")
    assert result.exit_code == 2 and "cookies of firefox could not be read" in result.output


@given(
    user=st.text(alphabet="abc:@%/ü", min_size=1, max_size=8),
    password=st.text(min_size=4, max_size=12),
    noise=st.text(),
)
def test_secrets_are_hidden_in_any_form(user: str, password: str, noise: str) -> None:
    from urllib.parse import quote

    given_as = f"{quote(user, safe='')}:{quote(password, safe='')}"
    web = WebSettings(proxy=f"http://{given_as}@host:1", cookies=COOKIES)
    plain = f"{user}:{password}"
    for form in (password, given_as, plain, base64.b64encode(plain.encode()).decode(), SECRET):
        hidden = web.hide(f"<{form}>")
        assert form not in hidden
    assert SECRET not in repr(web) and given_as not in repr(web)


def test_a_rate_limit_holds_for_all_workers_together(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    names = [f"{number}.mp4" for number in range(2)]
    add(catalogue, *(server.put(name, Page(body=movie)) for name in names))
    import time

    begun = time.monotonic()
    assert len(fetch(catalogue, workers=2, rate_limit=len(movie)).done) == 2
    assert time.monotonic() - begun > 1.0, "two videos at one a second"


def test_videos_of_one_site_are_kept_apart(
    catalogue: Catalogue, server: FaultServer, movie: bytes, make_video: object, tmp_path: Path
) -> None:
    from tests.curation.fault_server import serving

    with serving() as other:
        mine = [server.put(f"{number}.mp4", Page(body=movie)) for number in range(3)]
        others = [other.put(f"{number}.mp4", Page(body=movie)) for number in range(2)]
        add(catalogue, *mine, *others)
        report = fetch(catalogue, workers=4, sleep=(0.4, 0.5))
        assert len(report.done) == 5
        with catalogue.reading() as session:
            begun = session.execute(select(Video.source, Attempt.started_at).join(Attempt, Attempt.item_id == Video.id))
            moments = {source: started.timestamp() for source, started in begun}
        for urls in (mine, others):
            assert all(later - earlier >= 0.4 for earlier, later in pairwise(sorted(moments[url] for url in urls)))
        # The sites did not wait for each other.
        assert min(moments[url] for url in others) < max(moments[url] for url in mine)


@pytest.mark.parametrize("option", [{"max_filesize": 1000}, {"match_filter": lambda info, *, incomplete: "no"}])
def test_a_call_that_ends_without_a_file_is_not_done(
    catalogue: Catalogue,
    server: FaultServer,
    movie: bytes,
    monkeypatch: pytest.MonkeyPatch,
    option: dict[str, object],
) -> None:
    plain = WebFetcher._options
    monkeypatch.setattr(WebFetcher, "_options", lambda self: plain(self) | option)
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie)))
    report = fetch(catalogue)
    assert report.done == [] and [failed.error.error_class for failed in report.failed] == [ErrorClass.UNKNOWN]
    assert "without a file" in str(row(catalogue, video_id).error)
    assert files(catalogue) == []


def test_an_archive_hit_is_not_done(
    catalogue: Catalogue, server: FaultServer, movie: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = WebFetcher._options
    url = server.put("a.mp4", Page(body=movie))
    monkeypatch.setattr(WebFetcher, "_options", lambda self: plain(self) | {"download_archive": {"generic a"}})
    add(catalogue, url)
    report = fetch(catalogue)
    assert report.done == [] and len(report.failed) == 1
