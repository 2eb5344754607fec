import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from deepfake_mtl.metrics import confusion_matrix, recall_by_method

METHODS = ("original", "Deepfakes", "Face2Face", "FaceSwap")


@pytest.mark.parametrize("threshold", [0.5, 0.31])
def test_recall_agrees_with_scikit_learn(threshold):
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 90)  # no FaceSwap
    scores = generator.choice([0.1, 0.31, 0.5, 0.9], 90)
    recall = recall_by_method(
        torch.from_numpy(scores), torch.from_numpy(labels), METHODS, threshold
    )
    called = scores >= threshold
    assert list(recall) == list(METHODS)
    assert recall["FaceSwap"] is None
    fake = labels > 0
    assert recall["original"] == pytest.approx(sk.recall_score(fake, called, pos_label=0))
    for label in (1, 2):
        of = labels == label
        assert recall[METHODS[label]] == pytest.approx(sk.recall_score(fake[of], called[of]))


def test_recall_refuses_labels_without_a_name():
    with pytest.raises(ValueError, match="labels"):
        recall_by_method(torch.tensor([0.5]), torch.tensor([4]), METHODS)
    with pytest.raises(ValueError, match="labels"):
        recall_by_method(torch.tensor([0.5]), torch.tensor([-1]), METHODS)
    for scores, labels in ((torch.zeros(2), torch.zeros(3)), (torch.zeros(2, 1),) * 2):
        with pytest.raises(ValueError, match="one shape"):
            recall_by_method(scores, labels.long(), METHODS)


def test_recall_of_nothing_and_at_a_half():
    nothing = torch.zeros(0)
    assert recall_by_method(nothing, nothing.long(), METHODS) == dict.fromkeys(METHODS)
    scores, labels = torch.tensor([0.5, 0.5, 0.4]), torch.tensor([0, 3, 1])
    recall = recall_by_method(scores, labels, METHODS)
    assert recall == {"original": 0, "Deepfakes": 0, "Face2Face": None, "FaceSwap": 1}
    alone = recall_by_method(scores[1:2], labels[1:2], METHODS)
    assert alone == dict.fromkeys(METHODS) | {"FaceSwap": 1}
    # A threshold between two neighbouring float32 numbers tells them apart.
    scores = torch.tensor([0.3, np.nextafter(np.float32(0.3), np.float32(0))])
    between = scores.double().mean().item()
    recall = recall_by_method(scores, torch.tensor([1, 2]), METHODS, between)
    assert (recall["Deepfakes"], recall["Face2Face"]) == (1, 0)


@pytest.mark.parametrize("size", [0, 50])
def test_confusion_matrix_agrees_with_scikit_learn(size):
    generator = np.random.default_rng(2)
    labels, predictions = generator.integers(0, 4, (2, size))
    counts = confusion_matrix(torch.from_numpy(labels), torch.from_numpy(predictions), 4)
    assert counts.dtype == torch.int64
    expected = np.zeros((4, 4), int)
    if size:
        expected = sk.confusion_matrix(labels, predictions, labels=range(4))
    np.testing.assert_array_equal(counts, expected)


def test_a_confusion_matrix_refuses_what_is_no_class():
    for labels, predictions in (([4], [0]), ([0], [-1])):
        with pytest.raises(ValueError, match=r"must be in \[0, 4\)"):
            confusion_matrix(torch.tensor(labels), torch.tensor(predictions), 4)
    with pytest.raises(ValueError, match="one shape"):
        confusion_matrix(torch.tensor([0, 1]), torch.tensor([0]), 4)


def test_confusion_of_one_class_with_itself():
    one = torch.tensor([1, 1])
    assert confusion_matrix(one, one, 2).tolist() == [[0, 0], [0, 2]]
    for labels, predictions in ((one, one + 1), (one - 2, one)):
        with pytest.raises((ValueError, RuntimeError)):
            confusion_matrix(labels, predictions, 2)
