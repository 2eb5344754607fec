import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.metrics import VideoScores
from tests.processes import run_processes

FIELDS = ("video", "label", "clips", "outputs")


def clips(seed=0, videos=7, outputs=3):
    """Rows of (video, clip, label, outputs) in random order; video ids above float32's integers."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, 5, (videos,), generator=generator).tolist()
    rows = [
        (2**40 + 3 * video, clip, video % 4, torch.rand(outputs, generator=generator).tolist())
        for video, count in enumerate(counts)
        for clip in range(count)
    ]
    return [rows[i] for i in torch.randperm(len(rows), generator=generator)]


def update(metric, rows, batch=3):
    for start in range(0, len(rows), batch):
        video, clip, label, outputs = zip(*rows[start : start + batch], strict=True)
        metric.update(
            torch.tensor(video), torch.tensor(clip), torch.tensor(label), torch.tensor(outputs)
        )


def test_mean_over_distinct_clips_agrees_with_a_dictionary():
    rows = clips()
    metric = VideoScores(3)
    nothing = torch.zeros(0, dtype=torch.int64)
    metric.update(nothing, nothing, nothing, torch.zeros(0, 3))
    update(metric, rows + rows[:4] + rows[:2])

    expected = {}
    for video, clip, label, outputs in rows:
        expected.setdefault(video, (label, {}))[1][clip] = torch.tensor(outputs).double()
    table = metric.compute()
    assert table.video.tolist() == sorted(expected)
    assert table.label.tolist() == [expected[v][0] for v in sorted(expected)]
    assert table.clips.tolist() == [len(expected[v][1]) for v in sorted(expected)]
    means = torch.stack([torch.stack([*expected[v][1].values()]).mean(0) for v in sorted(expected)])
    assert table.outputs.dtype == torch.float64
    torch.testing.assert_close(table.outputs, means, rtol=1e-12, atol=0)
    assert torch.equal(table.scores, table.outputs[:, 0])
    assert torch.equal(table.fake, table.label > 0)


def test_one_video_with_one_output_keeps_its_dimensions():
    metric = VideoScores(1)
    update(metric, [(5, 0, 1, [0.25])])
    table = metric.compute()
    assert [tuple(getattr(table, field).shape) for field in FIELDS] == [(1,), (1,), (1,), (1, 1)]


def test_reset_and_nothing_at_all():
    metric = VideoScores(2)
    update(metric, clips(outputs=2))
    metric.reset()
    table = metric.compute()
    assert len(table) == 0
    assert table.outputs.shape == (0, 2)
    assert table.video.dtype == torch.int64


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_outputs_that_are_not_finite_are_an_error(bad):
    metric = VideoScores(2)
    update(metric, [(1, 0, 0, [0.5, 0.5]), (2, 0, 1, [0.5, bad]), (2, 1, 1, [bad, 0.5])])
    with pytest.raises(DeepfakeMTLError, match="2 of 3 clips, in 1 videos"):
        metric.compute()


def test_contradictions_are_refused():
    metric = VideoScores(1)
    with pytest.raises(ValueError, match=r"\[B, 1\]"):
        update(metric, [(1, 0, 0, [0.5, 0.5])])
    update(metric, [(1, 0, 0, [0.5]), (1, 1, 2, [0.5])])
    with pytest.raises(ValueError, match="two labels"):
        metric.compute()


def shards(case):
    rows = clips(seed=3, videos=9)
    if case == "uneven with repeats":
        return [rows[:11] + rows[:2], rows[11:] + rows[5:9]]
    return {"second rank empty": [rows, []], "first rank empty": [[], rows]}[case]


CASES = ("uneven with repeats", "second rank empty", "first rank empty")


def on_rank(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    for case in CASES:
        metric = VideoScores(3)
        update(metric, shards(case)[rank])
        for repetition in range(2):  # gathering leaves what each rank has taken in
            table = metric.compute()
            values = {field: getattr(table, field) for field in FIELDS}
            torch.save(values, Path(folder) / f"{case} {rank} {repetition}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_agree_with_one_process(tmp_path):
    run_processes(2, on_rank, str(tmp_path))
    for case in CASES:
        single = VideoScores(3)
        for shard in shards(case):
            update(single, shard)
        expected = single.compute()
        for rank in range(2):
            for repetition in range(2):
                values = torch.load(tmp_path / f"{case} {rank} {repetition}.pt")
                for field in FIELDS:
                    assert torch.equal(values[field], getattr(expected, field)), (case, field)
