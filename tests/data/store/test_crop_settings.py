import json

import pytest

from deepfake_mtl.data.store.crop_settings import CropSettings
from deepfake_mtl.errors import ConfigurationError
from tests.data.crops import make_settings


def test_settings_survive_a_checkpoint():
    crop_settings = make_settings(tracking=(("b", 1), ("a", 0.5)), detector_hash="f" * 64)
    values = json.loads(json.dumps(crop_settings.to_dict()))
    again = CropSettings.from_dict(values)
    assert again == crop_settings
    assert again.digest() == crop_settings.digest()
    digests = {make_settings(**{name: 32}).digest() for name in ("size", "margin", "detect_every")}
    assert len(digests | {make_settings().digest()}) == 4
    for broken in ({**values, "size": 3}, {**values, "x": 1}, {**values, "tracking": 1}, {}):
        with pytest.raises(ConfigurationError):
            CropSettings.from_dict(broken)
