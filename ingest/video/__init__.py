"""Videos: what a file says about itself, where its clips begin and end, and what is stored of them."""

from ingest.video.clips import cut
from ingest.video.header import VideoHeader, probe_video
from ingest.video.store import store_video

__all__ = ["VideoHeader", "cut", "probe_video", "store_video"]
