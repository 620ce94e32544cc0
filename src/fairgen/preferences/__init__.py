"""Comparisons of images by physicians, or by what stands in for them; and what they prefer."""

from fairgen.preferences.judge import Judge, answers_of
from fairgen.preferences.pairs import (
    CHOICES,
    Answer,
    Comparison,
    draw_comparisons,
    preferences_of,
)
from fairgen.preferences.review import read_answers, read_comparisons, write_answers, write_review

__all__ = [
    "CHOICES",
    "Answer",
    "Comparison",
    "Judge",
    "answers_of",
    "draw_comparisons",
    "preferences_of",
    "read_answers",
    "read_comparisons",
    "write_answers",
    "write_review",
]
