"""The embedded server: what it serves, to whom, and what it takes."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

from annotation_server.assets import AssetsError, ensure
from annotation_server.display import GRID, STATUS, Display, DisplayError, Lost
from annotation_server.events import Stop
from annotation_server.lean_visdom import STATIC
from annotation_server.server import ENV, Login, Server, ServerError, is_loopback

TOKEN = "0123456789abcdef" * 2
MOSAIC = f"{TOKEN}-12345678.mp4"


@pytest.fixture(scope="module", autouse=True)
def _assets() -> None:
    try:
        ensure()
    except AssetsError as error:
        pytest.skip(f"no browser assets: {error}")


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    (folder / MOSAIC).write_bytes(bytes(range(256)) * 8)
    (folder / "secret.txt").write_text("secret")
    (folder.parent / "outside.mp4").write_bytes(b"secret")
    return folder


@pytest.fixture(scope="module")
def server(media: Path) -> Iterator[Server]:
    started = Server(media).start()
    yield started
    started.stop()


def _ask(
    server: Server, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_the_page_asks_for_nothing_that_is_not_there(server: Server) -> None:
    status, body, _ = _ask(server, f"/env/{ENV}")
    assert status == 200
    addresses = re.findall(r'(?:src|href)=["\']?([^"\' >]+)', body.decode())
    assert any("main.js" in address for address in addresses)
    for address in addresses:
        if not address.startswith(("http", "favicon")):
            assert _ask(server, urllib.parse.urljoin(f"/env/{ENV}", address))[0] == 200, address
    assert b"plotly-plotly" not in body


def test_site_packages_stay_as_they_were(server: Server) -> None:
    record = {path.relative_to(STATIC): path.read_bytes() for path in STATIC.rglob("*") if path.is_file()}
    assert b'static_url("../user/style.css")' in record[Path("index.html")]
    assert not (STATIC / "js" / "jquery.min.js").exists() and not (STATIC / "version.built").exists()


def test_mosaics_are_served_whole_and_in_part(server: Server, media: Path) -> None:
    whole = (media / MOSAIC).read_bytes()
    status, body, headers = _ask(server, f"/mosaics/{MOSAIC}")
    assert (status, body, headers["Content-Type"]) == (200, whole, "video/mp4")
    status, body, _ = _ask(server, f"/mosaics/{MOSAIC}", Range="bytes=5-9")
    assert (status, body) == (206, whole[5:10])


@pytest.mark.parametrize(
    "path",
    [
        "secret.txt",
        "../outside.mp4",
        "..%2foutside.mp4",
        "%2e%2e/outside.mp4",
        "....//outside.mp4",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "..\\outside.mp4",
        "",
        ".",
        f"{TOKEN}-12345678.mp4/../secret.txt",
        f"{TOKEN}-12345678.mp4%00.txt",
        "a" * 5000,
    ],
)
def test_nothing_else_is_served(server: Server, path: str) -> None:
    status, body, _ = _ask(server, f"/mosaics/{path}")
    assert status in (400, 403, 404)
    assert b"secret" not in body and b"root:" not in body


def test_other_sites_and_foreign_host_names_are_turned_away(server: Server) -> None:
    own = f"127.0.0.1:{server.port}"
    assert _ask(server, "/", Origin=f"http://{own}")[0] == 200
    assert _ask(server, "/", Host=f"localhost:{server.port}")[0] == 200
    assert _ask(server, "/", Host="localhost:9000")[0] == 200, "a tunnel may have another port"
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{server.port + 1}"):
        assert _ask(server, "/events", "POST", "{}", Origin=origin)[0] == 403, origin
    assert _ask(server, "/", Host="evil.example")[0] == 403
    for path in ("socket", "vis_socket"):
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            websocket.create_connection(f"ws://{own}/{path}", origin="http://evil.example")


def test_the_polling_sockets_are_closed(server: Server) -> None:
    assert _ask(server, "/socket_wrap")[0] == 404
    assert _ask(server, "/vis_socket_wrap", "POST", "{}")[0] == 404


@pytest.fixture
def display(server: Server) -> Iterator[Display]:
    made = Display(server.address.split("/env/")[0], ENV)
    made.show(STATUS, "status")
    made.show(GRID, "grid")
    yield made
    made.close()


def _page(server: Server) -> websocket.WebSocket:
    connection = websocket.create_connection(f"ws://127.0.0.1:{server.port}/socket", timeout=10)
    connection.recv()
    return connection


def _send(connection: websocket.WebSocket, key: Any, env: Any = ENV, target: Any = STATUS, **more: Any) -> None:
    data = {"event_type": "KeyPress", "key": key, "target": target, "eid": env, **more}
    connection.send(json.dumps({"cmd": "forward_to_vis", "data": data}))


def test_junk_over_the_socket_does_nothing(server: Server, display: Display, tmp_path: Path) -> None:
    connection = _page(server)
    before = display.junk
    for _ in range(50):
        for message in (
            "",
            "{",
            "[]",
            "null",
            "7",
            '"x"',
            "{}",
            '{"cmd": 7}',
            '{"cmd": "close"}',
            '{"cmd": "close", "data": {}, "eid": []}',
            '{"cmd": "close", "data": "grid", "eid": "elsewhere"}',
            '{"cmd": "forward_to_vis"}',
            '{"cmd": "forward_to_vis", "data": 7}',
            json.dumps({"cmd": "delete_env", "eid": ENV}),
            json.dumps({"cmd": "save", "data": {}, "prev_eid": ENV, "eid": "../../x"}),
            json.dumps({"cmd": "save_layouts", "data": "x" * 100}),
            json.dumps({"cmd": "layout_item_update", "eid": "nowhere", "win": "x"}),
            json.dumps({"cmd": "pop_embeddings_pane", "data": {"eid": ENV, "target": GRID}}),
            "x" * 100_000,
        ):
            connection.send(message)
        _send(connection, "x" * 20_000)
        _send(connection, None)
        _send(connection, "Enter", env="elsewhere")
        _send(connection, "Enter", target="nowhere")
        _send(connection, f"stop:{TOKEN}", target=[STATUS])
    _send(connection, "Enter")
    _send(connection, f"stop:{TOKEN}", pane_data=True)
    # The one event that counts arrives, nothing before it did, and the connection still stands.
    assert display.next_event(10) == Stop(token=TOKEN)
    assert display.junk == before + 1
    assert connection.connected
    assert _ask(server, f"/env/{ENV}")[0] == 200
    connection.close()


def test_a_closed_pane_is_reported(server: Server, display: Display) -> None:
    connection = _page(server)
    connection.send(json.dumps({"cmd": "close", "data": GRID, "eid": ENV}))
    assert display.next_event(10) == Lost()
    connection.close()


def test_with_a_login_nothing_is_served_without_it(media: Path) -> None:
    server = Server(media, login=Login(username="ada", password="pass word")).start()
    try:
        assert server.address == f"http://127.0.0.1:{server.port}/"
        status, body, _ = _ask(server, "/")
        assert status == 200 and b"Visdom Login" in body and f'replace("env/{ENV}")'.encode() in body
        assert _ask(server, f"/mosaics/{MOSAIC}")[0] == 403
        assert _ask(server, f"/env/{ENV}")[0] == 400
        assert _ask(server, "/events", "POST", "{}")[0] == 400
        connection = websocket.create_connection(f"ws://127.0.0.1:{server.port}/socket", timeout=10)
        with pytest.raises(websocket.WebSocketConnectionClosedException):
            for _ in range(3):
                connection.send("{}")
                if not connection.recv():
                    raise websocket.WebSocketConnectionClosedException
        wrong = json.dumps({"username": "ada", "password": hashlib.sha256(b"guess").hexdigest()})
        assert _ask(server, "/", "POST", wrong)[0] == 400
        right = json.dumps({"username": "ada", "password": hashlib.sha256(b"pass word").hexdigest()})
        status, _, headers = _ask(server, "/", "POST", right)
        assert status == 200
        cookie = headers["Set-Cookie"].split(";")[0]
        assert _ask(server, f"/mosaics/{MOSAIC}", Cookie=cookie)[0] == 200
        display = Display(server.address, ENV, username="ada", password="pass word")
        display.show(STATUS, "hello")
        assert b"'curate'" in _ask(server, f"/env/{ENV}", Cookie=cookie)[1]
        display.close()
        with pytest.raises(DisplayError, match="Authentication failed"):
            Display(server.address, ENV, username="ada", password="guess")
    finally:
        server.stop()


def test_an_address_in_use_and_an_open_host_are_told_clearly(media: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"^cannot listen on 127.0.0.1:{port}: Address already in use$"):
            Server(media, port=port).start()
    with pytest.raises(ServerError, match="demands a login"):
        Server(media, host="0.0.0.0")
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "10.0.0.1", "box")] == [
        *[True] * 3,
        *[False] * 4,
    ]


def test_a_server_address_that_is_none_is_told_clearly() -> None:
    with pytest.raises(DisplayError, match="is not the address of a Visdom server"):
        Display("localhost", ENV)
    with pytest.raises(DisplayError, match=r"no Visdom server answers at http://127\.0\.0\.1:9"):
        Display("http://127.0.0.1:9", ENV)
