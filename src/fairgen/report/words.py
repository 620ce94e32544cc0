"""Readable names of metrics, groups and methods, and the glossary of the report."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fairgen.cohort.schema import SEPARATOR

ARROWS: Mapping[str, str] = MappingProxyType({"higher": "\u00a0↑", "lower": "\u00a0↓", "none": ""})
SPLIT_NAMES: Mapping[str, str] = MappingProxyType(
    {"train": "training", "valid": "validation", "test": "test", "": "not split"}
)


@dataclass(frozen=True)
class Word:
    """Says how a metric is named, which direction is better, and what it means.

    Attributes:
        label: Name in tables and figures.
        direction: ``higher``, ``lower`` or ``none``: which is better.
        meaning: One sentence for the glossary; empty where the label says it all.
        decimals: Digits after the point.
    """

    label: str
    direction: str
    meaning: str = ""
    decimals: int = 3

    @property
    def arrowed(self) -> str:
        """Return the label followed by the arrow of its better direction."""
        return self.label + ARROWS.get(self.direction, "")


WORDS: Mapping[str, Word] = MappingProxyType(
    {
        "accuracy": Word("Accuracy", "higher", "Share of test images whose label is predicted."),
        "auc": Word(
            "AUC",
            "higher",
            "Area under the ROC curve, one label against the rest, mean over labels.",
        ),
        "worst_subgroup_accuracy": Word(
            "Worst subgroup accuracy", "higher", "Accuracy of the subgroup that is served worst."
        ),
        "demographic_parity_mean": Word(
            "DP gap, mean",
            "lower",
            "Demographic parity: how far two subgroups differ in how often a label is predicted; "
            "largest over pairs of subgroups, mean over labels.",
        ),
        "demographic_parity_worst": Word(
            "DP gap, worst", "lower", "As DP gap, but of the label where it is largest."
        ),
        "equal_opportunity_mean": Word(
            "EO gap, mean",
            "lower",
            "Equal opportunity: how far two subgroups differ in how often a true label is found; "
            "largest over pairs of subgroups, mean over labels with enough samples.",
        ),
        "equal_opportunity_worst": Word(
            "EO gap, worst",
            "lower",
            "As EO gap, but of the label where it is largest; mostly noise in small cells.",
        ),
        "equal_opportunity_permuted": Word(
            "EO gap, permuted",
            "none",
            "EO gap after shuffling the subgroups among test images: what chance alone gives.",
        ),
        "essp": Word(
            "ESSP",
            "higher",
            "Equity-scaled performance: accuracy / (1 + sum over subgroups of their distance from "
            "it). The sum grows with the number of subgroups.",
        ),
        "nar": Word(
            "NAR",
            "lower",
            "Normalised accuracy range: (best − worst) / mean of the subgroups' accuracies.",
        ),
        "fairness_improvement": Word(
            "Fairness improvement",
            "higher",
            "Mean of the relative gains in ESSP, DP, EO and NAR over the same classifier on real "
            "images only, without reweighting; 0 is no change. It explodes where a base gap is "
            "near zero, and is then left out.",
        ),
        "accuracy_change": Word(
            "Change in accuracy", "higher", "Against the classifier on real images only."
        ),
        "worst_subgroup_accuracy_change": Word(
            "Change in worst subgroup accuracy",
            "higher",
            "Against the classifier on real images only; the worst subgroup may be another one.",
        ),
        "levelling_best": Word(
            "Change of the best subgroup",
            "none",
            "Change in the best subgroup's accuracy; below zero, fairness may have come from "
            "levelling down.",
        ),
        "levelling_worst": Word(
            "Change of the worst subgroup",
            "higher",
            "Change in the worst subgroup's accuracy.",
        ),
        "attribute_consistency": Word(
            "Attribute consistency",
            "higher",
            "Share of generated images in which the asked-for attribute is recognised.",
        ),
        "label_consistency": Word(
            "Label consistency",
            "higher",
            "Share of generated images in which the asked-for disease is recognised.",
        ),
        "phenotype_fit": Word(
            "Anatomy fits the prompt",
            "higher",
            "Share of images whose measured anatomy is more typical of the asked-for group than of "
            "any other, by a model fitted on reference phantoms.",
        ),
        "phenotype_label": Word(
            "Anatomy fits the label",
            "higher",
            "Share of images whose measured anatomy is most typical of the asked-for label.",
        ),
        "phenotype_attribute": Word(
            "Anatomy fits the subgroup",
            "higher",
            "Share of images whose measured anatomy is most typical of the asked-for subgroup.",
        ),
        "unseen_fit": Word(
            "Unseen anatomy fits the prompt",
            "higher",
            "As anatomy fits the prompt, but by the quantities alone that the oracle does not look "
            "at when it prefers one image to another.",
        ),
        "unseen_label": Word(
            "Unseen anatomy fits the label", "higher", "The same for the asked-for label."
        ),
        "unseen_attribute": Word(
            "Unseen anatomy fits the subgroup", "higher", "The same for the asked-for subgroup."
        ),
        "measurable": Word(
            "Measurable images",
            "higher",
            "Share of images in which the oracle finds anatomy to measure.",
        ),
        "anatomy_distance": Word(
            "Distance of anatomy from real",
            "lower",
            "Wasserstein distance between measured anatomy and that of reference phantoms of the "
            "same group, in standard deviations of each quantity, mean over the robust ones. A "
            "quantity is robust if it can still be measured after an autoencoder's round trip.",
            2,
        ),
        "cas": Word(
            "CAS",
            "higher",
            "Accuracy on real test images of a classifier trained on synthetic images only.",
        ),
    }
)
TERMS: Mapping[str, str] = MappingProxyType(
    {"essp": "ESSP", "demographic": "DP", "dp": "DP", "equal": "EO", "eo": "EO", "nar": "NAR"}
)


def word(metric: str) -> Word:
    """Return the wording of a metric; an unknown one keeps its own name."""
    if metric in WORDS:
        return WORDS[metric]
    if metric.endswith("_term"):
        return Word(f"{term_name(metric)} term", "higher", "")
    family, _, rest = metric.partition("_")
    if family == "wasserstein" and rest:
        return Word(f"Distance of {rest.replace('_', ' ')} from real", "lower", "", 2)
    if metric.startswith("within_group_"):
        return Word("Spread within a group", "none", "Over that of real images.", 2)
    if family in {"fid", "kid"} and rest:
        return _distance_word(family, rest)
    return Word(metric.replace("_", " ").capitalize(), "none", "")


def term_name(metric: str) -> str:
    """Return which gap a term of the fairness improvement speaks of."""
    parts = metric.removesuffix("_term").split("_")
    return next((TERMS[p] for p in reversed(parts) if p in TERMS), " ".join(parts))


def _distance_word(family: str, rest: str) -> Word:
    extractor = rest.removesuffix("_variance")
    if rest.endswith("_variance"):
        return Word(
            f"Variance of subgroup {family.upper()} ({extractor})",
            "lower",
            "How unevenly image quality is spread over subgroups (ddof = 1).",
            1,
        )
    meaning = {
        "fid": "Fréchet distance between features of synthetic and of real test images; it shrinks "
        "with more images, so only equal sample sizes are compared.",
        "kid": "Kernel distance between the same features; unbiased, so it may fall below zero.",
    }[family]
    return Word(f"{family.upper()} ({extractor})", "lower", meaning, 1 if family == "fid" else 4)


def glossary(metrics: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return label and meaning of the metrics that have one, in the order of first appearance."""
    words = dict.fromkeys(word(m) for m in metrics)
    return tuple((w.arrowed, w.meaning) for w in words if w.meaning)


def subgroup_text(name: str) -> str:
    """Return a subgroup as shown: ``dark|female`` becomes ``dark / female``."""
    return "overall" if name == "overall" else name.replace(SEPARATOR, " / ")


def group_text(key: str) -> str:
    """Return a group as shown: ``dark|female|eczema`` becomes ``dark / female · eczema``."""
    levels, _, label = key.rpartition(SEPARATOR)
    return f"{subgroup_text(levels)} · {label}" if levels else label


def place_text(name: str, groups: Collection[str]) -> str:
    """Return a group or a subgroup as shown, whichever it is."""
    return group_text(name) if name in groups else subgroup_text(name)


def method_text(method: str) -> str:
    """Return a method as shown: ``real`` is the run without synthetic images."""
    return "real only" if method == "real" else method


def number(value: float | None, decimals: int = 3) -> str:
    """Return a figure with fixed decimals, or a dash where there is none."""
    if value is None:
        return "–"
    if abs(value) >= 10_000:
        return f"{value:.3g}"
    text = f"{value:.{decimals}f}"
    return text.replace("-", "−") if float(text) else f"{0:.{decimals}f}"


def sequence(items: Iterable[str]) -> str:
    """Return the items as prose: ``a, b and c``."""
    *most, last = list(items) or ["none"]
    return f"{', '.join(most)} and {last}" if most else last
