"""photo_augmentation: vary training photos like a shop camera does: turned, off-centre, dim, blurred, coarse."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageEnhance, ImageFilter

from models.serving.photo_preprocessing import Pixels, to_network_input


@dataclass(frozen=True)
class Augmentation:
    """The variations that training draws from. Each can be switched off."""

    flip: bool = True
    crop: bool = True
    rotation: bool = True
    brightness: bool = True
    """Brightness, contrast and colour."""
    blur: bool = True
    jpeg: bool = True
    """Strong compression."""
    low_resolution: bool = True
    occlusion: bool = True


ALL_VARIATIONS = Augmentation()
NO_VARIATIONS = Augmentation(**dict.fromkeys(Augmentation.__dataclass_fields__, False))


def augment_photo(
    pixels: Pixels, image_size: int, random: Generator, augmentation: Augmentation = ALL_VARIATIONS
) -> Pixels:
    """Return one random variation of a face photo as (image_size, image_size, 3)."""
    if augmentation == NO_VARIATIONS:
        return to_network_input(pixels, image_size)
    image = Image.fromarray(pixels)
    if augmentation.flip and random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if augmentation.rotation:
        image = image.rotate(random.normal(0, 7), Image.Resampling.BILINEAR)
    image = _crop(image, image_size, random.uniform(0.8, 1.0) if augmentation.crop else 1.0, random)
    if augmentation.brightness:
        image = _relight(image, random)
    degradations = _degradations(augmentation)
    if degradations and random.random() < 0.25:
        image = degradations[random.integers(len(degradations))](image, random)
    result = np.array(image)
    if augmentation.occlusion and random.random() < 0.25:
        _occlude(result, random)
    return result


def _crop(image: Image.Image, image_size: int, share: float, random: Generator) -> Image.Image:
    width, height = image.size
    side = min(width, height) * share
    at_random = share < 1
    left = random.uniform(0, width - side) if at_random else (width - side) / 2
    top = random.uniform(0, height - side) if at_random else (height - side) / 2
    return image.resize((image_size, image_size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def _relight(image: Image.Image, random: Generator) -> Image.Image:
    # Log-normal factors: twice as much is as likely as half.
    for enhancement in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhancement(image).enhance(float(np.exp(random.normal(0, 0.15))))
    return image.convert("L").convert("RGB") if random.random() < 0.05 else image


def _degradations(augmentation: Augmentation) -> list[Callable[[Image.Image, Generator], Image.Image]]:
    switches = {_blur: augmentation.blur, _coarsen: augmentation.low_resolution, _compress: augmentation.jpeg}
    return [degrade for degrade, is_on in switches.items() if is_on]


def _blur(image: Image.Image, random: Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 1.5)))


def _coarsen(image: Image.Image, random: Generator) -> Image.Image:
    side = int(image.size[0] * random.uniform(0.4, 0.8))
    return image.resize((side, side), Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BILINEAR)


def _compress(image: Image.Image, random: Generator) -> Image.Image:
    compressed = io.BytesIO()
    image.save(compressed, "JPEG", quality=int(random.integers(25, 70)))
    return Image.open(compressed).convert("RGB")


def _occlude(pixels: Pixels, random: Generator) -> None:
    """Paint over a rectangle with noise (Zhong et al. 2020, "Random Erasing Data Augmentation")."""
    side = pixels.shape[0]
    height, width = random.integers(side // 10, side // 3, size=2)
    top, left = random.integers(0, side - height), random.integers(0, side - width)
    pixels[top : top + height, left : left + width] = random.integers(0, 256, (height, width, 3))
