"""The command line: ``python -m dip_book --help``."""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

from dip_book import images, runs, sweeps, tables


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    main = argparse.ArgumentParser(prog="dip_book", description="Make and look at the stored runs that the book shows.")
    commands = main.add_subparsers(dest="command", required=True)

    run = commands.add_parser(
        "run",
        help="restore pictures and store the runs",
        description="Restore pictures and store the runs; runs that are stored already are skipped.",
        epilog="Example: python -m dip_book run camera chelsea --size 128 --iterations 1500",
    )
    run.add_argument("image", nargs="+", help=f"{', '.join(images.EMBEDDED)}; {', '.join(images.STANDARD)}")
    run.add_argument("--recipe", default="blog", help="a named recipe of dip_blocks (default: blog)")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one value of the recipe, e.g. lr=0.01")
    run.add_argument("--size", type=int, help="shrink the middle square to this many pixels a side (default: as it is)")
    run.add_argument("--iterations", type=int, help="fewer (or more) than the recipe's")
    run.add_argument("--seed", type=int, nargs="+", default=[0], help="of mask, weights and noise (default: 0)")
    run.add_argument("--every", type=int, default=10, help="write every so many iterations to the history (default: 10)")
    run.add_argument("--device", help="cuda, mps or cpu (default: the first that is there)")
    run.add_argument("--again", action="store_true", help="run also what is stored already")

    show = commands.add_parser("list", help="list the stored runs")
    classical = commands.add_parser("baselines", help="run linear and biharmonic interpolation on the 11 test images and store the figures")
    picture = commands.add_parser("picture", help="draw the front page's picture from the stored run of the camera")
    for command in (run, show, classical, picture):
        command.add_argument("--store", type=Path, default=runs.ROOT, help="folder of the stored runs (default: the book's)")
    return main


def main(words: list[str] | None = None) -> int:
    """Do what the words say; returns the exit status."""
    asked = parser().parse_args(words)
    if asked.command == "list":
        for run in runs.find(asked.store):
            print(f"{run.psnr:6.2f} dB  {run.facts['iterations_per_s']:6.2f} it/s  {run.folder.relative_to(asked.store)}")
        return 0
    if asked.command == "baselines":
        print(f"Stored in {tables.store_baselines(asked.store)}")
        return 0
    if asked.command == "picture":
        print(f"Drawn: {tables.front_picture(asked.store)}")
        return 0
    try:
        changes = tuple((key, float(value)) for key, value in (word.split("=", 1) for word in asked.set))
    except ValueError:
        print(f"--set takes KEY=NUMBER, not {' '.join(asked.set)}", file=sys.stderr)
        return 2
    try:
        specs = [
            runs.Spec(image, asked.size, asked.recipe, changes, asked.iterations, seed)
            for image, seed in product(asked.image, asked.seed)
        ]
        for number, spec in enumerate(specs, 1):
            label = f"[{number}/{len(specs)}] {spec.path}"
            if (asked.store / spec.path).exists() and not asked.again:
                print(f"{label}: stored already")
                continue
            print(f"{label}: running", flush=True)
            run = sweeps.perform(spec, asked.store, device=asked.device, every=asked.every)
            print(f"{label}: {run.psnr:.2f} dB in {run.facts['wall_time_s']:.0f} s", flush=True)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted: what was complete is stored, the run in progress is not. The same command goes on from there.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
