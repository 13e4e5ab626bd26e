"""Recipes, cards, layouts and flags are plain data: nothing in them is built or run, and their size is bounded."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orvpe.cli.arguments import parse
from orvpe.cli.main import main
from orvpe.errors import InputError
from orvpe.models.model import CARD, read_card
from orvpe.poses.skeleton import get_layout
from orvpe.runtime.plain import MOST_BYTES, Text, load_json, load_yaml, read_scalars

RUNS = "class_path: os.system\ninit_args:\n  command: touch {mark}\n"
BUILDS = {
    "in the options": (
        "encoder:\n  options:\n    x:\n      class_path: os.system\n      init_args: {{command: touch {mark}}}\n"
    ),
    "at the top": RUNS,
    "as the encoder": "encoder:\n  class_path: os.system\n  init_args: {{command: touch {mark}}}\n",
    "in a list": "encoder:\n  options:\n    x: [[{{class_path: os.system, init_args: {{command: touch {mark}}}}}]]\n",
    "dotted": "encoder.options: {{class_path: os.system}}\nencoder.options.init_args.command: touch {mark}\n",
    "dict_kwargs": "optim:\n  dict_kwargs: {{command: touch {mark}}}\n",
    "a tag": "encoder:\n  options:\n    x: !!python/object/apply:os.system ['touch {mark}']\n",
    "an own tag": "view: !new:os.system ['touch {mark}']\n",
    "a tag of YAML": "epochs: !!int 3\n",
    "an alias": "epochs: &a 3\nseed: *a\n",
    "a merge": "view: {{<<: {{tau: 3}}}}\n",
    "two documents": "epochs: 3\n---\nepochs: 4\n",
    "twice": "epochs: 3\nepochs: 4\n",
}


@pytest.mark.parametrize("what", BUILDS)
def test_recipes_build_and_run_nothing(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark, recipe = tmp_path / "mark", tmp_path / "r.yaml"
    recipe.write_text(BUILDS[what].format(mark=mark))
    for more in ([], ["--print-config"]):
        assert main(["pretrain", "s", "-r", str(tmp_path / "run"), "--recipe", str(recipe), *more]) == 2
        err = capsys.readouterr().err
        assert (err.count("\n"), "r.yaml" in err) == (1, True), err
    assert not mark.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["r.yaml"]


@pytest.mark.parametrize(
    "words",
    [
        ["--encoder.options.class_path", "os.system"],
        ["--encoder.options.class-path=os.system"],
        ["--encoder.options", "{x: {class_path: os.system, init_args: {command: 'touch MARK'}}}"],
        ["--encoder.options", "!!python/object/apply:os.system ['touch MARK']"],
        ["--encoder.options.x", "!!python/object/apply:os.system ['touch MARK']"],
        ["--encoder.class_path", "os.system"],
        ["--view", "{class_path: os.system}"],
        ["--config", "r.yaml"],
        ["--view", "r.yaml"],
        ["--epochs", "{class_path: os.system, init_args: {command: 'touch MARK'}}"],
        ["--optim.milestones", "[{class_path: os.system}]"],
    ],
)
def test_flags_build_and_run_nothing(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(RUNS.format(mark="MARK"))
    try:
        found = parse("pretrain", ["s", "-r", "r", *words])
    except InputError:
        pass
    else:  # text, and nothing else
        assert isinstance(found["encoder"].options["x"], str)
    assert [p.name for p in tmp_path.iterdir()] == ["r.yaml"]


def test_cards_and_layouts_are_plain_too(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").touch()
    (tmp_path / CARD).write_text('{"card_version": 1, "encoder": {"options": {"x": {"class_path": "os.system"}}}}')
    with pytest.raises(InputError, match=r"card\.json: class_path is refused"):
        read_card(tmp_path)
    layout = tmp_path / "l.yaml"
    for text, found in (
        ("joints: {a: null}\nunified: {head: {class_path: os.system}}\n", "class_path is refused"),
        ("joints: {a: !!python/name:os.system ''}\n", "a tag"),
        ("joints: &j {a: null}\nderived: *j\n", "an anchor or alias"),
        ("joints: {" + ", ".join(f"j{i}: j0" for i in range(5000)) + "}\n", "5,000 joints, expected at most"),
    ):
        layout.write_text(text)
        with pytest.raises(InputError, match=found):
            get_layout(layout)


def test_depth_and_size_are_bounded() -> None:
    began = time.process_time()
    for text in ("[" * 5000, "{a: " * 5000, "- " * 5000 + "x", "a" * (MOST_BYTES + 1), "x: " + "[" * 30 + "]" * 30):
        with pytest.raises(InputError, match=r"nested deeper|expected at most|not YAML"):
            load_yaml(text, "r.yaml")
    for text in ("[" * 100_000, "[" * 30 + "]" * 30, '{"a":' * 900 + "1" + "}" * 900):
        with pytest.raises(InputError, match=r"nested deeper|not valid JSON"):
            load_json(text, "card.json")
    assert time.process_time() - began < 5


def test_json_is_finite_and_says_everything_once() -> None:
    for text in ('{"a": NaN}', '{"a": -Infinity}', '{"a": 1, "a": 2}', '{"a": ' + "9" * 5000 + "}", '{"init_args": 1}'):
        with pytest.raises(InputError, match=r"card\.json"):
            load_json(text, "card.json")
    assert load_json('{"a": [1, 2.5, null, true, "x"]}', "card.json") == {"a": [1, 2.5, None, True, "x"]}


@given(st.text(max_size=200) | st.text("{}[]:,-&*!?|>'\"#%@` \nab10.<", max_size=60))
def test_any_text_is_plain_data_or_refused_in_a_line(text: str) -> None:
    try:
        found = load_yaml(text, "r.yaml")
    except InputError as error:
        said = str(error)
        assert "\n" not in said
    else:
        json.dumps(found, default=str)


# PyYAML escapes control characters its own way
text = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")))
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_what_yaml_writes_is_read_back(data: object) -> None:
    def named(value: object) -> bool:
        return isinstance(value, dict) and any(k in ("<<", "class_path") or named(v) for k, v in value.items())

    if not named(data):
        assert load_yaml(yaml.safe_dump(data), "x") == data


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 5000, ".inf", "-.Inf", ".nan", "1:" * 900 + "1", "1e999"])
def test_numbers_that_cannot_be_used_are_refused(number: str) -> None:
    with pytest.raises(InputError, match=r"^x: a: .* is no number that can be used$") as told:
        load_yaml(f"a: {number}\n", "x")
    assert len(str(told.value)) < 200


def test_quotes_make_text_of_anything() -> None:
    assert read_scalars("a: '1'\nb: 1\n", "x") == {"a": "1", "b": "1"}
    assert load_yaml("a: '1'\nb: 1\nc: 'null'\nd: null\ne: 1e-3\nf: yes\n", "x") == {
        "a": "1", "b": 1, "c": "null", "d": None, "e": 0.001, "f": True,
    }  # fmt: skip
    assert Text("null").is_null
    assert not Text("null", bare=False).is_null
    assert parse("search", ["c", "-d", "d", "--weights", "null"])["weights"] is None
