from pathlib import Path

import numpy as np
import pytest

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.faces.box_files import find_boxes, read_boxes

CSV = """frame,x0,y0,x1,y1,score
0,725.5,126,860.25,298,0.75

10, 1,2,3,4 ,1
10,-5,6,7,8,0.5
5,,,,,
"""
JSON = '{"0": [725.5, 126, 860.25, 298, 0.75], "5": [], "10": [[1, 2, 3, 4], [-5, 6, 7, 8, 0.5]]}'


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    for path in (write(tmp_path, "a.csv", CSV), write(tmp_path, "a.json", JSON)):
        boxes = read_boxes(path)
        assert list(boxes) == [0, 5, 10]
        assert boxes[0].boxes.tolist() == [[725.5, 126, 860.25, 298]]
        assert boxes[0].scores.tolist() == [0.75]
        assert boxes[5].boxes.shape == (0, 4)
        assert boxes[10].boxes.tolist() == [[1, 2, 3, 4], [-5, 6, 7, 8]]
        assert boxes[10].scores.tolist() == [1, 0.5]
        assert boxes[10].boxes.dtype == np.float32


def test_scores_and_byte_order_marks_may_be_there_or_not(tmp_path: Path) -> None:
    boxes = read_boxes(write(tmp_path, "a.csv", "\ufeffframe,x0,y0,x1,y1\r\n3,1,2,3,4\r\n"))
    assert boxes[3].scores.tolist() == [1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "0,1,2,3,4\n", "line 1: must be frame,x0,y0,x1,y1"),
        ("a.csv", "frame,x0,y0,x1,y1\n0,1,2,3,4\n1,1,2,3\n", "line 3: has 4 columns"),
        ("a.csv", "frame,x0,y0,x1,y1\n0,1,2,x,4\n", "line 2: has a cell that is not a number"),
        ("a.csv", "frame,x0,y0,x1,y1\n0,1,,3,4\n", "line 2: has a cell that is not a number"),
        ("a.csv", "frame,x0,y0,x1,y1\n-1,1,2,3,4\n", "line 2: '-1' is not the number of a frame"),
        ("a.csv", "frame,x0,y0,x1,y1\n1.5,1,2,3,4\n", "line 2: '1.5' is not the number of a frame"),
        ("a.csv", "frame,x0,y0,x1,y1\n0,3,2,1,4\n", "line 2: .* is not a box"),
        ("a.csv", "frame,x0,y0,x1,y1\n0,1,2,nan,4\n", "line 2: .* is not a box"),
        ("a.csv", "frame,x0,y0,x1,y1,score\n0,1,2,3,4,95\n", "line 2: .* is not a box"),
        ("a.csv", "frame,x0,y0,x1,y1\n0,1,2,3,4\n0,,,,\n", "line 3: frame 0 .* and without"),
        ("a.csv", 'frame,x0,y0,x1,y1\n0,1,2,3,"4\n', "line 2: is no CSV"),
        ("a.json", '{"0": [1, 2, 3, 4],\n"1": [1, 2', "line 2: is no JSON"),
        ("a.json", "[[1, 2, 3, 4]]", "must be of the form"),
        ("a.json", '{"0": [1, 2, 3]}', "frame '0': a box is"),
        ("a.json", '{"0": {"x": 1}}', "frame '0': a box is"),
        ("a.json", '{"0": [1, 2, 3, "4"]}', "frame '0': .* something else than numbers"),
        ("a.json", '{"0": [1, 2, 3, true]}', "frame '0': .* something else than numbers"),
        ("a.json", '{"0": [1, 2, NaN, 4]}', "frame '0': .* is not a box"),
        ("a.json", '{"first": [1, 2, 3, 4]}', "'first' is not the number of a frame"),
        ("a.json", '{"0": [1, 2, 3, 4], "0": []}', "frame '0': stands there twice"),
        ("a.json", '{"0": [], "00": []}', "frame '00': frame 0 .* twice without"),
        ("a.txt", "", "from .csv and .json files only"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_boxes(path)
    assert str(caught.value).startswith(str(path))


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.csv: cannot be read"):
        read_boxes(tmp_path / "missing.csv")
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"a\.csv, line 1: is not text in UTF-16-LE"):
        read_boxes(tmp_path / "a.csv")


def test_the_file_of_a_video_lies_at_the_same_place(tmp_path: Path) -> None:
    root, folder = tmp_path / "corpus", tmp_path / "boxes"
    video, frames = root / "real/videos/a.b.mp4", root / "real/frames/a.b"
    frames.mkdir(parents=True)
    for name in ("videos", "frames"):
        (folder / "real" / name).mkdir(parents=True)
    for wanted, place in ((video, folder / "real/videos"), (frames, folder / "real/frames")):
        with pytest.raises(ConfigurationError, match=r"neither a\.b\.csv and a\.b\.json is in"):
            find_boxes(folder, root, wanted)
        path = write(place, "a.b.csv", CSV)
        assert find_boxes(folder, root, wanted) == path
    write(folder / "real/videos", "a.b.json", JSON)
    with pytest.raises(ConfigurationError, match="both"):
        find_boxes(folder, root, video)
