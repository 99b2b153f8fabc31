"""What is kept of a batch's logits: the label given, and what metrics need of the probabilities.

Probabilities are the softmax in float32 of the method's own logits, over the names that compete.
"""

from __future__ import annotations

import torch
from torch import Tensor

NAMES = ("predicted", "confidence", "rest", "log_loss", "rank")  # see records.predictions
OPEN = ("mass", "own")


def of_logits(logits: Tensor, labels: Tensor, learned: Tensor | None = None) -> Tensor:
    """Everything that is kept of a batch, in one tensor, so that it is fetched at once.

    Args:
        logits: (images, classes), any float, without NaN. Infinite ones are the limit of large
            ones: several of them share the probability, and all of -inf are equal.
        labels: (images,) int64.
        learned: (classes,) bool, the names that were learned, where others compete with them.

    Returns:
        (columns, images) float32, the columns of `NAMES`, and of `OPEN` where `learned` is given.
        Integers below 2^24 are exact. Of equal logits the first comes first.
    """
    logits = logits.float()
    given = logits.argmax(dim=-1, keepdim=True)
    of_label = logits.gather(-1, labels[:, None])
    largest = logits.gather(-1, given)
    shifted = torch.where(logits == largest, 0.0, logits - largest)  # inf - inf is NaN
    total = shifted.exp().sum(dim=-1, keepdim=True)
    p = shifted.exp() / total
    others = p.scatter(-1, given, 0.0)
    places = torch.arange(logits.shape[-1], device=logits.device)
    ahead = (logits > of_label) | ((logits == of_label) & (places < labels[:, None]))
    columns = [
        given[:, 0].float(),
        p.gather(-1, given)[:, 0],
        others.square().sum(dim=-1),
        (total.log() - shifted.gather(-1, labels[:, None]))[:, 0],
        ahead.sum(dim=-1).float(),
    ]
    if learned is not None:
        same_kind = learned == learned[labels][:, None]
        columns.append(_mass(p, learned))
        columns.append((~(ahead & same_kind).any(dim=-1)).float())
    return torch.stack(columns)


def _mass(p: Tensor, learned: Tensor) -> Tensor:
    """The mass on learned names; the smaller side is summed, so that none is lost near 1."""
    on, off = (torch.where(kind, p, 0.0).sum(dim=-1) for kind in (learned, ~learned))
    return torch.where(on < off, on, 1 - off).clamp(0, 1)
