"""Passes as they are, and prompt tokens told from the sequences alone, for every method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from promptbench.contract.towers import tiny_towers
from promptbench.core.method import ClassSet, Method, unit
from promptbench.errors import UserError
from promptbench.methods.ivlp import IVLP
from promptbench.methods.maple import MaPLe
from promptbench.methods.mmrl import MMRL
from promptbench.methods.mmrlpp import MMRLpp
from promptbench.methods.vpt import VPT
from promptbench.methods.zeroshot import ZeroShot
from promptbench.models import edits
from promptbench.models.deltas import Affine, Delta
from promptbench.models.edits import Edits
from promptbench.models.towers import Tokens, Towers
from promptbench.running.lab.compute import Compute
from promptbench.running.observing.passes import Role, blocks, carried, passes

CPU = Compute(torch.device("cpu"), "fp32")
CLASSES = ClassSet(("cat", "great_dog"), "a photo of a {}.")
PATCHES = 4
PLAIN: list[Role] = ["cls", "patch", "patch", "patch", "patch"]


@pytest.fixture(scope="module")
def clip() -> Towers:
    return tiny_towers()


def images() -> Tensor:
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def roles_of(method: Method) -> dict[int, list[Role]]:
    prepared = method.prepare(CLASSES)
    with torch.inference_mode():
        (seen,) = passes(method.eval(), images(), prepared, CPU)
        return {block.number: list(block.roles) for block in blocks(seen, method.towers.image)}


def after_cls(k: int) -> list[Role]:
    return ["cls", *["prompt"] * k, *PLAIN[1:]]  # type: ignore[list-item]  # Literal widens


def at_the_end(k: int) -> list[Role]:
    return [*PLAIN, *["prompt"] * k]  # type: ignore[list-item]  # Literal widens


@pytest.mark.parametrize("make", [partial(MMRL, n_tokens=3), partial(MMRLpp, n_tokens=3, beta=0.4)])
def test_tokens_inserted_after_cls(make: Callable[..., Method], clip: Towers) -> None:
    found = roles_of(make(clip, CLASSES, token_dim=8))
    assert all(found[block] == PLAIN for block in range(1, 6))
    assert all(found[block] == after_cls(3) for block in range(6, 13))


@pytest.mark.parametrize(
    "make",
    [
        partial(VPT, n_ctx=2, depth=12),
        partial(MaPLe, n_ctx=2, depth=3),
        partial(IVLP, depth_image=9),
    ],
)
def test_tokens_appended_at_the_end(make: Callable[..., Method], clip: Towers) -> None:
    found = roles_of(make(clip, CLASSES))
    assert all(found[block] == found[1] for block in range(1, 13))
    assert found[1] == at_the_end(len(found[1]) - 1 - PATCHES) and "prompt" in found[1]


def test_a_method_that_leaves_the_tower_alone_is_seen_frozen(clip: Towers) -> None:
    found = roles_of(ZeroShot(clip, CLASSES))
    assert found == dict.fromkeys(range(1, 13), PLAIN)


class _Edited(ZeroShot):
    """Any edits, as a plugin might have them."""

    table: Edits

    def image_edits(self) -> Edits:
        return self.table


def test_a_method_from_elsewhere(clip: Towers) -> None:
    """New tokens in the middle at block 3, the patches shifted at 5, the tokens dropped at 8."""
    method = _Edited(clip, CLASSES)
    new = torch.randn(2, clip.image.width)
    method.table = {
        3: partial(edits.insert, tokens=new, at=2),
        5: lambda x: torch.cat([x[:, :1], x[:, 1:] + 0.1], dim=1),
        8: lambda x: torch.cat([x[:, :2], x[:, 4:]], dim=1),
    }
    found = roles_of(method)
    middle = ["cls", "patch", "prompt", "prompt", "patch", "patch", "patch"]
    assert found[2] == PLAIN and found[3] == found[5] == found[7] == middle
    assert found[8] == found[12] == PLAIN


def test_observing_changes_no_number_and_reads_the_same_feature(clip: Towers) -> None:
    method = MMRLpp(clip, CLASSES, n_tokens=3, token_dim=8).eval()
    prepared, batch = method.prepare(CLASSES), images()
    with torch.inference_mode():
        before = method.logits(batch, prepared)
        (seen,) = passes(method, batch, prepared, CPU)
        *_, last = blocks(seen, clip.image)
        assert torch.equal(method.logits(batch, prepared), before)
        features = method.image_features(clip.image.tokens(batch))
        cls = clip.image.normed(last.view.output[:, 0]) @ clip.image.projection
        rep = clip.image.normed(last.view.output[:, last.places("prompt")]).mean(dim=1)
        frozen = clip.image.features(clip.image.tokens(batch))
        assert torch.allclose(cls, features.cls, atol=1e-5)
        assert torch.allclose(rep @ method.rep_projection(), features.rep, atol=1e-5)
        assert not torch.allclose(unit(cls), unit(frozen))


def test_a_tower_is_let_go_after_an_error(clip: Towers) -> None:
    method = VPT(clip, CLASSES)
    with pytest.raises(RuntimeError), clip.image.observed(lambda *_: {}):
        raise RuntimeError
    assert "prompt" in roles_of(method)[1]


def test_what_cannot_be_told_is_said() -> None:
    x = torch.randn(1, 4, 3)
    roles: list[Role] = ["cls", "patch", "patch", "patch"]
    with pytest.raises(UserError, match="cannot be distinguished"):
        carried(roles, x, torch.cat([x[:, :1], torch.randn(1, 4, 3)], dim=1))
    kept: list[Role] = ["cls", "patch", "prompt", "prompt"]
    fewer = torch.cat([x[:, :2], torch.randn(1, 1, 3)], dim=1)
    assert carried(kept, x, fewer) == ["cls", "patch", "prompt"]


class _Changed(ZeroShot):
    """Edits and deltas of the image tower, as a plugin might have them."""

    def image_features(self, images: Tensor) -> Tensor:
        return unit(self.raw(self.towers.image.tokens(images)))

    def raw(self, tokens: Tokens) -> Tensor:
        new = torch.full((1, self.towers.image.width), 0.4)
        behind = {13: lambda x: edits.append(torch.cat([1.5 * x[:, :1] + 1, x[:, 1:]], dim=1), new)}
        affine = Affine(shift=torch.full((self.towers.image.width,), 0.2))
        deltas = {4: Delta(v=lambda x: 0.5 * x), 12: Delta(ln_2=affine, beside=lambda x: 0.1 * x)}
        return self.towers.image.features(tokens, behind if self.behind else {}, deltas)

    behind = False


@pytest.mark.parametrize("behind", [False, True])
def test_deltas_are_seen_and_change_what_is_seen(clip: Towers, behind: bool) -> None:
    method = _Changed(clip, CLASSES).eval()
    method.behind = behind
    batch, prepared = images(), method.prepare(CLASSES)
    with torch.inference_mode():
        logits = method.logits(batch, prepared)
        (seen,) = passes(method, batch, prepared, CPU)
        assert seen.changed and set(seen.deltas) == {4, 12}
        assert torch.equal(method.logits(batch, prepared), logits)
        *_, last = blocks(seen, clip.image)
        read = clip.image.normed(last.leaving("cls"))[:, 0] @ clip.image.projection
        tokens = clip.image.tokens(batch)
        assert torch.allclose(read, method.raw(tokens), atol=1e-5)
        assert not torch.allclose(read, clip.image.features(tokens), atol=1e-2)
        assert last.roles == tuple(PLAIN)
        assert last.leaving("prompt").shape[1] == behind
        assert torch.equal(seen.entering[4], clip.image.frozen(tokens, 4))
