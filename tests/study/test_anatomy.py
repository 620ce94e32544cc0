"""Measured anatomy of a toy phantom, from drawing to scores."""

from dataclasses import replace

import numpy as np
import pytest
from tests.preferences.conftest import TOY, generated, measure

from fairgen.study.anatomy import (
    AUTOENCODER,
    REAL,
    SYNTHETIC,
    anatomy_scores,
    write_reference,
    write_synthetic,
)

SHARES = ("fit", "label", "attribute")


def tables(tmp_path, phantom, shows=("good", "good", "good")):
    reference, judged = tmp_path / "reference.parquet", tmp_path / "judged.parquet"
    write_reference(reference, phantom, size=8, counts=(30, 10), roundtrip=lambda x: x)
    write_synthetic(judged, phantom, generated(tmp_path / "made", shows))
    return reference, judged


def by_key(scores):
    return {(s.metric, s.group): s for s in scores}


def test_images_of_the_right_groups_fit_by_what_was_looked_at_and_by_what_was_kept_back(tmp_path):
    reference, judged = tables(tmp_path, TOY)
    found = by_key(anatomy_scores(TOY, reference, judged, SYNTHETIC))
    for share in SHARES:
        assert found[f"phenotype_{share}", "overall"].value > 0.8
    assert found["unseen_label", "overall"].value > 0.8  # blue tells the disease
    assert found["unseen_attribute", "overall"].value < 0.8  # and not the tone
    assert {g for m, g in found if m == "unseen_fit"} == {
        g for m, g in found if m == "phenotype_fit"
    }
    for source in (REAL, AUTOENCODER):
        floor = by_key(anatomy_scores(TOY, reference, reference, source))
        assert floor["unseen_label", "overall"].value > 0.8


def test_what_was_kept_back_alone_decides_the_unseen_shares(tmp_path):
    reference, judged = tables(tmp_path, TOY)

    def meddled(image):
        found = measure(image)
        return {**found, "red": found["green"], "green": found["red"]}

    other = replace(TOY, measure=meddled)
    write_synthetic(tmp_path / "meddled.parquet", other, generated(tmp_path / "m", ("good",) * 3))
    usual = by_key(anatomy_scores(TOY, reference, judged, SYNTHETIC))
    found = by_key(anatomy_scores(TOY, reference, tmp_path / "meddled.parquet", SYNTHETIC))
    assert found["phenotype_fit", "overall"].value < usual["phenotype_fit", "overall"].value
    for share in SHARES:
        assert found[f"unseen_{share}", "overall"] == usual[f"unseen_{share}", "overall"]


def test_a_phantom_that_keeps_nothing_back_has_no_unseen_shares(tmp_path):
    plain = replace(TOY, kept_back=())
    reference, judged = tables(tmp_path, plain)
    metrics = {s.metric for s in anatomy_scores(plain, reference, judged, SYNTHETIC)}
    assert not any(m.startswith("unseen") for m in metrics)
    assert "phenotype_fit" in metrics


@pytest.mark.parametrize("shows", [("bad",) * 3, ("black",) * 3])
def test_images_of_the_wrong_groups_fit_by_neither(tmp_path, shows):
    reference, judged = tables(tmp_path, TOY, shows)
    found = by_key(anatomy_scores(TOY, reference, judged, SYNTHETIC))
    values = [found[f"{p}_label", "overall"].value for p in ("phenotype", "unseen")]
    assert np.max(values) < 0.2
