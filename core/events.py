"""The names of everything that is logged, `noun.past_verb`. Metrics and the event stream use the same names."""

from enum import StrEnum


class Event(StrEnum):
    """What happened; the data goes into fields."""

    # api
    API_STARTED = "api.started"
    API_STOPPED = "api.stopped"
    CONNECTIONS_SHED = "connections.shed"
    JOB_ACCEPTED = "job.accepted"
    JOBS_ACCEPTED = "jobs.accepted"
    JOB_CANCELLED = "job.cancelled"
    REQUEST_ANSWERED = "request.answered"
    REQUEST_FAILED = "request.failed"
    STORE_LOST = "store.lost"
    STORE_RESTORED = "store.restored"
    # scheduler
    SCHEDULER_STARTED = "scheduler.started"
    SCHEDULER_STOPPED = "scheduler.stopped"
    SCHEDULER_FAILED = "scheduler.failed"
    JOBS_PUBLISHED = "jobs.published"
    JOBS_REPUBLISHED = "jobs.republished"
    JOBS_EXPIRED = "jobs.expired"
    JOBS_DELETED = "jobs.deleted"
    BROKER_LOST = "broker.lost"
    BROKER_RESTORED = "broker.restored"
    QUEUE_REFUSED = "queue.refused"
    QUEUE_RESTORED = "queue.restored"
    # worker
    WORKER_STARTED = "worker.started"
    WORKER_DRAINING = "worker.draining"
    WORKER_DRAINED = "worker.drained"
    WORKER_FAILED = "worker.failed"
    WORKER_HUNG = "worker.hung"
    PROCESS_RETIRED = "process.retired"
    JOB_CLAIMED = "job.claimed"
    JOB_DROPPED = "job.dropped"
    JOB_FINISHED = "job.finished"
    JOB_RETRIED = "job.retried"
    JOB_FENCED = "job.fenced"
    JOB_LOST = "job.lost"
    JOB_INTERRUPTED = "job.interrupted"
    JOB_HANDED_BACK = "job.handed_back"
    JOB_POSTPONED = "job.postponed"
    MESSAGES_REFUSED = "messages.refused"
    # database
    SCHEMA_UPGRADED = "schema.upgraded"
    SCHEMA_CURRENT = "schema.current"
    SCHEMA_BLOCKED = "schema.blocked"
