"""Cut the same square around the mouth out of all videos of GRID's first speaker, who sits still; sound is left out.

    python grid_mouths.py GRID OUT

Writes OUT/clips/NAME.mp4 of 48 x 48 pixels (of 192 x 152), with the frames' times as they were, and copies clips.jsonl.
"""

import shutil
import sys
from pathlib import Path

import av

LEFT, TOP, SIDE = 68, 88, 48


def cut(source: Path, target: Path) -> None:
    """Write the square of one video."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        video = read.streams.video[0]
        stream = written.add_stream("libx264", rate=video.average_rate, options={"crf": "8", "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt, stream.time_base = SIDE, SIDE, "yuv420p", video.time_base
        for frame in read.decode(video):
            square = frame.to_ndarray(format="rgb24")[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
            small = av.VideoFrame.from_ndarray(square.copy(), format="rgb24")
            small.pts, small.time_base = frame.pts, frame.time_base
            written.mux(stream.encode(small))
        written.mux(stream.encode())


def main(source: Path, out: Path) -> None:
    """Cut all videos."""
    (out / "clips").mkdir(parents=True, exist_ok=True)
    for path in sorted((source / "clips").glob("*.mp4")):
        cut(path, out / "clips" / path.name)
    shutil.copy(source / "clips.jsonl", out / "clips.jsonl")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
