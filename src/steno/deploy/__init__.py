"""steno under Ray Serve: fronts with the web server, and engines with the models.

Ray places, restarts and scales them. Audio and results travel on connections of steno's own (`steno.engine.worker`).

- `ray`             the application: `serve run steno.deploy.ray:app`
- `front_replica`   a replica that serves clients
- `engine_replica`  a replica that has the models
- `replica_lookup`  which replicas run, by a call to all of them
- `engine_scaling`  how many engines are needed
"""
