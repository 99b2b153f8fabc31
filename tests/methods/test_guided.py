"""Methods that are held to frozen class features, against their equations: TCP and DeKg."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from promptbench.contract import OTHER, TRAIN
from promptbench.contract.towers import tiny_towers
from promptbench.core.method import ClassSet, unit
from promptbench.methods._divergence import hsic
from promptbench.methods.atprompt_maple import ATPromptMaPLe
from promptbench.methods.dekg_kgcoop import DeKgKgCoOp
from promptbench.methods.dekg_tcp import DeKgTCP
from promptbench.methods.kgcoop import KgCoOp
from promptbench.methods.tcp import TCP
from promptbench.models.towers import Towers
from tests.catalogue.test_method_cards import vit_b16

LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


@pytest.fixture(scope="module")
def towers() -> Towers:
    return tiny_towers()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(3))


def features(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("n", "d"), [(2, 5), (7, 5), (5, 7), (40, 8)])
def test_hsic_is_the_trace_of_centred_kernels(n: int, d: int) -> None:
    x, y = features(n, d, 1), 3 * features(n, d, 2) + 1
    a, b = x / x.square().sum().sqrt(), y / y.square().sum().sqrt()
    centring = torch.eye(n, dtype=torch.float64) - 1 / n
    trace = (centring @ (a @ a.T) @ centring @ (b @ b.T)).trace()
    assert float(hsic(x.float(), y.float())) == pytest.approx(float(trace), rel=1e-5)
    assert float(hsic(7 * x.float(), y.float())) == pytest.approx(float(trace), rel=1e-5)


def test_hsic_is_zero_where_the_classes_have_one_feature_and_rounds_nothing() -> None:
    x, same = features(6, 4, 1).float(), torch.ones(6, 4)
    assert float(hsic(same, x)) == pytest.approx(0, abs=1e-12)
    exact = hsic(x, features(6, 4, 2).float())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(hsic(x, features(6, 4, 2).float()), exact)


def test_hsic_has_the_gradient_of_its_norm() -> None:
    """The features are divided by their Frobenius norm inside the graph: no gradient along them."""
    x = features(6, 4, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(hsic(x, features(6, 4, 2)), x)
    assert gradient.abs().max() > 0
    assert float((gradient * x.detach()).sum()) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(
    ("cls", "base", "raw"), [(DeKgKgCoOp, KgCoOp, False), (DeKgTCP, TCP, True)]
)
def test_dekg_adds_the_term_to_what_it_is_on(
    cls: Any, base: Any, raw: bool, towers: Towers, images: Tensor
) -> None:
    torch.manual_seed(1)
    method, plain = cls(towers, TRAIN, w_hsic=6.0, w_guide=4.0), base(towers, TRAIN, w_guide=4.0)
    plain.load_state_dict(method.state_dict())
    prepared, terms = method.prepare(TRAIN), plain.losses(images, LABELS, plain.prepare(TRAIN))
    term = hsic(prepared.raw if raw else prepared.text, prepared.frozen)
    found = method.losses(images, LABELS, prepared)
    assert found.keys() - terms.keys() == {"hsic"}
    assert torch.equal(found["hsic"], term)
    expected = terms["ce"] + 4 * terms["guide"] + 6 * term
    assert torch.allclose(method.total(found), expected, rtol=1e-6)
    logits = method.logits(images, method.prepare(OTHER))
    assert torch.equal(logits, plain.logits(images, plain.prepare(OTHER)))
    if raw:  # the features before they are normalised differ in length
        assert not torch.allclose(term, hsic(prepared.text, prepared.frozen), rtol=1e-4)


def test_tokens_of_a_class_come_from_the_frozen_sentence_of_its_name(towers: Towers) -> None:
    torch.manual_seed(2)
    method = TCP(towers, TRAIN)
    frozen = method.frozen_text(TRAIN)
    hidden = frozen @ method.down.weight.T + method.down.bias
    hidden = hidden / (1 + (-1.702 * hidden).exp())
    tokens = (hidden @ method.up.weight.T + method.up.bias).view(4, 4, towers.text.width)
    assert torch.allclose(method.class_tokens(frozen), tokens, atol=1e-6)
    model = towers.model
    expected = unit(model.encode_text(towers.text.token_ids(list(TRAIN.prompts))))
    assert torch.allclose(frozen, expected, atol=1e-6)
    guided = TCP(towers, TRAIN, guide="a drawing of a {}.")
    guided.load_state_dict(method.state_dict())
    # The template of the frozen features changes the features that classes are scored by.
    assert not torch.allclose(guided.prepare(TRAIN).text, method.prepare(TRAIN).text, atol=1e-4)


@pytest.mark.parametrize("cls", [TCP, DeKgTCP])
def test_a_chunk_of_classes_has_its_own_tokens(cls: Any, towers: Towers, images: Tensor) -> None:
    torch.manual_seed(3)
    classes = ClassSet(TRAIN.names + OTHER.names, TRAIN.template)
    method = cls(towers, classes)

    def losses_and_gradients() -> list[Tensor]:
        method.zero_grad()
        total = method.total(method.losses(images, LABELS, method.prepare(classes)))
        total.backward()
        return [
            total.detach(),
            *(p.grad.clone() for p in method.parameters() if p.grad is not None),
        ]

    whole = losses_and_gradients()
    towers.class_chunk = 2
    try:
        parts = losses_and_gradients()
    finally:
        towers.class_chunk = None
    assert len(whole) == 6
    gaps = [(a - b).abs().max() / a.abs().max() for a, b in zip(whole, parts, strict=True)]
    assert max(map(float, gaps)) < 1e-4


def test_maple_with_attributes_learns_two_soft_groups_more() -> None:
    with torch.device("meta"):
        method = ATPromptMaPLe(vit_b16(), TRAIN, n_ctx=2, n_att=2)
    assert sum(p.numel() for p in method.parameters()) == 3_555_072 + 2_048


def test_soft_tokens_start_smaller_than_the_context(towers: Towers) -> None:
    torch.manual_seed(4)
    method = ATPromptMaPLe(towers, TRAIN, n_ctx=2, n_att=500)
    assert float(method.attributes.soft.detach().std()) == pytest.approx(0.01, rel=0.05)
    assert float(method.prompts.detach().std()) == pytest.approx(0.02, rel=0.2)
    assert method.ctx_init == ""
