"""What a download brought, checked and in its place, and how it becomes the video's row."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from sqlalchemy import update
from sqlalchemy.orm import Session

from curation.downloading.sections import Source
from curation.probe import VideoInfo
from curation.providers.found import Details, Fetched
from db.models import Clip, Section, Video


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A whole video. `stored` is its path as the catalogue keeps it."""

    stored: str
    sha256: str
    bytes: int
    info: VideoInfo
    fetched: Fetched
    whole_because: str | None = None  # sections were wanted, and could not be had alone

    @property
    def own_files(self) -> list[str]:
        """The files in the dataset folder that go with the video."""
        return [] if self.fetched.stays else [self.stored]

    def fill(self, session: Session, video: Video) -> None:
        """Copy what is known now into the video's row."""
        video.path, video.sha256, video.bytes = self.stored, self.sha256, self.bytes
        video.duration, video.fps, video.frames = float(self.info.duration), self.info.fps, self.info.frames
        _describe(video, self.info, self.fetched)
        # Where sections were fetched before, the whole file now holds their clips, at the same times.
        mine = Section.video_id == video.id
        session.execute(update(Section).where(mine).values(path=None, sha256=None, bytes=None, first_pts=None))
        session.execute(
            update(Clip).where(Clip.video_id == video.id, Clip.section_index.is_not(None)).values(section_index=None)
        )


@dataclass(frozen=True, kw_only=True)
class CheckedSection:
    """One section; `stored` None: the video has no frames there."""

    index: int
    start: float  # s from the video's first frame
    end: float
    stored: str | None
    sha256: str | None
    bytes: int | None


@dataclass(frozen=True, kw_only=True)
class CheckedSections:
    """The sections of a video that were fetched now; `bytes` came over the network for them."""

    sections: tuple[CheckedSection, ...]
    source: Source
    info: VideoInfo  # of one of the sections
    details: Details
    bytes: int
    whole_because: None = None

    @property
    def own_files(self) -> list[str]:
        """The files in the dataset folder that go with the video."""
        return [section.stored for section in self.sections if section.stored is not None]

    def fill(self, session: Session, video: Video) -> None:
        """Copy what is known now into the rows of the video and its sections."""
        video.path = video.sha256 = video.bytes = None
        video.duration, video.fps, video.frames = float(self.source.duration), self.source.fps, self.source.frames
        _describe(video, self.info, self.details)
        for section in self.sections:
            session.merge(
                Section(
                    video_id=video.id,
                    index=section.index,
                    start=section.start,
                    end=section.end,
                    first_pts=self.source.first_pts,
                    path=section.stored,
                    sha256=section.sha256,
                    bytes=section.bytes,
                )
            )


def _describe(video: Video, info: VideoInfo, details: Details) -> None:
    video.width, video.height, video.codec = info.width, info.height, info.codec
    video.title = details.title or video.title
    video.channel = details.channel or video.channel
    video.channel_id = details.channel_id or video.channel_id
    video.published_at = details.published_at or video.published_at
    video.licence = details.licence or video.licence
    video.licence_checked_at = details.licence_checked_at or video.licence_checked_at
    video.tools = {"stillflow": version("stillflow"), "av": version("av"), **details.tools}
