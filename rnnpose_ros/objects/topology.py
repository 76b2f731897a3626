"""How the faces of a mesh hang together: which way round they are, and where the surface is open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from rnnpose_ros.objects.normals import weld


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """What is known of a surface. Vertices at the same position count as one."""

    flipped: Bool[np.ndarray, "F"]
    """Faces that are turned against their neighbours, or lie inside out on a closed body."""
    holes: int
    """Closed chains of edges that have a face on one side only."""
    open_edges: int
    crowded_edges: int
    """Edges where more than two faces meet."""
    bodies: int
    """Parts that share no vertex."""


def examine_topology(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Topology:
    """Looks at every edge; takes seconds for a hundred thousand faces.

    Args:
        vertices: Finite, any unit.
        faces: Without those of zero area.
    """
    import trimesh

    first, point_of_vertex = weld(vertices)
    mesh = trimesh.Trimesh(vertices[first], point_of_vertex[faces], process=False)
    before = np.array(mesh.faces)
    trimesh.repair.fix_winding(mesh)
    trimesh.repair.fix_inversion(mesh, multibody=True)
    _, edge, used = np.unique(mesh.edges_sorted, axis=0, return_inverse=True, return_counts=True)
    is_open = used[edge.reshape(-1)] == 1
    return Topology(
        flipped=(np.array(mesh.faces) != before).any(1),
        holes=len(trimesh.graph.connected_components(mesh.edges[is_open])) if is_open.any() else 0,
        open_edges=int(is_open.sum()),
        crowded_edges=int((used > 2).sum()),
        bodies=len(trimesh.graph.connected_components(mesh.edges_unique, nodes=np.unique(mesh.faces))),
    )
