"""The downstream test: classifiers with and without synthetic images and reweighting."""

from fairgen.classifiers.classifier import (
    Classifier,
    ClassifySettings,
    Lesson,
    Predictor,
    Samples,
    Task,
)
from fairgen.classifiers.downstream import classify
from fairgen.classifiers.members import CLASSIFIERS, find_classifier

__all__ = [
    "CLASSIFIERS",
    "Classifier",
    "ClassifySettings",
    "Lesson",
    "Predictor",
    "Samples",
    "Task",
    "classify",
    "find_classifier",
]
