"""Nothing is collected here unless STENO_VLLM says that the environment is the one that `make test-vllm` builds.

No `__init__.py` here: this folder's name is vLLM's own.
"""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("STENO_VLLM") else ["test_*.py"]

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
"""GB; enough for the tiny checkpoint."""
os.environ.setdefault("HF_HUB_OFFLINE", "1")
