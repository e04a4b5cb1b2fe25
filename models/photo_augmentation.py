"""photo_augmentation: what a shop camera does to a face, for training: turned, off-centre, dim, blurred, coarse."""

from __future__ import annotations

import io

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageEnhance, ImageFilter

from models.photo_preprocessing import Pixels


def augment_photo(pixels: Pixels, image_size: int, random: Generator) -> Pixels:
    """Return one random variation of a face photo as (image_size, image_size, 3)."""
    image = Image.fromarray(pixels)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = _turn_and_crop(image, image_size, random)
    image = _relight(image, random)
    if random.random() < 0.25:
        image = _degrade(image, random)
    result = np.array(image)
    if random.random() < 0.25:
        _occlude(result, random)
    return result


def _turn_and_crop(image: Image.Image, image_size: int, random: Generator) -> Image.Image:
    image = image.rotate(random.normal(0, 7), Image.Resampling.BILINEAR)
    width, height = image.size
    side = min(width, height) * random.uniform(0.8, 1.0)
    left, top = random.uniform(0, width - side), random.uniform(0, height - side)
    return image.resize((image_size, image_size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def _relight(image: Image.Image, random: Generator) -> Image.Image:
    for enhancement in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhancement(image).enhance(float(np.exp(random.normal(0, 0.15))))
    return image.convert("L").convert("RGB") if random.random() < 0.05 else image


def _degrade(image: Image.Image, random: Generator) -> Image.Image:
    """Blur, or scale down and up, or compress hard."""
    kind = random.integers(3)
    if kind == 0:
        return image.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 1.5)))
    if kind == 1:
        side = int(image.size[0] * random.uniform(0.4, 0.8))
        return image.resize((side, side), Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BILINEAR)
    compressed = io.BytesIO()
    image.save(compressed, "JPEG", quality=int(random.integers(25, 70)))
    return Image.open(compressed).convert("RGB")


def _occlude(pixels: Pixels, random: Generator) -> None:
    """Paint over a rectangle with noise (Zhong et al. 2020, "Random Erasing Data Augmentation")."""
    side = pixels.shape[0]
    height, width = random.integers(side // 10, side // 3, size=2)
    top, left = random.integers(0, side - height), random.integers(0, side - width)
    pixels[top : top + height, left : left + width] = random.integers(0, 256, (height, width, 3))
