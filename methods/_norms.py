"""Shared part: layer norms of a tower's blocks that are learned."""

from __future__ import annotations

from torch import Tensor, nn

from promptbench.api import Affine, Delta, Tower

NORMS = ("ln_1", "ln_2")


class Norms(nn.Module):
    """Weight and bias of the norms of a tower's blocks from `first` on; names are "6_ln_1"."""

    def __init__(self, tower: Tower, first: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.ParameterDict(), nn.ParameterDict()
        self.blocks = range(first, tower.n_blocks + 1)
        for block in self.blocks:
            frozen = tower.weights(block)
            for norm in NORMS:
                weight, bias = frozen[norm]
                self.weight[f"{block}_{norm}"] = nn.Parameter(weight.clone())
                self.bias[f"{block}_{norm}"] = nn.Parameter(bias.clone())
                self.register_buffer(f"frozen_{block}_{norm}_weight", weight, persistent=False)
                self.register_buffer(f"frozen_{block}_{norm}_bias", bias, persistent=False)

    def deltas(self) -> dict[int, Delta]:
        """What is added to the frozen norms, so that they are the learned ones."""
        return {
            block: Delta(ln_1=self._affine(f"{block}_ln_1"), ln_2=self._affine(f"{block}_ln_2"))
            for block in self.blocks
        }

    def _affine(self, key: str) -> Affine:
        weight: Tensor = self.get_buffer(f"frozen_{key}_weight")
        bias: Tensor = self.get_buffer(f"frozen_{key}_bias")
        return Affine(self.weight[key] - weight, self.bias[key] - bias)
