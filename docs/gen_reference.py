"""Pages of the reference that are generated from the code whenever the site is built (an mkdocs hook)."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
from inspect import getdoc, isclass, isfunction
from pathlib import Path

ROOT = Path(__file__).parents[1]
INCLUDED = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}  # written at the repository's top
GENERIC = (
    "split", "subject:3,5", "camera:v03", "random:0.2", "random:0.2,by=subject", "random:0.2,seed=7", "fold:2/5", "all",
)  # fmt: skip


def commands() -> str:
    """Every command with the text of its ``--help``."""
    from orvpe.cli.commands import COMMANDS
    from orvpe.cli.main import main

    lines = ["# Commands", "", "What `orvpe COMMAND --help` prints.", "", "| command | |", "|---|---|"]
    lines += [f"| [`orvpe {name}`](#{name}) | {about} |" for name, (_, about, *_) in COMMANDS.items()]
    os.environ["COLUMNS"] = "100"
    for name in COMMANDS:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
            main([name, "--help"])
        lines += ["", f"## {name}", "", "```text", shown.getvalue().rstrip(), "```"]
    return "\n".join(lines)


def recipes() -> str:
    """Every recipe with its arguments."""
    folder = ROOT / "src" / "orvpe" / "training" / "recipes"
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))}
    lines = [
        "# Recipes",
        "",
        "A recipe is a named set of arguments: `--recipe NAME`, or a YAML file in the same form.",
        "Arguments on the command line override it.",
        "",
        "| recipe | |",
        "|---|---|",
    ]
    lines += [f"| [`{name}`](#{name}) | {text.splitlines()[0].lstrip('# ')} |" for name, text in texts.items()]
    for name, text in texts.items():
        lines += ["", f"## {name}", "", "```yaml", text.rstrip(), "```"]
    return "\n".join(lines)


def formats() -> str:
    """Every pose file format."""
    from orvpe.data.formats import FORMATS

    lines = [
        "# Formats",
        "",
        "`orvpe ingest` recognises them; `--format NAME` chooses one. See [data](../guides/data.md).",
        "",
        "| `--format` | what |",
        "|---|---|",
    ]
    lines += [f"| `{name}` | {format.about} |" for name, format in FORMATS.items()]
    return "\n".join(lines)


def protocols() -> str:
    """Every evaluation protocol."""
    from orvpe.data.protocols import PROTOCOLS, get_protocol

    lines = [
        "# Protocols",
        "",
        "A protocol says which clips of a data set train and which test, and which number counts: `-p NAME`.",
        "",
        "| `-p` | metric | what |",
        "|---|---|---|",
    ]
    lines += [f"| `{name}` | {p.metric} | {p.about} |" for name, p in PROTOCOLS.items()]
    lines += ["", "For any other store:", "", "| `-p` | what |", "|---|---|"]
    lines += [f"| `{spec}` | {get_protocol(spec).about} |" for spec in GENERIC]
    return "\n".join(lines)


def occlusions() -> str:
    """Every occlusion, and the joints that each part hides."""
    from orvpe.poses.body_parts import PARTS, part_indices
    from orvpe.poses.skeleton import unified
    from orvpe.views.occlusion import PATTERNS

    lines = [
        "# Occlusions",
        "",
        "For training (`--view.occlusion`) and testing (`--occlusions`). `+` applies several; of several with `/`",
        "between them each clip draws one. See [occlusion](../concepts/occlusion.md).",
        "",
        "| part | joints that are hidden, of the 17 of the unified layout |",
        "|---|---|",
    ]
    for part in PARTS:
        joints = ", ".join(unified.joints[v] for v in part_indices(part, unified))
        lines.append(f"| `{part}` | {joints} |")
    lines += ["", "| pattern | default value | largest value | what it does |", "|---|---|---|---|"]
    for name, (function, default, most, *_) in PATTERNS.items():
        about = " ".join((getdoc(function) or "").split())
        lines.append(f"| `{name}` | {default:.3g} | {most:,.0f} | {about} |")
    return "\n".join(lines)


ALSO = {  # public names outside the package's top, by heading
    "Videos": ("orvpe.video", ("read_clips", "follow", "open_frames", "PoseOptions")),
    "Actions over time": ("orvpe.actions.timeline", ("timeline", "WindowOptions", "Timeline", "Span")),
    "Search": ("orvpe.vectors.vector_index", ("Index", "Hit")),
}


def python() -> str:
    """The Python API: what ``import orvpe`` offers, what stands beside it, and the commands as functions."""
    import orvpe
    from orvpe.cli.commands import COMMANDS, function_of

    groups = {"The package": [getattr(orvpe, name) for name in orvpe.__all__]}
    for title, (module, names) in ALSO.items():
        groups[title] = [getattr(importlib.import_module(module), name) for name in names]
    groups["Commands as functions"] = [function_of(name) for name in COMMANDS]
    lines = ["# Python", "", "Names are imported when they are first used, so `import orvpe` is quick."]
    shown = set()
    for title, members in groups.items():
        lines += ["", f"## {title}"]
        for member in members:
            if not (isclass(member) or isfunction(member)) or member in shown:
                continue
            shown.add(member)
            lines += ["", f"::: {member.__module__}.{member.__qualname__}"]
    return "\n".join(lines)


PAGES = {
    "reference/commands.md": commands,
    "reference/recipes.md": recipes,
    "reference/formats.md": formats,
    "reference/protocols.md": protocols,
    "reference/occlusions.md": occlusions,
    "reference/python.md": python,
}


def on_config(config):  # type: ignore[no-untyped-def]
    """Leave out of the navigation what is not there (called by mkdocs)."""
    missing = {name for name, source in INCLUDED.items() if not (ROOT / source).exists()}
    for section in config.nav:
        for title, pages in section.items():
            if isinstance(pages, list):
                section[title] = [page for page in pages if not missing & set(page.values())]
    return config


def on_files(files, config):  # type: ignore[no-untyped-def]
    """Add the generated pages to the site (called by mkdocs)."""
    from mkdocs.structure.files import File

    for name, made in PAGES.items():
        files.append(File.generated(config, name, content=made() + "\n"))
    for name, source in INCLUDED.items():
        if not (ROOT / source).exists():
            continue
        text = (ROOT / source).read_text(encoding="utf-8")
        text = text.replace("](docs/", "](")
        text = re.sub(r"\[([^\]]+)\]\((?!http|#)(?![\w/-]+\.md)[^)]*\)", r"\1", text)  # files that are no pages
        files.append(File.generated(config, name, content=text))
    return files
