"""`python -m bench.clients` is `python bench/clients/measure.py`."""

import sys
from pathlib import Path

# The modules beside this one are imported as scripts do.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from measure import main

sys.exit(main())
