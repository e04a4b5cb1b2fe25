"""face_scenes: draw pictures of a shop, and paste faces into them, to measure face finding."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from models.serving.photo_preprocessing import Pixels

WIDTH_PIXELS, HEIGHT_PIXELS = 1280, 720
SHELF_COUNT = (2, 6)
PRODUCT_WIDTH_PIXELS = (24, 150)
LETTERS = "ABCDEFGHIKLMNOPRSTUVWXZ0123456789"


def draw_scene(random: Generator) -> Pixels:
    """Draw 1280 × 720 pixels: a wall with light on it, usually shelves of products, and sensor noise."""
    image = Image.fromarray(_wall(random))
    if random.random() < 0.8:
        _draw_shelves(image, random)
    blurred = image.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.5)))
    noise = random.normal(0, random.uniform(0, 12), (HEIGHT_PIXELS, WIDTH_PIXELS, 1))
    return (np.asarray(blurred) + noise).clip(0, 255).astype(np.uint8)  # unclipped, bytes would wrap: 256 is black


def paste_face(scene: Pixels, face: Pixels, side_pixels: int, random: Generator) -> tuple[Pixels, tuple[int, int]]:
    """Paste the square face, scaled to `side_pixels`, at a random place; return the photo and the (left, top)."""
    height, width = scene.shape[:2]
    left, top = int(random.integers(width - side_pixels + 1)), int(random.integers(height - side_pixels + 1))
    photo = scene.copy()
    scaled = Image.fromarray(face).resize((side_pixels, side_pixels), Image.Resampling.BICUBIC)
    photo[top : top + side_pixels, left : left + side_pixels] = np.asarray(scaled)
    return photo, (left, top)


def _wall(random: Generator) -> Pixels:
    """Blend four random corner colours, and coarse blots of light and shade on some walls."""
    corners = random.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    wall = np.asarray(Image.fromarray(corners).resize((WIDTH_PIXELS, HEIGHT_PIXELS), Image.Resampling.BILINEAR))
    rows, columns = random.integers(3, 40, 2)
    blots = Image.fromarray(random.integers(0, 256, (rows, columns), dtype=np.uint8))
    shade = np.asarray(blots.resize((WIDTH_PIXELS, HEIGHT_PIXELS), Image.Resampling.BICUBIC))[..., None]
    share = random.uniform(0, 0.5)
    return ((1 - share) * wall + share * shade).astype(np.uint8)


def _draw_shelves(image: Image.Image, random: Generator) -> None:
    draw = ImageDraw.Draw(image)
    edges = np.linspace(random.integers(-60, 60), HEIGHT_PIXELS, int(random.integers(*SHELF_COUNT)) + 1).astype(int)
    for top, bottom in pairwise(edges.tolist()):
        left = int(random.integers(-50, 50))
        while left < WIDTH_PIXELS:
            width = int(random.integers(*PRODUCT_WIDTH_PIXELS))
            height = int((bottom - top) * random.uniform(0.4, 0.9))
            _draw_product(draw, (left, bottom - height - 10, left + width, bottom - 10), random)
            left += width + int(random.integers(0, 14))
        draw.rectangle((0, bottom - 10, WIDTH_PIXELS, bottom), fill=_colour(random))


def _draw_product(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], random: Generator) -> None:
    """Draw a package: a box, a can or a bottle, with stripes, a round mark of two rings, or letters on it."""
    left, top, right, bottom = box
    if bottom - top < 20:
        return
    radius = int(min(right - left, bottom - top) * random.choice([0, 0.1, 0.45]))
    draw.rounded_rectangle(box, radius, fill=_colour(random))
    if random.random() < 0.4:
        for y in range(top, bottom, int(random.integers(6, 30))):
            draw.line((left, y, right, y), fill=_colour(random), width=int(random.integers(1, 5)))
    middle_x, middle_y = (left + right) // 2, top + int((bottom - top) * random.uniform(0.3, 0.7))
    if random.random() < 0.4:
        for share in (0.4, 0.25):
            ring = (right - left) * share
            draw.ellipse((middle_x - ring, middle_y - ring, middle_x + ring, middle_y + ring), fill=_colour(random))
    if random.random() < 0.5:
        letters = "".join(random.choice(list(LETTERS), 5))
        size = max(8, (right - left) // 4)
        draw.text((middle_x, middle_y), letters, fill=_colour(random), font_size=size, anchor="mm")


def _colour(random: Generator) -> tuple[int, int, int]:
    red, green, blue = random.integers(0, 256, 3).tolist()
    return red, green, blue
