"""Browser assets of Visdom's page: fetched once, checked against pinned hashes, kept in a cache folder.

Visdom 0.2.4 ships without the third-party scripts and styles that its page needs. They come from npm packages at exact
versions, or, without npm, from the CDN that Visdom itself uses; either way each file must have its pinned SHA-256.
`python -m annotation_server.assets` fetches them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

CDN = "https://unpkg.com"  # the one that Visdom's own download uses
CDN_SECONDS = 30.0
NPM_SECONDS = 120.0


class AssetsError(Exception):
    """The browser assets cannot be had; the message says why and what to do, in one line."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file of an npm package, and where Visdom's page looks for it."""

    package: str  # name@version
    source: str  # path in the package
    target: str  # path under static/
    sha256: str


_BOOTSTRAP = "bootstrap@3.3.7"
_GLYPHICONS = "fonts/glyphicons-halflings-regular"
# What text panes need (the plot, maths and graph libraries are left out), and sjcl for the login page.
ASSETS = (
    Asset(
        package="jquery@3.1.1",
        source="dist/jquery.min.js",
        target="js/jquery.min.js",
        sha256="85556761a8800d14ced8fcd41a6b8b26bf012d44a318866c0d81a62092efd9bf",
    ),
    Asset(
        package=_BOOTSTRAP,
        source="dist/js/bootstrap.min.js",
        target="js/bootstrap.min.js",
        sha256="53964478a7c634e8dad34ecc303dd8048d00dce4993906de1bacf67f663486ef",
    ),
    Asset(
        package=_BOOTSTRAP,
        source="dist/css/bootstrap.min.css",
        target="css/bootstrap.min.css",
        sha256="f75e846cc83bd11432f4b1e21a45f31bc85283d11d372f7b19accd1bf6a2635c",
    ),
    Asset(
        package=_BOOTSTRAP,
        source=f"dist/{_GLYPHICONS}.woff2",
        target=f"{_GLYPHICONS}.woff2",
        sha256="fe185d11a49676890d47bb783312a0cda5a44c4039214094e7957b4c040ef11c",
    ),
    Asset(
        package=_BOOTSTRAP,
        source=f"dist/{_GLYPHICONS}.woff",
        target=f"{_GLYPHICONS}.woff",
        sha256="a26394f7ede100ca118eff2eda08596275a9839b959c226e15439557a5a80742",
    ),
    Asset(
        package="layout-bin-packer@1.4.0",
        source="dist/layout-bin-packer.js",
        target="js/layout_bin_packer.js",
        sha256="312ed1834f78f497ac3c9e943ce4657679d26ad8cd62d7f722912d26c9d0ed29",
    ),
    Asset(
        package="react-resizable@1.4.6",
        source="css/styles.css",
        target="css/react-resizable-styles.css",
        sha256="7c9122a97c86b4be7839fd3d23c37d06aec1ece3ef830f8bae3a8c121056d528",
    ),
    Asset(
        package="react-grid-layout@0.16.3",
        source="css/styles.css",
        target="css/react-grid-layout-styles.css",
        sha256="4ec035a50c31ec008bab5794e88ef056043e63aaa8dcbb24d36e5a73780b4dbc",
    ),
    Asset(
        package="sjcl@1.0.7",
        source="sjcl.js",
        target="js/sjcl.js",
        sha256="d09a8688f37c7442bb1e6699b46efb191d9281ef05a492586fa0f54dc4e5110a",
    ),
)

# Yields the bytes of each asset of one package.
Fetcher = Callable[[str, list[Asset]], dict[str, bytes]]


def cache_folder() -> Path:
    """Where the assets of the installed Visdom are kept; `STILLFLOW_CACHE` names another parent folder."""
    parent = os.environ.get("STILLFLOW_CACHE") or Path.home() / ".cache" / "stillflow"
    return Path(parent) / f"visdom-{metadata.version('visdom')}"


def missing(folder: Path) -> list[Asset]:
    """The assets that are not in the folder with the right bytes."""
    return [asset for asset in ASSETS if _sha256_of(folder / asset.target) != asset.sha256]


def ensure(folder: Path | None = None, fetchers: list[Fetcher] | None = None) -> Path:
    """Fetch whatever is missing and return the folder with all assets.

    Raises `AssetsError` where neither npm nor the CDN gives the files, or gives other bytes than pinned.
    """
    folder = cache_folder() if folder is None else folder
    wanted = missing(folder)
    if not wanted:
        return folder
    if fetchers is None:
        fetchers = [from_cdn] if shutil.which("npm") is None else [from_npm, from_cdn]
    for package in sorted({asset.package for asset in wanted}):
        files = [asset for asset in wanted if asset.package == package]
        contents = _fetch(package, files, fetchers, folder)
        for asset in files:
            _write(folder / asset.target, contents[asset.source])
    return folder


def _fetch(package: str, files: list[Asset], fetchers: list[Fetcher], folder: Path) -> dict[str, bytes]:
    problems = []
    for fetcher in fetchers:
        try:
            contents = fetcher(package, files)
        except AssetsError as error:
            problems.append(str(error))
            continue
        wrong = [a.source for a in files if hashlib.sha256(contents[a.source]).hexdigest() != a.sha256]
        if not wrong:
            return contents
        problems.append(f"{wrong[0]} has another SHA-256 than the pinned one")
    raise AssetsError(
        f"{package}: {'; '.join(problems)}; with a network and npm, run: python -m annotation_server.assets "
        f"(or copy {folder} from a machine that has it)"
    )


def from_npm(package: str, files: list[Asset]) -> dict[str, bytes]:
    """The files out of the package's tarball, fetched by the npm client."""
    with tempfile.TemporaryDirectory(prefix="stillflow-npm-") as scratch:
        command = ["npm", "pack", "--silent", "--pack-destination", scratch, package]
        try:
            subprocess.run(command, cwd=scratch, check=True, capture_output=True, timeout=NPM_SECONDS)
            [tarball] = Path(scratch).glob("*.tgz")
            with tarfile.open(tarball) as archive:
                return {asset.source: _member(archive, f"package/{asset.source}") for asset in files}
        except subprocess.TimeoutExpired:
            raise AssetsError(f"npm did not answer within {NPM_SECONDS:.0f} s") from None
        except (OSError, subprocess.CalledProcessError, ValueError, KeyError, tarfile.TarError) as error:
            raise AssetsError(f"npm could not fetch it ({_first_line(error)})") from None


def from_cdn(package: str, files: list[Asset]) -> dict[str, bytes]:
    """The files one by one from the CDN."""
    contents = {}
    for asset in files:
        url = f"{CDN}/{package}/{asset.source}"
        try:
            with urllib.request.urlopen(url, timeout=CDN_SECONDS) as answer:
                contents[asset.source] = answer.read()
        except (urllib.error.URLError, OSError) as error:
            raise AssetsError(f"{url} could not be fetched ({_first_line(error)})") from None
    return contents


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is no file")
    return file.read()


def _first_line(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError) and error.stderr.strip():
        return str(error.stderr.decode(errors="replace").strip().splitlines()[0])
    return (str(error).splitlines() or [type(error).__name__])[0]


def _sha256_of(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def main() -> int:
    """Fetch the assets into the cache folder; 0 if they are all there."""
    folder = cache_folder()
    wanted = len(missing(folder))
    try:
        ensure(folder)
    except (AssetsError, OSError) as error:
        print(f"browser assets: {error}", file=sys.stderr)
        return 1
    print(f"browser assets: {len(ASSETS)} files in {folder} ({wanted} fetched, all hashes as pinned)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
