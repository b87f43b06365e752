"""How videos are fetched from the web: the options that are yt-dlp's own, checked before anything starts."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote, unquote, urlsplit

from curation.providers.cookies import check_cookies, cookie_values

PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
HIDDEN = "***"
SHORTEST_COOKIE = 8  # characters; hiding each "1" of a message would hide its sense


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """How to fetch from the web. `cookies` and `proxy` hold secrets: they are never shown, and `hide` removes them."""

    format: str | None = None  # yt-dlp's selection; None: the usual one
    max_height: int = 360  # lines, for the usual format
    network_retries: int = 5  # of the media, after a broken connection
    fragment_retries: int | None = None  # of one fragment; None: as `network_retries`
    timeout: float = 20.0  # s without a byte
    sleep_requests: float = 0.0  # s between the requests for one page
    rate_limit: float | None = None  # bytes a second, of all workers of a call together
    cookies: str | None = field(default=None, repr=False)  # the text of a Netscape cookie file
    proxy: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.format is not None and not self.format.strip():
            raise ValueError("format must be a format selection of yt-dlp, not empty")
        if self.max_height < 16:
            raise ValueError(f"max_height must be at least 16, not {self.max_height}")
        if self.network_retries < 0:
            raise ValueError(f"network_retries must be at least 0, not {self.network_retries}")
        if self.fragment_retries is not None and self.fragment_retries < 0:
            raise ValueError(f"fragment_retries must be at least 0, not {self.fragment_retries}")
        if not self.timeout > 0:
            raise ValueError(f"timeout must be more than 0 s, not {self.timeout}")
        if not self.sleep_requests >= 0:
            raise ValueError(f"sleep_requests must be at least 0 s, not {self.sleep_requests}")
        if self.rate_limit is not None and not self.rate_limit > 0:
            raise ValueError(f"rate_limit must be more than 0 bytes a second, not {self.rate_limit}")
        if self.cookies is not None:
            check_cookies(self.cookies)
        if self.proxy is not None:
            _check_proxy(self.proxy)

    @property
    def selection(self) -> str:
        """yt-dlp's format selection: pictures only where they come alone, H.264 first, as it decodes fastest."""
        if self.format is not None:
            return self.format
        height = f"[height<={self.max_height}]"
        return f"bv*{height}[vcodec^=avc1]/bv*{height}/b[height<=?{self.max_height}]"

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown, in all the forms in which libraries write it; longest first."""
        found = {value for value in cookie_values(self.cookies or "") if len(value) >= SHORTEST_COOKIE}
        if self.proxy is not None:
            user, _, _ = urlsplit(self.proxy).netloc.rpartition("@")
            name, _, password = user.partition(":")
            plain = f"{unquote(name)}:{unquote(password)}"
            found |= {user, plain, password, unquote(password), quote(unquote(password), safe="")}
            found.add(base64.b64encode(plain.encode()).decode())
        return tuple(sorted(filter(None, found), key=len, reverse=True))

    def hide(self, text: str) -> str:
        """A message without the secrets in it."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text


def _check_proxy(proxy: str) -> None:
    """Raise `ValueError`, which does not repeat the password."""
    try:
        parts = urlsplit(proxy)
        bad = parts.scheme.lower() not in PROXY_SCHEMES or not parts.hostname or parts.port == 0
    except ValueError:
        bad = True
    if bad or any(c.isspace() for c in proxy) or not proxy.isprintable() or parts.path not in ("", "/"):
        raise ValueError(
            f"proxy must be an address such as http://host:port or socks5://user:password@host:port "
            f"(of {', '.join(PROXY_SCHEMES)})"
        )
