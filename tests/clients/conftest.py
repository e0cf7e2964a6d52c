"""Nothing is collected here unless STENO_CLIENTS names the environment that `make test-clients` builds."""

import os

collect_ignore_glob = [] if os.environ.get("STENO_CLIENTS") else ["test_*.py"]
