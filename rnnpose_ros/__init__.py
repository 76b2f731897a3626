"""6-DoF object pose refinement for ROS 2 by recurrent render-and-compare (RNNPose, CVPR 2022).

Importing this package loads nothing heavy. Start from ``rnnpose_ros.refinement.refiner.Refiner``
(the algorithm), ``rnnpose_ros.ros.refiner_node`` (the node) or ``rnnpose_ros.cli.main`` (the command
line); ARCHITECTURE.md is the map.
"""

__version__ = "0.1.0"
