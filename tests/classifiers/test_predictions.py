import numpy as np
import pandas as pd
import pytest

from fairgen.classifiers.predictions import read_predictions, write_predictions
from fairgen.classifiers.sources import split_source
from fairgen.errors import StudyError


@pytest.fixture
def path(cohort, tmp_path):
    sources = [split_source(cohort, split) for split in ("valid", "test")]
    random = np.random.default_rng(0)
    scores = [random.dirichlet(np.ones(2), len(s.records)) for s in sources]
    write_predictions(tmp_path / "predictions.parquet", sources, scores)
    return tmp_path / "predictions.parquet"


def test_reading_gives_what_was_written(cohort, path):
    found = read_predictions(path)
    records = sorted(cohort.cohort.part("test").records, key=lambda r: r.image)
    samples = found.samples
    assert found.images == tuple(r.image for r in records)
    assert found.subjects == tuple(r.subject for r in records)
    assert (samples.classes, samples.subgroups) == (("rows", "columns"), ("dark", "light"))
    assert [samples.classes[i] for i in samples.truth] == [r.group.label for r in records]
    assert [samples.subgroups[i] for i in samples.subgroup] == [r.group.subgroup for r in records]
    assert (found.probabilities.argmax(1) == samples.prediction).all()
    assert len(read_predictions(path, split="valid").images) == len(cohort.cohort.part("valid"))


def test_files_of_other_tools_are_read_by_their_columns(path, tmp_path):
    frame = pd.read_parquet(path)
    frame["age"] = np.where(np.arange(len(frame)) % 2, 70, 50)
    frame.to_parquet(tmp_path / "other.parquet")
    found = read_predictions(tmp_path / "other.parquet")
    assert found.samples.subgroups == ("dark|50", "dark|70", "light|50", "light|70")
    assert found.samples.classes == ("rows", "columns")


def test_levels_without_images_are_still_known(path, tmp_path):
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    pq.write_table(table.filter(pc.equal(table["tone"], "light")), tmp_path / "light.parquet")
    assert read_predictions(tmp_path / "light.parquet").samples.subgroups == ("dark", "light")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="subject"), "no column 'subject'"),
        (lambda f: f.drop(columns="tone"), "no column 'attribute or probability'"),
        (lambda f: f.assign(label="spots"), "unknown label 'spots'; expected one of rows, columns"),
        (lambda f: f.assign(prediction="spots"), "unknown prediction 'spots'"),
        (lambda f: f.assign(tone=None), "column 'tone' has an empty cell"),
        (lambda f: f[f["split"] == "valid"], "no row of split 'test'"),
        (lambda f: pd.concat([f, f]), "has two rows of split 'test'"),
    ],
)
def test_broken_files_are_refused_in_clear_words(path, tmp_path, change, message):
    frame = pd.read_parquet(path)
    frame.attrs.clear()
    change(frame).to_parquet(tmp_path / "broken.parquet")
    with pytest.raises(StudyError, match=message):
        read_predictions(tmp_path / "broken.parquet")


def test_absent_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(StudyError, match=r"gone.parquet: no such file"):
        read_predictions(tmp_path / "gone.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(StudyError, match="is no Parquet file"):
        read_predictions(tmp_path / "text.parquet")
