"""The nodes, and every conversion from and to messages.

A node shares its processor with drivers and other nodes, so OpenMP's threads (torch's) must not wait for work in a busy
loop: on two cores the cube video is answered in 21 instead of 25 ms, and one picture in a hundred takes more than 51
instead of 65. OpenMP reads this once, when torch is loaded, so it is said here, before any node imports it; who sets
``OMP_WAIT_POLICY`` decides otherwise.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
