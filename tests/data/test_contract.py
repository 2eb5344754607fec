"""A detector belongs to one fold: that of whoever said so first."""

import pytest
import torch

from deepfake_mtl.data.contract import FoldContract
from deepfake_mtl.errors import CheckpointError, ConfigurationError


def test_whoever_says_so_first_decides() -> None:
    silent = FoldContract(None)
    assert (silent.held_out, silent.known) == ((), False)
    silent.take_data(("FaceSwap",))
    assert (silent.held_out, silent.known) == (("FaceSwap",), True)
    loaded = FoldContract(None)
    loaded.take_checkpoint(["NeuralTextures", "Deepfakes"])
    assert (loaded.held_out, loaded.known) == (("Deepfakes", "NeuralTextures"), True)
    for contract in (silent, FoldContract("FaceSwap")):
        contract.take_data(("FaceSwap",))
        contract.take_checkpoint("FaceSwap")
        assert (contract.held_out, contract.known) == (("FaceSwap",), True)


@pytest.mark.parametrize("held_out", ["none", [], "FaceSwap"])
def test_another_fold_is_refused(held_out: str | list[str]) -> None:
    contract = FoldContract(held_out)
    own = "FaceSwap" if held_out == "FaceSwap" else "none"
    assert contract.known
    with pytest.raises(
        ConfigurationError, match=rf"holds out {own}, and its data Deepfakes Face2Face: what"
    ):
        contract.take_data(("Deepfakes", "Face2Face"))
    with pytest.raises(
        CheckpointError, match=rf"trained with Deepfakes held out, but held_out is {own}: its"
    ):
        contract.take_checkpoint("Deepfakes")
    assert contract.held_out == (() if own == "none" else ("FaceSwap",))


@pytest.mark.parametrize(
    ("trained", "told"),
    [
        ([], 'held_out="none"'),
        (["FaceSwap"], 'held_out="FaceSwap"'),
        (["FaceSwap", "Face2Face"], "held_out=['Face2Face', 'FaceSwap']"),
    ],
)
def test_a_refused_checkpoint_says_which_fold_to_give(trained: list[str], told: str) -> None:
    with pytest.raises(CheckpointError) as error:
        FoldContract("Deepfakes").take_checkpoint(trained)
    assert f"Give `{told}`" in str(error.value)


def test_a_batch_must_not_hold_what_is_held_out() -> None:
    contract = FoldContract(["Deepfakes", "FaceSwap"])
    contract.check_batch(torch.tensor([0, 2, 4, 0]))
    with pytest.raises(
        ConfigurationError, match=r"hold FaceSwap, but .* held_out is Deepfakes FaceSwap: leave"
    ):
        contract.check_batch(torch.tensor([0, 3, 2]))
    FoldContract(None).check_batch(torch.tensor([0, 1, 2, 3, 4]))
