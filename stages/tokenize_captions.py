"""The vocabulary of the training captions, and every caption as word ids."""

from __future__ import annotations

from _common import stage

import click

from ganscribe import config
from ganscribe.core.files import atomic_folder
from ganscribe.datasets.captions import read_captions
from ganscribe.datasets.tokens import build_vocabulary, caption_doubts, write_tokens, write_vocabulary


@stage
def main() -> None:
    """Build the vocabulary on the training captions; write every caption as word ids."""
    captions = read_captions("data/captions/captions.parquet")
    training = [caption.caption for caption in captions if caption.split == "train"]
    vocabulary = build_vocabulary(
        training, size=config.load("vocabulary_size"), tokeniser=config.load("tokeniser")
    )
    for doubt in caption_doubts(training, vocabulary):
        click.echo(f"Warning: {doubt}", err=True)
    with atomic_folder("data/tokens") as folder:
        write_vocabulary(folder / "vocabulary.json", vocabulary)
        write_tokens(
            folder / "tokens.parquet",
            image_ids=[caption.image_id for caption in captions],
            caption_ids=[caption.caption_id for caption in captions],
            splits=[caption.split for caption in captions],
            kept=[caption.kept for caption in captions],
            tokens=[vocabulary.encode(caption.caption) for caption in captions],
        )


if __name__ == "__main__":
    main()
