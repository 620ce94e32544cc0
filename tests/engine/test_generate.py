import json
import shutil
import time
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
import torch
from PIL import Image

from fairgen.cohort.plan import balanced_plan
from fairgen.cohort.split import SplitSettings
from fairgen.engine import drawing, sampling
from fairgen.engine import generate as module
from fairgen.engine.backbone import load_backbone
from fairgen.engine.generate import generate, open_generator
from fairgen.engine.pixels import stack
from fairgen.engine.sampling import SAMPLERS, SampleSettings, caption_table, sample
from fairgen.errors import CheckpointError, CohortError, StudyError
from fairgen.files.folder import read_cohort
from fairgen.files.image import is_whole
from fairgen.files.layout import split_folder

SETTINGS = SampleSettings(steps=2, guidance=2.0, batch_size=3)


@pytest.fixture
def generator(model):
    return open_generator(model)


def plan_of(generator, per_group=2, seed=0):
    return balanced_plan(generator.prompts, per_group, seed)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_planned_image_exists_with_what_made_it(generator, tmp_path):
    folder = generate(generator, plan_of(generator), out=tmp_path / "s", settings=SETTINGS)
    assert len(folder.cohort) == 8
    assert set(folder.cohort.counts().values()) == {2}
    row = folder.cohort.records[0]
    assert row.text == generator.prompts.render(row.group)
    assert row.extra["model"] == generator.digest
    assert row.extra["guidance"] == "2.0"
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert manifest["finished"] is True
    assert manifest["preferences"] == "none"


def test_each_picture_says_that_it_is_synthetic(generator, tmp_path):
    folder = generate(generator, plan_of(generator, 1), out=tmp_path / "s", settings=SETTINGS)
    with Image.open(folder.path(folder.cohort.records[0])) as picture:
        assert picture.text["Synthetic"].startswith("true")
        assert picture.text["Group"] == folder.cohort.records[0].group.key
        assert picture.size == (32, 32)


def test_an_interrupted_set_ends_as_an_uninterrupted_one(generator, tmp_path, monkeypatch):
    whole = generate(generator, plan_of(generator), out=tmp_path / "a", settings=SETTINGS)
    written = []

    def cut(*args):
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(args)
        write(*args)

    write = drawing.write
    with monkeypatch.context() as patch:
        patch.setattr(drawing, "write", cut)
        with pytest.raises(KeyboardInterrupt):
            generate(generator, plan_of(generator), out=tmp_path / "b", settings=SETTINGS)
    with pytest.raises(CohortError):
        read_cohort(tmp_path / "b")
    again = generate(generator, plan_of(generator), out=tmp_path / "b", settings=SETTINGS)
    assert contents(whole.root) == contents(again.root)


def test_a_file_that_cannot_be_written_is_named_and_those_before_it_are_kept(
    generator, tmp_path, monkeypatch
):
    whole = generate(generator, plan_of(generator), out=tmp_path / "a", settings=SETTINGS)
    with monkeypatch.context() as patch:
        patch.setattr(drawing, "load_backbone", lambda base: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            generate(generator, plan_of(generator), out=tmp_path / "b", settings=SETTINGS)
    names = [r.image for r in whole.cohort.records]
    (tmp_path / "b" / names[1]).mkdir(parents=True)
    with pytest.raises(StudyError, match=f"{names[1]}: cannot be written"):
        generate(generator, plan_of(generator), out=tmp_path / "b", settings=SETTINGS)
    assert (tmp_path / "b" / names[0]).is_file()
    assert json.loads((tmp_path / "b" / "manifest.json").read_text())["finished"] is False
    (tmp_path / "b" / names[1]).rmdir()
    generate(generator, plan_of(generator), out=tmp_path / "b", settings=SETTINGS)
    assert contents(whole.root) == contents(tmp_path / "b")


def test_a_set_is_finished_only_after_the_slowest_file(generator, tmp_path, monkeypatch):
    def late(*args):
        time.sleep(0.05)
        write(*args)

    def tables(folder):
        assert all(is_whole(folder.path(r)) for r in folder.cohort.records)
        write_tables(folder)

    write, write_tables = drawing.write, module.write_tables
    monkeypatch.setattr(drawing, "write", late)
    monkeypatch.setattr(module, "write_tables", tables)
    generate(generator, plan_of(generator), out=tmp_path / "s", settings=SETTINGS)


def test_files_are_written_while_the_next_batch_is_computed(generator, tmp_path, monkeypatch):
    begun, later = [], Event()

    def counted(*args, **how):
        begun.append(1)
        if len(begun) == 2:
            later.set()
        return draw(*args, **how)

    def waiting(*args):
        assert later.wait(20)
        write(*args)

    draw, write = drawing.sample, drawing.write
    monkeypatch.setattr(drawing, "sample", counted)
    monkeypatch.setattr(drawing, "write", waiting)
    generate(generator, plan_of(generator), out=tmp_path / "s", settings=SETTINGS)


def test_prompts_are_embedded_once_for_the_whole_plan(generator, tmp_path, monkeypatch):
    embedded, embed = [], sampling.embed

    def counted(backbone, prompts):
        embedded.append(list(prompts))
        return embed(backbone, prompts)

    monkeypatch.setattr(sampling, "embed", counted)
    plan = plan_of(generator)
    generate(generator, plan, out=tmp_path / "s", settings=SETTINGS)
    assert embedded == [sorted({"", *(i.prompt for i in plan.items)})]


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_embeddings_of_a_whole_plan_draw_the_same_pixels(guidance, generator):
    backbone, cpu = load_backbone(str(generator.pipeline)), torch.device("cpu")
    settings = SampleSettings(steps=2, guidance=guidance)
    table = caption_table(backbone, ["another", "b", "skin", "a", "of many"], cpu)
    given = (["b", "a", "b"], [1, 2, 3], settings)
    anew = sample(backbone, *given, device=cpu)
    assert np.array_equal(sample(backbone, *given, device=cpu, captions=table), anew)


@pytest.mark.parametrize(
    ("side", "together", "sizes"), [(8, 2, [2, 2, 1]), (8, None, [5]), (64, None, [4, 1])]
)
def test_the_decoder_sees_slices_and_no_more(side, together, sizes, generator, monkeypatch):
    backbone = load_backbone(str(generator.pipeline))
    monkeypatch.setattr(sampling, "DECODED", 4 * (64 * backbone.reduction) ** 2)
    seen, decoder = [], backbone.vae.decode
    latents = torch.randn(5, 4, side, side, generator=torch.Generator().manual_seed(0))
    whole = sampling.decode(backbone, latents, 5).astype(int)
    monkeypatch.setattr(backbone.vae, "decode", lambda z: seen.append(len(z)) or decoder(z))
    sliced = sampling.decode(backbone, latents, together).astype(int)
    assert seen == sizes
    assert np.abs(whole - sliced).max() <= 1
    assert (whole != sliced).mean() < 1e-3


def test_bf16_is_of_the_weights_alone_and_draws_nearly_the_same(generator, tmp_path, monkeypatch):
    kinds = {}

    def watched(backbone, *args, **how):
        kinds["weights"] = {p.dtype for m in (backbone.unet, backbone.vae) for p in m.parameters()}
        return draw(backbone, *args, **how)

    def decoded(backbone, latents, together):
        kinds["latents"] = latents.dtype
        return decode(backbone, latents, together)

    draw, decode = drawing.sample, sampling.decode
    monkeypatch.setattr(drawing, "sample", watched)
    monkeypatch.setattr(sampling, "decode", decoded)
    plan, half = plan_of(generator), SETTINGS.model_copy(update={"precision": "bf16"})
    second = generate(generator, plan, out=tmp_path / "b", settings=half)
    assert kinds == {"weights": {torch.bfloat16}, "latents": torch.float32}
    first = generate(generator, plan, out=tmp_path / "a", settings=SETTINGS)
    full, rounded = (stack(f, f.cohort.records, size=32, channels=3) for f in (first, second))
    apart = np.abs(full.astype(int) - rounded)
    assert 0 < apart.mean() < 3


def test_a_finished_set_is_not_drawn_again_and_another_is_refused(generator, tmp_path, monkeypatch):
    generate(generator, plan_of(generator), out=tmp_path / "s", settings=SETTINGS)
    monkeypatch.setattr(module, "draw", None)
    generate(generator, plan_of(generator), out=tmp_path / "s", settings=SETTINGS)
    with pytest.raises(CohortError, match="another model, plan or settings"):
        generate(generator, plan_of(generator, seed=1), out=tmp_path / "s", settings=SETTINGS)


def test_an_image_is_the_same_in_any_batch_to_one_grey_level(generator):
    backbone = load_backbone(str(generator.pipeline))
    prompts, seeds = ["a", "b", "a"], [1, 2, 3]
    cpu = torch.device("cpu")
    together = sample(backbone, prompts, seeds, SETTINGS, device=cpu).astype(int)
    for i in range(3):
        alone = sample(backbone, prompts[i : i + 1], seeds[i : i + 1], SETTINGS, device=cpu)
        assert np.abs(together[i] - alone[0].astype(int)).max() <= 1


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_repeats_itself(name, generator):
    backbone = load_backbone(str(generator.pipeline))
    settings = SampleSettings(sampler=name, steps=4, guidance=1.0)
    first, again = (
        sample(backbone, ["a"], [7], settings, device=torch.device("cpu")) for _ in range(2)
    )
    assert np.array_equal(first, again)
    assert first.shape == (1, 32, 32, 3)


def test_our_ddim_loop_draws_what_the_pipeline_draws(generator):
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    from fairgen.engine.sampling import first_noise

    pipeline = StableDiffusionPipeline.from_pretrained(generator.pipeline)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        ["skin"],
        latents=first_noise([5], (4, 8, 8)),
        num_inference_steps=4,
        guidance_scale=3.0,
        output_type="np",
    ).images
    settings = SampleSettings(steps=4, guidance=3.0)
    backbone = load_backbone(str(generator.pipeline))
    ours = sample(backbone, ["skin"], [5], settings, device=torch.device("cpu"))
    assert np.abs(ours / 255 - theirs).max() < 1.5 / 255


def test_a_grey_modality_gives_grey_files(generator, tmp_path):
    from fairgen.modalities.modality import MODALITIES

    grey = replace(generator, modality=MODALITIES["chest"])
    folder = generate(grey, plan_of(generator, 1), out=tmp_path / "s", settings=SETTINGS)
    with Image.open(folder.path(folder.cohort.records[0])) as picture:
        assert picture.mode == "L"


def test_bad_input_is_refused_in_one_line(generator, tmp_path):
    with pytest.raises(CohortError, match="holds no image"):
        generate(generator, plan_of(generator, 0), out=tmp_path / "s", settings=SETTINGS)
    unknown = SampleSettings(sampler="euler")
    with pytest.raises(StudyError, match="unknown sampler 'euler'"):
        generate(generator, plan_of(generator), out=tmp_path / "s", settings=unknown)
    with pytest.raises(CheckpointError, match=r"no manifest\.json"):
        open_generator(tmp_path)
    assert not (tmp_path / "s").exists()


def test_a_model_that_was_changed_is_refused(model, tmp_path):
    copy = tmp_path / "m"
    shutil.copytree(model, copy)
    (copy / "pipeline" / "model_index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="differs from what"):
        open_generator(copy)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "changed"])
def test_a_damaged_image_of_a_finished_set_is_drawn_again(damage, generator, tmp_path, caplog):
    whole = generate(generator, plan_of(generator), out=tmp_path / "s", settings=SETTINGS)
    before = contents(whole.root)
    path = whole.path(whole.cohort.records[3])
    data = path.read_bytes()
    path.unlink()
    if damage != "missing":
        middle = len(data) // 2
        changed = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
        path.write_bytes({"empty": b"", "cut": data[:-5], "changed": changed}[damage])
    generate(generator, plan_of(generator), out=tmp_path / "s", settings=SETTINGS)
    assert "1 images are missing or damaged; drawn again" in caplog.text
    assert contents(whole.root) == before


def test_an_empty_image_is_refused_by_whoever_reads_its_pixels(generator, tmp_path):
    folder = generate(generator, plan_of(generator), out=tmp_path / "s", settings=SETTINGS)
    path = folder.path(folder.cohort.records[0])
    path.write_bytes(b"")
    with pytest.raises(CohortError, match=f"{path.name}: is not an image"):
        stack(read_cohort(tmp_path / "s"), folder.cohort.records, size=16, channels=3)


def test_a_set_that_was_split_is_not_drawn_over(generator, tmp_path):
    generate(generator, plan_of(generator, 4), out=tmp_path / "s", settings=SETTINGS)
    split_folder(tmp_path / "s", SplitSettings())
    with pytest.raises(CohortError, match="was split since"):
        generate(generator, plan_of(generator, 4), out=tmp_path / "s", settings=SETTINGS)


def test_more_sampling_steps_than_noise_steps_are_refused_before_anything_is_written(
    generator, tmp_path
):
    many = SampleSettings.model_construct(**{**SETTINGS.model_dump(), "steps": 2000})
    with pytest.raises(StudyError, match="sampling steps: 2000; the model was trained with 1000"):
        generate(generator, plan_of(generator), out=tmp_path / "s", settings=many)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"key": '])
def test_a_damaged_manifest_of_a_model_is_refused_by_name(text, model, tmp_path):
    shutil.copytree(model, tmp_path / "m")
    (tmp_path / "m" / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"m/manifest\.json: .*damaged"):
        open_generator(tmp_path / "m")


@pytest.mark.parametrize("text", ["not json", "[]", "{}"])
def test_a_damaged_manifest_of_a_set_is_refused_and_the_set_stays(text, generator, tmp_path):
    generate(generator, plan_of(generator), out=tmp_path / "s", settings=SETTINGS)
    (tmp_path / "s" / "manifest.json").write_text(text)
    before = contents(tmp_path / "s")
    with pytest.raises(CohortError, match=r"manifest\.json: is damaged|another model"):
        generate(generator, plan_of(generator), out=tmp_path / "s", settings=SETTINGS)
    assert contents(tmp_path / "s") == before


def test_paths_may_be_texts(model, tmp_path):
    generator = open_generator(str(model))
    folder = generate(generator, plan_of(generator, 1), out=str(tmp_path / "s"), settings=SETTINGS)
    assert read_cohort(str(tmp_path / "s")).cohort == folder.cohort
