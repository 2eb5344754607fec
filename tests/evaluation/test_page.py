import base64
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.evaluation import Example, Prediction
from deepfake_mtl.evaluation.frames import frames_as_png
from deepfake_mtl.evaluation.page import write_page
from tests.evaluation import world

VOID = {"meta", "img", "br", "path", "use", "wbr"}


class Reader(HTMLParser):
    """Collects the text of a page and checks that its elements are closed in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.links, self.words, self.tags = [], [], [], [], set()
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.collect(attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.collect(attrs)

    def collect(self, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def render(tmp_path, results, made, examples=(), title="A run"):
    path = write_page(tmp_path, results, made, examples, title)
    assert [each.name for each in tmp_path.iterdir()] == ["results.html"]
    html = path.read_text(encoding="utf-8")
    return html, Reader(html)


def test_the_page_holds_every_figure_and_needs_nothing_else(tmp_path):
    made = world.read_out(world.predictions())
    results = world.results(made, gradient_conflict=world.conflict())
    html, page = render(tmp_path, results, made, world.examples(made))

    metrics = results["figures"]
    shares = [
        value
        for report in (metrics["held_out"], metrics["seen"])
        for key, value in report.items()
        if key not in {"threshold", "real", "fake"}
    ]
    for recall in metrics["recall"].values():
        shares += [recall["recall"], recall["recall_calibrated"]]
    for predictor in metrics["readouts"].values():
        shares += [predictor["class_accuracy"], predictor["chance"]]
        shares += [predictor[of][key] for of in ("held_out", "seen") for key in ("auc", "accuracy")]
    for share in shares:
        assert f"<td>{100 * share:.1f}<" in html
    for row in (
        *metrics["readouts"]["manipulation"]["confusion"]["counts"],
        *metrics["readouts"]["manipulation_neighbours"]["confusion"]["counts"],
    ):
        cells = r"\s*".join(rf"<td [^>]*>{count}</td>" for count in row)
        assert re.search(cells, html)
    for text in (
        *("40 / 40", "40 / 120", "0.431", "719", "2153", "6 of Face2Face", "3.12.1"),
        *("Synthetic corpus: these figures say nothing about FaceForensics++", results["command"]),
        *(results["counts"]["corrupt"][0], '"learning_rate": 0.001', results["checkpoint"]),
    ):
        assert text in page.text, text

    assert "script" not in page.tags
    without_pictures = re.sub(r"data:image/png;base64,[\w+/=]+", "", html)
    assert not re.search(r"https?:|//|@import|url\((?!#)", without_pictures)
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link[0] == "#"} <= set(page.ids)


def test_examples_show_their_frames_and_verdicts(tmp_path):
    made = [
        Prediction("ff/original/c23/001", "original", False, 0.97, 4),
        Prediction("ff/NeuralTextures/c23/002_003", "NeuralTextures", True, 0.62, 4),
    ]
    frames = np.zeros((9, 32, 48, 3), np.uint8)
    frames[..., 0] = 25 * np.arange(9)[:, None, None]  # red rises with time
    examples = [Example(each, frames) for each in made]
    html, page = render(tmp_path, world.results(made), made, examples)
    assert "✗ called fake, wrongly" in page.text
    assert "✓ called fake, rightly" in page.text
    assert "score 0.970" in page.text
    assert html.count("<img ") == 12

    reds = []
    for address in frames_as_png(frames, count=3, side=24):
        png = np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8)
        picture = cv2.imdecode(png, cv2.IMREAD_COLOR_RGB)
        assert picture.shape == (16, 24, 3)
        reds.append(int(picture[0, 0, 0]))
    assert reds == [0, 100, 200]
    assert len(frames_as_png(frames[:1])) == 1


def test_names_are_escaped(tmp_path):
    bad = """</p><html>'"&<script>alert(1)</script>"""
    made = world.predictions(videos=3)
    made = [replace(each, key=each.key + bad) for each in made]
    made.append(replace(made[-1], method=bad))
    predictor = bad.replace("/", "")
    outputs = {f"{predictor}/original": 0.5, f"{predictor}/{bad}": 0.5}
    made = [replace(each, outputs={**outputs, **each.outputs}) for each in made]
    rows = [{**row, "tasks": [bad, f"$_{bad}"]} for row in world.conflict(groups=(bad, f"_${bad}"))]
    results = world.results(
        made,
        held_out=[bad],
        corpus={"name": bad, "compression": bad, "synthetic": False},
        checkpoint=bad,
        config={bad: bad},
        versions={bad: bad},
        command=bad,
        counts={"missing": {bad: 1}, "corrupt": [bad]},
        gradient_conflict=rows,
    )
    html, page = render(tmp_path, results, made, world.examples(made, [bad]), title=bad)
    assert "script" not in page.tags
    assert html.count("<html") == 1
    assert page.text.count("alert(1)") > 20
    assert "ynthetic corpus" not in html


@pytest.mark.parametrize(
    ("made", "held_out"),
    [
        (world.predictions(videos=4, head=False), world.HELD_OUT),
        (world.predictions(videos=4), ()),
        (world.predictions(videos=4), MANIPULATIONS),
        (world.predictions(videos=4, methods=("original",)), world.HELD_OUT),
        (world.predictions(videos=4, methods=("NeuralTextures",)), world.HELD_OUT),
        ([], ()),
    ],
    ids=["no head", "nothing held out", "all held out", "only real", "only fake", "no videos"],
)
def test_the_page_stands_whatever_is_lacking(tmp_path, made, held_out):
    results = world.results(made, held_out, None, seed=None, checkpoint=None, counts={})
    del results["command"]
    html, page = render(tmp_path, results, made)
    assert "No examples were drawn" in page.text
    assert ("What they are taken for" in page.text) == (
        "manipulation" in results["figures"]["readouts"]
    )
    assert "Predictors" not in page.text
    assert "pull together" not in page.text
    assert "calibrated on validation" not in page.text
    both = {each.label for each in made} == {False, True}
    assert ("There is no ROC" in page.text) != both
    assert not re.search(r"\b(nan|None|inf)\b", html.replace("None.", ""))


def test_conflicts_are_drawn_with_gaps_and_in_colours_of_the_page(tmp_path):
    made = world.predictions(videos=2)
    groups = ("stem", "early", "late")

    def page_of(rows):
        html, page = render(tmp_path, world.results(made, gradient_conflict=rows), made)
        assert "Do the tasks pull together?" in page.text
        assert not re.search(r"\b(nan|None|inf)\b", html.replace("None.", ""))
        assert len(page.ids) == len(set(page.ids))
        start = html.index("Do the tasks pull together?")
        section = html[start : html.index("</section>", start)]
        assert set(re.findall(r"#\d{6}\b", section)) == set()
        return section, page.text

    def strokes(section):
        lines = re.findall(r'<path d="([^"]*)"[^>]*var\(--stage-\d\); stroke-width: 1.6', section)
        return [line.count("M ") for line in lines if line.count("L ") > 1]

    for gaps, pieces in (((), 1), ((50, 130), 3)):
        rows = world.conflict(groups, gaps=gaps)
        section, text = page_of(rows)
        assert "binary and manipulation" in text
        assert "mean of" not in text
        assert strokes(section)[:6] == [pieces] * 6  # three stages, cosine and ratio
        for group in groups:
            cosines = [row["cosine"] for row in rows if row["group"] == group]
            mean = np.mean([cosine for cosine in cosines if cosine is not None])
            assert f"{mean:+.3f}".replace("-", "\N{MINUS SIGN}") in text
    # Long runs are drawn as means; what was never measured leaves an empty picture.
    _, text = page_of(world.conflict(groups, steps=range(1000)))
    assert "mean of 25 of them" in text
    page_of([{**row, "cosine": None, "norm_ratio": None} for row in rows])


def test_the_same_results_give_the_same_page(tmp_path):
    made = world.predictions(videos=4)
    pages = []
    for name in "ab":
        results = world.results(made, gradient_conflict=world.conflict())
        path = write_page(tmp_path / name, results, made, world.examples(made), "A run")
        pages.append(path.read_bytes())
    assert pages[0] == pages[1]


def test_a_page_that_cannot_be_made_leaves_nothing(tmp_path):
    made = world.predictions(videos=2)
    results = world.results(made)
    made.append(Prediction("ff/original/c23/001", "original", False, math.nan, 1))
    with pytest.raises(DeepfakeMTLError, match="not finite"):
        write_page(tmp_path, results, made, [], "A run")
    assert not list(tmp_path.iterdir())
