import pickle
from pathlib import Path

import pytest
import torch

from captioners import tiny_data
from ganscribe.captioning.dataset import longest_caption, read_references, read_tokenised
from ganscribe.datasets.captions import SelectedCaption, write_captions
from ganscribe.datasets.tokens import write_tokens
from ganscribe.features.shards import KEYS, ShardWriter, open_shards


def test_captions_are_read_by_split_and_dropped_with_their_image(tmp_path: Path) -> None:
    path = tmp_path / "tokens.parquet"
    write_tokens(
        path,
        image_ids=[1, 1, 2, 3, 4],
        caption_ids=[1, 2, 3, 4, 5],
        splits=["train", "train", "train", "val", "val"],
        kept=[True, True, True, True, False],
        tokens=[[2, 5, 3], [2, 5, 6, 7, 3], [2, 8, 3], [2, 5, 5, 3], [2, 5, 6, 7, 8, 9, 3]],
    )
    train_set = read_tokenised(path, split="train", only_kept=True, image_ids={1, 3, 4})
    assert train_set.image_ids == [1, 1] and train_set.longest == 5
    assert len(read_tokenised(path, split="val", only_kept=True)) == 1
    assert len(read_tokenised(path, split="val", only_kept=False)) == 2
    assert longest_caption(path) == 5  # of the selected ones
    image_ids, tokens = read_tokenised(path, split="train", only_kept=True).batch(torch.tensor([0, 2]))
    assert image_ids == [1, 2] and tokens.tolist() == [[2, 5, 3], [2, 8, 3]]


def test_references_are_all_captions_of_a_split_s_images_with_features_by_image_and_caption(
    tmp_path: Path,
) -> None:
    rows = [(7, 3, "val"), (5, 9, "val"), (7, 1, "val"), (6, 2, "val"), (5, 4, "train")]
    captions = [SelectedCaption(i, n, f"{i}.jpg", "", f"caption {n}", split, n < 9) for i, n, split in rows]
    write_captions(tmp_path / "captions.parquet", captions)
    found = read_references(tmp_path / "captions.parquet", split="val", image_ids={5: 0, 7: 1})
    assert list(found.items()) == [(5, ["caption 9"]), (7, ["caption 1", "caption 3"])]


@pytest.mark.parametrize("tokens", [[2], [], [2, 5, 0, 3]])
def test_a_caption_that_was_written_wrongly_is_named(tmp_path: Path, tokens: list[int]) -> None:
    path = tmp_path / "tokens.parquet"
    write_tokens(path, image_ids=[1], caption_ids=[1], splits=["val"], kept=[True], tokens=[tokens])
    with pytest.raises(
        ValueError, match=r"tokens\.parquet: a caption lacks <start> or <end>, or holds <pad>: run"
    ):
        read_tokenised(path, split="val", only_kept=True)


def test_a_training_s_data_go_to_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine sends the data in this form: the other process maps the shards itself."""
    writer = ShardWriter(folder=tmp_path, shape=(64, 12), metadata=dict.fromkeys(KEYS[2:], "x"))
    writer.write(0, image_ids=[7, 8], file_names=["7", "8"], features=torch.rand(2, 64, 12).half())
    writer.write_index(1)
    monkeypatch.chdir(tmp_path.parent)
    data = tiny_data(features=open_shards(tmp_path.name).gather_images)
    content = pickle.dumps(data)
    monkeypatch.chdir("/")  # the other process has a working folder of its own
    sent = pickle.loads(content)
    assert torch.equal(sent.features([8, 7]), data.features([8, 7]))
    assert sent.train.image_ids == data.train.image_ids and torch.equal(sent.val.tokens, data.val.tokens)
