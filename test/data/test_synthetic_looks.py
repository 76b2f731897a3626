"""The pieces that training pictures are made of: surfaces, gloss, metal, shadows, occluders, noise."""

from __future__ import annotations

import numpy as np
import pytest

from rnnpose_ros.data.synthetic.camera_look import photographed
from rnnpose_ros.data.synthetic.lighting import Surface, lit_colors, random_illumination
from rnnpose_ros.data.synthetic.occluders import stick
from rnnpose_ros.data.synthetic.paving import paved
from rnnpose_ros.data.synthetic.randomization import LookRanges
from rnnpose_ros.data.synthetic.shade import sharp_shadow

PAINT = Surface(specular=0.0, shininess=10.0, metallic=0.0)


def facing_points(count: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Normals and rays (3 N) of points in front of the camera, seen from straight ahead to nearly edge-on."""
    angle = np.linspace(0.0, 1.5, count)
    normals = np.stack([np.sin(angle), np.zeros(count), -np.cos(angle)]).astype(np.float32)
    rays = np.repeat(np.array([[0.0], [0.0], [1.0]], np.float32), count, 1)
    return normals, rays


def test_metal_shows_only_where_the_texture_has_no_hue() -> None:
    normals, rays = facing_points()
    light = random_illumination(np.random.default_rng(3))
    part_metal = Surface(specular=0.0, shininess=10.0, metallic=1.0, bare_where_grey=True)
    red = np.repeat(np.array([[0.8], [0.1], [0.1]], np.float32), 50, 1)
    grey = np.full((3, 50), 0.5, np.float32)
    for albedo, alike in ((red, True), (grey, False)):
        painted, mixed = (
            lit_colors(albedo, normals, rays, light=light, surface=surface) for surface in (PAINT, part_metal)
        )
        assert np.allclose(painted, mixed) is alike


def test_a_clear_coat_only_adds_light_and_most_of_it_at_grazing_angles() -> None:
    normals, rays = facing_points()
    albedo = np.full((3, 50), 0.4, np.float32)
    coated = Surface(specular=0.0, shininess=10.0, metallic=0.0, coat=1.0)
    added = np.zeros(50)
    for seed in range(20):
        light = random_illumination(np.random.default_rng(seed))
        plain, glossy = (lit_colors(albedo, normals, rays, light=light, surface=s) for s in (PAINT, coated))
        added += (glossy - plain).mean(0)
    assert (added > 0).all()
    assert added[-5:].mean() > 3 * added[:5].mean()


def test_laid_out_surfaces_are_full_pictures_that_differ() -> None:
    rng = np.random.default_rng(0)
    pictures = [paved(rng, 96) for _ in range(12)]
    assert all(p.shape == (96, 96, 3) and p.dtype == np.uint8 for p in pictures)
    assert sum(p.astype(float).std() > 5 for p in pictures) >= 10
    assert len({p.tobytes() for p in pictures}) == 12


def test_a_stick_crosses_the_pixel_it_is_laid_over() -> None:
    rng = np.random.default_rng(1)
    texture = np.zeros((80, 80, 3), np.float32)
    for _ in range(10):
        centre = rng.uniform(20, 60, 2)
        covers = stick(rng, 80, centre=centre, texture=texture).covers((80, 80))
        u, v = np.round(centre).astype(int)
        assert covers[v - 1 : v + 2, u - 1 : u + 2].any()


def test_a_sharp_shadow_takes_light_and_never_all_of_it() -> None:
    rng = np.random.default_rng(2)
    fields = [sharp_shadow(60, 90, rng=rng) for _ in range(20)]
    assert all(f.shape == (60, 90) and f.min() > 0.3 and f.max() <= 1.0 for f in fields)
    assert sum(np.ptp(f) > 0.15 for f in fields) >= 8


@pytest.mark.parametrize("strength", [0.01, 0.1])
def test_noise_is_as_strong_as_the_range_says(strength: float) -> None:
    picture = np.full((120, 160, 3), 0.5, np.float32)
    spreads = []
    for seed in range(30):
        quiet, noisy = (
            photographed(picture.copy(), ranges, rng=np.random.default_rng(seed)).astype(float)
            for ranges in (
                LookRanges(noise_share=share, noise=(strength, strength), jpeg_share=0.0, outlier_share=0.0)
                for share in (0.0, 1.0)
            )
        )
        spreads.append([np.diff(p, axis=1).std() / 2**0.5 for p in (noisy, quiet)])
    loud, still = np.median(spreads, axis=0)
    assert 0.3 * strength * 255 < loud < 2.0 * strength * 255
    assert still < 0.5 * loud
