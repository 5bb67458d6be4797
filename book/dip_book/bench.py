"""The benchmark: loops timed side by side, in turn, in one run on the machine at hand.

Single timings on a shared machine mislead by factors; what is shown are medians of rounds in which
every contestant has its turn, and ratios within a round.  ``python -m dip_book bench`` stores the
result in ``book/runs/bench``, which the book's chapter "How fast" reads.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import dip_blocks
from dip_book import images
from dip_book.runs import ROOT, measured
from dip_book.runs.provenance import describe_device, peak_memory, provenance
from dip_book.runs.spec import RunError, blocks_errors
from dip_book.table import NO_VALUE, Figure, Table
from dip_book.words import told
from dip_parts.layers import padded

IMAGE = "camera"
FOLDER, WATCHING, REPLAYS = "bench", "bench/watching", "bench/replays"
REACHED = (20.0, 22.0, 24.0, 25.0, 26.0, 27.0, 28.0, 29.0, 30.0)  # dB


class Contestant:
    """A loop that can be timed: what all have in common.  One iteration is `step`."""

    precision = "fp32"  # of the convolutions
    psnr: float | None = None  # in dB, of the last iteration's output

    def surroundings(self) -> contextlib.AbstractContextManager:
        """What a whole run stands in."""
        return contextlib.nullcontext()

    def step(self) -> None:
        """One iteration."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """Fill memory and caches before a timing."""
        self.run(1)

    def run(self, iterations: int) -> int:
        """At least so many iterations; gives how many."""
        for _ in range(iterations):
            self.step()
        return iterations

    def trace(
        self, seconds: float, device: torch.device, clock: Callable[[], float] = time.perf_counter
    ) -> Iterator[tuple[float, float | None]]:
        """Iterate for so many seconds of a clock.

        After each step the seconds so far, and PSNR in dB.
        """
        begun, now = clock(), 0.0
        with self.surroundings():
            while now < seconds:
                self.run(1)
                synchronise(device)
                now = clock() - begun
                yield now, self.psnr


class Straightforward(Contestant):
    """The loop as one writes it first: fp32, NCHW, the loss and PSNR fetched in every iteration."""

    def __init__(self, recipe, x_hat, mask, truth, device):
        torch.manual_seed(0)
        self.recipe = recipe
        self.net = as_written(dip_blocks.UNet(recipe.z_channels, x_hat.shape[0], recipe.config)).to(
            device
        )
        self.z = dip_blocks.draw_z(recipe, x_hat.shape).to(device)
        self.x_hat, self.mask, self.truth = x_hat.to(device), mask.to(device), truth
        self.adam = torch.optim.Adam(self.net.parameters(), lr=recipe.lr)
        self.good, self.loss = None, math.inf

    def step(self) -> None:
        """One iteration, or one recovery from a jump of the loss."""
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            self._step()

    def _step(self) -> None:
        output = self.net(self.z + self.recipe.sigma_p * torch.randn_like(self.z))[0]
        loss = dip_blocks.masked_loss(output, self.x_hat, self.mask)
        if not loss.item() <= self.recipe.jump * self.loss:
            self.net.load_state_dict(self.good[0])
            self.adam.load_state_dict(self.good[1])
            self.loss = math.inf
            return
        self.good = copy.deepcopy((self.net.state_dict(), self.adam.state_dict()))
        self.loss = loss.item()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self.psnr = dip_blocks.psnr(output.detach().cpu(), self.truth)


def as_written(net: dip_blocks.UNet) -> dip_blocks.UNet:
    """The network without what makes it less work.

    Upsampling stands as itself, and the last convolution comes after it.
    """
    for up in net.up:
        up.fold = False
    if len(net.out) == 3:
        net.up[0].upsample = net.out[1]
        del net.out[1]
    return net


class Ours(Contestant):
    """`dip_blocks.Fit`, with some of its measures left out or put in."""

    def __init__(
        self,
        recipe,
        x_hat,
        mask,
        truth,
        device,
        precision=None,
        layout=None,
        graph=True,
        folded=True,
        kept=True,
    ):
        self.fit = dip_blocks.Fit(
            x_hat, mask, recipe, device=device, truth=truth, precision=precision
        )
        self.kept = kept or self.fit.device.type == "cuda"
        if layout is not None:
            self.fit.z = self.fit.z.contiguous(memory_format=layout)
        if not folded:
            as_written(self.fit.net)
        with self.surroundings():
            self.graph = graph and self.fit.record()

    def surroundings(self) -> contextlib.AbstractContextManager:
        """Settings of the device, and kept memory."""
        return (
            dip_blocks.numerics(self.fit.device, self.fit.precision)
            if self.kept
            else super().surroundings()
        )

    def run(self, iterations: int) -> int:
        """Whole windows of iterations, 50 on a GPU; after each the device tells what came out."""
        at_once = len(self.fit.notes)
        done = -(-iterations // at_once) * at_once
        self.fit.run(done)
        return done

    @property
    def precision(self) -> str:
        """Of the convolutions."""
        return self.fit.precision

    @property
    def psnr(self) -> float:
        """In dB, of the last iteration's output."""
        return self.fit.history[-1].psnr


class DeepInv(Contestant):
    """``deepinv``'s DeepImagePrior with its ConvDecoder: its own network, loss and defaults.

    It draws a new z and makes a new Adam in every call, so a trace is one call, watched through
    its loss.
    """

    def __init__(self, recipe, x_hat, mask, truth, device):
        from deepinv.models import ConvDecoder, DeepImagePrior
        from deepinv.physics import Inpainting

        shape = tuple(x_hat.shape)
        torch.manual_seed(0)
        self.prior = DeepImagePrior(ConvDecoder(shape), (256, 4, 4)).to(
            device
        )  # z as its ConvDecoder wants it
        self.physics = Inpainting(shape, mask=mask.expand(shape).to(device), device=device)
        self.x_hat, self.truth = x_hat[None].to(device), truth
        self.precision = (
            "tf32" if device.type == "cuda" else "fp32"
        )  # PyTorch's default, in convolutions

    def warm_up(self) -> None:
        """A call begins anew, so there is nothing to warm."""

    def run(self, iterations: int) -> int:
        """So many iterations from the beginning."""
        self.prior.max_iter = iterations
        self.prior(self.x_hat, self.physics)
        return iterations

    def trace(
        self, seconds: float, device: torch.device, clock: Callable[[], float] = time.perf_counter
    ) -> list[tuple[float, float]]:
        """See `Contestant.trace`; the output that the loss is given."""
        begun, notes = clock(), []

        def watched(loss, arguments, named):
            output = named["x_net"][0].detach().cpu().clamp(0, 1)
            notes.append((clock() - begun, dip_blocks.psnr(output, self.truth)))
            if notes[-1][0] > seconds:
                raise TimeoutError

        self.prior.loss.register_forward_pre_hook(watched, with_kwargs=True)
        with contextlib.suppress(TimeoutError):
            self.run(10**6)
        return notes


#: What may be timed: the blog's network, and the second reading at the same width, as the paper's
#: recipe or with Muon.
NETWORKS = ("blog", "paper", "second")


def recipe_of(network: str) -> dip_blocks.Recipe:
    """The recipe of one of `NETWORKS`.

    "second" is the paper's network with zeros at the border and nearest upsampling, which can be
    folded.
    """
    if network == "second":
        config = {
            **dip_blocks.PAPER.config,
            "padding_mode": "zeros",
            "upsampling_method": "nearest",
        }
        return replace(dip_blocks.PAPER, config=config)
    return dip_blocks.RECIPES[network]


def contestants(device: torch.device, size: int, network: str = "blog") -> dict[str, Callable]:
    """Name → maker, in the order in which each measure is added."""
    last, recipe = torch.channels_last, recipe_of(network)
    able = dip_blocks.best_precision("cpu") == "bf16"
    makers = {"straightforward": Straightforward}
    if device.type == "cuda":
        makers |= {
            "on the device, fp32": partial(Ours, precision="fp32", graph=False, folded=False),
            "+ channels_last, TF32": partial(Ours, precision="tf32", graph=False, folded=False),
            "+ CUDA graph": partial(Ours, precision="tf32", folded=False),
            "+ bf16": partial(Ours, precision="bf16", folded=False),
            "+ less work": partial(Ours, precision="bf16"),
        }
        fastest = {"precision": "bf16"}
    else:
        makers |= {
            "one vector, fp32": partial(Ours, precision="fp32", folded=False, kept=False),
            "+ channels_last": partial(
                Ours, precision="fp32", layout=last, folded=False, kept=False
            ),
        }
        fastest = {"precision": "fp32", "layout": last}
        # Emulated, a bf16 iteration takes many seconds: shown once, at the smallest size.
        if device.type == "cpu" and (able or size <= 128):
            makers["+ bf16"] = partial(Ours, precision="bf16", folded=False, kept=False)
        if able:
            fastest = {"precision": "bf16"}
        makers["+ less work"] = partial(Ours, **fastest, kept=False)
        makers["+ kept memory"] = partial(Ours, **fastest)
    result = {who: partial(make, recipe) for who, make in makers.items()}
    result["+ Muon"] = partial(Ours, replace(recipe, optimiser="muon", lr=0.02), **fastest)
    try:
        import deepinv  # noqa: F401 - is it here?
    except Exception:  # absent, or its own requirements do not fit
        return result
    return result | {"deepinv": partial(DeepInv, recipe)}


def bench(
    store: Path = ROOT,
    *,
    sizes: list[int] | None = None,
    rounds: int = 5,
    seconds: float = 60,
    device: str | None = None,
    name: str | None = None,
    network: str = "blog",
) -> Path:
    """Time all contestants at all sizes, print a table for each, store all; gives the file's path.

    Args:
        sizes: pixels a side; 128 and 256, on a GPU 512 too, if None.
        rounds: of timing, in each of which every contestant has its turn.
        seconds: for which each contestant restores the picture at the smallest size, to see when it
            reaches given PSNRs; 0 leaves that out.
        network: one of `NETWORKS`; what is stored of another than the blog's has its name at the
            end.

    Raises ValueError for another network; RunError, before the work, for a size that is too small.
    """
    if network not in NETWORKS:
        raise ValueError(f"The network must be one of {', '.join(NETWORKS)}, not {network!r}.")
    for size in sizes or []:
        _check_size(size, recipe_of(network))
    at = torch.device(device or dip_blocks.best_device())
    facts = {
        **provenance(), "what": f"{IMAGE}, p = 0.5, grey", "network": network,
        "device": describe_device(str(at)), "default precision": dip_blocks.best_precision(at),
        "peak": device_peak(at), "sizes": {},
    }  # fmt: skip
    path = (
        store
        / FOLDER
        / f"{name or _slug(facts['device'])}{'' if network == 'blog' else f'-{network}'}.json"
    )
    with contextlib.suppress(PackageNotFoundError):
        facts["versions"]["deepinv"] = version("deepinv")
    with _in_place(path) as path_now:
        _measure(facts, path_now, sizes, at, rounds, seconds, network)
    return path


def _check_size(size: int, recipe: dip_blocks.Recipe) -> None:
    """RunError for what the recipe's network cannot halve as often as it has levels."""
    net = dip_blocks.UNet(1, 1, recipe.config)
    with blocks_errors():
        padded(torch.empty(1, 1, size, size, device="meta"), net.depth, net.connect is not None)


@contextlib.contextmanager
def _in_place(path: Path) -> Iterator[Path]:
    """Where results are written while they grow: in their place, or beside older ones till the end.

    OSError, before the work, where they cannot be written.
    """
    measured.check(path)
    growing = path.with_suffix(".unfinished") if path.exists() else path
    try:
        yield growing
    except BaseException:
        if growing != path and growing.exists():
            print(f"{path} is as it was; what was timed since is in {growing}.")
        raise
    if growing != path:
        os.replace(growing, path)


def _measure(facts: dict, path: Path, sizes, at: torch.device, rounds, seconds, network) -> None:
    """All of `bench` but where it is stored."""
    for size in sizes or [128, 256, *([512] if at.type == "cuda" else [])]:
        facts["sizes"][str(size)] = entry = {
            "floor": floor(size, at, network),
            "contestants": timings(size, at, rounds, network=network),
        }
        for who, timed in entry["contestants"].items():
            timed["peak_memory_mib"] = memory(who, size, at, network)
        _store(path, facts)
        told(_report(size, entry))
    if seconds:
        size = min(map(int, facts["sizes"]))
        facts["time_to_psnr"] = {"size": size, "seconds": seconds, "reached": {}}
        for who, make in contestants(at, size, network).items():
            facts["time_to_psnr"]["reached"][who] = reached = time_to_psnr(make, size, at, seconds)
            _store(path, facts)
            levels = ", ".join(f"{level} dB {s:.1f} s" for level, s in reached.items())
            told(f"{size}×{size}, {who}: {levels}")


def watching(
    store: Path = ROOT, *, rounds: int = 9, iterations: int = 60, name: str | None = None
) -> Path:
    """What the live explorer costs: the same run with and without being shown, in turn; stored.

    In a Jupyter kernel, because there the messages are really packed and sent.  A browser's share
    is another process.
    """
    from jupyter_client.manager import start_new_kernel

    at = dip_blocks.best_device()
    facts = {
        **provenance(),
        "what": f"the recipe quick, {IMAGE}, 128×128",
        "device": describe_device(at),
        "iterations": iterations,
    }
    path = store / WATCHING / f"{name or _slug(facts['device'])}.json"
    measured.check(path)
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        printed = []
        code = (
            "from dip_book import bench\n"
            f"print(bench.json.dumps(bench._watched({rounds}, {iterations})))"
        )
        reply = client.execute_interactive(
            code,
            output_hook=lambda message: printed.append(message["content"].get("text", "")),
            timeout=3600,
        )
        if reply["content"]["status"] != "ok":
            raise RuntimeError("\n".join(reply["content"].get("traceback", ["the kernel failed"])))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    takes = json.loads("".join(printed).strip().splitlines()[-1])
    ratios = [shown / plain for shown, plain in zip(takes["shown_s"], takes["plain_s"])]
    facts |= takes | {"median_ratio": round(statistics.median(ratios), 4)}
    _store(path, facts)
    return path


#: What is recorded as a CUDA graph and compared with plain iterations: recipe, size, precision.
RECORDED = (
    *(("blog", size, precision) for precision in ("tf32", "bf16") for size in (512, 256)),
    ("best-hidden-bilinear", 512, "tf32"),
    ("best-hidden-wide", 512, "tf32"),
    ("best-hidden-wide", 256, "tf32"),
    ("best-nearest", 512, "tf32"),
    ("paper", 256, "tf32"),
    ("paper", 512, "tf32"),
    ("paper", 512, "bf16"),
)


def replays(
    store: Path = ROOT, *, iterations: int = 100, device: str | None = None, name: str | None = None
) -> Path:
    """Fit twice from the same seed, with plain iterations and with replayed ones; stored.

    Says of each of `RECORDED` whether all weights are the same to the last bit after so many
    iterations, and what an iteration takes either way.  Gives the file's path.

    Raises RunError where there is no GPU to record on.
    """
    at = torch.device(device or dip_blocks.best_device())
    if at.type != "cuda":
        raise RunError(f"A CUDA graph is recorded on an NVIDIA GPU; here is {at.type}.")
    facts = {**provenance(), "what": f"{IMAGE}, p = 0.5, grey, seed 0", "iterations": iterations}
    facts |= {"device": describe_device(str(at)), "fits": []}
    path = store / REPLAYS / f"{name or _slug(facts['device'])}.json"
    with _in_place(path) as path_now:
        for recipe, size, precision in RECORDED:
            fit = _replayed(dip_blocks.RECIPES[recipe], size, at, precision, iterations)
            facts["fits"].append({"recipe": recipe, "size": size, "precision": precision} | fit)
            _store(path_now, facts)
    return path


def _replayed(recipe, size: int, device: torch.device, precision: str, iterations: int) -> dict:
    """One row of `replays`: both fits, in turn."""
    how = {"device": device, "precision": precision}
    x_hat, mask, truth, _ = problem(size, device)
    plain, fit = (dip_blocks.Fit(x_hat, mask, recipe, truth=truth, **how) for _ in range(2))
    half, took = iterations // 2, {}
    with dip_blocks.numerics(device, precision):
        plain.run(iterations - half)  # the first iterations choose kernels, too
        took["plain_s"] = _timed(lambda: plain.run(half), device)[0] / max(half, 1)
        took["recorded"] = fit.record()
        fit.run(iterations)
        took["same_bits"] = torch.equal(fit.weights, plain.weights)
        took["replayed_s"] = _timed(lambda: fit.run(iterations), device)[0] / max(iterations, 1)
    return {key: round(s, 6) if isinstance(s, float) else s for key, s in took.items()}


def _watched(rounds: int, iterations: int) -> dict:
    """Seconds of runs without and with the explorer's updates, in turn.

    Also how many updates there were, and the seconds spent in them.
    """
    from dip_book.runs import Spec
    from dip_book.show import explorer

    spec = Spec(IMAGE, 128, "quick", iterations=iterations)
    truth = images.load(IMAGE, size=128)
    x_hat, mask = dip_blocks.degrade(truth)
    takes = {"plain_s": [], "shown_s": [], "updates": [], "updating_s": []}

    class Timed(explorer.Watch):
        spent, count = 0.0, 0

        def _show(self, fit, text):
            begun = time.perf_counter()
            super()._show(fit, text)
            self.spent, self.count = self.spent + time.perf_counter() - begun, self.count + 1

    for turn in range(rounds + 1):
        for what in ("plain_s", "shown_s"):
            live = explorer.Live([], [], size=128, iterations=iterations)
            live._going.set()
            watch = Timed(live, spec) if what == "shown_s" else None
            begun = time.perf_counter()
            dip_blocks.restore(
                x_hat, mask, spec.resolved(), truth=truth, progress=False, watch=watch
            )
            if turn:  # the first warms up
                takes[what].append(round(time.perf_counter() - begun, 4))
                if watch is not None:
                    takes["updates"].append(watch.count)
                    takes["updating_s"].append(round(watch.spent, 5))
    return takes


def _slug(device: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def _store(path: Path, facts: dict) -> None:
    """After every size and contestant: an interrupt loses only what it interrupts."""
    measured.write(path, json.dumps(facts, indent=2, ensure_ascii=False))


def problem(size: int, device: torch.device, image: str = IMAGE) -> tuple:
    """x̂, mask, truth and device: what every contestant is given."""
    truth = dip_blocks.as_image(images.load(image, size=size))
    return *dip_blocks.degrade(truth), truth, device


def timings(
    size: int, device: torch.device, rounds: int, seconds: float = 2.0, network: str = "blog"
) -> dict[str, dict]:
    """Contestant → seconds an iteration in each round, their median, median ratio to the first."""
    ready = {
        who: make(*problem(size, device))
        for who, make in contestants(device, size, network).items()
    }
    takes, counts = {who: [] for who in ready}, {}
    for who, loop in ready.items():  # warm up, and find out how many iterations fill the time
        took = min(_time(loop, 1, device) for _ in range(2))
        counts[who] = max(1, min(500, round(seconds / took)))
    for _ in range(rounds):
        for who, loop in ready.items():
            takes[who].append(_time(loop, counts[who], device))
    first = takes[next(iter(takes))]
    return {
        who: {
            "precision": ready[who].precision,
            "seconds_per_iteration": [round(s, 6) for s in takes[who]],
            "median_s": round(statistics.median(takes[who]), 6),
            "speedup": round(statistics.median(a / b for a, b in zip(first, takes[who])), 3),
        }
        for who in ready
    }


def _time(loop: Contestant, count: int, device: torch.device) -> float:
    """Seconds an iteration."""
    with loop.surroundings():
        loop.warm_up()
        took, done = _timed(lambda: loop.run(count), device)
        return took / done


def _timed(work: Callable, device: torch.device) -> tuple[float, Any]:
    """Seconds that a call takes until the device has done it, and what it gives."""
    synchronise(device)
    begun = time.perf_counter()
    result = work()
    synchronise(device)
    return time.perf_counter() - begun, result


def time_to_psnr(
    make: Callable, size: int, device: torch.device, seconds: float
) -> dict[str, float]:
    """PSNR → seconds after which an iteration's output first had it.

    A statement about speed, not a stopping rule.
    """
    reached = {}
    for now, quality in make(*problem(size, device)).trace(seconds, device):
        for level in REACHED:
            if quality is not None and quality >= level:
                reached.setdefault(f"{level:g}", round(now, 2))
    return reached


def memory(who: str, size: int, device: torch.device, network: str = "blog") -> int | None:
    """Peak memory in MiB of two iterations, in a process of their own.

    On a CPU, less what the libraries take.
    """
    command = [sys.executable, "-m", "dip_book.bench", who, str(size), str(device), network]
    done = subprocess.run(command, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) if done.returncode == 0 else None


class _Bytes(TorchDispatchMode):
    """Counts what operations read and write; views move nothing."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        result = operation(*arguments, **(keywords or {}))
        if not operation.is_view:
            leaves = torch.utils._pytree.tree_leaves([arguments, keywords, result])
            self.total += sum(
                leaf.numel() * leaf.element_size()
                for leaf in leaves
                if isinstance(leaf, torch.Tensor)
            )
        return result


def floor(size: int, device: torch.device, network: str = "blog") -> dict:
    """Operations and bytes of one iteration of the network as it is written, counted, in fp32."""
    fit = dip_blocks.Fit(
        *problem(size, torch.device("cpu"))[:2], recipe_of(network), device="cpu", precision="fp32"
    )
    as_written(fit.net)
    with FlopCounterMode(display=False) as flops:
        fit.run(1)
    with _Bytes() as moved:
        fit.run(1)
    return {"gflop": round(flops.get_total_flops() / 1e9, 2), "gbyte": round(moved.total / 1e9, 3)}


def device_peak(device: torch.device) -> dict:
    """What the device does at best, measured.

    10⁹ operations a second in matrix products: in fp32; on a GPU in TF32 too; in bf16 where there
    is hardware for it.  10⁹ bytes a second in copying.
    """
    n = 8192 if device.type == "cuda" else 2048
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
    result = {"fp32_gflop_s": product_peak(a, b, device)}
    if device.type == "cuda":
        result["tf32_gflop_s"] = product_peak(a, b, device, tf32=True)
    if device.type == "cuda" or dip_blocks.best_precision(device) == "bf16":
        result["bf16_gflop_s"] = product_peak(a.bfloat16(), b.bfloat16(), device)
    long, target = torch.randn(2**26, device=device), torch.empty(2**26, device=device)
    return result | {"copy_gbyte_s": _peak(lambda: target.copy_(long), 2 * 4 * 2**26, device)}


def product_peak(
    a: torch.Tensor, b: torch.Tensor, device: torch.device, tf32: bool = False
) -> float:
    """GFLOP/s of the product of two matrices (n, n), in fp32 with TF32 on or off.

    PyTorch leaves TF32 off for products of matrices, while convolutions have it on; here it is as
    asked for, whatever it is elsewhere.
    """
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        return _peak(lambda: a @ b, 2 * a.shape[0] ** 3, device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _peak(work: Callable, amount: float, device: torch.device) -> float:
    """10⁹ a second of what ``work`` does an ``amount`` of, in the best of five calls."""
    work()
    return round(amount / min(_timed(work, device)[0] for _ in range(5)) / 1e9, 1)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def results(store: Path = ROOT, folder: str = FOLDER, network: str = "blog") -> list[dict]:
    """All stored results of `bench` of a network; with ``folder=WATCHING`` those of `watching`."""
    found = [measured.read(path) for path in sorted((Path(store) / folder).glob("*.json"))]
    return [result for result in found if result.get("network", "blog") == network]


# What the chapter shows --------------------------------------------------------------------

#: Peak arithmetic (GFLOP/s) and memory bandwidth (GB/s) from NVIDIA's data sheets: T4 (2019), H100
#: SXM (2023).
DATA_SHEETS = {
    "T4, fp32": (8_100, 320),
    "H100, TF32": (494_000, 3_350),
    "H100, bf16": (989_000, 3_350),
}


def compared(result: dict) -> Table:
    """Contestants at every size: ms an iteration, how many times the straightforward loop, MiB."""
    sizes = result["sizes"]
    names = list(dict.fromkeys(who for entry in sizes.values() for who in entry["contestants"]))
    forms = {"ms": "{:,.1f}", "speed": "{:.2f}×", "MiB": "{:,}"}
    titles = {f"{size}², {what}": form for size in sizes for what, form in forms.items()}
    rows = [
        [who, *(cell for entry in sizes.values() for cell in _cells(entry, who))] for who in names
    ]
    network = result.get("network", "blog")
    caption = (
        f"{NETWORKS_SHOWN.get(network, network)}: milliseconds an iteration, how many times as "
        f"fast as the straightforward loop, peak memory. On {machine(result)}."
    )
    caption += f" “{NO_VALUE}”: not measured." if any(None in row for row in rows) else ""
    return Table(["loop", *titles], rows, titles, caption)


#: A benchmark's network → how captions call it.
NETWORKS_SHOWN = {
    "blog": "The blog's recipe",
    "paper": "The paper's recipe",
    "second": "The second reading at full width",
}


def machine(facts: dict) -> str:
    """What a result was measured on, such as "AMD EPYC, 2 threads, fp32, PyTorch 2.13.0"."""
    device = re.sub(r"^cpu \((.*)\)$", r"\1", str(facts["device"]))
    device = "a CPU" if device == "cpu" else device
    threads, precision = facts.get("threads"), facts.get("default precision")
    parts = [device, f"{threads} thread{'s' if threads != 1 else ''}" if threads else None]
    parts.append(f"{precision} by default" if precision else None)
    torch_version = (facts.get("versions") or {}).get("torch")
    parts.append(f"PyTorch {torch_version.split('+')[0]}" if torch_version else None)
    return ", ".join(part for part in parts if part)


def title(result: dict) -> str:
    """A device, and the precision that a loop has there unless told otherwise.

    A CPU's tells whether it has units for bf16.
    """
    return f"{result['device']}, by default in {result['default precision']}"


def _cells(entry: dict, who: str) -> list[float | int | None]:
    timed = entry["contestants"].get(who)
    if timed is None:
        return [None] * 3
    return [timed["median_s"] * 1e3, timed["speedup"], timed["peak_memory_mib"] or None]


def replayed(result: dict) -> Table:
    """What `replays` found: the same weights or not, and milliseconds an iteration either way."""
    rows = [
        [
            f"`{fit['recipe']}`", f"{fit['size']}²", fit["precision"],
            ("yes" if fit["same_bits"] else "no") if fit["recorded"] else "not recorded",
            1e3 * fit["plain_s"], 1e3 * fit["replayed_s"], fit["plain_s"] / fit["replayed_s"],
        ]
        for fit in result["fits"]
    ]  # fmt: skip
    times = ["plain, ms", "replayed, ms"]
    caption = (
        f"Two fits from the same seed, one of plain iterations, one replayed: are all weights the "
        f"same to the last bit after {result['iterations']} iterations? And an iteration's time. "
        f"On {machine(result)}."
    )
    header = ["recipe", "size", "precision", "same bits", *times, "plain / replayed"]
    forms = dict.fromkeys(times, "{:,.1f}") | {"plain / replayed": "{:.1f}×"}
    return Table(header, rows, forms, caption)


def floors(result: dict) -> Table:
    """Counted operations and bytes, the time they take at best, and our fastest loop's time.

    At best: at the device's measured peak in that loop's precision.
    """
    peak, rows = result["peak"], []
    for size, entry in result["sizes"].items():
        took, who = _fastest(entry)
        precision = _precision_of(result, entry, who)
        speed = peak.get(f"{precision}_gflop_s", peak["fp32_gflop_s"])
        width = 2 if precision == "bf16" and "bf16_gflop_s" in peak else 1  # half as many bytes
        compute, memory = (
            1e3 * s for s in floor_seconds(entry["floor"], speed, width * peak["copy_gbyte_s"])
        )
        ours = Figure(took * 1e3, note=f" ({who})")
        share = max(compute, memory) / took / 10
        counted = entry["floor"]["gflop"], entry["floor"]["gbyte"]
        rows.append([f"{size}²", *counted, compute, memory, ours, share])
    times = ["arithmetic, ms", "memory, ms", "our loop, ms"]
    forms = dict.fromkeys(("GFLOP", "GB"), "{:,.2f}") | dict.fromkeys(times, "{:,.1f}")
    forms |= {"floor / ours": "{:.0f} %"}
    caption = (
        "What an iteration computes and moves, the milliseconds that takes at best, and our "
        f"fastest loop. On {machine(result)}."
    )
    return Table(["size", "GFLOP", "GB", *times, "floor / ours"], rows, forms, caption)


def estimates(result: dict, iterations: int = 11_000) -> Table:
    """Seconds for one image at the recipe's length.

    Measured here, and floors for devices from their data sheets.
    """
    rows = [
        [f"this machine, {title(result)}: measured"],
        *([f"{name}: floor, not measured"] for name in DATA_SHEETS),
    ]
    for entry in result["sizes"].values():
        rows[0].append(iterations * _fastest(entry)[0])
        for row, (gflop_s, gbyte_s) in zip(rows[1:], DATA_SHEETS.values()):
            share = 0.5 if "bf16" in row[0] else 1.0  # half as many bytes
            compute, memory = floor_seconds(entry["floor"], gflop_s, gbyte_s / share)
            row.append(iterations * max(compute, memory))
    titles = [f"{size}²" for size in result["sizes"]]
    caption = (
        f"Time for one picture at {iterations:,} iterations, by its size: measured on "
        f"{machine(result)}; floors from data sheets."
    )
    return Table(["device", *titles], rows, dict.fromkeys(titles, _duration), caption)


def reached(result: dict) -> Table:
    """Seconds until an iteration's output first had a given PSNR."""
    trace = result.get("time_to_psnr", {"reached": {}})["reached"]
    levels = list(dict.fromkeys(level for times in trace.values() for level in times))
    rows = [[who, *map(times.get, levels)] for who, times in trace.items()]
    gaps = f" “{NO_VALUE}”: not reached." if any(None in row for row in rows) else ""
    titles = [f"{level} dB" for level in levels]
    size = result.get("time_to_psnr", {}).get("size", 128)
    caption = (
        f"Seconds until an iteration's output first had a PSNR, the camera at {size}×{size}. "
        f"On {machine(result)}.{gaps}"
    )
    return Table(["loop", *titles], rows, dict.fromkeys(titles, "{:.1f}"), caption)


OTHERS = ("straightforward", "deepinv")


def _fastest(entry: dict) -> tuple[float, str]:
    """Seconds an iteration of the fastest of our loops at one size, and its name."""
    return min(
        (timed["median_s"], who) for who, timed in entry["contestants"].items() if who not in OTHERS
    )


def _precision_of(result: dict, entry: dict, who: str) -> str:
    if precision := entry["contestants"][who].get("precision"):
        return precision
    # Stored before it was: names tell it, but for loops that go on in what was fastest until then.
    later = (
        who in ("+ less work", "+ kept memory", "+ Muon")
        and result.get("default precision") == "bf16"
    )
    return "bf16" if later or "bf16" in who else "fp32"


def floor_seconds(floor: dict, gflop_s: float, gbyte_s: float) -> tuple[float, float]:
    """Seconds that the counted arithmetic and the counted memory traffic take at these speeds."""
    return floor["gflop"] / gflop_s, floor["gbyte"] / gbyte_s


def _duration(seconds: float) -> str:
    if seconds > 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds > 90 else f"{seconds:.0f} s"


def _report(size: int, entry: dict) -> str:
    lines = [
        f"{size}×{size}: {entry['floor']['gflop']:.1f} GFLOP "
        f"and {entry['floor']['gbyte']:.2f} GB an iteration"
    ]
    for who, timed in entry["contestants"].items():
        seconds, memory = timed["median_s"], timed["peak_memory_mib"]
        memory = "memory unknown" if memory is None else f"{memory} MiB"
        lines.append(
            f"  {who:24} {seconds * 1e3:9.2f} ms  {1 / seconds:8.2f} it/s  "
            f"{timed['speedup']:5.2f}×  {memory}"
        )
    return "\n".join(lines)


def _peak_of(who: str, size: int, device: torch.device, network: str) -> int:
    before = peak_memory(device) if device.type != "cuda" else 0
    loop = contestants(device, 128, network)[who](*problem(size, device))
    with loop.surroundings():
        loop.run(2)
    return peak_memory(device) - before


if __name__ == "__main__":  # one contestant's memory, see `memory`
    print(_peak_of(sys.argv[1], int(sys.argv[2]), torch.device(sys.argv[3]), sys.argv[4]))
