"""Gradients of several tasks made to agree on the parameters that they share."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.losses.balancing import GradientBalance
from deepfake_mtl.models.distributed import average_over_ranks, world_size

SurgeryMethod = Literal["upgrad", "pcgrad"]


class GradientSurgery(GradientBalance):
    """A backward pass in which no task's gradient works against another's, by TorchJD.

    Shared parameters get a combination of the tasks' gradients: of UPGrad (Quinton and Rey, 2024,
    arXiv 2406.16232), which conflicts with no task, or of PCGrad (Yu et al., NeurIPS 2020, arXiv
    2001.06782), which with more than two tasks may. Where gradients do not conflict both are the
    plain sum. Every other parameter gets its plain gradient. Losses are to be multiplied by their
    weights before.

    It takes the place of ``loss.backward()``::

        surgery.backward(losses, features, encoder.parameters())   # for each micro-batch
        weights = surgery.aggregate(encoder.parameters(), heads.parameters())
        optimizer.step()

    What holds:

    - Accumulation: gradients of micro-batches are added up for each task, and combined once, so
      that N micro-batches equal one large batch. Divide the losses by N.
    - Mixed precision: under autocast gradients of parameters are in the parameters' own type. Under
      float16 give losses scaled by the gradient scaler; the combination does not depend on the
      scale. Where a gradient is not finite the plain sum is handed on, which is not finite either,
      so that the scaler skips the step.
    - Several ranks: `aggregate` averages the gradients over the ranks before it combines them, for
      all ranks alike, and stands in for DDP's reduction, which never starts. Run the forward pass
      under ``ddp.no_sync()``, or with Lightning in manual optimization without `manual_backward`.
    - A loss that does not depend on the features (an online probe on detached features) is not to
      be among the losses: call its own ``backward()``.
    - Memory: one more copy of the shared parameters' gradients for each task.

    Args:
        method: ``upgrad`` or ``pcgrad``.

    Raises:
        ConfigurationError: TorchJD is not installed.

    Example:
        >>> import torch
        >>> from deepfake_mtl.losses import GradientSurgery
        >>> shared = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
        >>> features, surgery = 1 * shared, GradientSurgery("upgrad")
        >>> losses = {"binary": features[0], "manipulation": features[1] - features[0]}
        >>> surgery.backward(losses, features, [shared])
        >>> weights = surgery.aggregate([shared])
        >>> [round(weight, 2) for weight in shared.grad.tolist()]  # none of the two losses rises
        [0.5, 1.5]
    """

    def __init__(self, method: SurgeryMethod = "upgrad") -> None:
        super().__init__()
        try:
            aggregation = import_module("torchjd.aggregation")
            autojac = import_module("torchjd.autojac")
            # UPGrad's solver is an optional part of TorchJD.
            import_module("quadprog")
            import_module("qpsolvers")
        except ImportError as error:
            raise ConfigurationError(
                "gradient surgery needs TorchJD: pip install 'deepfake-mtl[surgery]'"
            ) from error
        if method not in ("upgrad", "pcgrad"):
            raise ConfigurationError(f"unknown method {method!r}: choose upgrad or pcgrad")
        self.method = method
        # Functions and classes, which unlike modules can be copied with a detector.
        self._mtl_backward = autojac.mtl_backward
        self._pcgrad = aggregation.PCGradWeighting
        self._upgrad = aggregation.UPGradWeighting
        self._tasks: tuple[str, ...] = ()

    def backward(
        self,
        losses: Mapping[str, Tensor],
        features: Tensor | Sequence[Tensor],
        shared: Iterable[nn.Parameter],
    ) -> None:
        """Add the gradients of a micro-batch; see `GradientBalance.backward`.

        Raises:
            ValueError: The tasks are others than those of the micro-batch before, or a loss
                depends on shared parameters by a way other than the features.
        """
        if self._tasks and self._tasks != tuple(losses):
            raise ValueError(
                f"losses are of {', '.join(losses)}, but those before of {', '.join(self._tasks)}"
            )
        self._tasks = tuple(losses)
        device = next(iter(losses.values())).device
        # Under autocast the backward pass of a loss in float32 would be rounded.
        with torch.autocast(device.type, enabled=False):
            self._mtl_backward(
                list(losses.values()),
                features=features,
                shared_params=_trained(shared),
                # One task after the other: vmap, the alternative, does not know all layers.
                parallel_chunk_size=1,
            )

    @torch.no_grad()
    def aggregate(
        self, shared: Iterable[nn.Parameter], others: Iterable[nn.Parameter] = ()
    ) -> dict[str, Tensor]:
        """Put the combined gradient into ``.grad``; see `GradientBalance.aggregate`.

        Returns:
            The factor of each task's gradient in the combination: 1 where nothing conflicts.

        Raises:
            ValueError: `backward` was not called.
        """
        if not self._tasks:
            raise ValueError("call backward before aggregate")
        parameters = _trained(shared)
        jacobians: list[Tensor] = [parameter.jac for parameter in parameters]  # type: ignore[attr-defined]
        average_over_ranks(jacobians)
        _average_gradients(_trained(others))
        with torch.autocast(jacobians[0].device.type, enabled=False):
            weights = self._weights(jacobians)
        for parameter, jacobian in zip(parameters, jacobians, strict=True):
            factors = weights.to(jacobian.dtype).view(-1, *[1] * parameter.dim())
            # In the parameter's memory layout, without which optimizers take their slow paths.
            gradient = torch.empty_like(parameter).copy_((factors * jacobian).sum(dim=0))
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
            del parameter.jac  # type: ignore[attr-defined]
        tasks, self._tasks = self._tasks, ()
        return dict(zip(tasks, weights, strict=True))

    def _weights(self, jacobians: Sequence[Tensor]) -> Tensor:
        rows = [jacobian.flatten(1) for jacobian in jacobians]
        gramian = torch.stack([row @ row.T for row in rows]).sum(dim=0)
        trace = gramian.trace()
        weights = torch.ones_like(gramian[0])
        if trace > 0 and trace.isfinite():
            weights = self._combine(gramian / trace)
        if world_size() > 1:
            # PCGrad goes through the tasks in a random order.
            dist.broadcast(weights, src=0)
        return weights

    def _combine(self, gramian: Tensor) -> Tensor:
        if self.method == "pcgrad":
            weights: Tensor = self._pcgrad()(gramian)
            return weights
        # Sum of the projections of each gradient, for gradients of length one and preferences of
        # their norms, which is the same. TorchJD adds 1e-4 to the diagonal, and takes a Gramian of
        # a small trace for zero: a task with small gradients would not be heard.
        norms = gramian.diagonal().sqrt()
        norms = norms.where(norms > 0, 1)
        cosines = gramian / norms[:, None] / norms
        weights = self._upgrad(pref_vector=norms)(cosines)
        return weights / norms


def _trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]


def _average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    if world_size() == 1 or not parameters:
        return
    present = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32)
    present = present.to(parameters[0].device)
    dist.all_reduce(present, op=dist.ReduceOp.MAX)
    gradients = []
    for parameter, used in zip(parameters, present.tolist(), strict=True):
        if used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    average_over_ranks(gradients)
