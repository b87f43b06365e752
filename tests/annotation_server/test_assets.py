"""The browser assets: only the pinned bytes, from wherever they can be had."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from annotation_server import assets
from annotation_server.assets import ASSETS, Asset, AssetsError, ensure, missing

CONTENT = {asset.source: f"content of {asset.source}".encode() for asset in ASSETS}


@pytest.fixture(autouse=True)
def _pinned_to_our_content(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = tuple(
        Asset(package=a.package, source=a.source, target=a.target, sha256=hashlib.sha256(CONTENT[a.source]).hexdigest())
        for a in ASSETS
    )
    monkeypatch.setattr(assets, "ASSETS", ours)


def _good(package: str, files: list[Asset]) -> dict[str, bytes]:
    return {asset.source: CONTENT[asset.source] for asset in files}


def _evil(package: str, files: list[Asset]) -> dict[str, bytes]:
    return {asset.source: b"alert(1)" for asset in files}


def _down(package: str, files: list[Asset]) -> dict[str, bytes]:
    raise AssetsError("npm could not fetch it (ENOTFOUND)")


def test_all_files_are_fetched_once_and_then_never_again(tmp_path: Path) -> None:
    calls = []

    def counted(package: str, files: list[Asset]) -> dict[str, bytes]:
        calls.append(package)
        return _good(package, files)

    assert ensure(tmp_path, [counted]) == tmp_path
    assert missing(tmp_path) == []
    assert sorted(calls) == sorted({asset.package for asset in ASSETS})
    ensure(tmp_path, [counted])
    assert len(calls) == len({asset.package for asset in ASSETS})


def test_a_changed_file_is_fetched_anew(tmp_path: Path) -> None:
    ensure(tmp_path, [_good])
    changed = tmp_path / ASSETS[0].target
    changed.write_bytes(b"alert(1)")
    ensure(tmp_path, [_good])
    assert changed.read_bytes() == CONTENT[ASSETS[0].source]


def test_other_bytes_than_pinned_are_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    with pytest.raises(AssetsError, match="another SHA-256 than the pinned one") as caught:
        ensure(tmp_path, [_evil])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert "python -m annotation_server.assets" in str(caught.value) and str(tmp_path) in str(caught.value)


def test_the_next_source_is_tried_where_one_fails_or_lies(tmp_path: Path) -> None:
    ensure(tmp_path / "a", [_down, _good])
    ensure(tmp_path / "b", [_evil, _good])
    with pytest.raises(AssetsError, match=r"ENOTFOUND.*SHA-256"):
        ensure(tmp_path / "c", [_down, _evil])


def test_without_npm_the_cdn_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(assets, "CDN", "http://127.0.0.1:9")  # the discard port: nobody answers
    with pytest.raises(AssetsError, match=r"http://127.0.0.1:9/\S+ could not be fetched") as caught:
        ensure(tmp_path)
    assert "npm could" not in str(caught.value)


def test_a_broken_npm_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "npm"
    fake.write_text("#!/bin/sh\necho 'npm error code ENETUNREACH' >&2\necho more >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssetsError, match=r"^npm could not fetch it \(npm error code ENETUNREACH\)$"):
        assets.from_npm("jquery@3.1.1", list(ASSETS[:1]))


def test_the_cache_folder_can_be_named_and_carries_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLFLOW_CACHE", str(tmp_path))
    assert assets.cache_folder() == tmp_path / "visdom-0.2.4"
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(assets, "CDN", "http://127.0.0.1:9")
    assert assets.main() == 1
