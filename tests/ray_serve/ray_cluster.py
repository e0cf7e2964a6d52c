"""A Ray cluster on this machine that runs `deploy/ray/serve.yaml`, with the numbers of a small machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import ray
import yaml
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema

from running import free_port

CONFIG = Path(__file__).parent.parent.parent / "deploy" / "ray" / "serve.yaml"
PATIENCE_S = 90.0
SETTINGS = {"DRAIN_TIMEOUT": "20", "PRELOAD": "true", "MAX_SESSIONS": "16", "OMP_NUM_THREADS": "1"}
NAME = "steno"


class RayCluster:
    """Use it as `with RayCluster() as cluster`."""

    def __enter__(self) -> RayCluster:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)
        serve.start(http_options={"host": "127.0.0.1", "port": self._port})
        self.scale(fronts=2, engines=2)
        return self

    def __exit__(self, *_: object) -> None:
        serve.shutdown()
        ray.shutdown()

    def scale(self, fronts: int, engines: int) -> None:
        """Deploy with so many replicas, as `serve deploy` does; return once they run."""
        config: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
        config["http_options"] = {"host": "127.0.0.1", "port": self._port}
        (application,) = config["applications"]
        application["runtime_env"]["env_vars"] |= SETTINGS
        application["args"] |= {"cpus_per_front": 0.25, "cpus_per_engine": 0.25}
        for deployment in application["deployments"]:
            deployment["num_replicas"] = {"Front": fronts, "Engine": engines}[deployment["name"]]
        _get_global_client().deploy_apps(ServeDeploySchema(**config))
        self.wait_for_replicas(fronts, engines)

    def wait_for_replicas(self, fronts: int, engines: int) -> None:
        self.wait(lambda: (len(self.pids("Front")), len(self.pids("Engine"))) == (fronts, engines) and self.is_ready())

    def is_ready(self) -> bool:
        return httpx.get(self.url + "/ready", timeout=PATIENCE_S).status_code == 200

    def pids(self, deployment: str) -> list[int]:
        """The processes of a deployment's replicas, those that are being stopped included."""
        application = _get_global_client().get_serve_details()["applications"].get(NAME, {"deployments": {}})
        replicas = application["deployments"].get(deployment, {"replicas": []})["replicas"]
        return [pid for each in replicas if (pid := each.get("pid")) and psutil.pid_exists(pid)]

    def states(self, deployment: str) -> list[str]:
        application = _get_global_client().get_serve_details()["applications"][NAME]
        return sorted(each["state"] for each in application["deployments"][deployment]["replicas"])

    async def sessions(self) -> list[float]:
        """Live sessions of each engine."""
        call = serve.get_deployment_handle("Engine", NAME).broadcast("record_autoscaling_stats")
        return sorted(stats["sessions"] for stats in await call.results_async(timeout_s=PATIENCE_S))

    def least_active(self) -> int:
        """Admitted requests and sessions of the least loaded front, which Serve's router chooses."""
        health = httpx.get(self.url + "/health", timeout=PATIENCE_S).raise_for_status().json()
        return int(health["active_requests"])

    def wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            applications = _get_global_client().get_serve_details()["applications"]
            assert time.monotonic() < end, applications
            assert all(each["status"] != "DEPLOY_FAILED" for each in applications.values()), applications
            time.sleep(0.2)
