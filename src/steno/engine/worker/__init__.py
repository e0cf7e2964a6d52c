"""A worker process: the models, queues and schedulers in a process of their own, so that the server outlives them.

- `worker_wire`         messages between server and worker, over a Unix socket
- `worker_client`       the server's side: an `EngineClient` that sends again what a dead worker lost
- `outgoing_jobs`       jobs on their way to a worker, no more at once than it reads
- `crash_loop`          counts the deaths of workers
- `worker_server`       the worker's side: runs the messages' jobs on a `LocalClient`
- `front_connection`    one server process that a worker works for
- `utterance_audio`     the audio of live utterances that the worker keeps, so that only new audio travels
- `measurements`        what the worker measures, on its way to the server's metrics
- `worker_pool`         an `EngineClient` over several workers
- `membership`          which workers there are
- `pool_member`         the client of one of them
- `placement`           which of them gets which work
- `pool_status`         the status of all as that of one engine
- `worker_tcp`          workers on other machines: addresses, and the token that a connection starts with
- `worker_supervisor`   starts the worker when a connection waits, replaces it when it dies or hangs
"""
