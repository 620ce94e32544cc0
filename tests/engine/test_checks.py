"""What does not go with weights or states in shards is refused before work is done."""

import pytest

from fairgen.engine.checks import check_sharding
from fairgen.engine.pairs import Feedback
from fairgen.engine.settings import TrainSettings
from fairgen.engine.train import train
from fairgen.errors import StudyError
from fairgen.methods import METHODS
from fairgen.objectives import Alignment

PLAIN = METHODS["fairgen"].without_preferences
GOOD = {
    "FSDP": {"FSDP_VERSION": "2", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false"},
    "DeepSpeed": {"ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"},
}


@pytest.fixture
def launched(monkeypatch):
    """Return what sets the variables that accelerate launch hands on."""

    def launch(by, **other):
        for name, value in {f"ACCELERATE_USE_{by.upper()}": "true", **GOOD[by], **other}.items():
            monkeypatch.setenv(name, value)

    return launch


@pytest.mark.parametrize("by", GOOD)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lora_rank", 4),
        ("train_text_encoder", True),
        ("optimizer", "adamw-8bit"),
        ("channels_last", True),
        ("compile", True),
    ],
)
def test_a_setting_that_does_not_go_with_shards_is_refused(by, name, value, launched):
    settings = TrainSettings(checkpoint_every=0, **{name: value})
    check_sharding(settings, PLAIN)
    launched(by)
    check_sharding(TrainSettings(checkpoint_every=0), PLAIN)
    with pytest.raises(StudyError, match=f"^{name}: does not go with {by}; expected "):
        check_sharding(settings, PLAIN)


@pytest.mark.parametrize(("name", "value"), [("checkpoint_every", 5), ("mixed_precision", "bf16")])
def test_checkpoints_and_mixed_precision_go_with_fsdp_and_not_with_deepspeed(
    name, value, launched, monkeypatch
):
    settings = TrainSettings(**{"checkpoint_every": 0, name: value})
    launched("FSDP")
    check_sharding(settings, PLAIN)
    monkeypatch.delenv("ACCELERATE_USE_FSDP")
    launched("DeepSpeed")
    with pytest.raises(StudyError, match=f"^{name}: does not go with DeepSpeed; .*FSDP"):
        check_sharding(settings, PLAIN)


@pytest.mark.parametrize(
    ("by", "variable", "value", "told"),
    [
        ("FSDP", "FSDP_VERSION", "1", "fsdp_version is 1; expected 2"),
        ("FSDP", "FSDP_CPU_RAM_EFFICIENT_LOADING", "True", "loading is true; expected false"),
        ("DeepSpeed", "ACCELERATE_DEEPSPEED_ZERO_STAGE", "3", "zero_stage is 3; expected 1 or 2"),
        ("DeepSpeed", "ACCELERATE_DEEPSPEED_CONFIG_FILE", "z.json", "config_file is z.json"),
    ],
)
def test_a_launch_that_would_go_wrong_unseen_is_refused(by, variable, value, told, launched):
    launched(by, **{variable: value})
    with pytest.raises(StudyError, match=told):
        check_sharding(TrainSettings(checkpoint_every=0), PLAIN)


def test_the_safeguard_of_pairs_is_refused_before_a_sharded_training_makes_its_folder(
    launched, cohort, base, said, quick, tmp_path
):
    launched("FSDP")
    method = METHODS["fairgen"].model_copy(update={"alignment": Alignment(safeguard=True)})
    check_sharding(quick, method.without_preferences)
    with pytest.raises(StudyError, match=r"^method\.alignment\.safeguard: does not go with FSDP"):
        train(
            cohort, method=method, base=base, out=tmp_path / "out", settings=quick,
            feedback=Feedback(said),
        )  # fmt: skip
    assert not (tmp_path / "out").exists()
