"""The shapes, paints and finishes of the benchmark's objects, piece by piece, in metres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from rnnpose_ros.data.demo_sequence.solids import Solid, atlas_panels, handle, lathe, plain_panels, rounded_box
from rnnpose_ros.data.path_traced.scene import Coat, Finish
from rnnpose_ros.data.syn import prints
from rnnpose_ros.data.syn.solids import circle, moved, oval, plate, rounded


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One piece of an object."""

    solid: Solid
    paint: tuple[int, int, int] | UInt8[np.ndarray, "H W 3"]
    """sRGB, or a picture where the solid's texture coordinates say."""
    coat: Coat


def carton(rng: np.random.Generator) -> Sequence[Part]:
    """A breakfast carton, 15 x 5.5 x 20.5 cm."""
    size, coat = (0.150, 0.055, 0.205), Coat(Finish.PAPER, 0.45)
    front, side, back, end = (
        draw(rng) for draw in (prints.carton_front, prints.carton_side, prints.carton_back, prints.carton_end)
    )
    sheet = np.full((704 + 192, 512 + 192 + 512 + 192, 3), 200, np.uint8)
    rectangles = []
    for picture, (x, y) in zip(
        (front, side, back, side, end, end),
        ((0, 0), (512, 0), (704, 0), (1216, 0), (0, 704), (512, 704)),
        strict=True,
    ):
        height, width = picture.shape[:2]
        sheet[y : y + height, x : x + width] = picture
        h, w = sheet.shape[:2]
        rectangles.append((x / w, 1 - (y + height) / h, (x + width) / w, 1 - y / h))
    return [Part(rounded_box(size, 0.0015, atlas_panels(rectangles)), sheet, coat)]


def tin(rng: np.random.Generator) -> Sequence[Part]:
    """A soup tin with a paper label."""
    r, h, rim = 0.0335, 0.106, 0.0012
    steel = Coat(Finish.STEEL, 0.18)
    bottom = lathe(
        [(0.0, 0.002), (r - 0.002, 0.002), (r - 0.001, 0.0), (r + rim, 0.0005), (r + rim, 0.003), (r, 0.0035)]
    )
    label = lathe([(r, 0.0035), (r, h - 0.0035)])
    top = lathe(
        [(r, h - 0.0035), (r + rim, h - 0.003), (r + rim, h - 0.0005), (r - 0.001, h), (r - 0.002, h - 0.004),
         (0.7 * r, h - 0.004), (0.66 * r, h - 0.003), (0.0, h - 0.003)]
    )  # fmt: skip
    metal = (200, 200, 196)
    return [
        Part(bottom, metal, steel),
        Part(label, prints.soup_label(rng), Coat(Finish.PAPER, 0.3)),
        Part(top, metal, steel),
    ]


def truck(rng: np.random.Generator) -> Sequence[Part]:
    """A toy truck, printed and lacquered."""
    lacquer, rubber = Coat(Finish.LACQUER, 0.25), Coat(Finish.PLASTIC, 0.4)
    side, door, front = prints.truck_side(rng), prints.truck_door(rng), prints.truck_front()
    load = moved(rounded_box((0.085, 0.058, 0.05), 0.003, plain_panels()), by=(-0.025, 0.0, 0.052))
    cabin = moved(rounded_box((0.034, 0.054, 0.058), 0.005, plain_panels()), by=(0.046, 0.0, 0.05))
    face = moved(rounded_box((0.006, 0.048, 0.048), 0.002, plain_panels()), by=(0.0625, 0.0, 0.047))
    chassis = moved(rounded_box((0.13, 0.04, 0.012), 0.002, plain_panels()), by=(-0.002, 0.0, 0.02))
    wheel = lathe(
        [(0.0, -0.006), (0.013, -0.006), (0.016, -0.003), (0.016, 0.003), (0.013, 0.006), (0.0, 0.006)], sides=32
    )
    hub = lathe([(0.0, -0.0075), (0.006, -0.0075), (0.006, 0.0075), (0.0, 0.0075)], sides=20)
    parts = [
        Part(load, side, lacquer),
        Part(cabin, door, lacquer),
        Part(face, front, lacquer),
        Part(chassis, (60, 62, 66), rubber),
    ]
    for x in (-0.045, 0.042):
        for y in (-0.026, 0.026):
            parts.append(Part(moved(wheel, turn_deg=(90.0, 0.0, 0.0), by=(x, y, 0.016)), (34, 34, 36), rubber))
            parts.append(Part(moved(hub, turn_deg=(90.0, 0.0, 0.0), by=(x, y, 0.016)), (240, 200, 60), lacquer))
    return parts


def bracket(rng: np.random.Generator) -> Sequence[Part]:
    """An angle bracket with two ribs, of aluminium."""
    coat, grey = Coat(Finish.ALUMINIUM, 0.28), (150, 152, 154)
    base = plate(
        rounded([(0.0, -0.03), (0.09, -0.03), (0.09, 0.03), (0.0, 0.03)], 0.01),
        thickness=0.005,
        holes=[circle(0.005, (0.07, -0.016)), circle(0.005, (0.07, 0.016)), oval(0.014, 0.006, (0.035, 0.0))],
    )
    upright = plate(
        rounded([(0.0, -0.03), (0.06, -0.03), (0.075, 0.0), (0.06, 0.03), (0.0, 0.03)], 0.01),
        thickness=0.005,
        holes=[circle(0.012, (0.048, 0.0))],
    )
    rib = plate(rounded([(0.0, 0.0), (0.042, 0.0), (0.008, 0.04), (0.0, 0.04)], 0.003), thickness=0.004)
    return [
        Part(base, grey, coat),
        Part(moved(upright, turn_deg=(0.0, -90.0, 0.0), by=(0.0025, 0.0, -0.0025)), grey, coat),
        Part(moved(rib, turn_deg=(90.0, 0.0, 0.0), by=(0.004, 0.024, 0.002)), grey, coat),
        Part(moved(rib, turn_deg=(90.0, 0.0, 0.0), by=(0.004, -0.024, 0.002)), grey, coat),
    ]


def mug(rng: np.random.Generator) -> Sequence[Part]:
    """A glazed mug."""
    coat, glaze = Coat(Finish.PLASTIC, 0.08), (52, 104, 120)
    cup = lathe(
        [(0.0, 0.0), (0.030, 0.0), (0.034, 0.004), (0.041, 0.04), (0.042, 0.092), (0.0405, 0.094), (0.039, 0.092),
         (0.0375, 0.04), (0.031, 0.008), (0.0, 0.006)]
    )  # fmt: skip
    grip = moved(handle(reach=0.027, height=0.056, thickness=0.0055, radius=0.039), by=(0.0, 0.0, 0.052))
    return [Part(cup, glaze, coat), Part(grip, glaze, coat)]


def drill(rng: np.random.Generator) -> Sequence[Part]:
    """A cordless drill, standing on its battery."""
    shell, black, metal = Coat(Finish.PLASTIC, 0.3), (30, 31, 33), Coat(Finish.STEEL, 0.2)
    teal = (20, 132, 138)
    profile = rounded(
        [(-0.075, 0.012), (-0.03, 0.008), (-0.05, -0.085), (-0.018, -0.092), (0.008, 0.002), (0.05, 0.008),
         (0.058, 0.03), (0.05, 0.055), (-0.06, 0.06), (-0.078, 0.045)], 0.016
    )  # fmt: skip
    body = moved(plate(profile, thickness=0.044), turn_deg=(90.0, 0.0, 0.0))
    cheeks = moved(plate(0.82 * profile + (-0.004, 0.004), thickness=0.056), turn_deg=(90.0, 0.0, 0.0))
    chuck = lathe(
        [(0.0, 0.0), (0.021, 0.0), (0.021, 0.016), (0.017, 0.022), (0.015, 0.044), (0.006, 0.05), (0.0, 0.05)], sides=40
    )
    bit = lathe([(0.0, 0.0), (0.003, 0.0), (0.003, 0.035), (0.0, 0.04)], sides=16)
    battery = moved(rounded_box((0.082, 0.06, 0.034), 0.006, plain_panels()), by=(-0.022, 0.0, -0.105))
    trigger = moved(rounded_box((0.014, 0.016, 0.03), 0.004, plain_panels()), by=(0.006, 0.0, -0.012))
    return [
        Part(body, teal, shell),
        Part(cheeks, teal, shell),
        Part(moved(chuck, turn_deg=(0.0, 90.0, 0.0), by=(0.054, 0.0, 0.033)), black, shell),
        Part(moved(bit, turn_deg=(0.0, 90.0, 0.0), by=(0.102, 0.0, 0.033)), (120, 120, 122), metal),
        Part(battery, black, shell),
        Part(trigger, black, shell),
    ]


def scissors(rng: np.random.Generator) -> Sequence[Part]:
    """Scissors, a little open."""
    steel, grip, red = Coat(Finish.STEEL, 0.15), Coat(Finish.PLASTIC, 0.25), (198, 34, 40)
    blade = plate(
        np.array([(-0.02, -0.006), (0.0, -0.008), (0.085, -0.001), (0.084, 0.001), (0.0, 0.006), (-0.02, 0.004)]),
        thickness=0.002,
    )
    ring = plate(oval(0.028, 0.017), thickness=0.008, holes=[oval(0.021, 0.0105)])
    arm = plate(rounded([(-0.04, -0.005), (-0.01, -0.005), (-0.01, 0.005), (-0.04, 0.005)], 0.003), thickness=0.007)
    bolt = moved(lathe([(0.0, -0.003), (0.004, -0.003), (0.004, 0.003), (0.0, 0.003)], sides=20), by=(0.006, 0.0, 0.0))
    parts = [Part(bolt, (170, 170, 172), steel)]
    for sign in (1, -1):
        pieces = [(blade, (190, 192, 196), steel), (moved(ring, by=(-0.06, -0.008, 0.0)), red, grip), (arm, red, grip)]
        for piece, color, coat in pieces:
            opened = moved(piece, turn_deg=(0.0, 0.0, 11.0 * sign), flip_y=sign < 0)
            parts.append(Part(moved(opened, by=(0.0, 0.0, 0.0012 * sign)), color, coat))
    return parts


def marker(rng: np.random.Generator) -> Sequence[Part]:
    """A felt-tip marker with cap and clip."""
    coat, blue = Coat(Finish.PLASTIC, 0.15), (30, 60, 170)
    barrel = lathe([(0.0072, 0.0), (0.0072, 0.085)], sides=40)
    foot = lathe([(0.0, -0.004), (0.0055, -0.004), (0.0072, 0.0)], sides=40)
    cap = lathe([(0.0072, 0.085), (0.0083, 0.0852), (0.0083, 0.125), (0.0065, 0.132), (0.0, 0.132)], sides=40)
    clip = moved(rounded_box((0.003, 0.005, 0.038), 0.001, plain_panels()), by=(0.0102, 0.0, 0.111))
    return [
        Part(barrel, prints.marker_label(rng), coat),
        Part(foot, blue, coat),
        Part(cap, blue, coat),
        Part(clip, blue, coat),
    ]


def spatula(rng: np.random.Generator) -> Sequence[Part]:
    """A slotted spatula."""
    nylon, steel = Coat(Finish.PLASTIC, 0.35), Coat(Finish.STEEL, 0.25)
    slots = [oval(0.028, 0.0035, (0.045, y), points=32) for y in (-0.024, -0.008, 0.008, 0.024)]
    blade = plate(
        rounded([(0.0, -0.03), (0.09, -0.042), (0.09, 0.042), (0.0, 0.03)], 0.012), thickness=0.003, holes=slots
    )
    neck = moved(
        rounded_box((0.06, 0.012, 0.005), 0.002, plain_panels()), turn_deg=(0.0, 14.0, 0.0), by=(-0.024, 0.0, 0.006)
    )
    rod = moved(
        rounded_box((0.13, 0.022, 0.012), 0.005, plain_panels()), turn_deg=(0.0, 14.0, 0.0), by=(-0.113, 0.0, 0.028)
    )
    return [Part(blade, (36, 36, 38), nylon), Part(neck, (170, 170, 170), steel), Part(rod, (216, 120, 30), nylon)]


def bowl(rng: np.random.Generator) -> Sequence[Part]:
    """A glazed bowl: any turn about z looks the same."""
    outside = [(0.0, 0.0), (0.032, 0.0), (0.034, 0.006)]
    t = np.linspace(0.15, math.pi / 2, 12)
    outside += [(0.078 * math.sin(a), 0.068 - 0.064 * math.cos(a)) for a in t[3:]]
    inside = [(0.0745 * math.sin(a), 0.068 - 0.0595 * math.cos(a)) for a in t[::-1]]
    return [Part(lathe([*outside, *inside, (0, inside[-1][1] - 0.001)]), (226, 214, 190), Coat(Finish.PLASTIC, 0.1))]


def nut(rng: np.random.Generator) -> Sequence[Part]:
    """A hexagonal nut without thread or bevels, of steel."""
    corners = [(0.0315 * math.cos(a), 0.0315 * math.sin(a)) for a in np.radians(np.arange(6) * 60.0)]
    body = plate(np.array(corners), thickness=0.024, holes=[circle(0.0165, points=48)])
    return [Part(body, (140, 140, 144), Coat(Finish.STEEL, 0.3))]


def cube(rng: np.random.Generator) -> Sequence[Part]:
    """A plain lacquered cube."""
    return [Part(rounded_box((0.06,) * 3, 0.003, plain_panels()), (206, 96, 42), Coat(Finish.LACQUER, 0.3))]
