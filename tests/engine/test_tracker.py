"""What a tracker holds of a training is what its log holds, whatever stopped it on the way."""

import json
import struct
import threading
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.event_file_writer import _AsyncWriterThread

from fairgen.engine import train as train_module
from fairgen.engine.tracker import flat
from fairgen.engine.train import train
from fairgen.errors import StudyError
from fairgen.methods import METHODS

NAMES = {
    "loss", "lr", "grad_norm", "images_per_second", "parts/denoising", "parts/diversity",
    "draws/light_eczema", "expected_draws/dark_naevus", "hardness/light_naevus",
}  # fmt: skip


@pytest.fixture
def start(cohort, base, quick, tmp_path):
    def run(tracker, name="m"):
        settings = quick.model_copy(update={"tracker": tracker, "log_every": 1})
        return train(
            cohort, method=METHODS["fairgen"], base=base, out=tmp_path / name, settings=settings
        )

    return run


def lines(out):
    return [json.loads(t) for t in (out / "log.jsonl").read_text().splitlines()]


def assert_told(history, out):
    """Compare what a tracker holds, by name and step, with the log; no step twice."""
    expected = {}
    for line in lines(out):
        for name, value in flat(line).items():
            if name != "step":
                expected.setdefault(name, []).append((line["step"], value))
    assert set(expected) >= NAMES
    assert set(history) == set(expected)
    for name, points in expected.items():
        assert [step for step, _ in history[name]] == [step for step, _ in points]
        if name != "images_per_second":  # not the same once a step was done again
            told = [value for _, value in history[name]]
            assert told == pytest.approx([value for _, value in points], rel=1e-6)


def tensorboard(out):
    found = EventAccumulator(str(out / "fairgen"), size_guidance={"scalars": 0})
    found.Reload()
    names = found.Tags()["scalars"]
    return {n: [(e.step, e.value) for e in found.Scalars(n)] for n in names}


def test_names_are_plain_and_never_the_same():
    values = {"a": {"<40|x": 1, ">40|x": 2, "t=3": {"b": 3}}, "c": "d"}
    assert flat(values) == {"a/_40_x": 1, "a/_40_x_": 2, "a/t_3/b": 3, "c": "d"}


def test_tensorboard_holds_the_log_after_a_cut(start, cut_short):
    cut_short(lambda: start("tensorboard"), 5)  # a checkpoint at 4, a line at 5
    out = start("tensorboard")
    assert_told(tensorboard(out), out)
    (settings,) = out.glob("fairgen/*/hparams.yml")
    assert "settings/learning_rate: 0.001" in settings.read_text()


def test_another_training_in_the_same_folder_is_told_from_its_start(
    start, cut_short, tmp_path, quick
):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "tracker.json").write_text('{"key": "other", "run": "fairgen"}')
    (tmp_path / "m" / "log.jsonl").write_text('{"step": 9}\n')
    out = start("tensorboard")
    assert_told(tensorboard(out), out)


def test_a_full_disk_under_tensorboard_is_told_in_one_line(start, monkeypatch):
    printed = []
    monkeypatch.setattr(threading, "excepthook", printed.append)

    def full(thread):
        thread._queue.get()
        thread._queue.task_done()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_AsyncWriterThread, "_run", full)
    with pytest.raises(StudyError, match=r"m: cannot be written \(No space left on device\)"):
        start("tensorboard")
    assert printed == []


def test_a_service_that_fails_on_the_way_costs_a_warning_and_at_the_start_the_training(
    start, monkeypatch, caplog
):
    class Broken:
        name, requires_logging_directory, tracker = "tensorboard", True, SimpleNamespace()

        def __init__(self, *given):
            pass

        def start(self):
            self.tracker.log_dir, self.tracker.close = "x", lambda: None

        def store_init_configuration(self, values):
            pass

        def log(self, values, step):
            raise RuntimeError("no route")

        finish = start

    from accelerate import accelerator

    monkeypatch.setitem(accelerator.LOGGER_TYPE_TO_CLASS, "tensorboard", Broken)
    assert len(lines(start("tensorboard", "a"))) == 6
    assert "tracker: step 1 is not reported (no route)" in caplog.text
    monkeypatch.setattr(Broken, "start", Broken.log)
    with pytest.raises(StudyError, match="tracker: tensorboard cannot start its run in"):
        start("tensorboard", "b")


def break_at(step, monkeypatch):
    plain = train_module.training_steps

    def broken(training, first):
        for report in plain(training, first):
            if report.step >= step:
                raise RuntimeError("broken")
            yield report

    monkeypatch.setattr(train_module, "training_steps", broken)


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_mlflow_goes_on_with_one_run_and_marks_a_failure(start, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with monkeypatch.context() as patch:
        break_at(5, patch)
        with pytest.raises(RuntimeError, match="broken"):
            start("mlflow")
    client = mlflow.MlflowClient()
    number = json.loads((tmp_path / "m" / "tracker.json").read_text())["run"]
    assert client.get_run(number).info.status == "FAILED"
    out = start("mlflow")
    (experiment,) = client.search_experiments(filter_string="name = 'fairgen'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_id, run.info.status, run.info.run_name) == (number, "FINISHED", "m")
    assert run.data.params["settings/learning_rate"] == "0.001"
    history = {
        name: [(m.step, m.value) for m in client.get_metric_history(number, name)]
        for name in run.data.metrics
    }
    assert_told(history, out)


def records(data):
    """Yield the records of an offline run's file: LevelDB's log format after seven bytes."""
    at, whole = 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left  # a block's last bytes, too few for a record
            continue
        size, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b""


def offline(folder):
    """Return the id, the exit code, the settings and the history that an offline run holds."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("*.wandb")
    told = SimpleNamespace(config={}, history={}, exit_code=None, id=None)
    for data in records(path.read_bytes()):
        record = Record.FromString(data)
        told.id = record.run.run_id or told.id
        for item in (*record.run.config.update, *record.config.update):
            told.config[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        if record.HasField("exit"):
            told.exit_code = record.exit.exit_code
        values = {"/".join(i.nested_key) or i.key: i.value_json for i in record.history.item}
        for name, text in values.items():
            if not name.startswith("_"):
                point = (int(json.loads(values["_step"])), json.loads(text))
                told.history.setdefault(name, []).append(point)
    return told


def test_wandb_goes_on_with_one_run_and_marks_a_failure(start, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with monkeypatch.context() as patch:
        break_at(5, patch)
        with pytest.raises(RuntimeError, match="broken"):
            start("wandb")
    out = start("wandb")
    first, second = (offline(p) for p in sorted(out.glob("wandb/offline-run-*")))
    assert first.id == second.id == json.loads((out / "tracker.json").read_text())["run"]
    assert (first.exit_code, second.exit_code) == (1, 0)
    assert first.config["settings/learning_rate"] == 0.001
    history = {n: [*first.history.get(n, ()), *second.history.get(n, ())]
               for n in first.history | second.history}  # fmt: skip
    assert_told(history, out)
