"""How a call downloads: the web's options, and what is ours."""

from __future__ import annotations

from dataclasses import dataclass

from curation.cutting.plan import CutRecipe
from curation.providers.web_settings import WebSettings


@dataclass(frozen=True, kw_only=True)
class DownloadSettings(WebSettings):
    """How to download. `keep_free` are bytes of disk that are never used up."""

    workers: int = 4
    keep_free: int = 256_000_000
    retry: bool = False  # failed videos too, whatever their error and its pause
    limit: int | None = None  # videos in this call
    sleep: tuple[float, float] = (0.0, 0.0)  # s between two videos of one site: at least, at most
    sections: CutRecipe | None = None  # fetch only what this plans of long videos

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}")
        if self.keep_free < 0:
            raise ValueError(f"keep_free must be at least 0 bytes, not {self.keep_free}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, not {self.limit}")
        if not 0 <= self.sleep[0] <= self.sleep[1]:
            raise ValueError(f"sleep must be MIN-MAX seconds from 0 on, not {self.sleep[0]:g}-{self.sleep[1]:g}")
