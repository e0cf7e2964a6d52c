"""Work that outlives a request: stored jobs, worked off behind everything else, which go on after a crash.

- `job`            a job, and its states
- `job_service`    all of it, as the server starts and stops it: submit, get, delete
- `job_store`      jobs in SQLite; recordings and results in a folder beside it
- `job_database`   the connection to SQLite
- `schema`         the tables
- `job_worker`     takes jobs off the store and runs them
- `job_handover`   with several fronts, tells the one that runs the jobs
- `piece_results`  the results of a job's pieces, so that an interrupted job repeats none
- `alarm`          waits for work that is added or becomes due
- `callbacks`      tells the clients' servers about finished jobs
"""
