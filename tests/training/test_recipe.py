"""Recipes: the same keys in a value, a file and a flag; the named ones against what they claim to be."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.errors import EffnetError, InputError, MissingDependencyError, UnknownNameError
from effnet.families.catalog import find as find_network
from effnet.training import catalog
from effnet.training.fields import keys_of
from effnet.training.learning_rate import Schedule, scaled
from effnet.training.progressive import ProgressiveSchedule, Ramp, published
from effnet.training.recipe import Augmentation, Batch, Optimizer, Progressive, Recipe, Regularisation, Transfer
from effnet.training.recipe_file import open_recipe, override, read


@pytest.mark.parametrize("name", catalog.names())
def test_named_recipes_survive_json(name: str) -> None:
    recipe = catalog.find(name)
    assert recipe.name == name
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert recipe.to_dict()["progressive"]["stages"] == recipe.progressive.stages


@pytest.mark.parametrize("name", catalog.names())
def test_a_recipes_table_is_the_flags_that_make_it(name: str) -> None:
    flags = []
    for line in str(catalog.find(name)).splitlines():
        part, *settings = line.split()
        flags += settings if part == "run" else [f"{part}.{setting}" for setting in settings]
    assert len(flags) == len(keys_of(Recipe))
    assert override(Recipe(), flags) == catalog.find(name)


@pytest.mark.parametrize("name", catalog.names())
def test_headers_state_claim_hours_hardware_and_a_command_that_names_the_recipe(name: str) -> None:
    header = catalog.header(name)
    found = {line.split(":")[0].strip(): line for line in header.splitlines() if ":" in line}
    assert {"Claim", "Hours", "Hardware", "Command"} <= set(found)
    assert f"--recipe {name}" in found["Command"] or name == "finetune"
    assert "measured here" in found["Claim"]
    assert "measured here" in found["Hours"]


def test_published_settings() -> None:
    v1, v2 = catalog.find("v1"), catalog.find("v2")
    for recipe, peak in ((v1, 0.128), (v2, 0.256)):
        assert recipe.batch.size
        assert scaled(recipe.lr, recipe.batch.size) == pytest.approx(peak, abs=1e-15)
        assert recipe.schedule == Schedule(decay="staircase", decay_rate=0.97, decay_epochs=2.4, warmup_epochs=5)
        assert recipe.optimizer.kind == "rmsprop_tf"
        assert (recipe.optimizer.momentum, recipe.optimizer.weight_decay) == (0.9, 1e-5)
        assert (recipe.epochs, recipe.ema.decay, recipe.regularisation.label_smoothing) == (350, 0.9999, 0.1)
        assert recipe.regularisation.drop_path == 0.2
    assert v1.optimizer.undecayed == "norms"
    assert v2.optimizer.undecayed == "norms_and_biases"


@pytest.mark.parametrize("size", ["s", "m", "l"])
def test_v2_recipes_are_the_papers_progressive_table(size: str) -> None:
    recipe = catalog.find("v2" if size == "s" else f"v2_{size}")
    assert recipe.model
    spec = find_network(recipe.model)
    table = published(f"paper_{size}")
    released = dataclasses.replace(table, image_size=Ramp(128, 300 if size == "s" else 384))
    assert recipe.progressive_for(spec) == released
    assert override(recipe, [f"resolution={table.image_size.end:g}"]).progressive_for(spec) == table


def test_v2_recipe_turns_into_the_released_code_by_flags() -> None:
    spec = find_network("efficientnetv2_m")
    flags = ["progressive.form=code", "augmentation.magnitude=15", "augmentation.cutmix=0.2"]
    flags += ["regularisation.dropout=0.3", "progressive.dropout=0.3"]
    assert override(catalog.find("v2_m"), flags).progressive_for(spec) == published("code_m")


def test_recipe_without_stages_trains_at_its_own_settings_throughout() -> None:
    spec = find_network("b0")
    schedule = catalog.find("v1").progressive_for(spec)
    settings = schedule.settings_at(0, 350)
    assert settings == schedule.settings_at(349, 350)
    assert (settings.image_size, settings.dropout, settings.drop_path, settings.magnitude) == (224, 0.2, 0.2, 0)


def test_stages_added_to_a_weak_recipe_do_not_make_it_stronger() -> None:
    recipe = override(catalog.find("finetune"), ["progressive.stages=4", "augmentation.magnitude=3"])
    spec = find_network("b0").replace(drop_path=0.1)
    schedule = recipe.progressive_for(spec)
    assert [schedule.settings(i).image_size for i in range(4)] == [112, 144, 176, 224]
    assert schedule.magnitude == Ramp(3, 3)
    assert schedule.dropout == Ramp(0.1, 0.2)
    assert schedule.drop_path == Ramp(0.1, 0.1)


@pytest.mark.parametrize(("resolution", "first"), [(300, 144), (32, 16), (30, 15), (8, 4), (1, 1)])
def test_the_first_stage_is_half_the_size_unless_it_is_given(resolution: int, first: int) -> None:
    recipe = Recipe(resolution=resolution, progressive=Progressive(stages=4))
    assert recipe.progressive_for(find_network("b0")).image_size == Ramp(first, resolution)


def test_a_first_stage_larger_than_the_last_is_refused() -> None:
    recipe = override(catalog.find("v2"), ["resolution=96"])
    with pytest.raises(InputError, match=r"progressive\.image_size: the first stage's 128 px .* give 48"):
        recipe.progressive_for(find_network("b0"))


FILES = {
    "mine.toml": 'base = "finetune"\nepochs = 20\nlr = 1e-3\n'
    "[optimizer]\nweight_decay = 1e-5\n[progressive]\nstages = 4\n",
    "mine.json": '{"base": "finetune", "epochs": 20, "lr": 0.001, "optimizer": {"weight_decay": 1e-5},'
    ' "progressive": {"stages": 4}}',
    "mine.yaml": "base: finetune\nepochs: 20\nlr: 1e-3\noptimizer:\n  weight_decay: 1e-5\nprogressive: {stages: 4}\n",
}


@pytest.mark.parametrize("name", FILES)
def test_file_flags_and_value_are_the_same_thing(name: str, tmp_path: Path) -> None:
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    path = tmp_path / name
    path.write_text(FILES[name])
    base = catalog.find("finetune")
    value = dataclasses.replace(
        base,
        name="custom",
        epochs=20,
        lr=1e-3,
        optimizer=dataclasses.replace(base.optimizer, weight_decay=1e-5),
        progressive=Progressive(stages=4),
    )
    flags = ["name=custom", "epochs=20", "lr=1e-3", "optimizer.weight_decay=1e-5", "progressive.stages=4"]
    assert open_recipe(str(path)) == read(path) == value == override(base, flags)


def test_a_file_without_base_changes_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("")
    assert read(path) == Recipe()
    path.write_text("lr = 1\n")  # a whole number where a real one belongs
    assert read(path) == Recipe(lr=1.0)
    assert isinstance(read(path).lr, float)


def test_names_open_before_files() -> None:
    assert open_recipe("v2") == catalog.find("v2")
    with pytest.raises(UnknownNameError, match="did you mean finetune"):
        open_recipe("fine-tune")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.toml", "lr = ", "not TOML"),
        ("a.json", "{", "not JSON"),
        ("a.json", "[" * 100_000, "not JSON"),
        ("a.json", '{"epochs": 1' + "0" * 5000 + "}", "not JSON"),
        ("a.json", "[1]", "not a group of settings"),
        ("a.json", '{"lr": NaN}', "lr: lr is nan"),
        ("a.json", '{"lr": "fast"}', "lr: lr is 'fast'"),
        ("a.json", '{"base": "v9"}', "base: unknown recipe 'v9'"),
        ("a.json", '{"base": ["v1"]}', "base: unknown recipe"),
        ("a.toml", "[progresive]\nstages = 4", "did you mean progressive"),
        ("a.toml", "[progressive]\nstage = 4", "did you mean progressive.stages"),
        ("a.toml", "progressive = 4", "progressive: 4 is not a group"),
        ("a.toml", "stages = 4", "did you mean progressive.stages"),
        ("a.toml", "[progressive]\nstages = 2.5", "progressive.stages: stages is 2.5"),
        ("a.toml", "#" * (1 << 21), "too large"),
        ("a.txt", "lr = 1", "not a recipe file"),
    ],
)
def test_bad_files_say_which_file_where_and_what_to_do(name: str, text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(EffnetError) as caught:
        open_recipe(str(path))
    line = str(caught.value)
    assert says in line
    assert caught.value.fix
    assert "\n" not in line
    assert caught.value.exit_code == 2


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    for name in ("none.toml", "folder.toml"):
        with pytest.raises(InputError, match=name):
            open_recipe(str(tmp_path / name))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not TOML"):
        open_recipe(str(tmp_path / "binary.toml"))


def test_yaml_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("lr: [")
    pytest.importorskip("yaml")
    with pytest.raises(InputError, match="not YAML"):
        read(path)
    path.write_text("lr: !!python/object/apply:os.system ['true']")
    with pytest.raises(InputError, match="not YAML"):
        read(path)

    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingDependencyError, match=r"pip install 'effnet\[train\]'"):
        read(path)


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("lr", "sets nothing"),
        ("=3", "sets nothing"),
        ("lr=fast", "lr: lr is 'fast'"),
        ("lr=nan", "lr: lr is nan"),
        ("lr=-1", "lr: lr is -1"),
        ("lr=none", "lr is 'none'"),
        ("epochs=3.5", "epochs: epochs is '3.5'"),
        ("epochs=0", "epochs: epochs is 0"),
        ("progressive=4", "set progressive.stages"),
        ("progressive.stages=four", "progressive.stages"),
        ("progressive.form=papr", "did you mean paper"),
        ("optimizer.kind=adam", "did you mean adamw"),
        ("optimizer.weight_deca=1", "did you mean optimizer.weight_decay"),
        ("weight_decay=1", "did you mean optimizer.weight_decay"),
        ("ema.warm_in=perhaps", "true or false"),
        ("batch.size=0", "batch.size"),
        ("zzzz=1", "use one of name, model"),
        ("optimizer.zzzz=1", "use one of optimizer.kind"),
        ("weights=", "weights"),
    ],
)
def test_bad_flags_name_the_key_and_the_fix(flag: str, says: str) -> None:
    with pytest.raises(EffnetError) as caught:
        override(Recipe(), [flag])
    assert says in str(caught.value)
    assert caught.value.fix
    assert caught.value.exit_code == 2


def test_flags_together_make_a_possible_recipe_in_any_order_and_later_ones_win() -> None:
    assert override(Recipe(), ["epochs=3", "schedule.warmup_epochs=1"]).epochs == 3
    assert override(Recipe(), ["lr=0.1", "lr=0.2"]).lr == 0.2
    assert override(Recipe(), []) == Recipe()
    assert override(catalog.find("finetune"), ["weights=none", "ema.warm_in=False"]).weights is None
    with pytest.raises(InputError, match=r"schedule\.warmup_epochs: 5 of 3 epochs"):
        override(Recipe(), ["epochs=3", "schedule.warmup_epochs=5"])


def test_a_shorter_run_has_a_shorter_beginning() -> None:
    short = override(catalog.find("finetune"), ["epochs=4"])
    assert (short.schedule.warmup_epochs, short.transfer.head_epochs) == (pytest.approx(1 / 3), 1)
    assert override(Recipe(), ["epochs=700"]).schedule == Recipe().schedule  # a longer one begins as before
    assert Recipe.from_dict(short.to_dict()) == short


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda: Recipe(epochs=5), "schedule.warmup_epochs"),
        (lambda: Recipe(transfer=Transfer(head_epochs=350)), "transfer.head_epochs"),
        (lambda: Recipe(optimizer=Schedule()), "optimizer"),
        (lambda: Recipe(name=" "), "name"),
        (lambda: Recipe(seed=-1), "seed"),
        (lambda: Recipe(seed=True), "seed"),
        (lambda: Optimizer(kind="sgd", decoupled=True), "decoupled"),
        (lambda: Progressive(constant_pixels=True, batch_scale=2), "constant_pixels"),
        (lambda: Augmentation(flip=1.5), "flip"),
        (lambda: Augmentation(policy=None), "policy"),
        (lambda: Regularisation(dropout=1), "dropout"),
        (lambda: Batch(accumulate=0), "accumulate"),
    ],
)
def test_impossible_recipes_are_refused(make: Any, where: str) -> None:
    with pytest.raises(EffnetError) as caught:
        make()
    assert caught.value.where == where
    assert caught.value.fix


# Settings that not every value of another allows.
_TIED = (
    "epochs",
    "resolution",
    "schedule.warmup_epochs",
    "transfer.head_epochs",
    "progressive.constant_pixels",
    "optimizer.decoupled",
)


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, field in keys_of(Recipe).items():
        if key in _TIED:
            continue
        low, high = max(field.low, -1e6), min(field.high, 1e6)
        kinds: dict[type, st.SearchStrategy[Any]] = {
            bool: st.booleans(),
            int: st.integers(int(low), int(high)),
            float: st.floats(low, high),
            str: st.sampled_from(field.choices or ("a", "b0", "some/path.toml")),
        }
        if draw(st.integers(0, 5)) == 0:
            values[key] = draw(kinds[field.kind] | st.none() if field.optional else kinds[field.kind])
    return values


@given(values=changes())
def test_any_recipe_survives_dictionaries_and_flags(values: dict[str, Any]) -> None:
    data: dict[str, Any] = {}
    for key, value in values.items():
        part, _, name = key.rpartition(".")
        (data.setdefault(part, {}) if part else data)[name] = value
    recipe = Recipe.from_dict(data)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert override(Recipe(), [f"{key}={value}" for key, value in values.items()]) == recipe
    assert isinstance(recipe.progressive_for(find_network("l2").replace(train_resolution=16384)), ProgressiveSchedule)


def test_the_pure_part_of_training_never_imports_torch() -> None:
    modules = ("fields", "progressive", "learning_rate", "recipe", "recipe_file", "catalog")
    code = f"import sys; import {', '.join(f'effnet.training.{m}' for m in modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
