"""The nodes, and every conversion from and to messages.

A node shares its processor with drivers and other nodes, so OpenMP's threads (torch's) must not wait for work in a
busy loop: of two alternating runs each of the cube video at 30 Hz, on two cores, nine of ten pictures were answered
within 39 and 31 ms instead of 50 and 42. OpenMP reads this once, when torch is loaded, so it is said here, before any
node imports it; who sets ``OMP_WAIT_POLICY`` decides otherwise.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
