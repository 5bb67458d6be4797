"""What each command of the command line does; `dip_book.cli` says what there is."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import warnings
from contextlib import nullcontext, suppress
from itertools import product
from pathlib import Path

import torch

import dip_blocks
from dip_book import bench, images, runs
from dip_book.restoring import photos
from dip_book.results import (
    ablation,
    baselines,
    ceiling,
    compared,
    decibel,
    denoising,
    filling,
    holes,
    optimiser,
    shrinking,
    tables,
)
from dip_book.runs import again, archives, cluster, measured, placing, plan, sweeps
from dip_book.runs.spec import brief, check_threads, lacks_memory
from dip_book.show import figures
from dip_book.words import print, told  # names in files may hold what a terminal obeys

#: What `table` prints.
TABLES = {
    **tables.TABLES,
    "final": compared.final,
    "beside": compared.beside,
    "switches": ablation.switches,
    "ideas": ablation.ideas,
    "repeated": ablation.repeated,
    "reached": ablation.reached,
    "one_precision": ablation.one_precision,
    **optimiser.TABLES,
    **denoising.TABLES,
    **shrinking.TABLES,
    **holes.TABLES,
    **filling.TABLES,
    **decibel.TABLES,
}
#: What `measure` writes, by the functions that do.
MEASURED = {
    "denoising": (denoising.store_stopping, denoising.store_classical),
    "shrinking": (shrinking.write,),
    "filling": (filling.store_filling,),
    "decibel": (decibel.store_decibel,),
}

#: What is raised on purpose, with a message for whom it concerns, and what a system says of files
#: that cannot be read or written; anything else is a fault of ours.
EXPECTED = (runs.RunError, images.ImageError, dip_blocks.DivergenceError, OSError)
#: More is a slip of the keyboard.
MOST_FRAMES = 1000
#: Options of `run` that `--missing` has its own values for, and what they are if not given.
DECIDED = {
    "recipe": "blog",
    "set": [],
    "size": None,
    "iterations": None,
    "seed": None,
    "mask_seed": None,
    "task": "pixels",
    "precision": None,
}


def run(args: argparse.Namespace) -> int:
    """Do what the arguments of `dip_book.cli.parser` say; returns the exit status."""
    if getattr(args, "store", args) is None:
        args.store = runs.ROOT
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)  # words for a reader, and no errors
            warnings.showwarning = _say
            _check(args)
            status = COMMANDS[args.command](args)
            _flush()
            return status
    except BrokenPipeError:  # `| head`: nobody reads on
        _be_silent()
        return 0
    except EXPECTED as error:
        told(_in_a_line(error), file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        told("This does not fit into the machine's memory: ask for less.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        told("Interrupted.")
        return 130


def _flush() -> None:
    """RunError where what was printed cannot be written: what lies there then is not all of it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _be_silent()
        raise runs.RunError(f"What is printed cannot be written: {error.strerror}.") from None


def _be_silent() -> None:
    """Print to nowhere: Python would try once more at its end, and complain."""
    with suppress(OSError, ValueError):  # a stream without a number
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _in_a_line(error: Exception) -> str:
    """What is wrong, without letters that a terminal would obey."""
    said = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        said = f"'{brief(error.filename)}': {error.strerror}."
    elif isinstance(error, OSError) and error.strerror:
        said = f"{error.strerror}."
    return "".join(letter if letter.isprintable() else "?" for letter in said)


def _check(args: argparse.Namespace) -> None:
    """RunError for what no command can do anything with, before any of them begins."""
    device = getattr(args, "device", None)
    if device is not None and not re.fullmatch(r"(cpu|mps|cuda(:\d{1,3})?)", device):
        raise runs.RunError(
            f"There is no device '{brief(device)}' here; write cuda, cuda:1, mps or cpu."
        )
    check_threads(getattr(args, "threads", None))
    frames = getattr(args, "frames", 0)
    if not 0 <= frames <= MOST_FRAMES:
        raise runs.RunError(f"Frames: from 0 to {MOST_FRAMES:,}, not {frames}.")
    if getattr(args, "every", 1) < 1:
        raise runs.RunError(f"Write the history every 1 or more iterations, not {args.every}.")
    if args.command == "bench":
        _check_bench(args)
    named = getattr(args, "run", [])
    for path in [named] if isinstance(named, str) else named:
        if len(path) > 500 or not path.isprintable():
            raise runs.RunError(f"'{brief(path)}' is no path of a run: `status` prints them.")
    store = getattr(args, "store", None)
    paths = [getattr(args, name, None) for name in ("store", "picture", "to")]
    for path in (*paths, *getattr(args, "archive", []), *getattr(args, "image", [])):
        if path is not None and not isinstance(path, list) and images.no_path(path):
            raise runs.RunError(f"'{brief(path)}' is no path: it is too long, or has a zero byte.")
    for place in () if store is None else (store, *store.absolute().parents):
        if os.path.lexists(place) and not place.is_dir():
            raise runs.RunError(f"'{place}' is no folder: --store takes one with stored runs.")
    if store is not None and store.is_dir() and not os.access(store, os.R_OK | os.X_OK):
        raise runs.RunError(f"'{store}' cannot be read: Permission denied.")


def _check_bench(args: argparse.Namespace) -> None:
    if args.rounds < 1:
        raise runs.RunError(f"Rounds: 1 or more, not {args.rounds}.")
    if not 0 <= args.seconds < 1e6:
        raise runs.RunError(f"Seconds: 0 or more, not {args.seconds:g}.")
    if wrong := [side for side in args.size or [] if not 2 <= side <= images.LARGEST_SIZE]:
        raise runs.RunError(f"Sizes: from 2 to {images.LARGEST_SIZE:,} pixels, not {wrong[0]}.")
    if args.name is not None and not re.fullmatch(r"(?!\.+$)[\w .()+-]{1,100}", args.name):
        raise runs.RunError(f"'{brief(args.name)}' is no name: letters, digits, spaces, .()+-")


def _say(message, category, filename, lineno, file=None, line=None) -> None:
    """A warning without the place in the code, which tells a reader nothing."""
    told(message, file=sys.stderr)


def _restore(args: argparse.Namespace) -> int:
    options = {key: value for key, value in vars(args).items() if key not in ("command", "picture")}
    return photos.restore_all(args.picture, options.pop("to"), **options)


def _run(args: argparse.Namespace) -> int:
    specs = _specs(args)
    for spec in specs:  # a mistake in the fifth should not wait for the first four
        for member in spec.members:
            member.resolved()
        if (
            args.missing is None
        ):  # of what the book lacks, a picture that cannot be had holds up no other
            images.load(spec.image, size=spec.size)
    options = {key: getattr(args, key) for key in ("device", "every", "again", "frames")}
    failed, done = 0, 0
    paths = {spec: spec.path for spec in specs}  # now: a picture of theirs may be gone in the end
    for spec in specs:
        for member in spec.members:
            if begun := sweeps.progress_of(member, args.store):
                told(f"{member.path}: begun already{begun}")
    with photos.stopped_by_signals() as stopped:
        try:
            with _executor(args.scheduler) as executor:
                for spec, run, outcome in sweeps.sweep(
                    specs, args.store, executor=executor, threads=args.threads, **options
                ):
                    done += 1
                    figures = (
                        f": {run.psnr:.2f} dB, {run.facts['wall_time_s']:.0f} s" if run else ""
                    )
                    failed += outcome.startswith("failed")
                    told(f"[{done}/{len(specs)}] {paths[spec]}: {outcome}{figures}")
        except KeyboardInterrupt:
            told(_interrupted(specs, done - failed, args.store, args.again))
            return 128 + (stopped[0] if stopped else signal.SIGINT)
    if not specs:
        print("Nothing is missing.")
    return 1 if failed else 0


def _interrupted(specs: list[runs.Spec], done: int, store: Path, again: bool) -> str:
    """What there is after an interrupt, and how to go on."""
    begun = any(sweeps.progress_of(member, store) for spec in specs for member in spec.members)
    further = (
        "goes on from the last checkpoint, at most a minute back"
        if begun
        else "makes the others from their beginning, because there is no checkpoint yet"
    )
    if again and done:
        further += "; because of --again it makes those too once more: name only the others"
    elif again and any(len(spec.members) > 1 for spec in specs):
        further += "; because of --again it makes a mean's finished members once more, too"
    return f"Interrupted: {done} of {len(specs)} are stored. The same command {further}."


def _specs(args: argparse.Namespace) -> list[runs.Spec]:
    if args.missing is not None:
        if args.image:
            raise runs.RunError("Name pictures, or ask for what is --missing; not both.")
        if given := [name for name, plain in DECIDED.items() if getattr(args, name) != plain]:
            raise runs.RunError(
                f"What is --missing has its own {', '.join(given)}: leave "
                f"{', '.join('--' + name.replace('_', '-') for name in given)} away, or name "
                "pictures instead."
            )
        return plan.missing(args.missing or None, args.store)
    if not args.image:
        raise runs.RunError(
            "Name at least one picture, or ask for what is --missing. "
            "See: python -m dip_book run --help"
        )
    if wrong := [word for word in args.set if "=" not in word]:
        raise runs.RunError(f"--set takes KEY=VALUE, not '{brief(wrong[0])}'.")
    changes = tuple((key, _value(text)) for key, text in (word.split("=", 1) for word in args.set))
    return [
        runs.Spec(
            os.path.realpath(image) if not images.of_the_book(image) else image,
            args.size,
            args.recipe,
            changes,
            args.iterations,
            seed,
            args.mask_seed,
            precision=args.precision,
            task=args.task,
        )
        for image, seed in product(args.image, args.seed or [0])
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
    return cluster.dask_executor(scheduler) if scheduler else nullcontext()


def _status(args: argparse.Namespace) -> int:
    states = {
        spec: runs.state(spec, args.store) for specs in plan.WANTED.values() for spec in specs
    }
    lacking = [spec for spec, (run, wrong) in states.items() if run is None or wrong]
    if args.missing:
        print(*(f"{spec.path}\n" for spec in lacking), sep="", end="")
        return 0
    counts = {
        group: sum(spec in set(lacking) for spec in specs) for group, specs in plan.WANTED.items()
    }
    waiting = ", ".join(f"{group} {count}" for group, count in counts.items() if count)
    print(
        f"{len(states) - len(lacking)} of {len(states)} wanted runs are stored; "
        f"missing: {waiting or 'none'}"
    )
    for group, specs in plan.WANTED.items():
        print(f"{group}: {len(specs) - counts[group]} of {len(specs)}")
        for spec in specs:
            run, wrong = states[spec]
            if run is not None and not wrong:
                print(f"  {run.psnr:5.2f} dB {spec.path}")
                continue
            begun = "".join(sweeps.progress_of(member, args.store) for member in spec.members)
            print(
                f"  missing  {spec.path}{begun}"
                f"{f'  ({wrong} --again makes it anew.)' if wrong else ''}"
            )
    stored = runs.paths(args.store)
    others = sorted(set(stored) - {spec.path for spec in states})
    for path in others:
        print(
            *(["others:"] if path == others[0] else []),
            f"  {_figure(args.store / path)} {path}",
            sep="\n",
        )
    if left := runs.without_record(args.store, stored):
        print(
            f"Of {len(left)} {'run' if len(left) == 1 else 'runs'} only pictures are there, "
            f"of {left[0]}, say: a copy was cut off, or another store's collection was copied "
            "over this one's. Take the records from where they were, by pack and unpack."
        )
    return 0


def _figure(place: Path) -> str:
    """A stored run's PSNR; or that it is damaged.

    That is no reason to say nothing of the others.
    """
    try:
        return f"{runs.check(runs.read(place)).psnr:5.2f} dB"
    except runs.RunError as error:
        return f"damaged ({error}):"


def _in(store: Path, name: str) -> Path:
    """A run's path in the store; a whole one, or its file, as shells complete them, is cut.

    RunError for one that leads elsewhere.
    """
    path = Path(name)
    with suppress(ValueError):
        path = Path(os.path.abspath(path)).relative_to(os.path.abspath(store))
    if len(path.parts) == 3:  # a collection's file, quick.json, is of many runs
        endings = sorted(placing.SUFFIXES.values(), key=len, reverse=True)
        ending = next((ending for ending in endings if path.name.endswith(ending)), "")
        path = path.parent / path.name.removesuffix(ending)
    return archives.in_store(path)


def _show(args: argparse.Namespace) -> int:
    run = runs.read(args.store / _in(args.store, args.run))
    facts = run.facts
    speed = ", ".join(
        f"{facts[key]:g} {unit}"
        for key, unit in {"iterations_per_s": "it/s", "peak_memory_mib": "MiB"}.items()
        if facts.get(key) is not None
    )
    print(
        f"{run.place}\n{facts['iterations']:,} of {facts['recipe_iterations']:,} iterations on "
        f"{facts['device']}, {facts['precision']}, {facts['wall_time_s']:.0f} s"
        f"{f' ({speed})' if speed else ''}"
    )
    versions = ", ".join(
        f"{package} {version}" for package, version in facts.get("versions", {}).items()
    )
    print(f"commit {facts.get('commit')}{' and changes' if facts.get('dirty') else ''}, {versions}")
    print(tables.kinds(run))
    frames = run.sheets.get("frames", {}).get("iterations", [])
    print(
        f"went back {facts['backtracked']} times; pictures: {', '.join(run.kinds) or 'none'}; "
        f"frames of iterations: {', '.join(map(str, frames)) or 'none'}"
    )
    return 0


def _rerun(args: argparse.Namespace) -> int:
    if args.times < 1:
        raise runs.RunError("Make a run again at least once (--times 1).")
    status, named = 0, {}
    for name in args.run:  # of all files of a run, as shells complete a *, it is made again once
        named.setdefault(_in(args.store, name), name)
    for path, name in named.items():
        run = runs.read(args.store / path)
        if args.write:
            again.check(args.store)  # what is made again may take hours
        several = [
            again.made_again(run, args.picture, device=args.device, threads=args.threads)
            for _ in range(args.times)
        ]
        stored = again.store(path, several, args.store) if args.write else None  # before any word
        if len(named) > 1:
            told(f"{name}:")
        _say_again(several)
        if stored:
            told(f"Stored in {stored}")
        whole = all(one.same or one.apart <= args.within > 0 for one in several)
        status = status if whole else 1
    return status


def _say_again(several: list[again.Comparison]) -> None:
    """A run's second life in words, compared with its first."""
    found = several[0]
    for kind, then in found.stored.items():
        now = found.now[kind]
        told(f"{runs.KINDS[kind]}: {then:.2f} dB stored, {now:.2f} dB now ({now - then:+.4f})")
    for kind, levels in found.pixels.items():
        told(f"{runs.KINDS[kind]}: pixels differ by {levels} of 255 at most")
    if found.first_apart is not None:
        told(f"The losses differ from iteration {found.first_apart:,} on.")
    for difference in found.differences:
        told(f"Another {difference}.")
    if len(several) > 1:
        equal, apart = again.spread(several)
        far = "equal to the last bit" if equal else f"up to {apart:.4f} dB apart"
        told(f"Made {len(several)} times: {far}.")
    told("The same." if all(one.same for one in several) else "Not the same.")


def _table(args: argparse.Namespace) -> int:
    with measured.sound():
        table = TABLES[args.name](store=args.store)
        written = table.to(args.format)  # a cell's value may be none that can be written
    print(written)
    if table.lacks and args.format == "csv":  # its rows are a program's
        print(table.lacks, file=sys.stderr)
    return 0


def _pack(args: argparse.Namespace) -> int:
    if args.to.name in ("", ".."):
        raise runs.RunError(
            f"'{args.to}' is a folder: --to is how the archives' names begin, {args.to / 'runs'}."
        )
    paths = [_in(args.store, path) for path in args.run] or _whole(args.store)
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
        print(
            f"A run that is shown takes {facts['median_ratio']:.3f} times as long. Stored in {path}"
        )
        return 0
    with runs.blocks_errors():
        dip_blocks.as_device(args.device)
    if args.replays:
        print(f"Stored in {bench.replays(args.store, device=args.device, name=args.name)}")
        return 0
    path = bench.bench(
        args.store,
        sizes=args.size,
        rounds=args.rounds,
        seconds=args.seconds,
        device=args.device,
        name=args.name,
        network=args.network,
    )
    print(f"Stored in {path}")
    return 0


def _baselines(args: argparse.Namespace) -> int:
    print(f"Stored in {baselines.store_baselines(args.store)}")
    return 0


def _ceilings(args: argparse.Namespace) -> int:
    print(f"Stored in {ceiling.store_ceilings(args.store)}")
    return 0


def _holes(args: argparse.Namespace) -> int:
    print(f"Stored in {holes.store_classical(args.store)}")
    return 0


def _measure(args: argparse.Namespace) -> int:
    if args.what == "filling":
        torch.set_num_threads(1)  # its clock is one core's
    for write in MEASURED[args.what]:
        print(f"Stored in {write(args.store)}")
    return 0


def _picture(args: argparse.Namespace) -> int:
    print("Drawn:", *figures.front_pictures(args.store), sep="\n  ")
    return 0


COMMANDS = {
    "restore": _restore, "run": _run, "status": _status, "show": _show, "table": _table,
    "rerun": _rerun,
    "pack": _pack, "unpack": _unpack, "tidy": _tidy,
    "bench": _bench, "baselines": _baselines, "ceilings": _ceilings, "holes": _holes,
    "measure": _measure, "picture": _picture,
}  # fmt: skip
