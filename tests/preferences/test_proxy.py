from dataclasses import replace

import numpy as np
import pytest
from tests.preferences.conftest import SCHEMA, generated, picture

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Schema
from fairgen.engine.extractor import ExtractorSettings
from fairgen.engine.features import train_extractor
from fairgen.errors import CheckpointError
from fairgen.files.folder import CohortFolder, write_cohort
from fairgen.files.image import read_image
from fairgen.modalities.modality import Prompts, find_modality
from fairgen.preferences.judge import answers_of
from fairgen.preferences.pairs import draw_comparisons, preferences_of
from fairgen.preferences.proxy import proxy_fit, proxy_judge

QUICK = ExtractorSettings(
    size=16, dimension=4, widths=(4, 8), steps=60, batch_size=16, evaluations=2, shift=0.0
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a proxy that learned from a real cohort, and its folder."""
    root = tmp_path_factory.mktemp("proxy")
    kind, groups = find_modality("skin"), SCHEMA.groups()
    parts = ("train",) * 3 + ("valid",) + ("test",)
    records = tuple(
        Record(f"images/{i:03d}.png", f"s{i}", groups[i % 4], split=parts[i // 4 % 5])
        for i in range(120)
    )
    cohort = CohortFolder(
        root / "real", Cohort(SCHEMA, records), Prompts(SCHEMA, kind.template), kind
    )
    real = write_cohort(cohort, lambda r: picture(r.group, 5000 + int(r.image[7:10])))
    return train_extractor(real, QUICK, out=root / "extractor"), root / "extractor"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return generated(tmp_path_factory.mktemp("proxy") / "made", ("good", "bad", "good", "bad"))


def test_it_prefers_the_image_in_which_it_recognises_the_prompt(made, trained):
    comparisons = draw_comparisons(made, per_group=6, seed=0)
    answers = answers_of(proxy_judge(made, trained[1]), comparisons, seed=0)
    said = preferences_of(comparisons, answers)
    mixed = [p for p in said if p.winner.stem[-3:] != p.loser.stem[-3:]]
    assert len(mixed) == 16
    assert np.mean([p.winner.stem.endswith("good") for p in mixed]) > 0.9
    assert {p.rater for p in said} == {"proxy"}


def test_its_number_is_the_sum_over_attributes_and_label(made, trained):
    network, _ = trained
    record = made.cohort.records[5]
    chances = network.probabilities(read_image(made.path(record), size=16)[None])
    levels = {"tone": record.group.levels[0], "disease": record.group.label}
    heads = network.card.heads
    wanted = sum(np.log(chances[h][0, heads[h].index(level)]) for h, level in levels.items())
    assert proxy_fit(network, SCHEMA, made.path(record), record.group) == pytest.approx(wanted)


def test_its_facts_name_the_network_and_nothing_kept_back(made, trained):
    judge = proxy_judge(made, trained[1])
    assert (judge.source, judge.error_rate) == ("proxy", 0.0)
    assert judge.facts == {
        "extractor": "indomain",
        "extractor_key": trained[0].card.key,
        "looked_at": list(trained[0].card.heads),
    }


def test_a_network_of_another_cohort_is_refused(made, trained):
    for label, missing in (
        (Attribute("disease", ("acne", "measles")), "disease 'measles'"),
        (Attribute("finding", ("none", "some")), "finding 'none'"),
    ):
        other = Cohort(Schema(SCHEMA.attributes, label), ())
        with pytest.raises(CheckpointError) as error:
            proxy_judge(replace(made, cohort=other), trained[1])
        assert str(error.value) == (
            f"{trained[1]}: the extractor does not know {missing}; expected one trained on the "
            "cohort of the generated set"
        )


def test_a_folder_that_is_no_extractor_is_refused(made, tmp_path):
    with pytest.raises(CheckpointError, match=r"extractor\.json: no such file"):
        proxy_judge(made, tmp_path)
