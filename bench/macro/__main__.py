"""`python -m bench.macro` is `python bench/macro/run.py`."""

import sys
from pathlib import Path

# The modules beside this one import each other as scripts do.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from run import main

sys.exit(main())
