"""CLIP-LoRA (arXiv 2405.18541), by what docs/extending/ and promptbench.api say only.

Paradigm: end-to-end. Data beyond the few shots: none.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from promptbench.api import Count, Delta, Method, Share, deltas, full_precision, unit

PROMPTBENCH_API = 1
MAPS = ("q", "k", "v")


class MyCLIPLoRA(Method):
    title = "CLIP-LoRA of a stranger"
    paper = "arXiv 2405.18541"
    paradigm = "end-to-end"

    def __init__(self, towers, classes, *, rank: Count = 2, dropout: Share = 0.25):
        super().__init__(towers, classes)
        self.scale, self.dropout = 1 / math.sqrt(rank), dropout
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for side in ("text", "image"):
            tower = getattr(towers, side)
            for block in range(1, tower.n_blocks + 1):
                for name in MAPS:
                    down = nn.init.kaiming_uniform_(torch.empty(rank, tower.width), a=math.sqrt(5))
                    self.down[f"{side}{block}{name}"] = nn.Parameter(down)
                    self.up[f"{side}{block}{name}"] = nn.Parameter(torch.zeros(tower.width, rank))

    def _added(self, key):
        low_rank = deltas.low_rank(self.down[key], self.up[key], self.scale)
        return lambda x: low_rank(F.dropout(x, self.dropout) if self.training else x)

    def _features(self, side, tokens):
        tower = getattr(self.towers, side)
        changes = {
            block: Delta(**{name: self._added(f"{side}{block}{name}") for name in MAPS})
            for block in range(1, tower.n_blocks + 1)
        }
        return unit(tower.features(tokens, deltas=changes))

    def prepare(self, classes):
        prompts = [f"a photo of a {words}." for words in classes.words]
        return self._features("text", self.towers.text.tokens(prompts))

    def logits(self, images, prepared):
        features = self._features("image", self.towers.image.tokens(images))
        with full_precision(features):
            return 100 * features @ prepared.T

    def losses(self, images, labels, prepared):
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}
