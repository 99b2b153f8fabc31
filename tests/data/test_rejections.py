"""Images that cannot be stored are named together, and nothing that was written is lost."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from promptbench.data.shards import rejections, shard_writing, shards, writing
from promptbench.data.shards.rejections import Rejection
from promptbench.errors import UserError
from tests.data import toy
from tests.data.test_remote import Messages
from tests.data.toy import SAY_NOTHING


def floats() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ones((4, 4), np.float32)).save(file, "TIFF")
    return file.getvalue()


def noise() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return toy.encoded(Image.fromarray(pixels), "PNG")


def spoilt(bad: dict[int, bytes]) -> toy.Memory:
    rows = [(name, label, bad.get(at, image)) for at, (name, label, image) in enumerate(ROWS)]
    return toy.Memory({"train": toy.rows(30, first=100), "test": rows})


ROWS = toy.rows(55)
BAD = {number: floats() for number in (3, 9, 40, 41)} | {20: b"no image", 21: b"nor this"}
BAD[30] = noise()[:5000]


@pytest.mark.parametrize("workers", [0, 3])
def test_all_images_that_are_wrong_are_named_by_kind(tmp_path: Path, workers: int) -> None:
    heard = Messages()
    options = writing.WritingOptions(workers=workers)
    with pytest.raises(UserError) as caught:
        writing.write(toy.card(), tmp_path / "toy", spoilt(BAD), options, heard)
    said = str(caught.value).splitlines()
    assert said[0].startswith("toy: 7 images cannot be stored; the same command goes on when")
    assert len(said) == 4 and caught.value.exit_code == 2
    assert said[1].startswith("  4 images (") and "): refused: its pixels are floats" in said[1]
    assert "(00003.png, 00009.png, 00040.png, ...)" in said[1]
    assert said[2].startswith("  2 images (") and "it is not an image" in said[2]
    assert "(00020.png, 00021.png)" in said[2]
    assert said[3].startswith("  1 image (00030.png): broken: ")
    assert len(heard.texts) == 1 and "The other images are looked at" in heard.texts[0]
    assert not (tmp_path / "toy").exists()


def test_one_image_is_named_with_its_shard(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^toy: image 00003\.png \(of shard test-0+\.tar\) is re"):
        toy.write(tmp_path / "toy", spoilt({3: floats()}))


def test_shards_without_wrong_images_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 10)
    with pytest.raises(UserError, match="2 images cannot be stored"):
        toy.write(tmp_path / "toy", spoilt({3: floats(), 9: floats()}))
    kept = sorted(path.name for path in (tmp_path / ".toy.partial" / "set").glob("*.tar"))
    assert 3 + 4 <= len(kept) <= 3 + 5  # of 3 and 6
    written: list[str] = []
    original = shard_writing.write_shard
    monkeypatch.setattr(
        writing, "write_shard", lambda *a: (written.append(a[1].name), original(*a))[1]
    )
    done = writing.write(
        toy.card(), tmp_path / "toy", toy.source(), writing.WritingOptions(), SAY_NOTHING
    )
    assert len(written) == 9 - len(kept) and done.index.splits["test"].count == 55


def test_many_kinds_are_cut() -> None:
    images = [Rejection(f"{n}.png", "s", f"is refused: {'x' * n}") for n in range(1, 21)]
    said = str(rejections.error_for("toy", images)).splitlines()
    assert len(said) == 10 and said[-1] == "  and 12 more, of 12 other kinds"
