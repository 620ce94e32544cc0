"""A small CLIP tokenizer made offline: byte-level pieces, learned from a fixed list of words."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise
from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

WORDS = Path(__file__).parent.parent / "assets" / "words.txt"
START, END = "<|startoftext|>", "<|endoftext|>"
LAST = "</w>"

Pair = tuple[str, str]


def known_words() -> tuple[str, ...]:
    """Return the fixed list of words, in order, each once."""
    lines = WORDS.read_text(encoding="utf-8").splitlines()
    words = (word for line in lines if not line.startswith("#") for word in line.split())
    return tuple(dict.fromkeys(words))


def make_tokenizer(
    texts: Iterable[str] = (), *, tokens: int = 4096, length: int = 32
) -> CLIPTokenizer:
    """Return a tokenizer in CLIP's layout that can encode any text.

    The words of the list and of ``texts`` are merged into whole tokens, the shortest spellings
    first, as far as ``tokens`` allow. Everything else falls back to pieces and bytes.

    Args:
        texts: Prompts whose words should be known too.
        tokens: Most entries of the vocabulary; at least 514.
        length: Most tokens of a prompt, the start and the end included.
    """
    plain = CLIPTokenizer(_vocabulary(()), [], model_max_length=length)
    backend = plain.backend_tokenizer
    given = [
        piece
        for text in (*known_words(), *texts)
        for piece, _ in backend.pre_tokenizer.pre_tokenize_str(
            backend.normalizer.normalize_str(text)
        )
    ]
    merges = learn_merges(Counter(given), tokens - len(_vocabulary(())))
    return CLIPTokenizer(_vocabulary(merges), list(merges), model_max_length=length)


def _vocabulary(merges: Sequence[Pair]) -> dict[str, int]:
    """Return CLIP's order: bytes, bytes at a word's end, merges, start, end."""
    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, *(c + LAST for c in letters), *("".join(m) for m in merges), START, END]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def learn_merges(words: Mapping[str, int], most: int) -> tuple[Pair, ...]:
    """Return byte-pair merges, the most frequent pair first; equal counts go by the alphabet.

    Args:
        words: How often each word occurs.
        most: Most merges to return; fewer if all words are whole before.

    Reference:
        Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units",
        ACL 2016.
    """
    spelling = {w: [*w[:-1], w[-1] + LAST] for w in words if w}
    counts: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[str]] = defaultdict(set)
    for word, parts in spelling.items():
        for pair in pairwise(parts):
            counts[pair] += words[word]
            where[pair].add(word)
    queue = [(-n, pair) for pair, n in counts.items()]
    heapify(queue)
    merges: list[Pair] = []
    while queue and len(merges) < most:
        n, pair = heappop(queue)
        if n == 0 or -n != counts[pair]:
            continue  # the pair has been counted anew since
        merges.append(pair)
        touched: set[Pair] = set()
        for word in where.pop(pair):
            old, spelling[word] = spelling[word], merged(spelling[word], pair)
            counts.subtract(times(old, words[word]))
            counts.update(times(spelling[word], words[word]))
            for fresh in pairwise(spelling[word]):
                where[fresh].add(word)
            touched |= {*pairwise(old), *pairwise(spelling[word])}
        for changed in touched - {pair}:
            heappush(queue, (-counts[changed], changed))
    return tuple(merges)


def times(parts: Sequence[str], often: int) -> dict[Pair, int]:
    """Return how often each pair of neighbours occurs in a word that occurs ``often``."""
    return {pair: n * often for pair, n in Counter(pairwise(parts)).items()}


def merged(parts: Sequence[str], pair: Pair) -> list[str]:
    """Return the pieces of a word after joining every occurrence of a pair, from the left."""
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return joined
