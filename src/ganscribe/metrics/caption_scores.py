"""The scores of a captioner, in one table."""

from __future__ import annotations

from ganscribe.core.scores import EVERYWHERE, HEADLINE, LEADERBOARD, REPORT, TRAINED, Score

CAPTION_SCORES: tuple[Score, ...] = (
    Score("BLEU-1", "words that a reference has, with a penalty for brevity", "higher", REPORT),
    Score("BLEU-2", "the same of one and two words in a row", "higher", REPORT),
    Score("BLEU-3", "the same of one to three words in a row", "higher", REPORT),
    Score("BLEU-4", "the same of one to four words in a row", "higher", LEADERBOARD),
    Score("METEOR", "words aligned with a reference's, stems and synonyms too", "higher", LEADERBOARD),
    Score("ROUGE-L", "longest common subsequence with a reference", "higher", LEADERBOARD),
    Score("CIDEr", "agreement with all references, rare words weighing more", "higher", EVERYWHERE),
    Score("SPICE", "objects, attributes and relations that references name", "higher", REPORT),
    Score(
        "object_accuracy",
        "captions that name colour and shape of the main object",
        "higher",
        HEADLINE,
        short="objects",
    ),
    Score(
        "attention_on_object",
        "of these, whose shape word has its attention's peak on it",
        "higher",
        HEADLINE,
        short="on_object",
    ),
    Score("loss", "mean cross-entropy of the references' words, in nats", "lower", REPORT),
    Score("perplexity", "its exponential", "lower", LEADERBOARD),
    Score("copied", "share of captions that are a training caption word for word", "", REPORT),
    TRAINED,
    Score("mean_length", "words per caption", "", REPORT),
    Score("vocabulary", "different words used", "", REPORT),
    Score("distinct", "number of different captions, as a share of all", "", REPORT),
)
