"""One video on its way: frames, views of faces, clips, scores."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from deepfake_mtl.data.video import Frame
from deepfake_mtl.faces.tracks import TrackSettings
from deepfake_mtl.inference.clips import Clip, ClipBuffer, ClipScorer, Scored
from deepfake_mtl.inference.face_track import FaceTrack, TopClips
from deepfake_mtl.inference.views import View, Views

_WITH_TOP_CLIPS: Final = 12
"""Number of faces whose clips are kept to be shown, so that memory is bounded."""


class Pipeline:
    """Turns the frames of one video into scored face tracks; decodes nothing twice.

    Args:
        views: Turns frames into views of faces.
        buffer: Makes an empty buffer of clips for a face that appears.
        scorer: Scores clips.
        tracking: Decides which clips show a face too badly to be scored; None scores all.
        keep_squares: Whether tracks keep where their face is in every frame.

    Attributes:
        tracks: Face tracks by number of the face, in the order of appearance.
        times: When each frame is shown, in seconds; nan where the file does not tell.
        interlaced: Number of frames that consist of two fields.
    """

    def __init__(
        self,
        views: Views,
        buffer: Callable[[], ClipBuffer],
        scorer: ClipScorer,
        tracking: TrackSettings | None,
        *,
        keep_squares: bool,
    ) -> None:
        self.tracks: dict[int, FaceTrack] = {}
        self.times: list[float] = []
        self.interlaced = 0
        self._views = views
        self._buffer = buffer
        self._scorer = scorer
        self._tracking = tracking
        self._keep_squares = keep_squares
        self._buffers: dict[int, ClipBuffer] = {}

    def run(self, frames: Iterable[Frame], progress: Callable[[int], None]) -> None:
        """Score the faces of a video.

        Args:
            frames: Frames of the video, from the first to the last.
            progress: Told the number of frames that are done.

        Raises:
            CheckpointError: The network gives numbers that are not finite.
        """
        for time, views in self._views.views(self._counted(frames)):
            self.times.append(time)
            present = {view.face for view in views}
            for gone in [face for face in self._buffers if face not in present]:
                self._score(self._buffers.pop(gone).close())
            for view in views:
                self._see(view)
            progress(len(self.times))
        for buffer in self._buffers.values():
            self._score(buffer.close())
        self._take(self._scorer.flush())

    def _counted(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self.interlaced += frame.is_interlaced
            yield frame

    def _see(self, view: View) -> None:
        if view.face not in self.tracks:
            self.tracks[view.face] = FaceTrack(view.face, view.number, view.number)
        if view.face not in self._buffers:
            self._buffers[view.face] = self._buffer()
        self.tracks[view.face].see(view, keep_square=self._keep_squares)
        self._score(self._buffers[view.face].push(view))

    def _score(self, clips: Iterable[Clip]) -> None:
        tracking = self._tracking
        for clip in clips:
            if tracking is not None and (
                clip.side < tracking.least_side
                or (clip.found is not None and clip.found < tracking.least_found)
            ):
                self.tracks[clip.face].skipped += 1
            else:
                self._take(self._scorer.push(clip))

    def _take(self, scored: Iterable[Scored]) -> None:
        for each in scored:
            self.tracks[each[0].face].take(each, self.times)
            self._forget_clips()

    def _forget_clips(self) -> None:
        """Keep clips to be shown of the faces with the highest scores only."""
        shown = {
            track.face: track.top.highest[0][0].score
            for track in self.tracks.values()
            if track.top.highest
        }
        if len(shown) > _WITH_TOP_CLIPS:
            self.tracks[min(shown, key=lambda face: shown[face])].top = TopClips()
