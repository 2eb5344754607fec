import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_mtl.data.clip_positions import ClipPositions
from deepfake_mtl.errors import ConfigurationError

clip_positions = st.builds(ClipPositions, length=st.integers(1, 40), stride=st.integers(1, 6))


@given(clip_positions, st.integers(1, 300), st.integers(1, 12))
def test_spread_clips_lie_in_the_video_from_end_to_end(
    positions: ClipPositions, frames: int, count: int
) -> None:
    starts = positions.spread(frames, count)
    room = frames - positions.span
    assert len(starts) == count
    assert starts == sorted(starts)
    if room < 0:
        assert starts == [0] * count
        return
    gaps = np.diff(starts)
    assert np.ptp(gaps) <= 1 if count > 1 else starts == [room // 2]
    if count > 1:
        assert (starts[0], starts[-1] + positions.span) == (0, frames)
    for start in starts:
        assert start + positions.offsets(frames - start)[-1] < frames


@given(clip_positions, st.integers(1, 300))
def test_a_clip_takes_neighbours_at_its_stride_and_turns_at_the_ends(
    positions: ClipPositions, available: int
) -> None:
    offsets = positions.offsets(available).tolist()
    there = list(range(available))
    played = (there + there[-2:0:-1]) * (positions.span // available + 1)
    assert offsets == played[: positions.span : positions.stride]
    assert len(offsets) == positions.length
    if available >= positions.span:
        assert offsets[-1] - offsets[0] + 1 == positions.span


@pytest.mark.parametrize(("length", "stride"), [(0, 1), (8, 0)])
def test_a_clip_without_frames_is_refused(length: int, stride: int) -> None:
    with pytest.raises(ConfigurationError, match=f"clip_length is {length} and clip_stride"):
        ClipPositions(length, stride)
