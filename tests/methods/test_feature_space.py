"""Methods on top of frozen features, beyond their reference's vectors: rows, searches, states."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from promptbench.contract import OTHER, TRAIN
from promptbench.contract.towers import tiny_towers
from promptbench.core.method import ClassSet, unit
from promptbench.core.recipe import Recipe, stated, whole
from promptbench.errors import UserError
from promptbench.methods.clap import CLAP
from promptbench.methods.clipadapter import CLIPAdapter
from promptbench.methods.lpp import LPP
from promptbench.methods.taskres import TaskRes
from promptbench.methods.tipadapter import TipAdapter
from promptbench.methods.tipadapterf import TipAdapterF
from promptbench.methods.zeroshot import ZeroShot
from promptbench.models.towers import Towers

LABELS = torch.arange(12) % 4


@pytest.fixture(scope="module")
def towers() -> Towers:
    return tiny_towers()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(12, 3, 16, 16, generator=torch.Generator().manual_seed(3))


def test_a_search_leaves_each_image_out_of_the_cache(towers: Towers, images: Tensor) -> None:
    """Pair by pair and image by image, the accuracy of the cache without the image."""
    method = TipAdapter(towers, TRAIN, passes=0, search=(3.0, 40.0))
    method.solve([(images, LABELS)])
    keys, text = method.keys.detach(), method.prepare(TRAIN).text
    best, found = -1, (0.0, 0.0)
    for beta in (0.1 + i * (3.0 - 0.1) / 200 for i in range(200)):
        for alpha in (0.1 + i * (40.0 - 0.1) / 20 for i in range(20)):
            right = 0
            for i in range(12):
                others = [j for j in range(12) if j != i]
                near = (-beta * (1 - keys[others] @ keys[i])).exp()
                cache = near @ F.one_hot(LABELS[others], 4).float()
                right += int((100 * text @ keys[i] + alpha * cache).argmax() == LABELS[i])
            if right > best:
                best, found = right, (beta, alpha)
        if beta > 0.4:  # the first best pair is among the first betas, or the search is wrong
            break
    assert method.scales.tolist() == pytest.approx(found)


def test_one_image_a_class_leaves_nothing_to_search(towers: Towers, images: Tensor) -> None:
    method = TipAdapter(towers, TRAIN, passes=0, search=(7.0, 3.0), alpha=2.0, beta=1.5)
    method.solve([(images[:4], LABELS[:4])])
    assert method.scales.tolist() == [1.5, 2.0]


@pytest.mark.parametrize("search", [(3.0,), (0.1, 3.0)])
def test_a_search_without_two_ends_is_refused(towers: Towers, search: Any) -> None:
    with pytest.raises(UserError, match=r"TipAdapter.search = .* each above 0.1"):
        TipAdapter(towers, TRAIN, search=search)


@pytest.mark.parametrize("cls", [TaskRes, TipAdapter, TipAdapterF, CLAP, LPP])
def test_classes_without_a_row_are_refused_by_name(towers: Towers, cls: Any) -> None:
    method = cls(towers, TRAIN)
    with pytest.raises(UserError, match=f"{method.title.split('+')[0]}.* 'annual crop', a class"):
        method.prepare(OTHER)


def test_a_cache_takes_its_size_from_what_is_stored(towers: Towers, images: Tensor) -> None:
    filled, empty = (TipAdapterF(towers, TRAIN, passes=2) for _ in range(2))
    filled.start_from([(images, LABELS), (images + 1, LABELS)])
    optimizer = Recipe(optimizer="adamw").build_optimizer(empty)
    empty.load_state_dict(filled.state_dict())
    (learned,) = optimizer.param_groups[0]["params"]
    assert learned is empty.keys and empty.keys.shape == (12, towers.embed_dim)
    mean = torch.stack([towers.model.encode_image(images + i) for i in (0, 1)]).mean(dim=0)
    torch.testing.assert_close(empty.keys.detach(), F.normalize(mean, dim=-1))
    with pytest.raises(RuntimeError, match="size mismatch"):
        empty.load_state_dict({**filled.state_dict(), "keys": torch.zeros(3, towers.embed_dim)})


def test_before_the_first_step_taskres_and_clap_are_zero_shot(
    towers: Towers, images: Tensor
) -> None:
    zero_shot = ZeroShot(towers, TRAIN)
    expected = zero_shot.logits(images, zero_shot.prepare(TRAIN))
    probe = CLAP(towers, TRAIN, constraint="none", passes=0, lr=0.0, warmup_epochs=0)
    probe.solve([(images, LABELS)])
    for method in (TaskRes(towers, TRAIN), probe):
        found = method.logits(images, method.prepare(TRAIN))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_clap_takes_the_batches_of_one_pass(
    towers: Towers, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 24 features in 2 passes, 2 batches of 5 an epoch; with room for all, one of 24."""
    sizes: list[int] = []
    terms = CLAP.terms

    def noted(self: CLAP, features: Tensor, labels: Tensor, prepared: Any) -> Any:
        sizes.append(len(features))
        return terms(self, features, labels, prepared)

    monkeypatch.setattr(CLAP, "terms", noted)
    for size, expected in ((5, [5, 5] * 3), (256, [24] * 3)):
        sizes.clear()
        method = CLAP(towers, TRAIN, passes=2, epochs=3, batch_size=size)
        method.solve([(images, LABELS), (images + 1, LABELS)])
        assert sizes == expected
    assert [method.lr_at(0), method.lr_at(1)] == [1e-5, 0.1]
    assert method.lr_at(2) == pytest.approx(Recipe(lr=0.1, epochs=3).lr_at(2))


def test_lpp_as_the_paper_describes_it(towers: Towers, images: Tensor) -> None:
    """No bias; alpha follows the gradient of its own epoch."""
    features = unit(towers.model.encode_image(images))
    paper = LPP(towers, TRAIN, epochs=10, momentum=0.0, bias=False, accumulate=False)
    paper.begin(features, LABELS)
    ahead = LPP(towers, TRAIN, epochs=9, momentum=0.0, bias=False, accumulate=False)
    ahead.begin(features, LABELS)
    ahead.descend(features, LABELS)
    logits = ahead.prepare(TRAIN).logits(features)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, LABELS), ahead.alpha)
    paper.descend(features, LABELS)
    expected = ahead.alpha - paper.steps(features)[1] * gradient
    torch.testing.assert_close(paper.alpha, expected)
    assert not paper.bias.requires_grad and not paper.bias.any()


def test_an_adapter_of_no_dimension_and_a_template_without_a_place_are_refused(
    towers: Towers,
) -> None:
    with pytest.raises(UserError, match=r"CLIPAdapter.reduction = 500 leaves nothing"):
        CLIPAdapter(towers, TRAIN, reduction=500)
    with pytest.raises(UserError, match=r"'a photo' must have one \{\}"):
        TaskRes(towers, TRAIN, templates=("a photo",))


def test_raw_names_keep_their_underscores(towers: Towers) -> None:
    raw = TaskRes(towers, TRAIN, raw_names=True).frozen_text(TRAIN)
    text = [TRAIN.template.format(name) for name in TRAIN.names]
    expected = towers.model.encode_text(towers.text.token_ids(text))
    torch.testing.assert_close(raw, expected, rtol=1e-4, atol=1e-5)


def test_a_part_of_the_classes_in_another_order(towers: Towers, images: Tensor) -> None:
    some = ClassSet((TRAIN.names[2], TRAIN.names[0]), TRAIN.template)
    for cls in (TipAdapter, LPP, CLAP):
        torch.manual_seed(0)
        method: Any = cls(towers, TRAIN, passes=0)
        method.solve([(images, LABELS)])
        every = method.logits(images, method.prepare(TRAIN))
        torch.testing.assert_close(method.logits(images, method.prepare(some)), every[:, [2, 0]])


def test_younger_fields_of_a_recipe_stand_nowhere_unless_set() -> None:
    usual = vars(Recipe())
    assert {"eps", "schedule"} & stated(usual).keys() == set()
    assert stated({**usual, "eps": 1e-4})["eps"] == 1e-4
    assert whole(stated(usual)) == usual
