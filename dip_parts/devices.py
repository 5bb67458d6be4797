"""What a machine has, and how it is set while the loop runs."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress

import torch

from dip_parts.checks import check_precision


def cuda_graph(step: Callable[[], None], generator: torch.Generator) -> Callable[[], None]:
    """Run a function a few times, capture it as a CUDA graph, and return the graph's replay.

    Args:
        generator: what the function draws from; on the device that it works on.
    """
    with torch.cuda.device(generator.device):
        main, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        try:
            aside.wait_stream(main)
            with torch.cuda.stream(aside):
                for _ in range(3):  # libraries choose and allocate in their first calls
                    step()
            main.wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(generator)
            with torch.cuda.graph(graph, stream=aside):
                step()
        except BaseException:  # an interrupt, too
            torch.cuda.set_stream(main)  # a capture cut short may leave another stream behind
            torch.cuda.synchronize()
            raise
    return graph.replay


def best_device() -> str:
    """The fastest device that PyTorch finds here: "cuda", else "mps", else "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def as_device(device: str | torch.device | None) -> torch.device:
    """A device, `best_device` if None.  Raises ValueError for one that is not here."""
    try:
        one = torch.ones((), device=device or best_device())
        float(one)  # "meta" computes nothing
        return one.device
    except (AssertionError, ValueError, RuntimeError, TypeError):  # by PyTorch's build
        raise ValueError(
            f"There is no device {str(device)!r} here that PyTorch can use; there is "
            f"{best_device()!r}."
        ) from None


def best_precision(device: str | torch.device) -> str:
    """The default: "tf32" on CUDA (as PyTorch has it); "bf16" on a CPU built for it; else "fp32".

    A CPU without bf16 instructions emulates them, many times slower (book, "How fast").  Raises
    ValueError for what is no device's name.
    """
    kind = _kind(device)
    if kind == "cuda":
        return "tf32"
    able = getattr(torch.cpu, "get_capabilities", dict)() if kind == "cpu" else {}
    return "bf16" if any(able.get(name) for name in ("avx512_bf16", "amx_bf16")) else "fp32"


def _kind(device) -> str:
    """ "cuda", "mps" or "cpu", whether it is here or not."""
    try:
        return torch.device(device).type
    except (RuntimeError, TypeError, ValueError):
        raise ValueError(
            f"PyTorch knows no device {device!r:.60}; there is {best_device()!r}."
        ) from None


#: For every fit that a GPU computes now: does it compute in TF32?  What is switched for the first
#: is switched back after the last: the switches are the whole process's.
_tf32: list[bool] = []
_switches, _SWITCHING = ExitStack(), threading.Lock()


@contextmanager
def numerics(device: str | torch.device, precision: str):
    """While the loop runs: deterministic kernels on a GPU; on a CPU, freed memory is kept.

    Raises RuntimeError where fits of two threads want a GPU with TF32 and without; ValueError for
    what is no device, or no precision.
    """
    check_precision(precision)
    if _kind(device) != "cuda":
        with kept_memory():
            yield
        return
    tf32 = precision != "fp32"
    with _SWITCHING:
        if _tf32 and _tf32[0] != tf32:
            raise RuntimeError(
                "Another fit of this process computes on the GPU, "
                f"{'without' if tf32 else 'with'} TF32, which is switched for all at once: wait "
                "for it, or choose its precision."
            )
        if not _tf32:
            _switches.enter_context(_deterministic(tf32))
        _tf32.append(tf32)
    try:
        yield
    finally:
        with _SWITCHING:
            _tf32.pop()
            if not _tf32:
                _switches.close()


@contextmanager
def _deterministic(tf32: bool):
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # an aid for debugging: it costs
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=tf32):
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = filled


@contextmanager
def undisturbed():
    """PyTorch as a new session has it, for this thread, whatever its caller has switched.

    Without gradients nothing would be learnt; another's autocast would round the loss; and on
    another default device a CPU's generator draws nothing.

    Raises ValueError for another default dtype than float32: that is not this thread's alone.
    """
    if (dtype := torch.get_default_dtype()) != torch.float32:
        raise ValueError(
            f"PyTorch's default dtype is {dtype} here, and a fit computes in float32: call "
            "torch.set_default_dtype(torch.float32) first."
        )
    with ExitStack() as switches:
        for switch in (torch.inference_mode(False), torch.enable_grad()):
            switches.enter_context(switch)
        for kind in {"cpu", best_device()}:
            switches.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            switches.enter_context(torch.device("cpu"))
        yield


@contextmanager
def switches_kept(device: torch.device):
    """Autocast and gradients are in the end as they were, for this thread, whatever comes between.

    An interrupt may come just before a ``with`` switches them back.  The user's session would go on
    in bf16, without gradients, or with casts of weights that have changed since.
    """
    kind, gradients = device.type, torch.is_grad_enabled()
    autocast, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    level, caching = _autocast_level(), torch.is_autocast_cache_enabled()
    try:
        yield
    finally:
        torch.set_grad_enabled(gradients)
        torch.set_autocast_enabled(kind, autocast)
        torch.set_autocast_dtype(kind, dtype)
        torch.set_autocast_cache_enabled(caching)
        for _ in range(_autocast_level() - level):
            torch.autocast_decrement_nesting()
        if level == 0:
            torch.clear_autocast_cache()


def _autocast_level() -> int:
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


_KEEPING = threading.Lock()
_keepers = 0  # loops in this process that keep memory


def _glibc():
    """The two functions of glibc's memory; of another C library, two that do nothing."""
    try:
        libc = ctypes.CDLL(None)
        return libc.mallopt, libc.malloc_trim
    except (OSError, TypeError, AttributeError):
        return (lambda *_: None,) * 2


@contextmanager
def kept_memory():
    """Let the C library keep the memory that an iteration frees, for the next one; glibc's only.

    By default it gives every large tensor back to the system and fetches it anew, page by page,
    which at 512×512 takes half of an iteration's time (book, "How fast").  Given back at the end.
    """
    global _keepers
    mallopt, trim = _glibc()
    mmap_threshold, mmap_max, trim_threshold = -3, -4, -1  # of malloc.h
    with _KEEPING:
        _keepers += 1
        if _keepers == 1:
            mallopt(mmap_max, 0)
            mallopt(trim_threshold, 2**31 - 1)
    try:
        yield
    finally:
        with _KEEPING:
            _keepers -= 1
            if _keepers == 0:
                # Once set, thresholds no longer adapt themselves: leave them where they would be.
                mallopt(mmap_max, 2**16)
                mallopt(mmap_threshold, 2**25)
                mallopt(trim_threshold, 2**26)
                with suppress(KeyboardInterrupt):  # what was computed is not lost so late
                    trim(0)
