"""The clock of the stages, and the ball that the published network is timed on."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
import torch

from rnnpose_ros.errors import InputError
from rnnpose_ros.evaluation.cost_plot import write_cost_plot
from rnnpose_ros.evaluation.standard_case import FACE_COUNTS, icosphere, standard_case
from rnnpose_ros.evaluation.timing import peak_rss_mb, spread, time_refinement
from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.networks.rnnpose_network import RnnposeNetwork
from rnnpose_ros.refinement.refiner import Refiner, RefinerConfig
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.stages import STAGES, StageClock, stage, stage_clock
from rnnpose_ros.types import PoseHypothesis


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """The time that a clock sees."""
    time = [0.0]
    monkeypatch.setattr("rnnpose_ros.stages.time.perf_counter", lambda: time[0])
    return time


def test_a_stage_counts_its_own_time_and_not_that_of_the_stages_inside(now):
    clock = StageClock()
    with clock.running("crop"):
        now[0] += 1.0
        with clock.running("describe"):
            now[0] += 4.0
        now[0] += 2.0
    assert clock.seconds == {**dict.fromkeys(STAGES, 0.0), "crop": 3.0, "describe": 4.0}


def test_stages_are_timed_only_while_a_clock_runs(now):
    with stage_clock() as clock, stage("solve"):
        now[0] += 1.0
    with stage("solve"):
        now[0] += 1.0
    assert clock.seconds["solve"] == 1.0


def test_spread_is_median_and_the_high_percentiles():
    values = spread([float(v) for v in reversed(range(101))])
    assert (values.p50_ms, values.p95_ms, values.p99_ms) == (50.0, 95.0, 99.0)
    assert spread([3.0, 1.0]).p99_ms == 3.0


def test_the_plot_has_a_curve_for_each_number_of_faces(tmp_path):
    path = tmp_path / "plots" / "cost.svg"
    write_cost_plot(path, {(n, faces): 10.0 * n + faces / 1000 for n in (1, 4, 16) for faces in (1280, 5120)})
    drawn = ElementTree.parse(path)
    texts = [t.text for t in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"1,280 faces", "5,120 faces", "objects in the picture", "1", "4", "16"} <= set(texts)
    dots = [float(dot.get("cx", "")) for dot in drawn.iter("{http://www.w3.org/2000/svg}circle")]
    assert len(dots) == 6
    one, four, sixteen = sorted(set(dots))
    assert four - one == pytest.approx(sixteen - four, abs=0.2), "four times the objects are as far at any number"


def test_icosphere_is_closed_even_and_turned_outwards():
    vertices, faces = icosphere(2)
    assert (len(vertices), len(faces)) == (162, 320)
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    assert len({tuple(e) for e in edges}) == len(edges)
    assert {tuple(e) for e in edges} == {(b, a) for a, b in edges}
    p = vertices[faces]
    outward = torch.linalg.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    assert bool(((outward * p.sum(1)).sum(1) > 0).all())
    torch.testing.assert_close(vertices.norm(dim=1), torch.ones(162, dtype=torch.float64))


def test_the_standard_case_lies_within_its_picture():
    frame, start, model = standard_case(FACE_COUNTS[0])
    assert len(model.mesh.faces) == 1280
    uv = project(transform(start.T_camera_object, model.mesh.vertices.double())[None], frame.camera.K)[0]
    assert float(uv.min()) > 0
    assert bool((uv < torch.tensor([640.0, 480.0])).all())


def test_stages_and_rest_add_up_to_the_whole():
    frame, start, model = standard_case(FACE_COUNTS[0])
    refiner = Refiner(RnnposeNetwork().eval(), WarpRenderer("cpu"), RefinerConfig(cycles=1, iterations=1))
    timing = time_refinement(refiner, frame, [start], {model.label: model}, runs=1)
    assert sum(s.p50_ms for s in timing.stages.values()) == pytest.approx(timing.wall.p50_ms)
    assert min(timing.stages[name].p50_ms for name in ("crop", "render", "encode", "update", "solve")) > 0
    assert 50 < timing.peak_rss_mb <= peak_rss_mb()


def test_a_refinement_that_stops_early_is_not_timed():
    frame, start, model = standard_case(FACE_COUNTS[0])
    T = start.T_camera_object.clone()
    T[0, 3] = 10.0
    refiner = Refiner(RnnposeNetwork().eval(), WarpRenderer("cpu"), RefinerConfig(cycles=1, iterations=1))
    with pytest.raises(InputError, match="out_of_view"):
        time_refinement(refiner, frame, [PoseHypothesis(model.label, T)], {model.label: model}, runs=1)
