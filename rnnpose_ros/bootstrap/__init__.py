"""The set-up behind `make setup`: a virtual environment with pinned dependencies and a ROS 2, from a bare machine.

Only the standard library is imported here, for nothing else is there yet. ``__main__``, ``problems`` and
``interpreter`` also keep to what Python 3.6 can parse, so that an old Python is answered with a sentence.
"""
