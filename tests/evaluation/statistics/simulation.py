"""Scores with a known truth: people and trainings differ, videos of one person are alike."""

import math

import numpy as np

from deepfake_mtl.evaluation import Prediction
from deepfake_mtl.evaluation.statistics import ClusterBootstrap, over_seeds

PERSON, VIDEO, TRAINING = 0.8, 0.6, 0.25  # deviations of logits


def predictions(generator, people=40, videos=3, shift=1.0, deviations=(PERSON, VIDEO), faces=None):
    """Originals and fakes of everybody; `faces` are the effects of the people."""
    faces = generator.normal(0, deviations[0], people) if faces is None else faces
    made = []
    for person, effect in enumerate(faces):
        for video in range(videos):
            for fake in (False, True):
                logit = effect + fake * shift + generator.normal(0, deviations[1])
                made.append(
                    Prediction(
                        key=f"c/{fake}/{person:03}/{video}",
                        method="FaceSwap" if fake else "original",
                        label=fake,
                        score=1 / (1 + math.exp(0.5 * shift - logit)),
                        clips=1,
                        identities=(f"{person:03}",),
                    )
                )
    return made


def true_auc(shift, deviations=(PERSON, VIDEO)):
    """Of a fake of one person against an original of another."""
    spread = math.sqrt(2 * (deviations[0] ** 2 + deviations[1] ** 2))
    return 0.5 * math.erfc(-shift / spread / math.sqrt(2))


def estimate(scored, people: ClusterBootstrap, metric="auc", seed=0):
    """The mean over trainings that were tested on the same people."""
    return over_seeds(
        [each.value(metric) for each in scored],
        np.stack([each.draws(metric, people) for each in scored]),
        people.groups,
        seed,
    )
