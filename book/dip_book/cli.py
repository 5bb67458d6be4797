"""The command line: ``python -m dip_book --help``.

Only what there is; what a command does lies in `dip_book.commands`, which is imported when it is
needed: PyTorch takes seconds, and a word of help should not.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from dip_book import images

# Names that are known elsewhere too, where PyTorch is; the tests hold these against them.
RECIPES = (
    "blog", "blog-low-lr", "paper", "best-adam", "quick-adam", "quick", "best-nearest",
    "best-bilinear", "best-hidden", "best-hidden-shallow", "best-hidden-bilinear",
    "best-hidden-wide", "best", "best-wide", "two-upsamplings",
)  # fmt: skip
GROUPS = (
    "best", "best-seeds", "best-wide", "best-wide-seeds", "best-nearest", "blog-muon",
    "paper-muon", "table", "table-short", "two-upsamplings", "quick", "front", "best-free",
    "quick-adam", "larger", "best-adam", "cost-256", "embedded", "cost", "density", "precision",
    "ablation", "ideas", "bases", "repeated", "jump", "muon", "muon-256", "hidden",
    "hidden-seeds", "hidden-longer", "hidden-512", "shrink-ideas", "shrink-free", "set5-x4",
    "set5-x8", "noise", "denoising", "holes", "covered", "sparse", "inpainting",
)  # fmt: skip
TABLES = (
    "standard", "rerun", "final", "beside", "members", "seconds", "at_rest", "distances",
    "differences", "lengthened", "both_readings", "averaged", "papers_with_muon", "ssim",
    "embedded", "quick", "precision", "ceilings", "switches", "ideas", "repeated", "reached",
    "one_precision", "muon", "pairs", "longer", "longer_hidden", "sooner", "straightforward",
    "decibel", "hidden", "hidden_pairs", "hidden_seeds", "blends", "large", "noise",
    "noise_rules", "noise_ideas", "noise_papers", "noise_distances", "shrunk", "shrunk_ideas",
    "set5", "set5_gains", "large_hole", "covered", "holes_papers", "filling", "filling_recipes",
    "filling_errors",
)  # fmt: skip
MEASURED = ("denoising", "shrinking", "filling", "decibel")
NETWORKS = ("blog", "paper", "second")
PRECISIONS = ("fp32", "tf32", "bf16")

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
"""  # noqa: E501


class _Parser(argparse.ArgumentParser):
    """Repeats no more of what was typed than a terminal can show on a line or two."""

    def error(self, message: str):
        said = "".join(letter if letter.isprintable() else "?" for letter in message)
        super().error(said if len(said) < 600 else f"{said[:300]} … {said[-250:]}")


def _path(text: str) -> Path:
    """A path, also behind a "=", where shells leave a "~" as it is."""
    return Path(os.path.expanduser(text))


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    main = _Parser(
        prog="dip_book",
        description="Restore a picture of yours; make stored runs, look at them, and move them "
        "between machines.",
        epilog=EPILOG.format(
            embedded=", ".join(images.EMBEDDED), standard=", ".join(images.STANDARD)
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, what: str, more: str = "") -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=what, description=f"{what[0].upper()}{what[1:]}. {more}"
        )
        sub.add_argument(
            "--store",
            type=_path,
            help="folder of the stored runs (default: the book's; without the book, ./runs)",
        )
        return sub

    restore = commands.add_parser(
        "restore",
        help="fill in the missing pixels of pictures of yours",
        description="Fill in the missing pixels of pictures of yours. Missing is what is black in "
        "a mask; without one what is transparent or, in a picture without transparency, black; or "
        "what has the colour of --missing. All other pixels stay as they are. A first picture is "
        "written at once and replaced by better ones. Interrupt it, and the picture so far is "
        "kept; the same command goes on.",
    )
    restore.add_argument(
        "picture", type=_path, nargs="+", help="picture files; PNG or TIFF if they have no mask"
    )
    restore.add_argument(
        "--mask",
        type=_path,
        help="a picture of the same size: white where a pixel is known, black where it is missing; "
        "or a folder with a mask of each picture's name",
    )
    restore.add_argument(
        "--invert", action="store_true", help="white is missing in the mask, and black known"
    )
    restore.add_argument(
        "--missing", metavar="COLOUR", help="of missing pixels: black, white, red, #ff00ff, ..."
    )
    restore.add_argument(
        "--tolerance",
        type=float,
        metavar="N",
        help="how far a pixel may be from that colour, of 255 (default: 0, or 24 in a JPEG file)",
    )
    restore.add_argument(
        "--grow", type=int, default=0, metavar="N", help="what is missing by N pixels (default: 0)"
    )
    restore.add_argument(
        "--to",
        type=os.path.expanduser,
        help="what to write: a PNG, JPEG, TIFF or WebP file, or a folder "
        "(default: PICTURE-restored.png, in this folder)",
    )
    restore.add_argument(
        "--minutes", type=float, help="of work for a picture, more for a better one (default: 2)"
    )
    restore.add_argument("--recipe", help=f"{', '.join(RECIPES)} (default: by what is missing)")
    restore.add_argument("--iterations", type=int, help="so many, however long they take")
    restore.add_argument(
        "--smaller",
        action="store_true",
        help="draw large holes at a lower resolution, where time is short",
    )
    restore.add_argument("--seed", type=int, default=0, help="of weights, z and noise (default: 0)")
    restore.add_argument(
        "--device", help="cuda, cuda:1, mps or cpu (default: the first that is there)"
    )
    restore.add_argument(
        "--precision", choices=PRECISIONS, help="of the convolutions (default: by the device)"
    )
    restore.add_argument(
        "--again", action="store_true", help="begin anew, and write over what is there already"
    )

    run = command(
        "run",
        "restore pictures of which the truth is known, and store the runs",
        "Runs that are stored already are skipped, and those that another process is making are "
        "left to it: the same command can be started once for each GPU of a machine. After an "
        "interrupt or a crash the same command goes on from the last checkpoint, at most a minute "
        "back.",
    )
    run.add_argument("image", nargs="*", help="names of pictures, or files")
    run.add_argument(
        "--missing",
        nargs="*",
        metavar="GROUP",
        choices=GROUPS,
        help=f"what the book lacks, of {', '.join(GROUPS)}; of all if none is named",
    )
    run.add_argument("--recipe", default="blog", help=f"{', '.join(RECIPES)} (default: blog)")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one value of the recipe or one choice of its network, "
        "e.g. lr=0.01, skip_from=input, width=64, depth=4",
    )
    run.add_argument(
        "--size",
        type=int,
        help="shrink the middle square to this many pixels a side (default: as it is)",
    )
    run.add_argument("--iterations", type=int, help="fewer (or more) than the recipe's")
    run.add_argument(
        "--seed",
        type=int,
        nargs="+",
        action="extend",  # --seed 1 --seed 2 are two seeds
        help="of mask, weights, z and noise (default: 0)",
    )
    run.add_argument(
        "--mask-seed", type=int, help="of the mask alone (default: the same as --seed)"
    )
    run.add_argument(
        "--task",
        default="pixels",
        help="what the picture loses: pixels (half of them; the default), noise25 (σ of 255), "
        "shrink4 (how many times), text10 or scratches10 (per cent), hole40 (pixels a side)",
    )
    run.add_argument(
        "--every",
        type=int,
        default=10,
        help="write every so many iterations to the history (default: 10)",
    )
    run.add_argument(
        "--frames",
        type=int,
        default=12,
        help="keep so many outputs on the way, for the explorer (default: 12)",
    )
    run.add_argument("--device", help="cuda, cuda:1, mps or cpu (default: the first that is there)")
    run.add_argument(
        "--precision", choices=PRECISIONS, help="of the convolutions (default: by the device)"
    )
    run.add_argument("--threads", type=int, help="CPU threads of a run (default: all cores)")
    run.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="hand the runs to a Dask cluster, e.g. tcp://10.0.0.1:8786; "
        "its workers must see the store",
    )
    run.add_argument("--again", action="store_true", help="make also what is stored already")

    status = command("status", "list what the book wants and which of it is missing")
    status.add_argument(
        "--missing", action="store_true", help="only what is missing, one path a line"
    )

    show = command("show", "show one stored run")
    show.add_argument("run", help="its path, as `status` prints it")

    rerun = command(
        "rerun",
        "make a stored run again from its own record, and compare",
        "What is stored stays as it is. On the same kind of machine with the same versions all is "
        "equal; elsewhere the last digits differ, and with them later iterations.",
    )
    rerun.add_argument("run", nargs="+", help="paths, as `status` prints them")
    rerun.add_argument(
        "--picture",
        type=_path,
        help="if the run is of a picture of yours: the file, or a folder to look for it in",
    )
    rerun.add_argument("--device", help="cuda, mps or cpu (default: the first that is there)")
    rerun.add_argument("--threads", type=int, help="CPU threads (default: as the run had)")
    rerun.add_argument(
        "--times", type=int, default=1, help="so often, and say how far they are apart (default: 1)"
    )
    rerun.add_argument(
        "--within",
        type=float,
        default=0.0,
        metavar="DB",
        help="a PSNR so many dB apart is no failure (default: 0, all that is stored is equal)",
    )
    rerun.add_argument(
        "--write", action="store_true", help="keep what came out in the store's reruns.json"
    )

    table = command("table", "print a table of the book")
    table.add_argument("name", choices=TABLES)
    table.add_argument("--format", choices=("markdown", "csv", "latex"), default="markdown")

    pack = command("pack", "copy stored runs into archives of at most 15 MB each")
    pack.add_argument(
        "run", nargs="*", help="paths as `status` prints them (default: all stored runs)"
    )
    pack.add_argument(
        "--to",
        type=_path,
        default=Path("runs"),
        help="beginning of the archives' names (default: runs)",
    )

    unpack = command(
        "unpack",
        "bring the runs of archives into the store",
        "A run that is stored already is kept as it is.",
    )
    unpack.add_argument("archive", type=_path, nargs="+")

    benchmark = command("bench", "time the loops side by side on this machine and store the result")
    benchmark.add_argument(
        "--size", type=int, nargs="+", help="pixels a side (default: 128 256, and 512 on a GPU)"
    )
    benchmark.add_argument(
        "--rounds",
        type=int,
        default=5,
        help="rounds taken in turn, of which medians are shown (default: 5)",
    )
    benchmark.add_argument(
        "--seconds",
        type=float,
        default=60,
        help="for the time to a given PSNR, of each loop (default: 60; 0: leave it out)",
    )
    benchmark.add_argument("--device", help="cuda, mps or cpu (default: the first that is there)")
    benchmark.add_argument(
        "--network",
        choices=NETWORKS,
        default="blog",
        help="whose loop: the blog's network, the paper's, or the second reading with nearest "
        "upsampling and zeros (default: blog)",
    )
    benchmark.add_argument(
        "--watching",
        action="store_true",
        help="only what the live explorer costs a run (two minutes)",
    )
    benchmark.add_argument(
        "--replays",
        action="store_true",
        help="only whether a CUDA graph leads where plain iterations do (a minute of a GPU)",
    )
    benchmark.add_argument("--name", help="of the stored result (default: the device's)")

    command(
        "tidy",
        "gather the book's runs into one file a recipe, and drop pictures that no chapter shows",
        "What is kept is in runs/plan; runs that the book does not want are left as they are.",
    )

    command(
        "baselines",
        "run linear and biharmonic interpolation on the 11 test images and store the figures",
    )
    command(
        "ceilings",
        "compute what a last upsampling can draw of the 11 test images at best, "
        "and store the figures",
    )
    command(
        "holes",
        "run OpenCV's methods (not a requirement: pip install opencv-contrib-python-headless) and "
        "interpolation on the pictures with holes and store what comes out",
    )
    measuring = command(
        "measure",
        "measure what chapters 12, 13, 14 and 17 read beside the stored runs, and store the "
        "figures: what is missing of noise and its stopping rules, all of super-resolution, what "
        "is missing of filling (hours), or of what a decibel costs (40 minutes; needs deepinv)",
    )
    measuring.add_argument("what", choices=MEASURED)
    command("picture", "draw the front page's pictures from a stored run of the camera")
    return main


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments say; returns the exit status."""
    _open_streams()
    args = parser().parse_args(arguments)
    try:
        os.getcwd()
    except OSError:  # PyTorch's libraries end the process without one, in words of their own
        said = "The folder that you are in has been removed: change into another (cd)."
        print(said, file=sys.stderr)
        return 2
    try:
        from dip_book import commands  # not before: a word of help needs none of it
    except KeyboardInterrupt:  # it takes seconds
        print("Interrupted.")
        return 130
    except (OSError, ValueError) as error:  # a library that finds no place for its own files, say
        print(f"This cannot start here: {' '.join(str(error).split())[:600]}", file=sys.stderr)
        return 2
    return commands.run(args)


def _open_streams() -> None:
    """Somewhere to speak: letters that a terminal has not got are "?", and a closed stream is none.

    Its number would go to the next file that is opened, and a library's words into that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
        stream = getattr(sys, name)
        if stream is None:
            nowhere = open(os.devnull, "r+", encoding="utf-8")  # noqa: SIM115 - until the end
            setattr(sys, name, nowhere)
        elif number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace" if number == 1 else "backslashreplace")
