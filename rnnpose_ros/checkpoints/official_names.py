"""The names of the published checkpoint's tensors and of RAFT's, each with its place in our network.

The table is the whole correspondence: a target of ours, and the published tensors it is made of, stacked
along the first axis where there are several.
"""

from __future__ import annotations

from collections.abc import Mapping

UNUSED_SUFFIXES = ("global_step", ".epsilon", ".convPa.0.weight", ".convPa.0.bias", ".convPb.weight", ".convPb.bias")
"""Published tensors that no result depends on: the step counter, a scale that is never read, and the
saliency head of the 2D descriptor network."""

_IMAGE_ENCODER = "motion_net.image_fea_enc.fnet."
_UPDATE_BLOCK = "motion_net.cf_net.update_block."

Table = Mapping[str, tuple[str, ...]]


def published_table() -> dict[str, tuple[str, ...]]:
    """Every tensor of a ``PaperNetwork`` with the published tensors it is made of."""
    return {
        "sigma": ("motion_net.sigma.0",),
        **_layers(_DESCRIPTOR_2D, "descriptor2d.", "hybrid_desc_net.corr_fea_extractor_2d."),
        **_point_encoder("descriptor3d.", "hybrid_desc_net.corr_fea_extractor_3d."),
        **_point_encoder("context3d.", "ctx_fea_net.context_fea_extractor_3d."),
        **_layers(_FEATURES, "features.", _IMAGE_ENCODER),
        **_update_block("update_block.", _UPDATE_BLOCK),
    }


def raft_table() -> dict[str, tuple[str, ...]]:
    """The tensors of a ``PaperNetwork`` that a RAFT checkpoint has, with RAFT's names."""
    return {
        **_layers(_FEATURES, "features.", "fnet."),
        **_update_block("update_block.", "update_block."),
    }


_DESCRIPTOR_2D = {
    "trunk1.first": "conv1a",
    "trunk1.second": "conv1b",
    "trunk2.first": "conv2a",
    "trunk2.second": "conv2b",
    "trunk4.first": "conv3a",
    "trunk4.second": "conv3b",
    "trunk8.first": "conv4a",
    "trunk8.second": "conv4b",
    "up4.convolution": "decode1.1",
    "up2.convolution": "decode2.1",
    "up1.convolution": "decode3.1",
    "widen": "convDa",
    "head": "convDb",
}

_FEATURES = {
    "stem": "conv1",
    "stage2.0.conv1": "layer1.0.conv1",
    "stage2.0.conv2": "layer1.0.conv2",
    "stage2.1.conv1": "layer1.1.conv1",
    "stage2.1.conv2": "layer1.1.conv2",
    "stage4.0.conv1": "layer2.0.conv1",
    "stage4.0.conv2": "layer2.0.conv2",
    "stage4.0.shortcut": "layer2.0.downsample.0",
    "stage4.1.conv1": "layer2.1.conv1",
    "stage4.1.conv2": "layer2.1.conv2",
    "stage8.0.conv1": "layer3.0.conv1",
    "stage8.0.conv2": "layer3.0.conv2",
    "stage8.0.shortcut": "layer3.0.downsample.0",
    "stage8.1.conv1": "layer3.1.conv1",
    "stage8.1.conv2": "layer3.1.conv2",
    "head": "conv2",
}

_MOTION_AND_HEADS = {
    "motion.correlation1": "encoder.convc1",
    "motion.correlation2": "encoder.convc2",
    "motion.flow1": "encoder.convf1",
    "motion.flow2": "encoder.convf2",
    "motion.mix": "encoder.conv",
    "flow.0": "flow_head.conv1",
    "flow.2": "flow_head.conv2",
    "mask.0": "mask.0",
    "mask.2": "mask.2",
}

_POINT_BLOCKS = {
    "level0.0": 1,
    "pool0": 2,
    "level1.0": 3,
    "level1.1": 4,
    "pool1": 5,
    "level2.0": 6,
    "level2.1": 7,
    "pool2": 8,
    "level3.0": 9,
    "level3.1": 10,
}
"""Our residual blocks and the published ``encoder_blocks``."""

_WIDENING_BLOCKS = ("level0.0", "level1.0", "level2.0", "level3.0")
"""Those whose shortcut has weights."""


def _layers(names: Mapping[str, str], target: str, source: str) -> dict[str, tuple[str, ...]]:
    """Layers with weight and bias, one to one."""
    kinds = ("weight", "bias")
    return {f"{target}{ours}.{kind}": (f"{source}{theirs}.{kind}",) for ours, theirs in names.items() for kind in kinds}


def _update_block(target: str, source: str) -> dict[str, tuple[str, ...]]:
    """RAFT's update block; its update and reset gates are one convolution here."""
    table = _layers(_MOTION_AND_HEADS, target, source)
    for ours, number in (("rows", 1), ("columns", 2)):
        for kind in ("weight", "bias"):
            z, r, q = (f"{source}gru.conv{gate}{number}.{kind}" for gate in "zrq")
            table[f"{target}gru.{ours}.gates.{kind}"] = (z, r)
            table[f"{target}gru.{ours}.candidate.{kind}"] = (q,)
    return table


def _point_encoder(target: str, source: str) -> dict[str, tuple[str, ...]]:
    """One KPConv encoder-decoder."""
    first = f"{source}encoder_blocks.0.KPConv."
    table: dict[str, tuple[str, ...]] = {
        f"{target}stem.{name}": (first + name,) for name in ("weights", "kernel_points")
    }
    for ours, number in _POINT_BLOCKS.items():
        block = f"{source}encoder_blocks.{number}."
        table[f"{target}{ours}.narrow.weight"] = (f"{block}unary1.mlp.weight",)
        table[f"{target}{ours}.widen.weight"] = (f"{block}unary2.mlp.weight",)
        for name in ("weights", "kernel_points"):
            table[f"{target}{ours}.convolution.{name}"] = (f"{block}KPConv.{name}",)
        if ours in _WIDENING_BLOCKS:
            table[f"{target}{ours}.shortcut.weight"] = (f"{block}unary_shortcut.mlp.weight",)
    table |= _layers({"bottleneck": "bottle", "mix": "proj_gnn"}, target, source)
    for ours, number in (("decode2", 1), ("decode1", 3), ("decode0", 5)):
        table[f"{target}{ours}.weight"] = (f"{source}decoder_blocks.{number}.mlp.weight",)
    return table
