import json
from pathlib import Path

import pytest

from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.experiments.folder import Base, read_plan, save_plan
from deepfake_mtl.experiments.plan import make_plan, read_axes, seeds, take_shard
from deepfake_mtl.training.configuration import configs_folder

TABLE = {"losses": ["all"], "held_out": ["all"], "seed": seeds(2)}
BASE = Base(("configs/demo.yaml",), ("--data.root=/data",), "best")


def test_the_papers_table_is_24_runs_a_seed() -> None:
    plan = make_plan(TABLE)
    assert len(plan.runs) == len({run.name for run in plan.runs}) == 48
    assert [run.settings["seed"] for run in plan.runs] == ["0"] * 24 + ["1"] * 24
    pairs = {(run.settings["losses"], run.settings["held_out"]) for run in plan.runs}
    assert len(pairs) == 24
    run = plan.runs[-1]
    config, *options = run.words()
    assert config.startswith("--config=")
    assert config.endswith(f"losses/{run.settings['losses']}.yaml")
    held_out = run.settings["held_out"]
    assert options == [f"--data.held_out={held_out}", "--seed_everything=1"]
    assert run.name == f"{run.settings['losses']}/{held_out}/seed-1"


def test_several_manipulations_are_held_out_together() -> None:
    axes = read_axes(Path("configs/benchmarks/one_against_each.yaml"))
    runs = make_plan(axes).runs
    held_out = [json.loads(run.words()[1].removeprefix("--data.held_out=")) for run in runs]
    assert {frozenset(MANIPULATIONS) - set(names) for names in held_out} == {
        frozenset({name}) for name in MANIPULATIONS
    }
    assert len({run.name for run in runs}) == len(runs) == 12


@pytest.mark.parametrize("count", [1, 3, 7, 50])
def test_shards_share_all_runs_among_them(count: int) -> None:
    runs = make_plan(TABLE).runs
    shards = [take_shard(runs, f"{index}/{count}") for index in range(1, count + 1)]
    assert sorted(run.name for shard in shards for run in shard) == sorted(r.name for r in runs)
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_a_shard_that_is_none(shard: str) -> None:
    with pytest.raises(ConfigurationError, match="`shard` is"):
        take_shard(make_plan(TABLE).runs, shard)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"losses": ["binary"]}, r"losses/binary\.yaml: no such configuration file"),
        ({"held_out": ["Deepfake"]}, "held_out: Deepfake is not one of Deepfakes"),
        ({"held_out": ["FaceSwap+Deepfake"]}, "held_out: Deepfake is not one of Deepfakes"),
        ({"held_out": ["+".join(MANIPULATIONS)]}, "none is left to learn"),
        ({"held_out": ["FaceSwap", "FaceSwap"]}, "a value stands twice"),
        ({"seed": ["x"]}, "seed x: a whole number"),
        ({"seed": []}, "seed: has no value"),
        ({"epochs": ["3"]}, "epochs: neither losses"),
        ({"a.b": ["x/y", "x_y"]}, "two runs would have the folder b-x_y"),
        ({"a.b": ["x", "X"]}, "two runs would have the folder b-x"),
    ],
)
def test_what_is_wrong_with_axes_is_said(axes: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_plan(axes)


def test_every_benchmark_of_the_library_is_a_plan() -> None:
    files = sorted((configs_folder() / "benchmarks").glob("*.yaml"))
    assert len(files) >= 6
    for file in files:
        axes = read_axes(file)
        product = 1
        for axis, values in make_plan(axes).axes.items():
            product *= len(values)
            assert "True" not in values, axis
        assert len(make_plan(axes).runs) == product
    assert read_axes(Path("configs/benchmarks/table.yaml"))["seed"] == ["0", "1", "2"]
    assert read_axes(Path("configs/benchmarks/sharing.yaml"))["model.separate_encoders"] == [
        "false",
        "true",
    ]


def test_a_file_of_axes_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for content in ("axes: 3", "losses: all", "axes: [a", "axes: {}\nmore: 1"):
        path.write_text(content)
        with pytest.raises(ConfigurationError, match=r"(?s)a\.yaml: .*expected a mapping"):
            read_axes(path)


def test_a_plan_grows_but_does_not_change(tmp_path: Path) -> None:
    some = {"losses": ["binary_ce"], "held_out": list(MANIPULATIONS[:2]), "seed": ["0"]}
    more = {"losses": ["binary_con"], "held_out": list(MANIPULATIONS[1:]), "seed": ["0", "1"]}
    save_plan(tmp_path, make_plan(some), BASE, "one")
    save_plan(tmp_path, make_plan(more), BASE, "two")
    content = read_plan(tmp_path)
    assert content["axes"] == {
        "losses": ["binary_ce", "binary_con"],
        "held_out": list(MANIPULATIONS),
        "seed": ["0", "1"],
    }
    expected = {run.name for axes in (some, more) for run in make_plan(axes).runs}
    assert {run["name"] for run in content["runs"]} == expected

    for other in (
        Base(BASE.configs, ("--data.root=/else",), "best"),
        Base(("configs/faceforensics.yaml",), BASE.options, "best"),
        Base(BASE.configs, BASE.options, "last"),
    ):
        with pytest.raises(ConfigurationError, match="is the plan of another benchmark"):
            save_plan(tmp_path, make_plan(some), other, "three")
    with pytest.raises(ConfigurationError, match="its axes are"):
        save_plan(tmp_path, make_plan({**some, "data.size": ["64"]}), BASE, "four")
    assert read_plan(tmp_path) == content
    with pytest.raises(ConfigurationError, match="is not the folder of a benchmark"):
        read_plan(tmp_path / "nowhere")
