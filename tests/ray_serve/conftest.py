"""Nothing is collected here unless STENO_RAY says that the environment is the one that `make test-ray` builds."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("STENO_RAY") else ["test_*.py"]
