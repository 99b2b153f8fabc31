"""CLIP zero-shot (Radford et al., arXiv 2103.00020): no learning, frozen features only.

Logits are logit_scale * cos(f_v, f_t). f_t is the feature of the dataset's template filled with the
class name; of several templates, or of sentences about the class (CuPL, Pratt et al., arXiv
2209.03320), it is the normalised mean of their normalised features.

Paradigm: zero-shot. Data beyond the few shots: none (not even those); with `class_texts`, these. It
learns 0 parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from promptbench.api import ClassSet, Towers, UserError, unit
from promptbench.methods._class_texts import mean_features, texts_of
from promptbench.methods._cosine import CosineMethod


class ZeroShot(CosineMethod):
    """Cosine similarity between image features and the features of the class prompts.

    Args:
        templates: sentences with {} for the class name, such as CLIP's ensembles; empty: only the
            dataset's template.
        class_texts: sentences about each class in the place of the dataset's template; with
            `templates`, beside those.

    Raises:
        UserError: a template that has not one place for the class name.
    """

    title = "CLIP (zero-shot)"
    paper = "arXiv 2103.00020"
    paradigm = "zero-shot"
    needs = ()
    vit_b16_parameters = 0
    equations_from = "the paper; code KaiyangZhou/CoOp@ff61507"
    equals = "reference code"
    younger: ClassVar = {"templates": (), "class_texts": False}

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        templates: Sequence[str] = (),
        class_texts: bool = False,
    ) -> None:
        super().__init__(towers, classes)
        self.templates = tuple(templates)
        self.class_texts = class_texts
        for template in self.templates:
            around = template.split("{}")
            if len(around) != 2 or set("{}") & set("".join(around)):
                raise UserError(
                    f"ZeroShot.templates: {template!r} must have one {{}}, for the class name"
                )

    def text_features(self, classes: ClassSet) -> Tensor:
        text = self.towers.text
        if not self.templates and not self.class_texts:
            return unit(text.features(text.tokens(classes.prompts)))
        own = texts_of(classes, self.title) if self.class_texts else [()] * len(classes)
        return mean_features(
            text,
            [
                [*(template.format(name) for template in self.templates), *sentences]
                for name, sentences in zip(classes.words, own, strict=True)
            ],
        )
