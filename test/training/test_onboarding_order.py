"""The folder in which an interrupted onboarding waits: nothing is mixed, nothing is done twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rnnpose_ros.data.held_out.painters import RayCasting
from rnnpose_ros.errors import ConfigError, OutputError
from rnnpose_ros.training.onboarding_order import OnboardingOrder, WorkFolder
from rnnpose_ros.types import Mesh


@pytest.fixture
def order(tmp_path: Path) -> OnboardingOrder:
    (tmp_path / "small.safetensors").write_bytes(b"weights")
    return OnboardingOrder(
        folder=tmp_path / "mine" / "mug",
        label="mug",
        mesh=Mesh(torch.eye(3), torch.tensor([[0, 1, 2]]), torch.zeros(1, 3, 3)),
        findings=(),
        symmetries="none",
        initial=tmp_path / "small.safetensors",
        painter=RayCasting(160),
        budget_s=120.0,
    )


def finish(order: OnboardingOrder, *, certified: bool) -> None:
    content = {"order": order.finished_identity, "certified": certified, "verdict": "so it is"}
    (order.folder / "certificate.json").write_text(json.dumps(content))
    WorkFolder(order).remove()


def test_the_same_order_goes_on_with_its_plan_whatever_the_budget(order: OnboardingOrder) -> None:
    WorkFolder(order).claim()
    assert WorkFolder(order).plan() is None
    WorkFolder(order).decide(9, 1.25)
    again = WorkFolder(replace(order, budget_s=60.0, bar=0.5))
    again.claim()
    assert again.plan() == (9, 1.25)


def test_another_order_is_not_mixed_with_an_unfinished_one(order: OnboardingOrder) -> None:
    WorkFolder(order).claim()
    moved = replace(order.mesh, vertices=2 * order.mesh.vertices)
    for other, named in (
        (replace(order, mesh=moved), "mesh"),
        (replace(order, continuous=[{"axis": [0, 0, 1]}]), "symmetries"),
        (replace(order, settings={"learning_rate": "1e-5"}), "settings"),
    ):
        with pytest.raises(ConfigError, match=f"unfinished onboarding with other {named}: give the same command"):
            WorkFolder(other).claim()
    order.initial.write_bytes(b"other weights")
    with pytest.raises(ConfigError, match="other weights"):
        WorkFolder(order).claim()


@pytest.mark.parametrize("certified", [True, False])
def test_a_finished_order_stands_and_a_new_one_takes_its_certificate_away(
    order: OnboardingOrder, certified: bool
) -> None:
    work = WorkFolder(order)
    assert work.finished_verdict() is None
    work.claim()
    finish(order, certified=certified)
    assert work.finished_verdict() == (certified, "so it is")
    longer = replace(order, budget_s=600.0)
    assert WorkFolder(longer).finished_verdict() is None
    WorkFolder(longer).claim()
    assert not (order.folder / "certificate.json").exists()
    assert work.finished_verdict() is None


def test_a_damaged_certificate_is_none(order: OnboardingOrder) -> None:
    WorkFolder(order).claim()
    finish(order, certified=True)
    path = order.folder / "certificate.json"
    path.write_text(path.read_text()[:-5])
    assert WorkFolder(order).finished_verdict() is None


def test_a_folder_that_cannot_be_is_said(order: OnboardingOrder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        WorkFolder(replace(order, folder=tmp_path / "file" / "mug")).claim()
