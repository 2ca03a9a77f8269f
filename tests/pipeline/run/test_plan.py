import pytest

from qsmengine.backend.device import cpu
from qsmengine.errors import DeviceError, UsageError
from qsmengine.grid import Grid
from qsmengine.modalities.dwi.stages import plan_dti
from qsmengine.modalities.gre.stages import plan_qsm, plan_sections
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.pipeline.run import plan as planning
from qsmengine.pipeline.run.plan import check_memory, format_bytes

GRID = Grid.from_voxel_size((20, 30, 40), (1.0, 1.0, 1.0), field_strength=3.0)
HUGE = Grid.from_voxel_size((4000, 4000, 4000), (1.0, 1.0, 1.0), field_strength=3.0)


def sections(plan):
    return [step.section for step in plan.steps]


def test_steps_come_in_the_order_of_the_reconstruction():
    assert sections(plan_qsm(load_config(preset="consensus"), GRID, 3)) == [
        "mask", "phase_offset", "unwrap", "field", "reliability", "relaxometry", "background",
        "inversion", "reference",
    ]  # fmt: skip


def test_given_mask_replaces_the_mask_step():
    assert "mask" not in sections(plan_qsm(load_config(), GRID, 3, has_mask=True))


def test_single_echo_leaves_out_what_needs_two_and_says_so():
    plan = plan_qsm(load_config(), GRID, 1)
    assert {"phase_offset", "relaxometry"}.isdisjoint(sections(plan))
    assert len(plan.notes) == 2


def test_switched_off_step_is_left_out_and_noted():
    plan = plan_qsm(load_config(settings=["reference=none"]), GRID, 3)
    assert "reference" not in sections(plan)
    assert "switched off" in plan.notes[0]


def test_single_step_takes_the_place_of_background_and_inversion():
    plan = plan_qsm(load_config(settings=["single_step=tfi"]), GRID, 3)
    assert sections(plan) == [
        "mask", "phase_offset", "unwrap", "field", "reliability", "relaxometry", "single_step", "reference",
    ]  # fmt: skip
    (step,) = [s for s in plan.steps if s.section == "single_step"]
    assert step.inputs["mask"] == "field_mask"
    assert step.outputs["mask"] == "local_mask"
    assert {"weight", "magnitude"} <= set(step.inputs)


def test_single_step_and_two_passes_exclude_each_other():
    config = load_config(settings=["single_step=tfi", "two_pass=phase_quality"])
    with pytest.raises(UsageError, match="are mutually exclusive"):
        plan_qsm(config, GRID, 3)


@pytest.mark.parametrize("setting", ["background=vsharp", "inversion.lambda=1e-5", "two_pass=phase_quality"])
def test_naming_what_the_preset_s_single_step_replaces_switches_it_off(setting):
    assert load_config().method("single_step") is not None
    assert load_config(settings=[setting]).method("single_step") is None


def test_single_step_leaves_a_lone_background_removal_as_it_is():
    config = load_config(settings=["single_step=tfi"])
    plan = plan_sections(config, ["background"], ["total_field", "brain_mask"], GRID, 1)
    assert sections(plan) == ["background"]
    assert plan.notes == ()


def test_optional_input_is_taken_only_where_it_will_be_there():
    by_section = {step.section: step for step in plan_qsm(load_config(), GRID, 2).steps}
    assert "labels" not in by_section["reference"].inputs
    assert "weight" in by_section["single_step"].inputs
    with_labels = plan_qsm(load_config(), GRID, 2, has_labels=True)
    assert "labels" in with_labels.steps[-1].inputs


def test_memory_counts_held_arrays_and_the_method_s_own():
    step = plan_dti(load_config(), GRID, 10).steps[0]
    voxels = 20 * 30 * 40
    scalars = sum(name not in {"tensor", "v1", "v2", "v3"} for name in step.outputs)
    values = 10 + 6 + 9 + scalars
    assert step.memory == voxels * (4 * values + 1) + step.method.working_bytes(GRID, step.params, 10)


def test_padding_counts_and_stops_at_twice_the_box():
    (step,) = [s for s in plan_qsm(load_config(), GRID, 2).steps if s.section == "single_step"]
    near = step.method.working_bytes(GRID, step.params.model_copy(update={"margin": 0.0}), 2)
    far = step.method.working_bytes(GRID, step.params.model_copy(update={"margin": 1e4}), 2)
    assert 7 * near <= far <= 10 * near


def test_too_little_memory_is_refused_naming_step_need_and_have(monkeypatch):
    monkeypatch.setattr(planning, "available_memory", lambda _: 1024)
    plan = plan_qsm(load_config(), GRID, 3)
    with pytest.raises(DeviceError, match=r"step mask: \w+ needs about .*iB on cpu, 1 KiB are available"):
        check_memory(plan, cpu())


def test_unknown_memory_is_not_refused(monkeypatch):
    monkeypatch.setattr(planning, "available_memory", lambda _: None)
    check_memory(plan_qsm(load_config(), HUGE, 9), cpu())


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1536, "2 KiB"), (5 << 20, "5 MiB"), (3 << 30, "3.0 GiB")]
)
def test_bytes_for_people(count, text):
    assert format_bytes(count) == text
