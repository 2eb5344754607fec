import csv
import json
import re

import numpy as np
import pytest
from sklearn import metrics as sk

from deepfake_mtl.cli import main
from deepfake_mtl.data.records import ORIGINAL
from deepfake_mtl.experiments.report.table_files import latex
from tests.evaluation.test_page import Reader
from tests.experiments.report import made_up

FILES = {"table.md", "table.csv", "table.tex", "report.json", "report.html"}


def report(folder, out, *options):
    assert main(["report", str(folder), "--out", str(out), *options]) == 0
    assert {path.name for path in out.iterdir()} == FILES
    page = Reader((out / "report.html").read_text(encoding="utf-8"))
    return json.loads((out / "report.json").read_text()), page


def lines(out):
    with (out / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def read(folder, methods):
    """Labels and scores out of predictions.csv, without the library."""
    with (folder / "predictions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] in methods]
    return [int(row["label"]) for row in rows], np.array([float(row["score"]) for row in rows])


def test_a_cell_can_be_computed_again_from_predictions(finished, tmp_path):
    report(finished, tmp_path)
    table = lines(tmp_path)
    sets = {
        "held_out": {ORIGINAL, "FaceSwap"},
        "seen": {ORIGINAL, "Deepfakes", "Face2Face", "NeuralTextures"},
    }
    metrics = {
        "auc": sk.roc_auc_score,
        "accuracy": lambda labels, scores: sk.accuracy_score(labels, scores >= 0.5),
        "accuracy_calibrated": lambda labels, scores: sk.accuracy_score(
            labels, scores >= made_up.THRESHOLD
        ),
    }
    checked = 0
    for of, methods in sets.items():
        for name, metric in metrics.items():
            expected = [
                metric(*read(finished / f"binary_con/FaceSwap/seed-{seed}", methods))
                for seed in (0, 1)
            ]
            (row,) = [
                row
                for row in table
                if (row["figure"], row["set"], row["losses"], row["held_out"])
                == (name, of, "binary_con", "FaceSwap")
            ]
            assert float(row["mean"]) == pytest.approx(np.mean(expected), abs=1e-12)
            assert float(row["deviation"]) == pytest.approx(np.std(expected, ddof=1), abs=1e-12)
            assert float(row["low"]) <= np.mean(expected) <= float(row["high"])
            assert (row["seeds"], row["planned"]) == ("2", "2")
            checked += 1
    assert checked == 6
    # The mean over the folds, and its deviation over the seeds.
    means = [
        np.mean(
            [
                sk.roc_auc_score(
                    *read(finished / f"binary_con/{fold}/seed-{seed}", {ORIGINAL, fold})
                )
                for fold in ("FaceSwap", "Deepfakes")
            ]
        )
        for seed in (0, 1)
    ]
    (row,) = [
        row
        for row in table
        if (row["figure"], row["set"], row["losses"], row["held_out"])
        == ("auc", "held_out", "binary_con", "")
    ]
    assert float(row["mean"]) == pytest.approx(np.mean(means), abs=1e-12)
    assert float(row["deviation"]) == pytest.approx(np.std(means, ddof=1), abs=1e-12)


def test_all_files_say_the_same(finished, tmp_path):
    content, page = report(finished, tmp_path)
    markdown = (tmp_path / "table.md").read_text()
    tex = (tmp_path / "table.tex").read_text()
    for row in lines(tmp_path):
        mean, deviation = float(row["mean"]), float(row["deviation"])
        text = f"{100 * mean:.1f} ± {100 * deviation:.1f}"
        assert text in markdown
        assert text in page.text
        assert text.replace("±", r"$\pm$") in tex
        bounds = f"[{100 * float(row['low']):.1f}, {100 * float(row['high']):.1f}]"
        assert bounds in markdown
        assert bounds in page.text
        assert bounds in tex
    for fold in ("FaceSwap", "Deepfakes", ""):
        column = [
            row
            for row in lines(tmp_path)
            if (row["figure"], row["set"], row["held_out"]) == ("auc", "held_out", fold)
        ]
        best = max(column, key=lambda row: float(row["mean"]))
        assert [row["best"] for row in column] == [str(int(row is best)) for row in column]
        assert f"**{100 * float(best['mean']):.1f}" in markdown
    assert len(content["runs"]) == 12
    assert len(content["comparisons"]) == 3 * 3  # three pairs; two folds and their mean
    assert content["schema_version"] == 1


def test_the_page_needs_nothing_else_and_says_what_it_is_of(finished, tmp_path):
    content, page = report(finished, tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "script" not in page.tags
    assert not re.search(r"https?:|//|@import|url\((?!#)", html)
    assert all(link.startswith("#") for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert not re.search(r"\b(nan|None|inf)\b", html)
    for text in (
        "Synthetic corpus: these figures say nothing about FaceForensics++.",
        "cannot be compared with these at all",
        "Published by others, not ours",
        "only 14 groups of people",
        content["command"],
        "held out, 62.9 % accuracy",
        *("jpeg", "downscale", "celeb-df", "c40", "without FaceSwap", "binary and manipulation"),
        *("data.held_out", "seed_everything", "3.12.1", "719", "6 of Face2Face"),
    ):
        assert text in page.text, text
    assert html.count("<svg") > 20
    assert "ynthetic" in (tmp_path / "table.md").read_text()
    assert "ynthetic" in (tmp_path / "table.tex").read_text()


def test_the_same_runs_give_the_same_report(finished, tmp_path):
    for name in "ab":
        report(finished, tmp_path / name)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_partly_finished_benchmark_has_a_report(tmp_path):
    def is_there(settings):
        return settings["losses"] == "binary_ce" or settings["held_out"] == "FaceSwap"

    runs = made_up.write_benchmark(
        tmp_path / "runs",
        made_up.LOSSES[:4],
        ("FaceSwap", "Deepfakes"),
        finished=is_there,
        videos=12,
    )
    made_up.fail(runs, "binary_con/FaceSwap/seed-1", "CUDA out of memory")
    (runs / "binary_con/Deepfakes/seed-0").mkdir(parents=True)
    (runs / "binary_ce/Deepfakes/seed-0/results.json").write_text("{")
    content, page = report(runs, tmp_path / "out")
    states = {run["name"]: (run["state"], run["reason"]) for run in content["runs"]}
    assert states["binary_con/FaceSwap/seed-1"] == ("failed", "CUDA out of memory")
    assert states["binary_con/FaceSwap/seed-0"] == ("finished", None)
    assert states["binary_con/Deepfakes/seed-0"] == ("missing", "not finished")
    assert states["binary_con/Deepfakes/seed-1"] == ("missing", "not started")
    state, reason = states["binary_ce/Deepfakes/seed-0"]
    assert (state, "cannot be read" in reason) == ("failed", True)
    progress = "8 of 16 runs are finished, 2 failed, 6 are missing."
    assert progress in page.text
    assert progress in (tmp_path / "out/table.md").read_text()
    assert "binary_con/FaceSwap/seed-1 : failed, CUDA out of memory" in page.text
    assert "single seed" in page.text
    cells = {(row["losses"], row["held_out"]): row for row in lines(tmp_path / "out")[:12]}
    assert cells["binary_con", "FaceSwap"]["seeds"] == "1"
    assert cells["binary_con", "FaceSwap"]["deviation"] == ""
    assert cells["binary_con", "Deepfakes"]["mean"] == ""
    assert cells["binary_con", ""]["mean"] == ""  # no mean over folds that are not there
    assert cells["binary_ce", ""]["mean"] != ""
    markdown = (tmp_path / "out/table.md").read_text()
    assert "1 of 2 seeds" in markdown
    assert "0 of 2 seeds" in markdown
    answers = [each["answer"] for each in content["questions"]]
    assert answers[0] == (
        "Cannot be answered: runs missing: binary_ce_manipulation_ce without Deepfakes."
    )
    assert "binary_con without Deepfakes" in answers[1]
    assert answers[2] == (
        "Cannot be answered: binary_con_manipulation_ce, binary_con_manipulation_con are not in "
        "the plan."
    )


def test_a_benchmark_of_which_nothing_is_finished_has_a_report(tmp_path):
    runs = made_up.write_benchmark(tmp_path / "runs", finished=lambda _: False)
    content, page = report(runs, tmp_path / "out", "--figure", "accuracy")
    assert "0 of 48 runs are finished, 48 are missing." in page.text
    assert all(row["mean"] is None for row in content["figures"])
    assert content["comparisons"] == []


def test_results_of_another_fold_are_not_taken(tmp_path):
    runs = made_up.write_benchmark(tmp_path / "runs", made_up.LOSSES[:1], seeds=(0,), videos=6)
    wrong = runs / "binary_ce/FaceSwap/seed-0"
    made_up.write_run(wrong, {"losses": "binary_ce", "held_out": "Deepfakes", "seed": 0}, 6)
    content, _ = report(runs, tmp_path / "out")
    (run,) = [run for run in content["runs"] if run["state"] == "failed"]
    assert run["name"] == "binary_ce/FaceSwap/seed-0"
    assert "of Deepfakes held out, not of FaceSwap" in run["reason"]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (None, "plan.json: no such file; name a folder that `deepfake-mtl benchmark`"),
        ("[]", "cannot be read as the plan"),
        ('{"schema_version": 7}', "has schema version 7"),
        ('{"schema_version": 1, "axes": {}}', "cannot be read as the plan"),
        (
            '{"schema_version": 1, "axes": {}, "runs": [{"name": "../x", "settings": {}}]}',
            "outside of the folder",
        ),
        (
            '{"schema_version": 1, "axes": {"a": []}, "runs": [{"name": "x", "settings": {}}]}',
            "the run x has no a",
        ),
    ],
)
def test_a_folder_without_a_plan_is_refused(tmp_path, capsys, plan, message):
    if plan is not None:
        (tmp_path / "plan.json").write_text(plan)
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert str(tmp_path / "plan.json") in error
    assert not (tmp_path / "out").exists()


BAD = """</p><html>'"&<script>alert(1)</script>|`[x](y)_*#$%~^\\{}"""


def test_names_are_escaped_everywhere(tmp_path):
    runs = made_up.write_benchmark(
        tmp_path / "runs", made_up.LOSSES[:2], ("FaceSwap",), finished=lambda _: False
    )
    plan = json.loads((runs / "plan.json").read_text())
    plan["command"] = BAD
    plan["axes"]["losses"] = [BAD, "binary_con"]
    plan["axes"][BAD] = [BAD, "other"]
    for place, run in enumerate(plan["runs"]):
        folder = runs / run["name"]
        made_up.write_run(folder, run["settings"], videos=6, extras=True)
        run["settings"]["losses"] = run["settings"]["losses"].replace("binary_ce", BAD)
        run["settings"][BAD] = [BAD, "other"][place % 2]
        results = json.loads((folder / "results.json").read_text())
        results["corpus"]["name"] = results["config"][BAD] = results["versions"][BAD] = BAD
        (folder / "results.json").write_text(json.dumps(results))
        points = json.loads((folder / "robustness.json").read_text())
        for point in points["points"][1:]:
            point["treatment"] = point["unit"] = BAD
        (folder / "robustness.json").write_text(json.dumps(points))
    (runs / "plan.json").write_text(json.dumps(plan))
    made_up.fail(runs, plan["runs"][0]["name"], BAD)
    _, page = report(runs, tmp_path / "out")
    html = (tmp_path / "out/report.html").read_text()
    assert "script" not in page.tags
    assert html.count("<html") == 1
    assert page.text.count("alert(1)") > 20

    tex = (tmp_path / "out/table.tex").read_text()
    body = re.sub(r"^%.*$", "", tex, flags=re.MULTILINE)
    body = body.replace(r"\\", "")
    commands = r"\\(?:begin|end|centering|caption|toprule|midrule|bottomrule|textbf|footnotesize"
    commands += r"|text[a-z]+|pm)\b"
    body = re.sub(commands, "", body).replace(r"$-$", "").replace("$$", "")
    assert not re.search(r"(?<!\\)[$%#_~^]", body)
    for line in body.splitlines():
        if "alert" in line and "&" in line:  # a row of two columns, whatever the names
            assert len(re.findall(r"(?<!\\)&", line)) == 1
    markdown = (tmp_path / "out/table.md").read_text()
    for line in markdown.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 3
            assert "<script" not in line.replace(r"\<", "")


def test_latex_has_each_special_character_as_itself():
    assert latex("a_b 50% & #1 $x {y}") == r"a\_b 50\% \& \#1 \$x \{y\}"
    assert latex("~^\\") == r"\textasciitilde{}\textasciicircum{}\textbackslash{}"
    assert latex("two\nlines") == "two lines"


def test_what_a_test_wrote_is_what_its_table_says(tmp_path):
    runs = made_up.write_benchmark(
        tmp_path / "runs", ("binary_ce",), ("FaceSwap",), seeds=(0, 1), videos=6
    )
    for seed, auc in ((0, 0.25), (1, 0.5)):
        path = runs / f"binary_ce/FaceSwap/seed-{seed}/results.json"
        results = json.loads(path.read_text())
        results["figures"]["held_out"]["auc"] = auc
        path.write_text(json.dumps(results))
    content, _ = report(runs, tmp_path / "out")
    means = {(row["figure"], row["set"]): row["mean"] for row in content["figures"]}
    assert means["auc", "held_out"] == 0.375
