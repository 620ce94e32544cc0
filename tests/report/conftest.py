"""A run folder with plausible figures, made in a second or less."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Schema
from fairgen.cohort.seed import derive
from fairgen.files.folder import CohortFolder, write_cohort
from fairgen.modalities import Prompts, find_modality
from fairgen.phantoms import PHANTOMS
from fairgen.report import chart

SPLIT_OF = ("train", "train", "train", "valid", "test")


@dataclass(frozen=True)
class Shape:
    """Says what the made-up run holds."""

    attributes: tuple = (("tone", ("light", "dark")),)
    label: tuple = ("disease", ("eczema", "psoriasis", "nevus"))
    methods: tuple = ("sd", "sqrs", "fairgen")
    seeds: tuple = (0, 1)
    classifiers: tuple = ("tiny-vit",)
    modality: str = "skin"
    size: int = 32
    per_group: int = 10
    steps: int = 30
    name: str = "skin phantom, three methods"
    source: dict = field(default_factory=lambda: {"phantom": "skin", "licence": "Apache-2.0"})
    edge: float = 0.0
    phantom: bool = False

    def schema(self) -> Schema:
        return Schema(tuple(Attribute(*a) for a in self.attributes), Attribute(*self.label))


def noise(*parts):
    return np.random.default_rng(derive(7, "report tests", *map(str, parts)))


def picture(shape, group, index, kind):
    """Draw a disc whose size and shade follow the group, in noise."""
    schema, rng = shape.schema(), noise(group.key, index, kind)
    place = schema.groups().index(group)
    y, x = np.mgrid[: shape.size, : shape.size] / shape.size - 0.5
    radius = 0.12 + 0.25 * (place % len(schema.label.levels)) / len(schema.label.levels)
    disc = np.hypot(x + rng.normal(0, 0.06), y + rng.normal(0, 0.06)) < radius
    shade = 210 - 130 * schema.subgroups().index(group.subgroup) / len(schema.subgroups())
    skin = shade * np.array([1.0, 0.82, 0.7]) if shape.modality == "skin" else np.array([shade])
    image = skin - disc[..., None] * np.array([20, 55, 50])[: len(skin)]
    image = image + rng.normal(0, 9, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def cohort_folder(root, shape, records, kind):
    schema = shape.schema()
    modality = find_modality(shape.modality)
    prompts = Prompts(schema, "{label}, {attributes}")
    by_image = {r.image: (i, r) for i, r in enumerate(records)}

    def pixels(record):
        index, _ = by_image[record.image]
        return picture(shape, record.group, index, kind)

    folder = CohortFolder(root, Cohort(schema, tuple(records)), prompts, modality, shape.source)
    return write_cohort(folder, pixels)


def real_records(shape):
    records = []
    for g, group in enumerate(shape.schema().groups()):
        count = max(shape.per_group * 3 // (1 + g % 7), 2)
        for i in range(count):
            subject, split = f"p{g}-{i // 2}", SPLIT_OF[i // 2 % len(SPLIT_OF)]
            records.append(Record(f"images/{g}-{i:03d}.png", subject, group, split=split))
    return records


def synthetic_records(shape):
    groups = shape.schema().groups()
    return [
        Record(f"images/{g}-{i:03d}.png", f"synthetic-{g}-{i}", group)
        for g, group in enumerate(groups)
        for i in range(shape.per_group)
    ]


def log_lines(shape, method, seed):
    rng = noise(method, seed, "log")
    groups = shape.schema().groups()
    counts = np.array([max(30 // (1 + g % 7), 2) for g in range(len(groups))], float)
    share = np.sqrt(counts) if method in ("sqrs", "fairgen") else counts
    for i in range(shape.steps):
        step = 25 * (i + 1)
        denoising = 0.06 + 0.5 * np.exp(-step / 300) + abs(rng.normal(0, 0.02))
        parts = {"denoising": denoising}
        if method in ("cbdm", "fairgen"):
            parts["diversity"] = 0.004 + 0.02 * np.exp(-step / 500) * rng.uniform(0.6, 1.4)
        if method == "fairgen":
            parts["preference"] = 0.69 - 0.15 * (1 - np.exp(-step / 900)) + rng.normal(0, 0.02)
        drawn = rng.multinomial(200, share / share.sum())
        line = {"step": step, "loss": sum(parts.values()), "parts": parts, "lr": 1e-4}
        line |= {"grad_norm": 0.8, "images_per_second": 80 + rng.normal(0, 4)}
        line["draws"] = {g.key: int(n) for g, n in zip(groups, drawn, strict=True)}
        if method == "fairgen" and i % 5 == 0:
            line["condition_strength"] = {
                s: 0.2 + 0.1 * j + 0.0002 * step for j, s in enumerate(shape.schema().subgroups())
            }
        yield line


def quality(shape, method):
    """Return how good a method is, between 0 and 1: later in the list is better."""
    names = ("real", *shape.methods)
    return (names.index(method) + shape.edge * (method != "sd")) / len(names)


def row(metric, method, value, *, width=0.04, **more):
    known = {"classifier": None, "reweight": None, "split": "test", "group": "overall", "n": 240}
    base = {"metric": metric, "method": method, **known, "seed": 0, "direction": "none"}
    if value is None:
        return base | {"value": None, "low": None, "high": None} | more
    return base | {"value": value, "low": value - width, "high": value + width} | more


def generator_rows(shape, method, seed):
    places = ("overall", *shape.schema().subgroups())
    for i, place in enumerate(places):
        rng = noise(method, seed, place, "fid")
        good = quality(shape, method)
        fid = {"real": 6.0, "autoencoder": 9.0}.get(method) or 45 - 25 * good + 6 * i + rng.normal()
        yield row("fid_indomain", method, fid, width=5, group=place, seed=seed, n=128)
        yield row("kid_indomain", method, fid / 900, width=0.004, group=place, seed=seed, n=128)
        if method not in ("real", "autoencoder"):
            found = 0.6 + 0.3 * good - 0.05 * i
            yield row("attribute_consistency", method, found, group=place, seed=seed)
            yield row("label_consistency", method, found - 0.1, group=place, seed=seed)
    if method not in ("real", "autoencoder"):
        variance = 60 - 40 * quality(shape, method)
        yield row("fid_indomain_variance", method, variance, width=15, seed=seed)


def autoencoder_rows(shape, seed):
    for place in ("overall", *shape.schema().subgroups()):
        yield row("fid_indomain", "autoencoder", 9.0, width=2, group=place, seed=seed, n=128)


def classifier_rows(shape, method, seed, classifier, reweight):
    rng = noise(method, seed, classifier, reweight)
    good = quality(shape, method) + 0.1 * reweight + rng.normal(0, 0.05)
    common = {"classifier": classifier, "reweight": reweight, "seed": seed}
    subgroups = shape.schema().subgroups()
    accuracies = [0.82 - (0.3 - 0.2 * good) * i / len(subgroups) for i in range(len(subgroups))]
    for subgroup, value in zip(subgroups, accuracies, strict=True):
        yield row("accuracy", method, value, width=0.07, group=subgroup, n=80, **common)
    mean = sum(accuracies) / len(accuracies)
    gap = max(accuracies) - min(accuracies)
    figures = {
        "accuracy": mean,
        "auc": mean + 0.1,
        "worst_subgroup_accuracy": min(accuracies),
        "essp": mean / (1 + sum(abs(mean - a) for a in accuracies)),
        "nar": gap / mean,
        "demographic_parity_mean": 0.2 - 0.1 * good,
        "demographic_parity_worst": 0.3 - 0.1 * good,
        "equal_opportunity_mean": 0.25 - 0.1 * good,
        "equal_opportunity_permuted": 0.12,
        "equal_opportunity_worst": 0.4 - 0.1 * good,
    }
    for metric, value in figures.items():
        told = {"note": "smallest cell 3 images; 2 empty"} if metric.endswith("_worst") else {}
        yield row(metric, method, value, **common, **told)
    for subgroup, value in zip(subgroups, accuracies, strict=True):
        yield row("auc", method, value + 0.1, group=subgroup, n=80, **common)
    if method != "real" or reweight:
        terms = {"essp": 0.1, "demographic_parity": 0.3, "equal_opportunity": 0.25, "nar": 0.2}
        for term, size in terms.items():
            yield row(f"{term}_term", method, size * (good - 0.1), width=0.2, **common)
        value = 0.2 * (good - 0.1)
        yield row("fairness_improvement", method, value, width=0.2, **common)
        worst, best = {"note": "subgroup dark"}, {"note": "subgroup light"}
        for metric in ("accuracy_change", "worst_subgroup_accuracy_change"):
            yield row(metric, method, 0.1 * good, width=0.05, **common)
        yield row("levelling_worst", method, 0.1 * good, width=0.05, **common, **worst)
        yield row("levelling_best", method, -0.02 + 0.03 * good, width=0.05, **common, **best)


QUANTITIES = tuple(q.name for q in PHANTOMS["skin"].quantities)
SIGNS = {"ita": 1.0, "redness": 7.0, "lesion_area": 2.0}  # few, for drawings take time


def anatomy_table(shape, source, count, shift=0.0):
    """Return measured images whose quantities follow the group; every ninth cannot be measured."""
    columns = {"image": [], "group": [], "source": []} | {q: [] for q in SIGNS}
    for place, group in enumerate(shape.schema().groups()):
        rng = noise(group.key, source, shift)
        for i in range(count):
            texts = (f"{source}-{group.key}-{i}", group.key, source)
            for name, text in zip(("image", "group", "source"), texts, strict=True):
                columns[name].append(text)
            for q, size in SIGNS.items():
                value = size * (place + shift) + rng.normal(0, size)
                columns[q].append(float("nan") if i % 9 == 8 else value)
    return pa.table(columns)


def write_anatomy(root, shape):
    kinds = (("reference", 40, 0.0), ("real", 12, 0.0), ("autoencoder", 12, 0.2))
    pq.write_table(
        pa.concat_tables(anatomy_table(shape, *kind) for kind in kinds), root / "anatomy.parquet"
    )
    for seed in shape.seeds:
        for method in shape.methods:
            table = anatomy_table(
                shape, "synthetic", 18, 1.5 - quality(shape, method) + 0.01 * seed
            )
            pq.write_table(table, root / f"seed{seed}" / method / "anatomy.parquet")


def anatomy_rows(shape, method, seed):
    """Yield what the oracle says of one set, by subgroup and by group."""
    groups = [g.key for g in shape.schema().groups()]
    good = {"real": 0.9, "autoencoder": 0.8}.get(method) or quality(shape, method)
    common = {"seed": seed, "n": 60}
    for i, place in enumerate(("overall", *shape.schema().subgroups(), *groups)):
        for metric in (
            *("phenotype_fit", "phenotype_attribute", "phenotype_label", "measurable"),
            *("unseen_fit", "unseen_attribute", "unseen_label"),
        ):
            yield row(metric, method, 0.2 + 0.7 * good - 0.01 * i, group=place, **common)
        far = 1.2 - good + 0.02 * i
        yield row("anatomy_distance", method, far, width=0.1, group=place, **common)
        for j, q in enumerate(QUANTITIES if place in groups else ()):
            value = None if (i, j) == (3, 0) else far * (0.4 + 0.2 * j)
            told = {"group": place, "reason": "fewer than 5 measurable images of a group"}
            yield row(f"wasserstein_{q}", method, value, **common, **told)


def all_rows(shape):
    for seed in shape.seeds:
        for method in (*shape.methods, "real"):
            yield from generator_rows(shape, method, seed)
            for classifier in shape.classifiers:
                for reweight in (False, True):
                    yield from classifier_rows(shape, method, seed, classifier, reweight)
        yield from autoencoder_rows(shape, seed)
        for method in (*shape.methods, "real", "autoencoder") if shape.phantom else ():
            yield from anatomy_rows(shape, method, seed)


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))


def build_run(root: Path, shape: Shape) -> Path:
    """Write a whole run folder."""
    cohort_folder(root / "cohort", shape, real_records(shape), "real")
    for seed in shape.seeds:
        for method in shape.methods:
            own = root / f"seed{seed}" / method
            write_lines(own / "model" / "log.jsonl", log_lines(shape, method, seed))
            (own / "model" / "manifest.json").write_text(json.dumps({"preferences": "none"}))
            if seed == shape.seeds[0]:
                cohort_folder(own / "synthetic", shape, synthetic_records(shape), method)
                made = {"settings": {"guidance": 3.0, "sampler": "ddim", "steps": 20}}
                tried = {"guidance": 3.0, "n": 90, "distances": {"1.5": 40.5, "3": 38.25}}
                (own / "guidance.json").write_text(json.dumps(tried))
                (own / "synthetic" / "manifest.json").write_text(json.dumps(made))
    write_lines(root / "scores.jsonl", all_rows(shape))
    study = {
        "name": shape.name,
        "seeds": list(shape.seeds),
        "methods": list(shape.methods),
        "about": "A made-up run for tests.",
        "base": {"path": None, "tiny": {"size": shape.size}},
        "train": {"steps": 1500, "batch": 16, "learning_rate": 1e-4, "flip": True},
        "generate": {"steps": 20, "guidance": [1.5, 3.0, 5.0], "per_group": shape.per_group},
        "classify": {"classifiers": list(shape.classifiers), "epochs": 12},
    }
    if shape.phantom:
        study["data"] = {"root": None, "phantom": {"name": "skin", "count": 300}}
        write_anatomy(root, shape)
    (root / "study.json").write_text(json.dumps(study))
    manifest = {
        "fairgen": "0.1.0",
        "python": "3.11.2",
        "libraries": {"torch": "2.13.0", "diffusers": "0.42.1"},
        "stages": {
            "cohort": {"key": "ab" * 32, "finished": True, "seconds": 3.4},
            "seed0/sd/model": {"key": "cd" * 32, "finished": True, "seconds": 310.2},
        },
    }
    (root / "manifest.json").write_text(json.dumps(manifest))
    (root / "audit.json").write_text(json.dumps({"images": len(real_records(shape))}))
    return root


@pytest.fixture
def make_run(tmp_path):
    """Return a function that writes a run folder of a given shape."""

    def make(**changes):
        return build_run(tmp_path / "run", Shape(**changes))

    return make


@pytest.fixture(scope="session")
def full_run(tmp_path_factory):
    """Return a run folder with all its parts; tests read it and never change it."""
    return build_run(tmp_path_factory.mktemp("full") / "run", Shape(phantom=True))


@pytest.fixture
def unrendered(monkeypatch):
    """Paint every figure but skip its layout and rendering, which take most of the time."""
    monkeypatch.setattr(chart, "rendered", lambda figure: "<svg></svg>")
