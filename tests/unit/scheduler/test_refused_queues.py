from structlog.testing import capture_logs

from scheduler.brokers.publisher import QueueRefusedError
from scheduler.refused_queues import LONGEST_PAUSE_S, RefusedQueues

ERROR = QueueRefusedError("declare queue a: PRECONDITION_FAILED")


def test_refused_queue_is_tried_again_less_and_less_often_and_told_of_once() -> None:
    now = [0.0]
    refused = RefusedQueues(lambda: now[0])
    with capture_logs() as logs:
        pauses = []
        for _ in range(8):
            pauses.append(refused.refuse("a", ERROR))
            assert refused.pause_s("a") == pauses[-1]
            now[0] += pauses[-1]
            assert refused.pause_s("a") == 0.0
        refused.take("a")
        refused.take("a")
        refused.refuse("a", ERROR)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert [line["event"] for line in logs] == ["queue.refused", "queue.restored", "queue.refused"]


def test_other_queues_need_not_wait() -> None:
    refused = RefusedQueues(lambda: 0.0)
    refused.refuse("a", ERROR)
    assert refused.pause_s("b") == 0.0
