"""The command line: ``python -m dip_book --help``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import nullcontext
from itertools import product
from pathlib import Path

import dip_blocks
from dip_book import bench, figures, images, photo, plan, runs, sweeps
from dip_book.results import ablation, baselines, ceiling, optimiser, tables
from dip_parts import checks

#: What `table` prints.
TABLES = tables.TABLES | {"switches": ablation.switches, "ideas": ablation.ideas, "repeated": ablation.repeated, "reached": ablation.reached, "one_precision": ablation.one_precision} | optimiser.TABLES

EPILOG = """\
A first session, from a clone of the repository:

  python -m dip_book restore photo.png                         fill in the black or transparent pixels of a picture of yours
  python -m dip_book run camera --size 128 --iterations 300    make a run; about two minutes on two cores
  python -m dip_book show blog/camera-128/seed0-300it          look at it
  python -m dip_book status                                    what the book wants, and what of it is missing
  python -m dip_book run --missing best                        make that; interrupt it, start it again: it goes on
  python -m dip_book pack --to runs                            archives to carry elsewhere
  python -m dip_book unpack runs-1.zip                         bring them into another clone

Runs are folders under book/runs with run.json, history.csv and pictures. Pictures: {embedded} (ship
with scikit-image); {standard} (the paper's; found through the environment variable DIP_IMAGES, or
downloaded); or a file of yours.
"""


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    main = argparse.ArgumentParser(
        prog="dip_book",
        description="Restore a picture of yours; make stored runs, look at them, and move them between machines.",
        epilog=EPILOG.format(embedded=", ".join(images.EMBEDDED), standard=", ".join(images.STANDARD)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, what: str, more: str = "") -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}. {more}")
        sub.add_argument("--store", type=Path, default=runs.ROOT, help="folder of the stored runs (default: the book's)")
        return sub

    restore = commands.add_parser(
        "restore",
        help="fill in the missing pixels of a picture of yours",
        description="Fill in the missing pixels of a picture of yours. Missing is what is transparent or, in a picture without "
        "transparency, black; or what is black in a mask. Interrupt it, and the picture so far is written; the same command goes on.",
    )
    restore.add_argument("picture", type=Path, help="a picture file; PNG if it has no mask")
    restore.add_argument("--mask", type=Path, help="a picture of the same size: white where a pixel is known, black where it is missing")
    restore.add_argument("--to", type=Path, help="the PNG file to write (default: PICTURE-restored.png, in this folder)")
    restore.add_argument("--recipe", default="quick", help=f"{', '.join([*dip_blocks.RECIPES, *dip_blocks.MEANS])} (default: quick)")
    restore.add_argument("--iterations", type=int, help="fewer (or more) than the recipe's")
    restore.add_argument("--seed", type=int, default=0, help="of weights, z and noise (default: 0)")
    restore.add_argument("--device", help="cuda, cuda:1, mps or cpu (default: the first that is there)")
    restore.add_argument("--precision", choices=checks.PRECISIONS, help="of the convolutions (default: by the device)")
    restore.add_argument("--again", action="store_true", help="write over a result that is there already")

    run = command(
        "run",
        "make restorations of which the truth is known, and store the runs",
        "Runs that are stored already are skipped, and those that another process is making are left to it: the same "
        "command can be started once for each GPU of a machine. After an interrupt or a crash the same command goes "
        "on from the last checkpoint, at most a minute back.",
    )
    run.add_argument("image", nargs="*", help="names of pictures, or files")
    run.add_argument("--missing", nargs="*", metavar="GROUP", choices=list(plan.WANTED), help=f"what the book lacks, of {', '.join(plan.WANTED)}; of all if none is named")
    run.add_argument("--recipe", default="blog", help=f"{', '.join([*dip_blocks.RECIPES, *dip_blocks.MEANS])} (default: blog)")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one value of the recipe or one choice of its network, e.g. lr=0.01, skip_from=input, width=64, depth=4")
    run.add_argument("--size", type=int, help="shrink the middle square to this many pixels a side (default: as it is)")
    run.add_argument("--iterations", type=int, help="fewer (or more) than the recipe's")
    run.add_argument("--seed", type=int, nargs="+", default=[0], help="of mask, weights, z and noise (default: 0)")
    run.add_argument("--mask-seed", type=int, help="of the mask alone (default: the same as --seed)")
    run.add_argument("--every", type=int, default=10, help="write every so many iterations to the history (default: 10)")
    run.add_argument("--frames", type=int, default=12, help="keep so many outputs on the way, for the explorer (default: 12)")
    run.add_argument("--device", help="cuda, cuda:1, mps or cpu (default: the first that is there)")
    run.add_argument("--precision", choices=checks.PRECISIONS, help="of the convolutions (default: by the device)")
    run.add_argument("--threads", type=int, help="CPU threads of a run (default: all cores)")
    run.add_argument("--scheduler", metavar="ADDRESS", help="hand the runs to a Dask cluster, e.g. tcp://10.0.0.1:8786; its workers must see the store")
    run.add_argument("--again", action="store_true", help="make also what is stored already")

    status = command("status", "list what the book wants and which of it is missing")
    status.add_argument("--missing", action="store_true", help="only what is missing, one path a line")

    show = command("show", "show one stored run")
    show.add_argument("run", help="its path, as `status` prints it")

    table = command("table", "print a table of the book")
    table.add_argument("name", choices=list(TABLES), help="; ".join(f"{name}: {make.__doc__.splitlines()[0]}" for name, make in TABLES.items()))
    table.add_argument("--format", choices=("markdown", "csv", "latex"), default="markdown")

    pack = command("pack", "copy stored runs into archives of at most 15 MB each")
    pack.add_argument("run", nargs="*", help="paths as `status` prints them (default: all stored runs)")
    pack.add_argument("--to", type=Path, default=Path("runs"), help="beginning of the archives' names (default: runs)")

    unpack = command("unpack", "bring the runs of archives into the store", "A run that is stored already is kept as it is.")
    unpack.add_argument("archive", type=Path, nargs="+")

    benchmark = command("bench", "time the loops side by side on this machine and store the result")
    benchmark.add_argument("--size", type=int, nargs="+", help="pixels a side (default: 128 256, and 512 on a GPU)")
    benchmark.add_argument("--rounds", type=int, default=5, help="rounds taken in turn, of which medians are shown (default: 5)")
    benchmark.add_argument("--seconds", type=float, default=60, help="for the time to a given PSNR, of each loop (default: 60; 0: leave it out)")
    benchmark.add_argument("--device", help="cuda, mps or cpu (default: the first that is there)")
    benchmark.add_argument("--network", choices=bench.NETWORKS, default="blog", help="whose loop: the blog's network, the paper's, or the second reading with nearest upsampling and zeros (default: blog)")
    benchmark.add_argument("--watching", action="store_true", help="only what the live explorer costs a run (two minutes)")
    benchmark.add_argument("--name", help="of the stored result (default: the device's)")

    command("baselines", "run linear and biharmonic interpolation on the 11 test images and store the figures")
    command("ceilings", "compute what a last upsampling can draw of the 11 test images at best, and store the figures")
    command("picture", "draw the front page's pictures from a stored run of the camera")
    return main


def main(words: list[str] | None = None) -> int:
    """Do what the words say; returns the exit status."""
    asked = parser().parse_args(words)
    try:
        return COMMANDS[asked.command](asked)
    except BrokenPipeError:  # `| head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    except photo.Unfinished as stopped:
        print(stopped)
        return 130
    except KeyboardInterrupt:
        print("Interrupted. What was complete is stored; the same command goes on from the last checkpoint, at most a minute back.")
        return 130


def _restore(asked: argparse.Namespace) -> int:
    options = {key: getattr(asked, key) for key in ("mask", "recipe", "iterations", "seed", "device", "precision", "again")}
    print(f"Written: {photo.restore(asked.picture, asked.to, **options)}")
    return 0


def _run(asked: argparse.Namespace) -> int:
    specs = _specs(asked)
    for spec in specs:  # a mistake in the fifth should not wait for the first four
        for member in spec.members:
            member.resolved()
        if asked.missing is None:  # of what the book lacks, a picture that cannot be had holds up no other
            images.load(spec.image, size=spec.size)
    options = {key: getattr(asked, key) for key in ("device", "every", "again", "frames")}
    failed, done = 0, 0
    for spec in specs:
        for member in spec.members:
            if begun := sweeps.progress_of(member, asked.store):
                print(f"{member.path}: begun already{begun}", flush=True)
    with _executor(asked.scheduler) as executor:
        for spec, run, what in sweeps.sweep(specs, asked.store, executor=executor, threads=asked.threads, **options):
            done += 1
            figures = f": {run.psnr:.2f} dB, {run.facts['wall_time_s']:.0f} s" if run else ""
            failed += what.startswith("failed")
            print(f"[{done}/{len(specs)}] {spec.path}: {what}{figures}", flush=True)
    if not specs:
        print("Nothing is missing.")
    return 1 if failed else 0


def _specs(asked: argparse.Namespace) -> list[runs.Spec]:
    if asked.missing is not None:
        if asked.image:
            raise ValueError("Name pictures, or ask for what is --missing; not both.")
        return plan.missing(asked.missing or None, asked.store)
    if not asked.image:
        raise ValueError("Name at least one picture, or ask for what is --missing. See: python -m dip_book run --help")
    if wrong := [word for word in asked.set if "=" not in word]:
        raise ValueError(f"--set takes KEY=VALUE, not {wrong[0]}")
    changes = tuple((key, _value(text)) for key, text in (word.split("=", 1) for word in asked.set))
    return [
        runs.Spec(
            str(Path(image).resolve()) if image not in {**images.EMBEDDED, **images.STANDARD} else image, asked.size, asked.recipe, changes, asked.iterations, seed, asked.mask_seed, precision=asked.precision
        )
        for image, seed in product(asked.image, asked.seed)
    ]


def _value(text: str) -> float | str | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _executor(scheduler: str | None):
    """A Dask cluster's executor; without an address, something that stands for none."""
    return sweeps.dask_executor(scheduler) if scheduler else nullcontext()


def _status(asked: argparse.Namespace) -> int:
    lacking = set(plan.missing(store=asked.store))
    if asked.missing:
        for spec in dict.fromkeys(spec for group in plan.WANTED.values() for spec in group if spec in lacking):
            print(spec.path)
        return 0
    wanted = set().union(*plan.WANTED.values())
    waiting = [f"{group} {count}" for group, specs in plan.WANTED.items() if (count := sum(spec in lacking for spec in specs))]
    print(f"{len(wanted) - len(lacking)} of {len(wanted)} wanted runs are stored; missing: {', '.join(waiting) or 'none'}")
    for group, specs in plan.WANTED.items():
        there = sum(spec not in lacking for spec in specs)
        print(f"{group}: {there} of {len(specs)}")
        for spec in specs:
            if spec in lacking:
                begun = "".join(sweeps.progress_of(member, asked.store) for member in spec.members)
                print(f"  missing  {spec.path}{begun}")
            else:
                print(f"  {_figure(asked.store / spec.path)} {spec.path}")
    others = {folder.relative_to(asked.store) for folder in runs.folders(asked.store)}
    others -= {spec.path for group in plan.WANTED.values() for spec in group}
    for number, path in enumerate(sorted(others)):
        print(*(["others:"] if number == 0 else []), f"  {_figure(asked.store / path)} {path}", sep="\n" if number == 0 else "")
    return 0


def _figure(folder: Path) -> str:
    """A stored run's PSNR; or that it is damaged, which is no reason to say nothing of the others."""
    try:
        return f"{runs.read(folder).psnr:5.2f} dB"
    except runs.RunError as error:
        return f"damaged ({error}):"


def _show(asked: argparse.Namespace) -> int:
    run = runs.read(asked.store / asked.run)
    facts = run.facts
    print(f"{run.folder}\n{facts['iterations']:,} of {facts['recipe_iterations']:,} iterations on {facts['device']}, {facts['precision']}, "
          f"{facts['wall_time_s']:.0f} s ({facts['iterations_per_s']:.2f} it/s), {facts['peak_memory_mib']} MiB")
    print(f"commit {facts['commit']}{' and changes' if facts['dirty'] else ''}, {', '.join(f'{k} {v}' for k, v in facts['versions'].items())}")
    print(tables.kinds(run))
    print(f"restorations: {facts['restorations']}; frames of iterations {', '.join(map(str, run.frames)) or 'none'}")
    return 0


def _table(asked: argparse.Namespace) -> int:
    print(TABLES[asked.name](store=asked.store).to(asked.format))
    return 0


def _pack(asked: argparse.Namespace) -> int:
    paths = [Path(path) for path in asked.run] or [folder.relative_to(asked.store) for folder in runs.folders(asked.store)]
    for archive in runs.pack(paths, asked.store, asked.to):
        print(f"{archive}: {archive.stat().st_size / 1e6:.1f} MB")
    return 0


def _unpack(asked: argparse.Namespace) -> int:
    for archive in asked.archive:
        for path, what in runs.unpack(archive, asked.store):
            print(f"{path}: {what}")
    return 0


def _bench(asked: argparse.Namespace) -> int:
    if asked.watching:
        path = bench.watching(asked.store, rounds=asked.rounds, name=asked.name)
        facts = json.loads(path.read_text(encoding="utf-8"))
        print(f"A run that is shown takes {facts['median_ratio']:.3f} times as long. Stored in {path}")
        return 0
    path = bench.bench(asked.store, sizes=asked.size, rounds=asked.rounds, seconds=asked.seconds, device=asked.device, name=asked.name, network=asked.network)
    print(f"Stored in {path}")
    return 0


def _baselines(asked: argparse.Namespace) -> int:
    print(f"Stored in {baselines.store_baselines(asked.store)}")
    return 0


def _ceilings(asked: argparse.Namespace) -> int:
    print(f"Stored in {ceiling.store_ceilings(asked.store)}")
    return 0


def _picture(asked: argparse.Namespace) -> int:
    print("Drawn:", *figures.front_pictures(asked.store), sep="\n  ")
    return 0


COMMANDS = {
    "restore": _restore, "run": _run, "status": _status, "show": _show, "table": _table, "pack": _pack, "unpack": _unpack,
    "bench": _bench, "baselines": _baselines, "ceilings": _ceilings, "picture": _picture,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
