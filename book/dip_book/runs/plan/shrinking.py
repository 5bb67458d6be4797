"""Super-resolution (book, chapter 14)."""

from __future__ import annotations

from itertools import product

from dip_book import images
from dip_book.runs.spec import Spec

#: Super-resolution: what was tried at 128×128, shrunk 4 times, on `SHRINK_TRIED`: idea → recipe and
#: changes.  Chosen is by the mean PSNR of the averaged outputs with the data put back.
SHRINK_IDEAS = {
    "nearest, σₚ 1/90": ("best-nearest", ()),
    "nearest, σₚ 0.03": ("best-nearest", (("sigma_p", 0.03),)),
    "bilinear, σₚ 1/90": ("best-bilinear", ()),
    "bilinear, σₚ 0.03": ("best-bilinear", (("sigma_p", 0.03),)),
}
SHRINK_TRIED = ("astronaut-rgb", "coffee-rgb")
#: What was chosen: the recipe two-upsamplings as it is, but for the iterations of each member; and
#: the sides of the free pictures.
SHRUNK_CHANGES: tuple[tuple[str, float], ...] = ()
SHRUNK_ITERATIONS, SHRUNK_SIZES = 250, (128, 256)


def shrink_idea(name: str, image: str) -> Spec:
    """The run that tries one of `SHRINK_IDEAS`."""
    recipe, changes = SHRINK_IDEAS[name]
    return Spec(image, 128, recipe, changes, SHRUNK_ITERATIONS, task="shrink4")


def shrunk(image: str, factor: int, size: int | None) -> Spec:
    """The mean of two networks of a picture that was shrunk so many times."""
    task, many = f"shrink{factor}", SHRUNK_ITERATIONS
    return Spec(image, size, "two-upsamplings", SHRUNK_CHANGES, many, task=task)


#: Group → its runs.
GROUPS = {
    "shrink-ideas": [
        shrink_idea(name, image) for name, image in product(SHRINK_IDEAS, SHRINK_TRIED)
    ],
    "shrink-free": [
        shrunk(image, factor, size)
        for (factor, size), image in product(((4, 128), (4, 256), (8, 256)), images.EMBEDDED_RGB)
    ],
    **{
        f"set5-x{factor}": [
            shrunk(name, factor, None) for name in images.COLOUR if name.startswith("set5-")
        ]
        for factor in (4, 8)
    },
}
