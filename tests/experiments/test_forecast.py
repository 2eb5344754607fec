"""How long the demo says that it will take."""

import pytest

from deepfake_mtl.experiments import forecast as forecasts
from deepfake_mtl.synthetic import SyntheticConfig
from deepfake_mtl.training.command import resolve_config


def test_a_forecast_counts_films_steps_and_scored_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasts, "_STARTS", 0)
    monkeypatch.setattr(forecasts, "usable_cores", lambda: 2)
    monkeypatch.setattr(forecasts, "_seconds_to_film", lambda _: 3.0)
    monkeypatch.setattr(forecasts, "_seconds_a_batch", lambda _: (2.0, 1.0))
    config = resolve_config(["--config=configs/demo.yaml", "--data.root=x"])
    # Five pairs of people: one is validated on, one is tested on, three are trained on.
    clips = 3 * 2 * 4 * 3  # pairs, people in each, methods that are seen, clips of a video
    steps = 4 * (clips // 16)
    validated = 2 * (1 * 2 * 4)  # twice in four epochs
    tested = 1 * 2 * 5
    batches = -(-(validated + tested) * 5 // 16)
    expected = 10 * 3.0 / 2 + forecasts._BESIDE * (steps * 2.0 + batches * 1.0)
    assert forecasts.forecast(SyntheticConfig(identities=10), config) == pytest.approx(expected)


def test_a_part_of_the_demo_is_measured() -> None:
    world = SyntheticConfig(identities=6, size=32, seconds=0.2)
    words = ["--config=configs/demo.yaml", "--data.root=x", "--data.size=32", "--data.batch_size=2"]
    config = resolve_config([*words, "--trainer.precision=32-true"])
    learning, scoring = forecasts._seconds_a_batch(config)
    assert min(learning, scoring) > 0
    assert forecasts._seconds_to_film(world) > 0
    assert forecasts.forecast(world, config) > 0
