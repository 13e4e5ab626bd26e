"""The command line as people type it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.small_runs import LIGHT, make_store, orvpe, surroundings

import orvpe as package
from orvpe.cli.arguments import parse
from orvpe.cli.commands import COMMANDS, function_of
from orvpe.cli.help_pages import overview, usage_line
from orvpe.cli.main import main
from orvpe.errors import InputError


def test_help_needs_neither_torch_nor_a_parser() -> None:
    code = """
import contextlib, io, sys
from orvpe.cli.main import main
out = io.StringIO()
with contextlib.redirect_stdout(out):
    assert main(["--help"]) == 0 and main([]) == 0 and main(["--version"]) == 0
assert "pretrain" in out.getvalue()
heavy = {"torch", "yaml", "lightning", "numpy", "pyarrow", "matplotlib", "sklearn"} & set(sys.modules)
print(sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=surroundings(), check=True)
    assert done.stdout.strip() == "[]"


def test_import_is_light_and_reading_needs_no_torch(tmp_path: Path) -> None:
    code = f"""
import sys
import orvpe
print(sorted({{"torch", "numpy", "yaml"}} & set(sys.modules)))
from orvpe.cli.main import main
main(["generate", {str(tmp_path / "a.orvpe")!r}, "--count", "3"])
main(["inspect", {str(tmp_path / "a.orvpe")!r}])
main(["recipes"])
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=surroundings(), check=True)
    assert done.stdout.splitlines()[0] == "[]"
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_commands_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out = capsys.readouterr()
    assert out.err == ""
    assert out.out.startswith(f"usage: orvpe {command} ")
    assert f"  {command:<12} " in overview()
    for argument in COMMANDS[command].positional:
        assert argument.upper() in out.out.splitlines()[0]


def test_usage_says_what_may_be_left_out() -> None:
    for command, line in (
        ("demo", "orvpe demo [VIDEO] [options]"),
        ("walkthrough", "orvpe walkthrough [options]"),
        ("classify", "orvpe classify PATHS... [options]"),
    ):
        assert usage_line(command) == f"usage: {line}"


def test_public_names_resolve() -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError):
        package.no_such_name  # noqa: B018


def test_every_command_is_a_function_of_the_package() -> None:
    for command in set(COMMANDS) - {"models", "recipes"}:  # `orvpe.models` is a room
        function = function_of(command)
        assert getattr(package, function.__name__) is function


def test_a_session_as_typed(tmp_path: Path) -> None:
    """In processes of their own, relative paths, from the folder that holds the data."""
    made = orvpe("generate", "clips.orvpe", "--count", "30", cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    seen = orvpe("inspect", "clips.orvpe", cwd=tmp_path)
    assert "30" in seen.stdout
    assert "GENERATED" in seen.stdout
    trained = orvpe(
        *("finetune", "clips.orvpe", "-r", "runs/a", "-p", "random:0.3", *LIGHT, "--epochs", "1", "--batch-size", "7"),
        cwd=tmp_path,
    )
    assert (trained.returncode, trained.stderr) == (0, "")
    assert "[generated data]" in trained.stdout
    recipe = json.loads((tmp_path / "runs" / "a" / "recipe.json").read_text())
    assert recipe["environment"]["command"].startswith("orvpe finetune clips.orvpe -r runs/a -p random:0.3 ")


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell's pipe")
@pytest.mark.parametrize("words", ["recipes", "pretrain --help", "--help"])
def test_a_reader_that_goes_away(words: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "orvpe", *words.split()], env=surroundings(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # before anything is written
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) in (0, 141)  # argparse keeps silent of it by itself


def parsed(*words: str) -> dict[str, Any]:
    return parse(words[0], list(words[1:]))


def test_positional_short_and_dashed() -> None:
    a = parsed(
        "pretrain", "a.orvpe", "-r", "runs/x", "--batch-size", "8", "--view.tau=20", "--contrast.negatives", "null"
    )
    assert (a["store"], a["run"], a["batch_size"], a["view"].tau, a["contrast"].negatives) == (
        "a.orvpe",
        "runs/x",
        8,
        20,
        None,
    )
    assert a == parsed("pretrain", "--run=runs/x", "--view.tau", "20", "--store", "a.orvpe", "--batch_size=8",
                       "--contrast.negatives", "null")  # fmt: skip
    e = parsed(
        "evaluate",
        "-w",
        "m",
        "s.orvpe",
        "-p",
        "subject:3,5",
        "-o",
        "out",
        "--occlusions",
        "none",
        "joints:0.4",
        "--seed",
        "-3",
    )
    assert (e["weights"], e["protocol"], e["out"], e["seed"]) == ("m", "subject:3,5", "out", -3)
    assert e["occlusions"] == ["none", "joints:0.4"]
    assert parsed("evaluate", "s", "-w", "1e5", "-p", "2024")["weights"] == "1e5"
    assert parsed("finetune", "s", "-r", "007", "-w", "2024", "-p", "p")["weights"] == "2024"


def test_switches() -> None:
    assert parsed("pretrain", "s", "-r", "r", "--restart")["restart"] is True
    assert parsed("pretrain", "--restart", "s", "-r", "r")["store"] == "s"
    assert parsed("pretrain", "s", "--restart", "false", "-r", "r")["restart"] is False
    a = parsed("pretrain", "s", "-r", "r", "--optim.nesterov", "--view.align", "false", "--optim.decay-norm", "False")
    assert (a["optim"].nesterov, a["view"].align, a["optim"].decay_norm) == (True, False, False)


def test_lists() -> None:
    assert parsed("pretrain", "--optim.milestones", "3", "5", "s", "-r", "r")["optim"].milestones == [3, 5]
    assert parsed("pretrain", "s", "-r", "r", "--optim.milestones", "[3, 5]")["optim"].milestones == [3, 5]
    f = parsed("fuse", "--weights", "1", "0.5", "a.npz", "b.npz", "-o", "c.csv")
    assert (f["files"], f["weights"], f["out"]) == (["a.npz", "b.npz"], [1.0, 0.5], "c.csv")
    for words in (["640x480"], ["640", "480"], ["640,480"], ["[640, 480]"]):
        i = parsed("ingest", "--image-size", *words, "a", "b", "-o", "x.orvpe")
        assert (i["image_size"], i["paths"]) == ((640, 480), ["a", "b"]), words
    i = parsed("ingest", "a.zip", "--fps", "25", "b", "-o", "x")
    assert (i["paths"], i["fps"]) == (["a.zip", "b"], 25.0)


def test_options_of_an_encoder_one_by_one() -> None:
    words = [
        "--encoder.options",
        "{width: [4], kernel: 3}",
        "--encoder.options.width",
        "[8, 16]",
        "--encoder.options.x=yes",
    ]
    found = parsed("pretrain", "s", "-r", "r", *words, "--encoder.options.rate", "1e-3")["encoder"].options
    assert found == {"width": [8, 16], "kernel": 3, "x": True, "rate": 0.001}
    with pytest.raises(InputError, match="class_path is refused"):
        parsed("pretrain", "s", "-r", "r", "--encoder.options.x", "{class_path: os.system}")


def test_a_recipe_fills_in_and_what_is_typed_wins(tmp_path: Path) -> None:
    recipe = tmp_path / "my.yaml"
    recipe.write_text("epochs: 7\nbatch_size: 9\nview:\n  tau: 11\n  stream: bone\noptim:\n  lr: 0.5\n")
    for words in (
        ["--recipe", str(recipe), "--epochs", "2", "--view.tau", "5"],
        ["--epochs=2", "--view.tau", "5", f"--recipe={recipe}"],
    ):
        a = parsed("pretrain", "s", "-r", "r", *words)
        assert (a["epochs"], a["batch_size"], a["view"].tau, a["view"].stream, a["optim"].lr) == (2, 9, 5, "bone", 0.5)
        assert a["view"].occlusion == "subgraph"  # a default of the command, which the recipe does not touch
    shipped = parsed("pretrain", "s", "-r", "r", "--recipe", "quick-pretrain", "--epochs", "1")
    assert (shipped["epochs"], shipped["encoder"].name) == (1, "light")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pretrian"], "unknown command 'pretrian'; did you mean 'pretrain'"),
        (["pretrain", "s", "-r", "r", "--epoch", "3"], "unknown argument '--epoch'; did you mean '--epochs'"),
        (["pretrain", "s", "-r", "r", "--tau", "3"], "'--view.tau'"),
        (["pretrain", "s", "-r", "r", "--contrast.temprature", "1"], "'--contrast.temperature'"),
        (["pretrain", "s", "-r", "r", "--recipe", "quick-pretrian"], "did you mean 'quick-pretrain'"),
        (["pretrain", "s", "-r", "r", "--recipe", "no.yaml"], "recipe no.yaml: no such file"),
        (["pretrain", "s", "t", "-r", "r"], "unexpected argument 't'"),
        (["pretrain", "s"], "run"),
        (["pretrain", "s", "-r"], "-r needs a value"),
        (["pretrain", "s", "-r", "--epochs", "3"], "-r needs a value"),
        (["pretrain", "s", "-r", "r", "--epochs", "three"], "epochs"),
        (["ingest", "a", "-o", "x", "--image-size", "640"], "--image-size is '640', expected 2 values"),
        (["pretrain", "s", "-r", "r", "--recipe", __file__], "expected a file whose name ends in .yaml"),
        (["probe", "s", "-r", "r", "-p", "all", "--versions", ""], "--versions is '', expected a whole number"),
        (["learn", "s", "-r", "r", "--versions", ""], "--versions is '', expected a whole number"),
        (["recipes", "nothing"], "unknown recipe 'nothing'"),
        (["recipes", "--recipe", "x"], "unknown argument '--recipe'"),
    ],
)
def test_wrong_words(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert err.startswith("orvpe")
    assert told in err


def test_recipes_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("quick-pretrain ") for line in lines)
    assert main(["recipes", "quick-pretrain"]) == 0
    assert "encoder:" in capsys.readouterr().out


def test_values_that_look_like_other_things() -> None:
    found = parsed("evaluate", "s", "-w", "w", "--seed", "-1", "--protocol=-x")
    assert (found["seed"], found["protocol"], found["store"]) == (-1, "-x", "s")
    with pytest.raises(InputError, match="needs a value"):
        parsed("fuse", "--weights", "-o", "x")


def test_print_config_can_be_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pretrain", "s", "-r", "r", "--view.tau", "12", "--optim.milestones", "1", "2"]
    assert main([*words, "--print-config"]) == 0
    recipe = tmp_path / "all.yaml"
    recipe.write_text(capsys.readouterr().out)
    assert parsed("pretrain", "--recipe", str(recipe)) == parsed(*words)


def test_store_made_and_read_in_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_store(tmp_path / "a.orvpe", count=4)
    assert main(["inspect", path]) == 0
    assert "clips" in capsys.readouterr().out


def test_half_precision_says_nothing_of_itself() -> None:
    code = "from orvpe.runtime.device import open_fabric; open_fabric('cpu', 'bf16')"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env=surroundings(), timeout=100)
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["pretrain", "s", "-r", "r", "--recipe", "quick-probe"], "recipe quick-probe is for 'orvpe probe'"),
        (["pretrain", "s", "-r", "r", "--batch-size", "many"], "--batch-size is 'many', expected a whole number"),
        (
            ["ingest", "p", "-o", "s", "--image-size", "640by480"],
            "--image-size is '640by480', expected width and height",
        ),
        (["ingest", "p", "-o", "s", "--up"], "--up needs a value"),
        (["fuse", "a", "b", "--weights", "1", "nan"], "--weights is 'nan', expected a number\n"),
        (["select", "s", "-o", "o", "--most", "1.5"], "--most is '1.5', expected a whole number\n"),
    ],
)
def test_messages_in_our_words(words: list[str], found: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert found in capsys.readouterr().err


def test_generate_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", str(tmp_path / "g.orvpe"), "--count", "10"]) == 0
    assert "10 generated clips of 1 person, 3D -> " in capsys.readouterr().out


def test_a_message_that_quotes_too_much_is_cut() -> None:
    said = str(InputError(f"a.csv: camera is {'9' * 9000}, expected one"))
    assert len(said) < 1600
    assert said.startswith("a.csv: camera is 999")
    assert said.endswith("999, expected one")
