"""Nothing is collected here unless STENO_SDK_PYTHON names the environment that `make test-sdk` builds."""

import os

collect_ignore_glob = [] if os.environ.get("STENO_SDK_PYTHON") else ["test_*.py"]
