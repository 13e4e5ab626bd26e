"""Seeded mutations of valid files of every kind, read under limits of memory and time: ``make fuzz COUNT=100000``.

    python tests/fuzz/fuzz.py --count 5000 --seed 1 --out fuzz-findings [--kinds pose store]

Every input must be read, or refused with `InputError` (or `NoSkeleton`).  Another exception, the end of the process,
20 seconds or 2 GB more than at the start are findings: the input is kept in OUT with what happened.  Each finding is
mended as a kind and becomes a small test.  "unforeseen" is refused in a line too, but one that a reader did not write;
an input of each such kind is kept, and it is no failure.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SECONDS = 20
BYTES = 2 << 30
TOKENS = [
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-0", b"9" * 5000, b"1" + b"0" * 30, b"9223372036854775808", b"null",
    b"true", b'"\\ud800"', b"\xff\xfe", b"\x00", b"{}", b"[]", b"[[[[", b"}}}}", b",,,,", b"\r\n", b"&a *a",
    b"!!python/name:os.system", b"class_path: os.system", b"-1", b"1e-320", b"\xef\xbb\xbf", b"..",
    b"'", b'"', b"%s", b"0x10", b"1_000", "١٢".encode(),
]  # fmt: skip


# --- valid files ---


def make_seeds(folder: Path) -> dict[str, list[Path]]:
    """Valid files by kind; a folder stands for all files in it, of which one is changed."""
    from orvpe.data.convert import convert
    from orvpe.data.generated import generate, write_generated
    from orvpe.data.store import write_store
    from orvpe.models.card import SHIPPED
    from orvpe.training.recipes import RECIPES
    from orvpe.vectors.vector_index import Index

    os.chdir(folder)
    write_generated("s.orvpe", count=3, people=2, missing=0.1)
    write_generated("s2.orvpe", count=3, dims=2)
    poses: list[Path] = []
    for store, kinds in (
        ("s2.orvpe", ("coco", "openpose", "pyskl", "table", "npz")),
        ("s.orvpe", ("trc", "bvh", "npz")),
    ):
        for kind in kinds:
            made = Path(f"{kind}-{store[:2]}")
            try:
                convert(store, str(made), to=kind)
            except Exception as error:
                print(f"no seed of {kind}: {error}", file=sys.stderr)
                continue
            poses += [p for p in sorted(made.rglob("*")) if p.is_file()][:3] if made.is_dir() else [made]
    for case in sorted((Path(__file__).parents[1] / "cases").rglob("*")):
        if case.is_file() and case.stat().st_size < 300_000:
            poses.append(case)
    poses += [p for p in sorted((Path(__file__).parents[1] / "attack").iterdir()) if p.stat().st_size < 100_000]
    write_store("small.orvpe", generate(5))
    index = Index.create("index", {"name": "m", "feature_dim": 4})
    draw = random.Random(0)
    rows = [[draw.gauss(0, 1) for _ in range(4)] for _ in range(20)]
    index.add(rows, [f"c{i}" for i in range(20)], "s")  # type: ignore[arg-type]
    shutil.copytree(SHIPPED / "robust-light-3d-joint", "model")
    Path("layout.yaml").write_text("joints: {a: null, b: a, skull: b}\nunified: {head: [skull], neck: b}\n")
    Path("classes.yaml").write_text('walk: [w1, "w*"]\nrun: [r1]\n')
    return {
        "pose": [p.absolute() for p in poses],
        "store": [folder / "small.orvpe", folder / "s2.orvpe"],
        "index": [folder / "index"],
        "card": [folder / "model"],
        "recipe": sorted(RECIPES.glob("*.yaml"))[:8],
        "layout": [folder / "layout.yaml"],
        "classes": [folder / "classes.yaml"],
    }


# --- mutations ---


def mutated(data: bytes, draw: random.Random, other: bytes) -> bytes:
    """Some bytes changed, taken out, doubled, moved in from another file, or an odd word put in place of a number."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        size = max(1, len(found))
        at, length = draw.randrange(size), draw.choice((1, 1, 4, 16, 200))
        how = draw.randrange(9)
        if how == 0 and found:
            found[min(at, len(found) - 1)] ^= 1 << draw.randrange(8)
        elif how == 1 and found:
            found[min(at, len(found) - 1)] = draw.choice((0, 255, 127, 128, draw.randrange(256)))
        elif how == 2:
            del found[at : at + length]
        elif how == 3:
            found[at:at] = found[at : at + length] * draw.choice((1, 2, 50))
        elif how == 4:
            found[at:at] = draw.choice(TOKENS)
        elif how == 5:
            _put_for_a_number(found, draw)
        elif how == 6:
            begin = draw.randrange(max(1, len(other)))
            found[at : at + length] = other[begin : begin + length]
        elif how == 7:
            del found[at:]
        else:
            number = draw.choice((0, 1, -1, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1)) & (2**64 - 1)
            found[at : at + 8] = number.to_bytes(8, "little")[: draw.choice((2, 4, 8))]
    return bytes(found[: 2 << 20])


def _put_for_a_number(found: bytearray, draw: random.Random) -> None:
    digits = [i for i, c in enumerate(found[:20_000]) if 48 <= c <= 57]
    if digits:
        begin = end = draw.choice(digits)
        while end < len(found) and (48 <= found[end] <= 57 or found[end] == 46):
            end += 1
        found[begin:end] = draw.choice(TOKENS)


# --- what is done with them ---


def use_pose(path: Path) -> None:
    from orvpe.data.formats import choose_reader
    from orvpe.data.formats.base import NoSkeleton, Options
    from orvpe.data.formats.reading import read_clips
    from orvpe.data.formats.source import Source
    from orvpe.data.store.grid import quantise
    from orvpe.poses.unify import to_unified

    source = Source(path)
    reader = choose_reader(source, None)
    for item in reader.items(source)[:20]:
        try:
            for clip in read_clips(reader, source, item, Options()):
                quantise(to_unified(clip))
        except NoSkeleton:
            continue


def use_store(path: Path) -> None:
    from orvpe.data.store import Store

    store = Store.open(path)
    for clip in store:
        assert clip.joints.shape[1] == clip.frames


def use_index(path: Path) -> None:
    from orvpe.vectors.vector_index import Index

    index = Index.open(path)
    index.search([1.0, 0, 0, 0], 5)  # type: ignore[arg-type]
    index.find("c1")


def use_card(path: Path) -> None:
    from orvpe.models.model import load

    load(path)


def use_recipe(path: Path) -> None:
    from orvpe.training.finetune import finetune
    from orvpe.training.recipes import recipe_values

    recipe_values(finetune, str(path))


def use_layout(path: Path) -> None:
    from orvpe.poses.skeleton import get_layout, unified_sources

    unified_sources(get_layout(path))


def use_classes(path: Path) -> None:
    from orvpe.data.relabel import read_classes

    read_classes(str(path))


USES: dict[str, Callable[[Path], None]] = {
    "pose": use_pose, "store": use_store, "index": use_index, "card": use_card, "recipe": use_recipe,
    "layout": use_layout, "classes": use_classes,
}  # fmt: skip
SHARES = {"pose": 70, "store": 10, "index": 5, "card": 2, "recipe": 5, "layout": 4, "classes": 4}


class TooLong(BaseException):
    """Not an Exception, so that no handler of the reader swallows it."""


def child(kind: str, work: Any, answers: Any, folder: str) -> None:
    """Use one input after another and say what came of each."""
    os.chdir(folder)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    with contextlib.suppress(Exception):
        USES[kind](Path("nothing"))  # imports what it needs, before memory is limited
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + BYTES, taken + BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def ring(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, ring)
    from orvpe.data.formats.base import NoSkeleton, Unforeseen
    from orvpe.errors import InputError

    while (path := work.recv()) is not None:
        signal.alarm(SECONDS)
        said = ""
        try:
            USES[kind](Path(path))
            result = "read"
        except Unforeseen as error:
            result = "no memory" if "more memory" in str(error) else "unforeseen"
            said = str(error)
        except (InputError, NoSkeleton, OSError) as error:
            result = "refused" if "\n" not in str(error) and len(str(error)) < 2000 else "wordy"
            said = str(error)
        except TooLong:
            result, said = "too long", traceback.format_exc()
        except MemoryError:
            result, said = "no memory", traceback.format_exc()
        except Exception:
            result, said = "traceback", traceback.format_exc()
        signal.alarm(0)
        answers.send((result, said))


class Child:
    """A process that uses inputs of one kind; started again when it died."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        theirs_in, self.work = context.Pipe(duplex=False)
        self.answers, theirs_out = context.Pipe(duplex=False)
        self.process = context.Process(
            target=child, args=(self.kind, theirs_in, theirs_out, str(self.folder)), daemon=True
        )
        self.process.start()
        theirs_in.close()
        theirs_out.close()

    def use(self, path: Path) -> tuple[str, str]:
        self.work.send(str(path))
        try:
            if self.answers.poll(SECONDS + 60):
                return self.answers.recv()
            result = "too long", "did not come back"
        except EOFError:
            self.process.join(10)
            result = "died", f"exit code {self.process.exitcode}"
        self.process.kill()
        self.process.join()
        self._start()
        return result


# --- the loop ---


def inputs(
    seeds: dict[str, list[Path]], draw: random.Random, here: Path, kinds: list[str]
) -> Iterator[tuple[str, Path, str]]:
    """Kind, the changed file or folder, and what it was made of."""
    every = [p for paths in seeds.values() for p in paths if p.is_file()]
    while True:
        kind = draw.choices(kinds, [SHARES[k] for k in kinds])[0]
        seed = draw.choice(seeds[kind])
        target = here / seed.name
        if seed.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(seed, target)
            changed = draw.choice(sorted(p for p in target.rglob("*") if p.is_file()))
            if kind == "card" and draw.random() < 0.9:
                changed = target / "card.json"
        else:
            shutil.copyfile(seed, target)
            changed = target
        changed.write_bytes(mutated(changed.read_bytes(), draw, draw.choice(every).read_bytes()))
        yield kind, target, f"{seed.parent.name}/{seed.name}"


FINDINGS = ("unforeseen", "traceback", "died", "too long", "no memory", "wordy")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--minutes", type=float, default=0, help="stop after that time, too")
    parser.add_argument("--kinds", nargs="*", default=list(USES))
    asked = parser.parse_args(argv)
    out = asked.out.absolute()
    draw = random.Random(asked.seed)
    table: collections.Counter[tuple[str, str]] = collections.Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="orvpe-fuzz-") as folder:
        (Path(folder) / "seeds").mkdir()
        (Path(folder) / "in").mkdir()
        seeds = make_seeds(Path(folder) / "seeds")
        children: dict[str, Child] = {}
        signatures: set[str] = set()
        for number, (kind, path, of) in enumerate(inputs(seeds, draw, Path(folder) / "in", asked.kinds)):
            if number >= asked.count or (asked.minutes and time.monotonic() - began > 60 * asked.minutes):
                break
            if kind not in children:
                children[kind] = Child(kind, Path(folder))
            result, said = children[kind].use(path)
            table[kind, result] += 1
            if result in FINDINGS:
                last = said.strip().splitlines()[-1] if said.strip() else result
                at = [
                    line.strip() for line in said.splitlines() if "orvpe" in line and line.strip().startswith("File")
                ][-1:]
                signature = f"{kind} {result} {at} {last.partition('cannot be read as')[2] or last[:60]}"
                if signature not in signatures:
                    signatures.add(signature)
                    out.mkdir(parents=True, exist_ok=True)
                    kept = out / f"{len(signatures):03d}-{kind}-{path.name}"
                    (shutil.copytree if path.is_dir() else shutil.copyfile)(path, kept)
                    kept.with_name(kept.name + ".txt").write_text(f"{result}, made of {of}\n{said}\n")
                    print(f"{kept.name}: {result}: {last[:150]}", flush=True)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for one in children.values():
            one.process.kill()
    columns = ["read", "refused", *FINDINGS]
    print("kind       " + "".join(f"{c:>12}" for c in columns))
    for kind in asked.kinds:
        print(f"{kind:<11}" + "".join(f"{table[kind, c]:>12,}" for c in columns))
    total = sum(table.values())
    bad = sum(n for (_, result), n in table.items() if result in FINDINGS and result != "unforeseen")
    print(f"{total:,} inputs, {bad:,} findings; {len(signatures)} kinds kept, {time.monotonic() - began:,.0f} s")
    (out.parent / "fuzz.json").write_text(json.dumps({f"{k} {r}": n for (k, r), n in table.items()}, indent=1) + "\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
