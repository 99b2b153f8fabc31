"""The contract finds what a method reads of the towers and does not declare."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from promptbench.contract import Bench, World, tiny_towers
from promptbench.contract.needs import it_reads_only_what_it_needs, noting
from promptbench.contract.verdicts import Broken
from promptbench.core.method import ClassSet
from promptbench.models import edits
from promptbench.models.towers import Towers
from tests.contract.adversaries import Honest


class Prompted(Honest):
    """Honest, with an image prompt and a text prompt in later blocks."""

    needs: ClassVar[tuple[str, ...]] = ("image_blocks", "text_blocks")

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.image_prompt = nn.Parameter(torch.zeros(1, towers.image.width))
        self.text_prompt = nn.Parameter(torch.zeros(1, towers.text.width))

    def prepare(self, classes: ClassSet) -> Any:
        text = self.towers.text
        table = {3: lambda x: edits.insert(x, self.text_prompt)}
        found = text.features(text.tokens(classes.prompts), table)
        return nn.functional.normalize(found.float() + self.shift, dim=-1)

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        image = self.towers.image
        table = {0: lambda x: edits.append(x, self.image_prompt)}
        features = nn.functional.normalize(image.features(image.tokens(images), table), dim=-1)
        return self.towers.logit_scale * features @ prepared.T


class Silent(Prompted):
    """It reads blocks of images and says that it does not."""

    needs = ("text_blocks",)


class Projecting(Honest):
    needs = ("image_blocks",)

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        _ = self.towers.image.projection
        return super().logits(images, prepared)


class Speaking(Honest):
    needs = ()

    def prepare(self, classes: ClassSet) -> Any:
        self.towers.text.embed("a photo")
        return super().prepare(classes)


def asked(cls: Any) -> str:
    return it_reads_only_what_it_needs(Bench.of(cls, World.standard()))


def test_what_is_declared_may_be_read() -> None:
    found = asked(Prompted)
    assert found == "reads image_blocks, text_blocks; needs image_blocks, text_blocks"


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Silent, r"it reads image_blocks, which its `needs` .*\('image_blocks', 'text_blocks'\)"),
        (Projecting, r"it reads image_cls, .* needs = \('image_cls',\)"),
        (Speaking, r"it reads text_embeddings, .* needs = \('text_embeddings',\)"),
    ],
)
def test_what_is_read_and_not_declared_is_found(cls: Any, message: str) -> None:
    with pytest.raises(Broken, match=message):
        asked(cls)


def test_one_that_says_nothing_is_told_what_to_say() -> None:
    assert asked(Honest) == (
        "it says nothing, and runs on CLIP's vision transformers only; it reads: needs = ()"
    )


def test_towers_are_the_same_afterwards() -> None:
    towers = tiny_towers()
    kinds = type(towers.text), type(towers.image)
    with noting(towers) as found:
        _ = towers.image.width
    assert found == {"image_blocks"}
    assert (type(towers.text), type(towers.image)) == kinds
