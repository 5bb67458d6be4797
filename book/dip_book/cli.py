"""The command line: ``python -m dip_book --help``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from contextlib import nullcontext
from itertools import product
from pathlib import Path

import dip_blocks
from dip_book import bench, images, photo, runs
from dip_book.results import ablation, baselines, ceiling, optimiser, tables
from dip_book.runs import plan, sweeps
from dip_book.show import figures
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

Runs lie under book/runs, as book/runs/README.md says. Pictures: {embedded} (ship
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
        "restore pictures of which the truth is known, and store the runs",
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

    command(
        "tidy",
        "gather the book's runs into one file a recipe, and drop pictures that no chapter shows",
        "What is kept is in plan.py; runs that the book does not want are left as they are.",
    )

    command("baselines", "run linear and biharmonic interpolation on the 11 test images and store the figures")
    command("ceilings", "compute what a last upsampling can draw of the 11 test images at best, and store the figures")
    command("picture", "draw the front page's pictures from a stored run of the camera")
    return main


#: What is raised on purpose, with a message for whom it concerns; anything else is a fault of ours.
EXPECTED = (runs.RunError, images.ImageError, dip_blocks.DivergenceError)


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments say; returns the exit status."""
    args = parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _say
            return COMMANDS[args.command](args)
    except BrokenPipeError:  # `| head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except EXPECTED as error:
        print(error, file=sys.stderr)
        return 2
    except photo.Unfinished as stopped:
        print(stopped)
        return 130
    except KeyboardInterrupt:
        print("Interrupted. What was complete is stored; the same command goes on from the last checkpoint, at most a minute back.")
        return 130


def _say(message, category, filename, lineno, file=None, line=None) -> None:
    """A warning without the place in the code, which tells a reader nothing."""
    print(message, file=sys.stderr)


def _restore(args: argparse.Namespace) -> int:
    options = {key: getattr(args, key) for key in ("mask", "recipe", "iterations", "seed", "device", "precision", "again")}
    print(f"Written: {photo.restore(args.picture, args.to, **options)}")
    return 0


def _run(args: argparse.Namespace) -> int:
    specs = _specs(args)
    for spec in specs:  # a mistake in the fifth should not wait for the first four
        for member in spec.members:
            member.resolved()
        if args.missing is None:  # of what the book lacks, a picture that cannot be had holds up no other
            images.load(spec.image, size=spec.size)
    options = {key: getattr(args, key) for key in ("device", "every", "again", "frames")}
    failed, done = 0, 0
    for spec in specs:
        for member in spec.members:
            if begun := sweeps.progress_of(member, args.store):
                print(f"{member.path}: begun already{begun}", flush=True)
    with _executor(args.scheduler) as executor:
        for spec, run, outcome in sweeps.sweep(specs, args.store, executor=executor, threads=args.threads, **options):
            done += 1
            figures = f": {run.psnr:.2f} dB, {run.facts['wall_time_s']:.0f} s" if run else ""
            failed += outcome.startswith("failed")
            print(f"[{done}/{len(specs)}] {spec.path}: {outcome}{figures}", flush=True)
    if not specs:
        print("Nothing is missing.")
    return 1 if failed else 0


def _specs(args: argparse.Namespace) -> list[runs.Spec]:
    if args.missing is not None:
        if args.image:
            raise runs.RunError("Name pictures, or ask for what is --missing; not both.")
        return plan.missing(args.missing or None, args.store)
    if not args.image:
        raise runs.RunError("Name at least one picture, or ask for what is --missing. See: python -m dip_book run --help")
    if wrong := [word for word in args.set if "=" not in word]:
        raise runs.RunError(f"--set takes KEY=VALUE, not {wrong[0]}")
    changes = tuple((key, _value(text)) for key, text in (word.split("=", 1) for word in args.set))
    return [
        runs.Spec(
            str(Path(image).resolve()) if image not in {**images.EMBEDDED, **images.STANDARD} else image, args.size, args.recipe, changes, args.iterations, seed, args.mask_seed, precision=args.precision
        )
        for image, seed in product(args.image, args.seed)
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


def _status(args: argparse.Namespace) -> int:
    states = {spec: runs.state(spec, args.store) for specs in plan.WANTED.values() for spec in specs}
    lacking = [spec for spec, (run, wrong) in states.items() if run is None or wrong]
    if args.missing:
        print(*(f"{spec.path}\n" for spec in lacking), sep="", end="")
        return 0
    counts = {group: sum(spec in set(lacking) for spec in specs) for group, specs in plan.WANTED.items()}
    waiting = ", ".join(f"{group} {count}" for group, count in counts.items() if count)
    print(f"{len(states) - len(lacking)} of {len(states)} wanted runs are stored; missing: {waiting or 'none'}")
    for group, specs in plan.WANTED.items():
        print(f"{group}: {len(specs) - counts[group]} of {len(specs)}")
        for spec in specs:
            run, wrong = states[spec]
            if run is not None and not wrong:
                print(f"  {run.psnr:5.2f} dB {spec.path}")
                continue
            begun = "".join(sweeps.progress_of(member, args.store) for member in spec.members)
            print(f"  missing  {spec.path}{begun}{f'  ({wrong} --again makes it anew.)' if wrong else ''}")
    others = sorted(set(runs.paths(args.store)) - {spec.path for spec in states})
    for path in others:
        print(*(["others:"] if path == others[0] else []), f"  {_figure(args.store / path)} {path}", sep="\n")
    return 0


def _figure(place: Path) -> str:
    """A stored run's PSNR; or that it is damaged, which is no reason to say nothing of the others."""
    try:
        return f"{runs.check(runs.read(place)).psnr:5.2f} dB"
    except runs.RunError as error:
        return f"damaged ({error}):"


def _show(args: argparse.Namespace) -> int:
    run = runs.read(args.store / args.run)
    facts = run.facts
    speed = ", ".join(f"{facts[key]:g} {unit}" for key, unit in {"iterations_per_s": "it/s", "peak_memory_mib": "MiB"}.items() if facts.get(key) is not None)
    print(f"{run.place}\n{facts['iterations']:,} of {facts['recipe_iterations']:,} iterations on {facts['device']}, {facts['precision']}, "
          f"{facts['wall_time_s']:.0f} s{f' ({speed})' if speed else ''}")
    versions = ", ".join(f"{package} {version}" for package, version in facts.get("versions", {}).items())
    print(f"commit {facts.get('commit')}{' and changes' if facts.get('dirty') else ''}, {versions}")
    print(tables.kinds(run))
    frames = run.sheets.get("frames", {}).get("iterations", [])
    print(f"went back {facts['backtracked']} times; pictures: {', '.join(run.kinds) or 'none'}; frames of iterations: {', '.join(map(str, frames)) or 'none'}")
    return 0


def _table(args: argparse.Namespace) -> int:
    print(TABLES[args.name](store=args.store).to(args.format))
    return 0


def _pack(args: argparse.Namespace) -> int:
    paths = [Path(path) for path in args.run] or _whole(args.store)
    for archive in runs.pack(paths, args.store, args.to):
        print(f"{archive}: {archive.stat().st_size / 1e6:.1f} MB")
    return 0


def _whole(store: Path) -> list[Path]:
    """All stored runs but the damaged ones, which are named."""
    whole = []
    for path in runs.paths(store):
        try:
            runs.check(runs.read(store / path))
            whole.append(path)
        except runs.RunError as error:
            print(f"Left out. {error}", file=sys.stderr)
    return whole


def _tidy(args: argparse.Namespace) -> int:
    for path, outcome in runs.tidy(args.store, plan.kept(args.store)):
        print(f"{path}: {outcome}")
    return 0


def _unpack(args: argparse.Namespace) -> int:
    for archive in args.archive:
        for path, outcome in runs.unpack(archive, args.store):
            print(f"{path}: {outcome}")
    return 0


def _bench(args: argparse.Namespace) -> int:
    if args.watching:
        path = bench.watching(args.store, rounds=args.rounds, name=args.name)
        facts = json.loads(path.read_text(encoding="utf-8"))
        print(f"A run that is shown takes {facts['median_ratio']:.3f} times as long. Stored in {path}")
        return 0
    with runs.blocks_errors():
        dip_blocks.as_device(args.device)
    path = bench.bench(args.store, sizes=args.size, rounds=args.rounds, seconds=args.seconds, device=args.device, name=args.name, network=args.network)
    print(f"Stored in {path}")
    return 0


def _baselines(args: argparse.Namespace) -> int:
    print(f"Stored in {baselines.store_baselines(args.store)}")
    return 0


def _ceilings(args: argparse.Namespace) -> int:
    print(f"Stored in {ceiling.store_ceilings(args.store)}")
    return 0


def _picture(args: argparse.Namespace) -> int:
    print("Drawn:", *figures.front_pictures(args.store), sep="\n  ")
    return 0


COMMANDS = {
    "restore": _restore, "run": _run, "status": _status, "show": _show, "table": _table, "pack": _pack, "unpack": _unpack,
    "tidy": _tidy,
    "bench": _bench, "baselines": _baselines, "ceilings": _ceilings, "picture": _picture,
}  # fmt: skip
