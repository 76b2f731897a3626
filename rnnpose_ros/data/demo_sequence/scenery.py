"""What stands still in the demonstration: a table, a room out of focus, and things on the table."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rnnpose_ros.data.demo_sequence.solids import Solid, handle, joined, lathe, plain_panels, rounded_box
from rnnpose_ros.types import Mesh

Picture = UInt8[np.ndarray, "Ht Wt 3"]


@dataclass(frozen=True, slots=True, eq=False)
class Prop:
    """One thing that stands still. World frame: the table is z = 0, z up, y away from the camera; metres."""

    mesh: Mesh
    T_world_object: Float[Tensor, "4 4"]
    gloss: float
    """Share of mirrored light, 0 for cloth and paper."""
    casts_shadow: bool = True


def build_scenery(*, seed: int) -> list[Prop]:
    """Table, wall and clutter."""
    rng = np.random.default_rng(seed)
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    props = [
        Prop(_plane(2.4, 1.9).mesh(_wood(rng)), _placed(0.0, 0.35, 0.0), 0.05, casts_shadow=False),
        Prop(_plane(3.2, 0.8).mesh(_room(rng)), _placed(0.0, 1.25, 0.4, upright), 0.0, casts_shadow=False),
    ]
    mug, can, bowl, bottle = _mug(), _can(), _bowl(), _bottle()
    props += [
        Prop(mug.mesh(_stripes((236, 228, 212), (58, 92, 140))), _placed(0.088, -0.135, 0.0, _yaw(150)), 0.25),
        Prop(can.mesh(_can_label()), _placed(0.215, 0.16, 0.0, _yaw(-100)), 0.3),
        Prop(bowl.mesh(_speckled(rng, (188, 200, 205))), _placed(-0.235, 0.17, 0.0), 0.2),
        Prop(bottle.mesh(_stripes((46, 84, 52), (226, 214, 180), band=(0.30, 0.52))), _placed(0.09, 0.30, 0.0), 0.5),
    ]
    for x, y, radius, color in ((-0.26, 0.16, 0.036, (236, 140, 34)), (-0.205, 0.185, 0.034, (214, 66, 44))):
        fruit = _fruit(radius).mesh(_speckled(rng, color, strength=7.0))
        props.append(Prop(fruit, _placed(x, y, 0.028, _yaw(40)), 0.12))
    books = (
        ((0.20, 0.14, 0.026), -0.08, 0.33, 0.013, 14, (168, 52, 48), "A FIELD GUIDE TO CLOUDS"),
        ((0.17, 0.12, 0.020), -0.07, 0.33, 0.036, -6, (44, 72, 116), "SMALL BOATS"),
    )
    for size, x, y, z, yaw, color, title in books:
        mesh = rounded_box(size, 0.002, plain_panels()).mesh(_book_cover(color, title))
        props.append(Prop(mesh, _placed(x, y, z, _yaw(yaw)), 0.06))
    biscuits = rounded_box((0.075, 0.045, 0.15), 0.003, plain_panels()).mesh(_biscuit_print(rng))
    notebook = rounded_box((0.11, 0.15, 0.012), 0.003, plain_panels()).mesh(_speckled(rng, (52, 54, 60), strength=4.0))
    props += [
        Prop(biscuits, _placed(0.30, 0.02, 0.075, _yaw(-24)), 0.08),
        Prop(notebook, _placed(-0.22, -0.10, 0.006, _yaw(24)), 0.05),
        Prop(_pencil().mesh(_stripes((232, 178, 40), (30, 30, 34), band=(0.0, 0.06))), _pencil_pose(), 0.15),
    ]
    return props


def _placed(x: float, y: float, z: float, R: np.ndarray | None = None) -> Tensor:
    T = torch.eye(4, dtype=torch.float64)
    if R is not None:
        T[:3, :3] = torch.from_numpy(R)
    T[:3, 3] = torch.tensor([x, y, z], dtype=torch.float64)
    return T


def _yaw(degrees: int | float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _pencil_pose() -> Tensor:
    lying = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    return _placed(-0.29, -0.13, 0.017, _yaw(65) @ lying)


def _plane(width: float, height: float) -> Solid:
    """A rectangle in the x y plane, its face towards z."""
    x, y = width / 2, height / 2
    vertices = np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0]])
    corners = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return Solid(vertices, faces, corners[faces])


def _mug() -> Solid:
    outside = [(0.0, 0.0), (0.034, 0.0), (0.038, 0.004), (0.039, 0.03), (0.039, 0.09), (0.0385, 0.094)]
    inside = [(0.036, 0.093), (0.0355, 0.05), (0.034, 0.008), (0.0, 0.006)]
    grip = handle(reach=0.026, height=0.055, thickness=0.0055, radius=0.037)
    return joined([(lathe(outside + inside), np.zeros(3)), (grip, np.array([0.0, 0.0, 0.048]))])


def _can() -> Solid:
    profile = [(0.0, 0.0), (0.032, 0.0), (0.0335, 0.002), (0.0335, 0.104), (0.0335, 0.106), (0.031, 0.108)]
    return lathe([*profile, (0.0305, 0.105), (0.0, 0.105)])


def _bowl() -> Solid:
    t = np.linspace(0.0, 1.0, 12)
    outside = np.stack([0.035 + 0.055 * t**0.6, 0.055 * t**1.3], -1)
    inside = np.stack([outside[::-1, 0] - 0.004, np.maximum(outside[::-1, 1], 0.005)], -1)
    return lathe([(0.0, 0.0), *map(tuple, outside), *map(tuple, inside), (0.0, 0.005)])


def _bottle() -> Solid:
    profile = [(0.0, 0.0), (0.034, 0.0), (0.037, 0.004), (0.037, 0.13), (0.034, 0.15), (0.022, 0.175), (0.0145, 0.19)]
    return lathe([*profile, (0.0135, 0.235), (0.0155, 0.236), (0.0155, 0.25), (0.0, 0.25)])


def _fruit(radius: float) -> Solid:
    t = np.linspace(-math.pi / 2, math.pi / 2, 24)
    dent = 0.12 * np.exp(-((t - math.pi / 2) ** 2) / 0.08)
    return lathe([(radius * math.cos(a), radius * (1 + math.sin(a) - d)) for a, d in zip(t, dent, strict=True)])


def _pencil() -> Solid:
    return lathe([(0.0, -0.085), (0.0008, -0.084), (0.0038, -0.066), (0.0038, 0.085), (0.0, 0.0855)], sides=12)


def _noise(rng: np.random.Generator, height: int, width: int, cells: tuple[int, int]) -> np.ndarray:
    grid = rng.standard_normal(cells).astype(np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)


def _wood(rng: np.random.Generator) -> Picture:
    """Planks along x with grain, knots and seams."""
    height, width, planks = 1100, 1400, 7
    base = np.empty((height, width, 3), np.float32)
    for i in range(planks):
        rows = slice(i * height // planks, (i + 1) * height // planks)
        size = rows.stop - rows.start
        warp = 9 * _noise(rng, size, width, (3, 5)) + np.linspace(0, 22, size)[:, None]
        grain = np.sin(1.7 * warp + 0.6 * _noise(rng, size, width, (size // 4, 9)))
        fine = _noise(rng, size, width, (size, width // 60))
        tone = 1.0 + 0.06 * rng.standard_normal() + 0.055 * grain + 0.05 * fine
        base[rows] = tone[..., None] * np.array([150, 108, 70], np.float32)
        base[rows.start : rows.start + 2] *= 0.5
    return base.clip(0, 255).astype(np.uint8)


def _room(rng: np.random.Generator) -> Picture:
    """What stands against the far wall, out of focus: books, a lamp's glow, a picture, a plant."""
    height, width = 400, 1600
    picture = np.full((height, width, 3), (186, 178, 166), np.uint8)
    picture[:, 1050:1400] = (222, 226, 228)
    cv2.circle(picture, (420, 330), 90, (250, 226, 178), -1)
    x = 480
    while x < 1000:
        wide, high = int(rng.integers(14, 46)), int(rng.integers(60, 118))
        color = tuple(int(c) for c in rng.integers(40, 200, 3))
        cv2.rectangle(picture, (x, height - high), (x + wide, height), color, -1)
        x += wide + int(rng.choice([0, 3, 60]))
    for _ in range(26):
        tip = (int(rng.normal(1110, 50)), int(rng.uniform(270, 350)))
        cv2.line(picture, (1110, height), tip, (52, int(rng.integers(80, 130)), 60), 9)
    return cv2.GaussianBlur(picture, (0, 0), 9)


def _stripes(ground: tuple, band_color: tuple, *, band: tuple[float, float] = (0.25, 0.42)) -> Picture:
    """A plain surface with two rings, v from the bottom."""
    picture = np.full((256, 64, 3), ground, np.uint8)
    top, bottom = (int(256 * (1 - v)) for v in (band[1], band[0]))
    picture[top:bottom] = band_color
    picture[max(top - 8, 0) : max(top - 4, 0)] = band_color
    return picture


def _speckled(rng: np.random.Generator, color: tuple, *, strength: float = 12.0) -> Picture:
    noise = _noise(rng, 256, 256, (128, 128)) + 0.7 * _noise(rng, 256, 256, (8, 8))
    return (np.array(color) + strength * noise[..., None]).clip(0, 255).astype(np.uint8)


def _can_label() -> Picture:
    """Metal ends, a paper label that goes round."""
    image = Image.new("RGB", (840, 720), (178, 180, 182))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 200, 840, 520), fill=(188, 40, 44))
    draw.rectangle((0, 200, 840, 226), fill=(244, 226, 180))
    draw.rectangle((0, 494, 840, 520), fill=(244, 226, 180))
    for x in (0, 420):
        draw.ellipse((x + 60, 250, x + 250, 470), fill=(244, 226, 180))
        draw.text((x + 155, 340), "Tomato", fill=(188, 40, 44), font=ImageFont.load_default(44), anchor="mm")
        draw.text((x + 155, 390), "whole & peeled", fill=(70, 90, 40), font=ImageFont.load_default(20), anchor="mm")
        draw.text((x + 335, 360), "400 g", fill=(244, 226, 180), font=ImageFont.load_default(46), anchor="mm")
    return np.asarray(image)


def _book_cover(color: tuple, title: str) -> Picture:
    image = Image.new("RGB", (600, 400), color)
    draw = ImageDraw.Draw(image)
    draw.rectangle((24, 24, 576, 376), outline=(236, 220, 180), width=5)
    draw.text((300, 200), title, fill=(236, 220, 180), font=ImageFont.load_default(38), anchor="mm")
    return np.asarray(image)


def _biscuit_print(rng: np.random.Generator) -> Picture:
    image = Image.new("RGB", (450, 900), (238, 196, 70))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 450, 210), fill=(120, 60, 34))
    draw.text((225, 105), "OAT CRISPS", fill=(250, 236, 200), font=ImageFont.load_default(66), anchor="mm")
    for _ in range(16):
        x, y, r = rng.uniform(40, 410), rng.uniform(300, 780), rng.uniform(34, 56)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(196, 140, 70), outline=(120, 60, 34), width=5)
        for a in rng.uniform(0, 6.28, 5):
            px, py = x + 0.6 * r * math.cos(a), y + 0.6 * r * math.sin(a)
            draw.ellipse((px - 5, py - 5, px + 5, py + 5), fill=(90, 50, 30))
    draw.text((225, 850), "12 x 25 g", fill=(120, 60, 34), font=ImageFont.load_default(44), anchor="mm")
    return np.asarray(image)
