"""What others reported: PSNR in dB for 50 % missing pixels, as printed in the source."""

from __future__ import annotations

from dip_book import images

_PRINTED = {
    "blog": "24.14 28.19 32.64 32.71 26.44 26.19 28.08 27.10 29.09 29.62 29.62",
    "paper": "32.22 33.06 39.16 36.16 33.05 29.80 32.52 32.84 32.77 32.20 34.54",
    "convolutional sparse coding": (
        "28.14 31.44 34.58 35.04 31.11 27.90 31.18 31.34 32.35 31.92 28.05"
    ),
}
#: Who → image → PSNR in dB; the images in the order of `images.STANDARD`.
REPORTED = {
    who: dict(zip(images.STANDARD, map(float, numbers.split())))
    for who, numbers in _PRINTED.items()
}

#: The highest verified mean on these 11 images, by a method that sees nothing but the picture
#: either, and what its source says of single images: Quan et al., CVPR 2020, Table 3.
SELF2SELF = {"barbara": 36.32}
SELF2SELF_MEAN = 35.14
