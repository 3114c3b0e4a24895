"""Speed and memory as ratios.

A benchmark runs as a module and as a script; either way it finds `side_by_side` in its folder.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
