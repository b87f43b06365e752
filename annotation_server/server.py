"""Visdom's server embedded in this process, hardened for a review.

It differs from a plain `visdom` in this: its web root is a copy with checked assets and two mended templates
(site-packages stay untouched); it binds before it reports ready; it answers only its own pages (same origin, known host
names on loopback); from a page's socket it takes nothing but pane events; and it serves the mosaics.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import ipaddress
import json
import logging
import os
import re
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tornado.httpserver
import tornado.netutil
import tornado.web
import tornado.websocket

from annotation_server import assets
from annotation_server.lean_visdom import STATIC, SocketHandler, VisSocketHandler, hash_password, visdom_app

ENV = "curate"  # the Visdom environment of the review
MOSAIC = re.compile(r"[0-9a-f]{32}-[0-9a-f]{8}\.mp4", re.ASCII)  # names of the files that are served
CLOSEUP = re.compile(r"(?P<token>[0-9a-f]{32})-(?P<position>\d{1,2})\.mp4", re.ASCII)
MAX_MESSAGE = 16 * 1024  # bytes; a pane event has about 200
START_SECONDS = 20.0
_STATIC = re.compile(r'^.*\{\{\s*static_url\(["\']([^"\']+)["\']\)\s*\}\}.*$', re.MULTILINE)


class ServerError(Exception):
    """The server cannot start; the message says why, in one line."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """What a curator types into Visdom's login page."""

    username: str
    password: str


def is_loopback(host: str) -> bool:
    """Whether an address to bind is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Server:
    """A running server on `host`:`port` (0: a free one), from `start` to `stop`. Serves the MP4 files in `media`.

    `closeup` makes a larger film of the clip at a position of a batch (by its token) and names the file in `media`;
    None where there is no such clip to be shown now. It is called in a thread of its own, one call at a time.
    """

    def __init__(
        self,
        media: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        login: Login | None = None,
        closeup: Callable[[str, int], Path | None] | None = None,
    ) -> None:
        if login is None and not is_loopback(host):
            raise ServerError(f"--host {host} can be reached by others, so it demands a login")
        self._media = media
        self._host = host
        self._wanted_port = port
        self._login = login
        self._closeup = closeup
        self.port = 0

    def start(self) -> Server:
        """Bind, and return once requests are answered.

        Raises `ServerError` if the address is taken, `AssetsError` if the browser assets cannot be had.
        """
        cached = assets.ensure()
        try:
            sockets = tornado.netutil.bind_sockets(self._wanted_port, self._host)
        except OSError as error:
            raise ServerError(f"cannot listen on {self._host}:{self._wanted_port}: {error.strerror or error}") from None
        self.port = sockets[0].getsockname()[1]
        self._scratch = tempfile.TemporaryDirectory(prefix="stillflow-visdom-")
        scratch = Path(self._scratch.name)
        _build_web_root(scratch / "web", cached)
        (scratch / "environments").mkdir()
        _quieten()
        _ensure_login_name()
        ready = threading.Event()
        failure: list[BaseException] = []

        async def boot() -> None:
            self._app = _Application(
                port=self.port,
                env_path=f"{scratch / 'environments'}/",
                web_root=scratch / "web",
                media=self._media,
                login=self._login,
                loopback=is_loopback(self._host),
                closeup=self._closeup,
            )
            self._http = tornado.httpserver.HTTPServer(self._app)
            self._http.add_sockets(sockets)

        def serve() -> None:
            asyncio.set_event_loop(self._loop)
            try:
                self._loop.run_until_complete(boot())
                ready.set()
                self._loop.run_forever()
            except BaseException as error:
                failure.append(error)
                ready.set()
                raise
            finally:
                self._loop.close()

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=serve, name="visdom-server", daemon=True)
        self._thread.start()
        if not ready.wait(START_SECONDS) or failure:
            raise ServerError(f"Visdom's server did not start: {failure[0] if failure else 'no answer'}")
        return self

    @property
    def address(self) -> str:
        """Where the review is; with a login, where the login page is (it leads on to the review)."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self._host, self._host)
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        return f"http://{host}:{self.port}/" + ("" if self._login else f"env/{ENV}")

    @property
    def dropped(self) -> int:
        """How many messages from pages were none that the review's page sends."""
        return self._app.dropped

    def stop(self) -> None:
        """Close all connections and end the server's thread."""

        async def halt() -> None:
            for connection in [*self._app.subs.values(), *self._app.sources.values()]:
                connection.close()
            self._http.stop()
            await self._http.close_all_connections()

        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(halt(), self._loop).result(5)
        self._app.closeups.shutdown(wait=True, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._scratch.cleanup()


def _build_web_root(folder: Path, cached: Path) -> None:
    shutil.copytree(STATIC, folder, ignore=shutil.ignore_patterns("*.map"))
    for asset in assets.ASSETS:
        target = folder / asset.target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cached / asset.target, target)
    index = folder / "index.html"
    # tornado from 6.6 on answers 403 to a static_url that leaves the static folder.
    text = index.read_text().replace('{{ static_url("../user/style.css") }}', '"user/style.css"')
    # The libraries for plots, maths and graphs are not there, and text panes do not need them.
    index.write_text(_STATIC.sub(lambda tag: tag[0] if (folder / tag[1]).is_file() else "", text))
    login = folder / "login.html"
    login.write_text(login.read_text().replace('replace("{{base_url}}")', f'replace("env/{ENV}")'))


def _ensure_login_name() -> None:
    """Visdom puts the login name into each page, and fails where the system knows none (as in some containers)."""
    try:
        getpass.getuser()
    except (OSError, KeyError):
        os.environ["LOGNAME"] = "curator"


def _quieten() -> None:
    # Their warnings are about connections that come and go, which a review is made to survive.
    for name in ("tornado.access", "tornado.application", "tornado.general", "visdom", "websocket"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _Application(visdom_app.Application):
    """Visdom's application with other settings, a guarded page socket, and the media route."""

    def __init__(
        self,
        *,
        port: int,
        env_path: str,
        web_root: Path,
        media: Path,
        login: Login | None,
        loopback: bool,
        closeup: Callable[[str, int], Path | None] | None,
    ) -> None:
        # Visdom reads these from its module when it is made; "debug", which it forces, must not restart the process.
        visdom_app.tornado_settings.update(
            static_path=str(web_root), template_path=str(web_root), autoreload=False, serve_traceback=False
        )
        super().__init__(port=port, env_path=env_path)  # type: ignore[no-untyped-call]
        if login is not None:
            # Visdom itself would want a cookie secret in the home folder.
            self.settings["cookie_secret"] = secrets.token_hex(32)
            twice: str = hash_password(hash_password(login.password))  # type: ignore[no-untyped-call]
            self.user_credential = {
                "username": login.username,
                "password": twice,
            }
            self.login_enabled = True
        self.loopback = loopback
        self.dropped = 0  # messages of pages that no page of ours sends
        self.closeup = closeup
        self.closeups = ThreadPoolExecutor(1, thread_name_prefix="closeups")
        self.add_handlers(
            r".*",
            [
                (r"/socket", _PageSocket, {"app": self}),
                (r"/vis_socket", _ClientSocket, {"app": self}),
                (r"/(?:vis_)?socket_wrap", tornado.web.ErrorHandler, {"status_code": 404}),
                (r"/mosaics/(.*)", _MosaicHandler, {"path": str(media), "app": self}),
                (r"/closeups/(.*)", _CloseupHandler, {"path": str(media), "app": self}),
            ],
        )

    def find_handler(self, request: Any, **kwargs: Any) -> Any:
        if not self._is_own(request):
            return self.get_handler_delegate(request, tornado.web.ErrorHandler, {"status_code": 403})
        return super().find_handler(request, **kwargs)

    def _is_own(self, request: Any) -> bool:
        """No other site's page may speak to this server through the curator's browser."""
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
            return False
        # On loopback the host name must be one too, else a foreign name that resolves to 127.0.0.1 would be let in.
        return not self.loopback or is_loopback(urlsplit(f"//{request.host}").hostname or "")


class _PageSocket(SocketHandler):
    """A page's socket: passes on pane events of panes that exist; anything else is dropped."""

    def check_origin(self, origin: str) -> bool:
        return tornado.websocket.WebSocketHandler.check_origin(self, origin)

    def on_message(self, message: str | bytes) -> None:
        accepted = self._accepted(message)
        if accepted is None:
            self.app.dropped += 1
        else:
            super().on_message(json.dumps(accepted))  # type: ignore[no-untyped-call]

    def _accepted(self, message: str | bytes) -> dict[str, Any] | None:
        if len(message) > MAX_MESSAGE:
            return None
        try:
            content = json.loads(message)
        except ValueError:
            return None
        match content:
            case {"cmd": "close", "data": str() as window, "eid": str() as env} if env in self.state:
                return {"cmd": "close", "data": window, "eid": env}
            case {
                "cmd": "forward_to_vis",
                "data": {"eid": str() as env, "target": str() as window, "key": str() as key},
            }:
                if env in self.state and window in self.state[env]["jsons"]:
                    # pane_data: else the pane's whole content would come back with each key.
                    event = {"event_type": "KeyPress", "eid": env, "target": window, "key": key, "pane_data": False}
                    return {"cmd": "forward_to_vis", "data": event}
        return None


class _ClientSocket(VisSocketHandler):
    """The Python client's socket; it only listens."""

    def check_origin(self, origin: str) -> bool:
        return tornado.websocket.WebSocketHandler.check_origin(self, origin)

    def on_message(self, message: str | bytes) -> None:
        """Nothing that a client sends is needed."""


class _MosaicHandler(tornado.web.StaticFileHandler):
    """The mosaics, by their own names alone, to those who are logged in."""

    def initialize(self, path: str, app: _Application) -> None:  # type: ignore[override]
        super().initialize(path)
        self._app = app

    def get_current_user(self) -> bytes | None:
        return self.get_signed_cookie("user_password") if self._app.login_enabled else b""

    async def get(self, path: str, include_body: bool = True) -> None:
        if self.current_user is None:
            raise tornado.web.HTTPError(403)
        if MOSAIC.fullmatch(path) is None:
            raise tornado.web.HTTPError(404)
        await super().get(path, include_body)

    def set_extra_headers(self, path: str) -> None:
        # Each is looked at once or twice, and this server is near: a cache of them would only grow.
        self.set_header("Cache-Control", "no-store")


class _CloseupHandler(_MosaicHandler):
    """A clip of the batch on screen, larger; made when it is asked for."""

    async def get(self, path: str, include_body: bool = True) -> None:
        if self.current_user is None:
            raise tornado.web.HTTPError(403)
        asked = CLOSEUP.fullmatch(path)
        if asked is None or self._app.closeup is None:
            raise tornado.web.HTTPError(404)
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(self._app.closeups, self._app.closeup, asked["token"], int(asked["position"]))
        if made is None:
            raise tornado.web.HTTPError(404)
        await tornado.web.StaticFileHandler.get(self, made.name, include_body)
