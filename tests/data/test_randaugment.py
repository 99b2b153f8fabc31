"""RandAugment: operation by operation torchvision's, drawn from a generator of the image's own."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from promptbench.data.images import randaugment
from promptbench.data.images.randaugment import OPERATIONS, amount_of, applied, randomised
from promptbench.support.compat import torchvision_functional

torchvision_functional()

from torchvision.transforms import InterpolationMode, autoaugment  # noqa: E402  (after its ops)


def image(width: int, height: int) -> Image.Image:
    stream = np.random.default_rng(width)
    levels = stream.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [(64, 64), (37, 53)])
def test_an_operation_is_torchvisions_at_every_magnitude(name: str, size: tuple[int, int]) -> None:
    given = image(*size)
    space = autoaugment.RandAugment()._augmentation_space(31, (given.height, given.width))
    assert list(space) == list(OPERATIONS)
    magnitudes, signed = space[name]
    for magnitude in range(31):
        amount = float(magnitudes[magnitude]) if magnitudes.ndim else 0.0
        for turned in (False, True):
            own = amount_of(given, name, magnitude, turned)
            # Their list is in float32 as the processor has it, with or without fused products.
            assert own == pytest.approx(-amount if turned and signed else amount, rel=1e-6)
            theirs = autoaugment._apply_op(given, name, own, InterpolationMode.NEAREST, None)
            ours = applied(given, name, magnitude, turned)
            assert np.array_equal(np.asarray(ours), np.asarray(theirs)), (magnitude, turned)


def test_all_operations_and_both_directions_are_drawn_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: Counter[str] = Counter()
    turns: Counter[bool] = Counter()

    def noting(given: Image.Image, name: str, magnitude: int, turned: bool) -> Image.Image:
        assert magnitude == 10
        seen[name] += 1
        turns[turned] += 1
        return given

    monkeypatch.setattr(randaugment, "applied", noting)
    stream = np.random.default_rng(0)
    for _ in range(1400):
        randomised(image(4, 4), 2, 10, stream)
    assert sum(seen.values()) == 2800 and len(seen) == 14
    assert all(150 <= count <= 250 for count in seen.values())
    assert all(1300 <= count <= 1500 for count in turns.values())


def test_what_is_made_of_an_image_hangs_on_its_generator_only() -> None:
    given = image(64, 64)
    first, again, other = (
        np.asarray(randomised(given, 2, 20, np.random.default_rng(seed))) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.array_equal(np.asarray(randomised(given, 0, 20, np.random.default_rng(1))), given)
