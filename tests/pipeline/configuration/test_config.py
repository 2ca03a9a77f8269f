import subprocess
import sys
from typing import Any, cast

import pytest

from qsmengine.errors import UsageError
from qsmengine.io.yaml_text import parse_yaml
from qsmengine.modalities.registry import all_modalities
from qsmengine.pipeline.configuration.config import (
    load_config,
    parse_value,
    preset_names,
    read_preset,
    validate,
)
from qsmengine.pipeline.configuration.model import config_model, configured_stages, part_of, section_of
from qsmengine.stages.registry import STAGES, all_methods


def test_default_preset_names_a_method_for_every_stage_that_a_chain_needs():
    config = load_config()
    needed = [stage for stage in configured_stages() if stage.presence != "extra"]
    assert needed
    for stage in needed:
        method, params = config.method(stage.section)
        assert method.stage == stage.name
        assert isinstance(params, method.params)


INTERNAL = {stage.name for stage in STAGES if stage.presence == "internal"}


@pytest.mark.parametrize("stage", sorted(INTERNAL))
def test_stage_that_no_run_takes_as_a_step_has_no_section(stage):
    with pytest.raises(UsageError, match=section_of(stage)):
        load_config(settings=[f"{section_of(stage)}.h=1"])


@pytest.mark.parametrize(
    "method", [m for m in all_methods() if m.stage not in INTERNAL], ids=lambda m: f"{m.stage}-{m.name}"
)
def test_every_registered_method_can_be_chosen_with_its_defaults(method):
    section = section_of(method.stage)
    chosen, params = load_config(settings=[f"{section}.method={method.name}"]).method(section)
    in_preset, of_preset = load_config().method(section) or (None, None)
    assert chosen is method
    assert params == (of_preset if method is in_preset else method.params())


@pytest.mark.parametrize("preset", preset_names())
def test_a_configuration_is_that_of_the_model_of_every_method(preset):
    config = load_config(preset=preset)
    whole = config_model().model_validate(config.as_tree())
    assert whole.as_tree() == config.as_tree()
    assert whole.digest == config.digest


def test_a_configuration_imports_no_method_that_it_does_not_name():
    code = (
        "import sys; from qsmengine.pipeline.configuration.config import load_config;"
        "load_config(settings=['diffusion.method=iwls']);"
        "named = {f'qsmengine.stages.{m}' for m in ('inversion.rts', 'mask.bet', 'background.sharp')};"
        "assert not named & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


SECTIONS = [pytest.param(modality.sections, id=modality.name) for modality in all_modalities()]


@pytest.mark.parametrize("sections", SECTIONS)
def test_configuration_of_some_sections_is_that_part_of_the_whole(sections):
    part = load_config(sections=sections)
    assert part.as_tree() == validate(part_of(load_config().as_tree(), sections), None, sections).as_tree()
    assert {*sections} == {*part.as_tree()} - {"schema_version", "input", "in_mm"}


def test_named_section_that_a_run_does_not_use_is_checked_and_left_out():
    sections = ("denoise", "diffusion")
    plain = load_config(settings=["diffusion=iwls"], sections=sections)
    more = load_config(
        settings=["diffusion=iwls", "inversion.lambda=1e-3", "single_step=none"], sections=sections
    )
    assert more.as_tree() == plain.as_tree()
    assert more.digest == plain.digest
    for setting in ("inversion.lamda=1", "inversion=rtss", "inversion.lambda=-1"):
        with pytest.raises(UsageError, match="inversion"):
            load_config(settings=[setting], sections=sections)


@pytest.mark.parametrize("preset", preset_names())
def test_no_preset_imports_pydantic_or_scipy_before_a_step_needs_it(preset):
    code = (
        "import sys; import numpy as np; from qsmengine.grid import Grid; from qsmengine.data import GreSeries;"
        "from qsmengine.modalities.gre.stages import plan_qsm;"
        "from qsmengine.pipeline.configuration.config import load_config;"
        "grid, times = Grid.from_voxel_size((8, 8, 8), (1.0, 1.0, 1.0), field_strength=3.0), (0.01, 0.02);"
        "images = np.ones((8, 8, 8, 2), np.float32); GreSeries(images, images, times, grid);"
        f"plan_qsm(load_config(preset={preset!r}), grid, 2);"
        "assert not [m for m in sys.modules if m.startswith(('scipy.', 'pydantic', 'numpy.ma.'))]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_setting_reaches_the_parameter_under_its_written_name():
    _, params = load_config(settings=["inversion.lambda=2e-4"]).method("inversion")
    assert cast("Any", params).lam == pytest.approx(2e-4)


@pytest.mark.parametrize(
    "word", ["osvd", "y", "N", "_x", "inf", "nan", "true", "False", "NO", "on", "null", "oFf"]
)
def test_a_word_is_read_as_yaml_reads_it(word):
    value = parse_value(word)
    assert (type(value), value) == (type(parse_yaml(word)), parse_yaml(word))


def test_stage_may_be_written_with_a_dash():
    assert load_config(settings=["phase-offset=none"]).method("phase_offset") is None


def test_changing_the_method_drops_the_parameters_of_the_old_one_whatever_the_order():
    first = load_config(settings=["inversion.threshold=0.2", "inversion.method=tkd"])
    second = load_config(settings=["inversion=tkd", "inversion.threshold=0.2"])
    assert first == second
    assert cast("Any", first.method("inversion")[1]).threshold == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("inversion.lamda=1", "inversion.lamda; did you mean inversion.lambda?"),
        ("invrsion.lambda=1", "'invrsion'; did you mean inversion?"),
        ("inversion.method=tkdd", "'tkdd'; did you mean tkd?"),
        ("inversion.lambda=-1", "inversion.lambda: input should be greater than 0, got -1"),
        ("inversion.lambda=much", "inversion.lambda: "),
        ("inversion.lambda=nan", "inversion.lambda: "),
        ("background.max_radius", "write section.key=value"),
        ("inversion=none", "inversion"),
        ("input.phase_sing=-1", "did you mean input.phase_sign?"),
        ("input.phase_sign=2", "input.phase_sign"),
    ],
)
def test_wrong_setting_is_refused_by_name(setting, message):
    with pytest.raises(UsageError) as caught:
        load_config(settings=[setting])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_preset_suggests_a_near_one():
    with pytest.raises(UsageError, match="'acurate'; did you mean accurate"):
        load_config(preset="acurate")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid(name):
    assert load_config(preset=name).as_tree() == config_model().model_validate(read_preset(name)).as_tree()


def test_file_wins_over_preset_and_setting_over_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("schema_version: 1\ninversion: {lambda: 1.e-3, iterations: 7}\n")
    _, params = load_config(path, settings=["inversion.iterations=9"]).method("inversion")
    assert (cast("Any", params).lam, cast("Any", params).iterations) == (1e-3, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inversion: {lambda: 1.e-3}", "schema_version is none"),
        ("schema_version: 2", "schema_version is 2"),
        ("a: [", "not YAML"),
        ("- a", "contains no sections"),
        ("schema_version: 1\nfields: {}", "unknown section 'fields'; did you mean field?"),
        ("schema_version: 1\ninversion: 3", "inversion"),
    ],
)
def test_wrong_file_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        load_config(tmp_path / "none.yaml")


def test_digest_tells_values_apart_and_not_how_they_were_written(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("inversion: {iterations: 77, lambda: 1.e-3, method: weighted_tv}\nschema_version: 1\n")
    settings = ["inversion.method=weighted_tv", "inversion.lambda=0.001", "inversion.iterations=77"]
    same = load_config(settings=settings)
    assert load_config(path).digest == same.digest
    assert load_config(path, settings=["inversion.iterations=78"]).digest != same.digest
