"""Clients that are slow, greedy, or gone: what they can take of the api, and that others do not notice."""

import json
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import cast

import pytest
import requests

from api.protocol import BoundedProtocol
from tests.api_rig import ADD, RunningApi, read_response, request_bytes, wait_until
from tests.integration.conftest import StartApi
from tests.integration.test_api_process import end, running
from tests.processes import open_files

JSON = "Content-Type: application/json"
SUBMISSION = request_bytes("POST", "/add", JSON, body=json.dumps(ADD).encode())
LARGE_TEXT = "x" * 200_000
NONE_DUE = "/add?delay_s=3600"


@contextmanager
def connected(port: int, receive_buffer_bytes: int = 0) -> Iterator[socket.socket]:
    with socket.socket() as client:
        if receive_buffer_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        yield client


def read_answers(client: socket.socket) -> bytes:
    """Return what comes until the connection is closed."""
    data = b""
    with suppress(ConnectionResetError):
        while piece := client.recv(65536):
            data += piece
    return data


def connection_count(api: RunningApi) -> int:
    return len(api.server.server_state.connections)


def connections(api: RunningApi) -> list[BoundedProtocol]:
    """Return a copy: the api's thread changes the set."""
    return cast("list[BoundedProtocol]", list(api.server.server_state.connections))


def known_connections(api: RunningApi) -> list[BoundedProtocol]:
    """Return those that have sent a request."""
    return [one for one in connections(api) if one.is_known]


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_idle_connection_is_closed(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.protocol.IDLE_LIMIT_S", 0.2)
    with connected(api.port) as client:
        client.sendall(request_bytes("GET", "/healthz"))
        assert read_response(client).status == 200
        assert client.recv(100) == b""


def test_time_of_an_answer_is_no_time_of_the_client(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id = api.submit(NONE_DUE)
    monkeypatch.setattr("api.protocol.ARRIVAL_LIMIT_S", 0.2)
    monkeypatch.setattr("api.protocol.IDLE_LIMIT_S", 0.2)
    with connected(api.port) as client:
        client.sendall(request_bytes("GET", f"/status/{task_id}?wait=1.5") + b"GET /heal")
        assert read_response(client).status == 200
        assert read_response(client).status == 408


@pytest.mark.parametrize("size_bytes", [100, 16 * 1024 * 1024])
def test_stalled_batch_is_a_request_timeout(api: RunningApi, monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
    with connected(api.port) as client:
        client.sendall(request_bytes("POST", "/jobs/batch", JSON, f"Content-Length: {size_bytes}"))
        client.sendall(b" " * (size_bytes // 2))
        monkeypatch.setattr("api.protocol.ARRIVAL_LIMIT_S", 0.5)
        answer = read_response(client)
    assert (answer.status, answer.json()["code"]) == (408, "request_timeout")
    wait_until(lambda: not api.server.server_state.tasks, "the application has given up the request")


def test_batches_that_trickle_in_do_not_take_all_memory(start_api: StartApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.batch_submitting.ARRIVING_LIMIT_BYTES", 1_000_000)
    api = start_api(batch_body_limit_bytes=1_000_000)
    batch = json.dumps({"jobs": [{"task": "add", "args": ADD}]}).encode() + b" " * 600_000
    whole = request_bytes("POST", "/jobs/batch", JSON, body=batch)
    with connected(api.port) as slow:
        slow.sendall(whole[:-1])
        refused = None
        while refused is None or refused.status_code == 202:  # until most of it is there
            refused = api.post_bytes("/jobs/batch", batch)
        assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "bodies_full", "1")
        slow.sendall(whole[-1:])
        assert read_response(slow).status == 202
    assert api.post_bytes("/jobs/batch", batch).status_code == 202


def test_who_does_not_take_the_answers_is_cut_off(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.protocol.UNSENT_LIMIT_S", 0.5)
    task_id = api.submit("/upper_case", {"text": LARGE_TEXT})
    with connected(api.port, receive_buffer_bytes=4096) as client:
        client.sendall(request_bytes("GET", f"/jobs/{task_id}") * 60)
        api.session.close()
        wait_until(lambda: connection_count(api) == 0, "the connection is closed")
        assert len(read_answers(client)) < 60 * len(LARGE_TEXT)
    wait_until(lambda: not api.server.server_state.tasks, "the application has given up the request")


def test_who_takes_an_answer_slowly_gets_it_whole(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.protocol.IDLE_LIMIT_S", 0.1)
    task_id = api.submit("/upper_case", {"text": LARGE_TEXT})
    with connected(api.port, receive_buffer_bytes=4096) as client:
        client.sendall(request_bytes("GET", f"/jobs/{task_id}") * 30)
        time.sleep(1.5)  # the server has seen more than once that nothing is taken
        assert read_answers(client).count(LARGE_TEXT.encode()) == 30


@pytest.mark.parametrize("path", ["/status/{}?wait=60", "/jobs/{}/events"])
def test_clients_that_leave_while_they_wait_leave_nothing(api: RunningApi, path: str) -> None:
    task_id = api.submit(NONE_DUE)
    watch = api.services.watch
    with ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(connected(api.port))
            client.sendall(request_bytes("GET", path.format(task_id)))
        wait_until(lambda: watch.waiter_count + watch.follower_count == 20, "all wait")
    wait_until(lambda: watch.waiter_count + watch.follower_count == 0, "nobody waits")
    wait_until(lambda: not watch.is_looking and not api.server.server_state.tasks, "nothing looks for them")


def test_gone_follower_with_a_request_behind_leaves_nothing(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("api.streaming.HEARTBEAT_S", 0.2)
    task_id = api.submit(NONE_DUE)
    with connected(api.port) as client:
        client.sendall(request_bytes("GET", f"/jobs/{task_id}/events") + request_bytes("GET", "/healthz"))
        wait_until(lambda: api.services.watch.follower_count == 1, "it follows")
        client.recv(100)
    wait_until(lambda: api.services.watch.follower_count == 0, "nobody follows")
    wait_until(lambda: not api.server.server_state.tasks, "the request has ended")
    assert "Traceback" not in "".join(capfd.readouterr())


def test_pipelined_requests_are_answered_in_order(api: RunningApi) -> None:
    paths = [f"/tasks/{name}" for name in ("add", "ping", "nope", "order")] * 10
    with connected(api.port) as client:
        client.sendall(b"".join(request_bytes("GET", path) for path in paths[:-1]))
        client.sendall(request_bytes("GET", paths[-1], "Connection: close"))
        answers = read_answers(client).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"404" if path == "/tasks/nope" else b"200" for path in paths]


def test_body_in_pieces_behind_another_request_has_time_from_its_turn(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.protocol.ARRIVAL_LIMIT_S", 0.5)
    task_id = api.submit(NONE_DUE)
    with connected(api.port) as client:
        client.sendall(request_bytes("GET", f"/status/{task_id}?wait=1.5") + SUBMISSION[:-3])
        client.sendall(SUBMISSION[-3:])
        assert read_response(client).status == 200
        assert read_response(client).status == 202


def test_stalled_body_behind_another_request_is_a_request_timeout(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.protocol.ARRIVAL_LIMIT_S", 0.2)
    task_id = api.submit(NONE_DUE)
    with connected(api.port) as client:
        client.sendall(request_bytes("GET", f"/status/{task_id}?wait=0.5") + SUBMISSION[:-3])
        assert read_response(client).status == 200
        assert read_response(client).status == 408


def test_flood_of_requests_behind_a_wait_is_not_taken(api: RunningApi) -> None:
    task_id = api.submit(NONE_DUE)
    with connected(api.port) as client:
        client.sendall(request_bytes("GET", f"/status/{task_id}?wait=30"))
        wait_until(lambda: api.services.watch.waiter_count == 1, "it waits")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.sendall(request_bytes("GET", "/healthz") * 1_000_000)
        assert max(len(connection.pipeline) for connection in connections(api)) <= 64


def test_too_many_pipelined_requests_end_the_connection_after_the_first(api: RunningApi) -> None:
    with connected(api.port) as client:
        client.sendall(request_bytes("GET", "/healthz") * 66)
        answers = read_answers(client)
    assert answers.count(b"HTTP/1.1 200 ") == 65


def test_garbage_behind_a_request_is_not_answered_in_its_place(api: RunningApi) -> None:
    with connected(api.port) as client:
        client.sendall(SUBMISSION + b"\0\1\2 garbage\r\n\r\n")
        assert read_response(client).status == 202
        assert client.recv(100) == b""


def test_garbage_in_a_body_behind_a_request_is_not_answered_in_its_place(api: RunningApi) -> None:
    broken = request_bytes("POST", "/add", JSON, "Transfer-Encoding: chunked") + b"no length\r\n"
    with connected(api.port) as client:
        client.sendall(SUBMISSION + SUBMISSION + broken)
        assert [read_response(client).status for _ in range(2)] == [202, 202]
        assert read_answers(client) == b""


def test_idle_connections_make_room(start_api: StartApi) -> None:
    api = start_api(connection_limit=20)
    assert api.get("/healthz").status_code == 200
    with ExitStack() as stack:
        idle = [stack.enter_context(connected(api.port)) for _ in range(60)]
        for _ in range(10):
            assert requests.get(f"{api.url}/healthz", timeout=5).status_code == 200
        assert connection_count(api) <= 21
        assert idle[0].recv(100) == b""
        wait_until(lambda: len(known_connections(api)) == 1, "the others' ends are noticed")
        (kept,) = known_connections(api)
        assert api.get("/healthz").status_code == 200
        assert kept in api.server.server_state.connections


def test_half_a_request_that_makes_room_is_told(start_api: StartApi) -> None:
    api = start_api(connection_limit=1)
    with connected(api.port) as slow:
        slow.sendall(SUBMISSION[:-1])
        wait_until(lambda: api.server.server_state.tasks, "it arrives")
        assert requests.get(f"{api.url}/healthz", timeout=5).status_code == 200
        answer = read_response(slow)
    assert (answer.status, answer.json()["code"], answer.headers["retry-after"]) == (503, "connections_full", "1")


def test_connections_that_are_being_answered_do_not_make_room(start_api: StartApi) -> None:
    api = start_api(connection_limit=3)
    task_id = api.submit(NONE_DUE)
    api.session.close()
    with ExitStack() as stack:
        waiting = [stack.enter_context(connected(api.port)) for _ in range(3)]
        for client in waiting:
            client.sendall(request_bytes("GET", f"/status/{task_id}?wait=2"))
        wait_until(lambda: api.services.watch.waiter_count == 3, "all wait")
        with connected(api.port) as client:
            answer = read_response(client)
        assert [read_response(client).status for client in waiting] == [200] * 3
    assert (answer.status, answer.json()["code"], answer.headers["retry-after"]) == (503, "connections_full", "1")


def test_lack_of_files_ends_nothing(database_url: str) -> None:
    with running(database_url) as (process, url), requests.Session() as good, ExitStack() as stack:
        assert good.post(f"{url}/add", json=ADD, timeout=5).status_code == 202
        count = open_files(process.pid)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (count + 5, count + 5))
        crowd = [stack.enter_context(connected(port_of(url))) for _ in range(50)]
        assert good.post(f"{url}/add", json=ADD, timeout=5).status_code == 202
        for client in crowd:
            client.close()

        def is_answered() -> bool:
            with suppress(requests.ConnectionError):
                return requests.get(f"{url}/healthz", timeout=5).ok
            return False

        wait_until(is_answered, "new connections are taken")
        code, log = end(process, signal.SIGTERM)
    assert code == 0
    assert "Traceback" not in log


def test_crowd_is_logged_once(database_url: str) -> None:
    with running(database_url, CONNECTION_LIMIT="20") as (process, url), ExitStack() as stack:
        for _ in range(3):
            for _ in range(50):
                stack.enter_context(connected(port_of(url)))
            assert requests.get(f"{url}/healthz", timeout=5).ok
            time.sleep(0.6)  # a look at the connections
        _, log = end(process, signal.SIGTERM)
    assert log.count("connections.shed") == 1
    assert "limit=20" in log


def settled_open_files(pid: int) -> int:
    """Return how many files a process has open when those of the requests before are closed."""
    count = open_files(pid)
    while True:
        time.sleep(0.3)
        before, count = count, open_files(pid)
        if before == count:
            return count


def test_slow_clients_do_not_hold_up_the_end(database_url: str) -> None:
    with running(database_url) as (process, url), ExitStack() as stack:
        large = requests.post(f"{url}/upper_case", json={"text": LARGE_TEXT}, timeout=5).json()["task_id"]
        task_id = requests.post(url + NONE_DUE, json=ADD, timeout=5).json()["task_id"]
        before = settled_open_files(process.pid)
        for sent in (
            b"",
            SUBMISSION[:10],
            SUBMISSION[:-1],
            request_bytes("GET", f"/jobs/{large}") * 60,
            request_bytes("GET", f"/status/{task_id}?wait=60"),
            request_bytes("GET", f"/jobs/{task_id}/events"),
        ):
            stack.enter_context(connected(port_of(url), receive_buffer_bytes=4096)).sendall(sent)
        wait_until(lambda: open_files(process.pid) >= before + 6, "all are connected")
        time.sleep(0.3)  # and their requests are there
        began = time.monotonic()
        code, log = end(process, signal.SIGTERM)
    assert time.monotonic() - began < 10
    assert code == 0
    assert "Traceback" not in log
    assert "graceful shutdown exceeded" not in log  # uvicorn's own limit, of 4 s
