"""The engine: one backend and its work.

- `front`      the engine as routes and pipelines see it: admits requests
- `protocol`   `EngineClient`: what the engine needs from whatever runs its jobs
- `local`      the client of lanes in this process
- `admission`  admission control: how many requests and sessions are let in
- `counts`     what limits are checked against; `shared_counts` and `front_table` for several fronts together
- `retries`    when a refused client should come back
- `live_load`  how many live sessions fit, by measured load
- `ticket`     a request's or a session's place; runs its jobs
- `queue`      the priority queue of jobs
- `scheduler`  runs jobs on a backend, one scheduler per kind of backend
- `lane`       a model with its queue, scheduler and lifecycle
- `backend_thread`  loads, unloads and steps a backend off the event loop
- `lifecycle`  loads the model on demand, unloads it when idle
- `crashes`    retries work whose child process died
- `telemetry`  measurements for the server's metrics
"""
