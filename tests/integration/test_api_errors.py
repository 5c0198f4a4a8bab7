"""What clients may get wrong: each is a problem with a reason. None of it needs a database, so there is none."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from api.schemas import Problem
from tests.api_rig import ADD, RawResponse, RunningApi, make_settings, read_response, request_bytes

JSON = "Content-Type: application/json"
NO_DATABASE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    """The api without a database, served for all tests of this module."""
    with RunningApi(make_settings(NO_DATABASE, body_limit_bytes=4096)) as api:
        yield api


def assert_problem(answer: RawResponse, status: int, code: str) -> dict[str, Any]:
    """Check the one form of errors; return it."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(answer.body)
    assert (problem.status, problem.code, problem.type) == (status, code, "about:blank")
    assert problem.detail
    assert "Traceback" not in problem.detail
    return dict(answer.json())


def post_raw(api: RunningApi, body: bytes, *headers: str, target: str = "/add") -> RawResponse:
    return api.send_raw(request_bytes("POST", target, *headers, body=body))


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": NaN, "y": 1}',
        b'{"x": Infinity, "y": 1}',
        b"{",
        b"x",
        b"\xff\xfe",
        b"\xef\xbb\xbf" + json.dumps(ADD).encode(),
        b'{"x": 1, "x": 2, "y": 1}',
        b'{"x": %b, "y": 1}' % (b"[" * 1000 + b"]" * 1000),
        b'{"x": %b, "y": 1}' % (b"9" * 2000),
    ],
    ids=["nan", "infinity", "cut", "text", "not-utf-8", "byte-order-mark", "key-twice", "deep", "digits"],
)
def test_body_that_is_not_acceptable_json_is_malformed(api: RunningApi, body: bytes) -> None:
    assert_problem(post_raw(api, body, JSON), 400, "malformed")


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        (b'{"x": 1}', ["body", "y"]),
        (b'{"x": 1, "y": 2, "z": 3}', ["body", "z"]),
        (b'{"x": "1", "y": 2}', ["body", "x"]),
        (b'{"x": true, "y": 2}', ["body", "x"]),
        (b'{"x": 1.5, "y": 2}', ["body", "x"]),
        (b"{}", ["body", "x"]),
    ],
    ids=["missing", "extra", "text", "bool", "float", "empty"],
)
def test_wrong_field_is_invalid_and_named(api: RunningApi, body: bytes, loc: list[str]) -> None:
    problem = assert_problem(post_raw(api, body, JSON), 422, "invalid")
    assert loc in [error["loc"] for error in problem["errors"]]


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"'])
def test_json_that_is_no_object_is_refused(api: RunningApi, body: bytes) -> None:
    assert post_raw(api, body, JSON).status in {400, 422}


@pytest.mark.parametrize("text", [b"\\ud800", b"\\u0000", b"\\udc00\\ud800"])
def test_text_that_cannot_be_stored_is_refused(api: RunningApi, text: bytes) -> None:
    assert post_raw(api, b'{"text": "%b"}' % text, JSON, target="/upper_case").status in {400, 422}


def test_number_beyond_all_floats_is_refused(api: RunningApi) -> None:
    assert post_raw(api, b'{"lines": [], "note": 1e999}', JSON, target="/order").status == 400


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Type: text/plain",),
        ("Content-Type: application/x-www-form-urlencoded",),
        ("Content-Type: application/json; charset=latin-1",),
        ("Content-Type: application/jsonx",),
        (),
        (JSON, "Content-Encoding: gzip"),
    ],
    ids=["text", "form", "charset", "near", "none", "compressed"],
)
def test_other_media_types_are_unsupported(api: RunningApi, headers: tuple[str, ...]) -> None:
    assert_problem(post_raw(api, json.dumps(ADD).encode(), *headers), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["Application/JSON", "application/json; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_json_in_other_spellings_is_taken(api: RunningApi, content_type: str) -> None:
    assert_problem(post_raw(api, b"{}", f"Content-Type: {content_type}"), 422, "invalid")


def test_web_page_cannot_submit_without_a_content_type(api: RunningApi) -> None:
    answer = post_raw(api, b"", "Content-Length: 0", "Origin: http://evil.example", target="/ping")
    assert_problem(answer, 415, "unsupported_media_type")


def test_empty_body_names_the_missing_fields(api: RunningApi) -> None:
    problem = assert_problem(post_raw(api, b"", "Content-Length: 0"), 422, "invalid")
    assert [error["loc"] for error in problem["errors"]] == [["body", "x"], ["body", "y"]]


def test_body_over_the_limit_is_too_large(api: RunningApi) -> None:
    assert_problem(post_raw(api, b" " * 4097, JSON), 413, "too_large")
    assert post_raw(api, b" " * 4096, JSON).status == 422


def test_client_that_sends_a_megabyte_and_closes_reads_why_it_is_too_large(api: RunningApi) -> None:
    client = http.client.HTTPConnection("127.0.0.1", api.port, timeout=5)
    client.request("POST", "/add", b" " * 1024 * 1024, {"Content-Type": "application/json", "Connection": "close"})
    answer = client.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (413, "too_large")
    client.close()


def test_streamed_body_over_the_limit_is_too_large(api: RunningApi) -> None:
    chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
    head = request_bytes("POST", "/add", JSON, "Transfer-Encoding: chunked")
    assert_problem(api.send_raw(head + chunk * 5 + b"0\r\n\r\n"), 413, "too_large")


def test_client_that_asks_first_is_refused_before_it_sends(api: RunningApi) -> None:
    head = request_bytes("POST", "/add", JSON, "Content-Length: 5000", "Expect: 100-continue")
    assert_problem(api.send_raw(head), 413, "too_large")


def test_client_that_asks_first_is_told_to_go_on(api: RunningApi) -> None:
    with socket.create_connection(("127.0.0.1", api.port), 5) as client:
        client.sendall(request_bytes("POST", "/add", JSON, "Content-Length: 2", "Expect: 100-continue"))
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"{}")
        assert read_response(client).status == 422


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("delay_s=-1", "delay_s"),
        ("delay_s=2592001", "delay_s"),
        ("delay_s=nan", "delay_s"),
        ("delay_s=inf", "delay_s"),
        ("delay_s=1e999", "delay_s"),
        ("delay_s=", "delay_s"),
        ("delay_s=1_0", "delay_s"),
        ("delay_s=1&delay_s=1", "delay_s"),
        ("delay_s=1&eta=2030-01-01T00:00:00Z", "eta"),
        ("eta=2001-01-01T00:00:00", "eta"),
        ("eta=2001-01-01", "eta"),
        ("eta=2001-W01-1T00:00:00Z", "eta"),
        ("eta=2001-02-30T00:00:00Z", "eta"),
        ("eta=0001-01-01T00:00:00%2B14:00", "eta"),
        ("eta=9999-01-01T00:00:00Z", "eta"),
        ("eta=2001-01-01T00:00:00+02:00", "eta"),
        ("eta=now", "eta"),
        ("priority=10", "priority"),
        ("priority=high", "priority"),
        ("priority=1&priority=2", "priority"),
        ("expires_s=0", "expires_s"),
        ("expires_s=5&delay_s=5", "expires_s"),
        ("expires_s=soon", "expires_s"),
        ("delay=1", "delay"),
        ("x=1", "x"),
    ],
)
def test_wrong_query_parameter_is_invalid_and_named(api: RunningApi, query: str, name: str) -> None:
    problem = assert_problem(post_raw(api, json.dumps(ADD).encode(), JSON, target=f"/add?{query}"), 422, "invalid")
    assert [error["loc"] for error in problem["errors"]] == [["query", name]]


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "NaN", "inf", "1e400", "", "x", "1_0", "%201", "1&wait=2"])
def test_unusable_wait_is_invalid(api: RunningApi, wait: str) -> None:
    problem = assert_problem(api.send_raw(request_bytes("GET", f"/status/{uuid4()}?wait={wait}")), 422, "invalid")
    assert problem["errors"][0]["loc"] == ["query", "wait"]


@pytest.mark.parametrize("target", ["/healthz", "/readyz", "/jobs/1", "/status/1", "/jobs", "/jobs/1/events", "/tasks/add"])
def test_unknown_query_parameter_of_a_read_is_invalid(api: RunningApi, target: str) -> None:
    assert_problem(api.send_raw(request_bytes("GET", f"{target}?a=1")), 422, "invalid")


NAMED = b'{"task": "add", "args": %b}' % json.dumps(ADD).encode()
BATCH = b'{"jobs": [%b]}' % NAMED


@pytest.mark.parametrize(("target", "body"), [("/jobs", NAMED), ("/jobs/batch", BATCH)])
def test_submissions_by_name_are_checked_like_the_others(api: RunningApi, target: str, body: bytes) -> None:
    assert_problem(post_raw(api, body, "Content-Type: text/plain", target=target), 415, "unsupported_media_type")
    assert_problem(post_raw(api, body[:-1], JSON, target=target), 400, "malformed")
    assert_problem(post_raw(api, b"\xff" + body, JSON, target=target), 400, "malformed")
    assert_problem(post_raw(api, body, JSON, target=f"{target}?priority=1"), 422, "invalid")
    assert_problem(post_raw(api, body, JSON, f"Idempotency-Key: {'x' * 256}", target=target), 422, "invalid")
    assert_problem(post_raw(api, body, JSON, target=target), 503, "store_unavailable")


def test_named_job_over_the_limit_is_too_large(api: RunningApi) -> None:
    assert_problem(post_raw(api, NAMED.ljust(4096 + 8193), JSON, target="/jobs"), 413, "too_large")


@pytest.mark.parametrize("key", ["a", "b"])
def test_two_keys_for_one_job_must_be_the_same(api: RunningApi, key: str) -> None:
    body = b'{"task": "ping", "idempotency_key": "a"}'
    answer = post_raw(api, body, JSON, f"Idempotency-Key: {key}", target="/jobs")
    assert (answer.status, "idempotency_key" in answer.json()["detail"]) == ((503, False) if key == "a" else (422, True))


@pytest.mark.parametrize("path", ["/status/", "/jobs/"])
@pytest.mark.parametrize("task_id", ["1", f"%7B{uuid4()}%7D", uuid4().hex, "%00", "a" * 5000, f"urn:uuid:{uuid4()}"])
def test_malformed_id_is_404_like_an_unknown_one(api: RunningApi, path: str, task_id: str) -> None:
    problem = assert_problem(api.send_raw(request_bytes("GET", path + task_id)), 404, "not_found")
    assert problem["detail"].startswith("no job '")


@pytest.mark.parametrize(
    "target",
    [
        "//add",
        "/add/",
        "/./add",
        "/%2e/add",
        "/%2e%2e/add",
        "/add%00",
        "/add/../add",
        "/docs/",
        "/" + "a" * 20000,
        "/status/",
    ],
)
def test_path_tricks_are_plain_404s(api: RunningApi, target: str) -> None:
    answer = post_raw(api, json.dumps(ADD).encode(), JSON, target=target)
    problem = assert_problem(answer, 404, "not_found")
    assert "location" not in answer.headers
    assert len(problem["instance"]) < 300


def test_misspelt_task_gets_a_suggestion(api: RunningApi) -> None:
    problem = assert_problem(post_raw(api, b"{}", JSON, target="/uper_case"), 404, "not_found")
    assert problem["detail"].startswith("unknown task 'uper_case'; did you mean 'upper_case'?")
    assert problem["instance"] == "/uper_case"


def test_celery_name_as_a_route_gets_the_right_one(api: RunningApi) -> None:
    assert "POST /add" in assert_problem(post_raw(api, b"{}", JSON, target="/tasks.add"), 404, "not_found")["detail"]


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("GET", "/add", "OPTIONS, POST"),
        ("PUT", "/add", "OPTIONS, POST"),
        ("POST", "/status/1", "GET, HEAD, OPTIONS"),
        ("DELETE", "/healthz", "GET, HEAD, OPTIONS"),
        ("POST", "/docs", "GET, HEAD, OPTIONS"),
        ("PUT", "/jobs", "GET, HEAD, OPTIONS, POST"),
        ("GET", "/jobs/batch", "OPTIONS, POST"),
        ("POST", "/jobs/1", "GET, HEAD, OPTIONS"),
        ("GET", "/jobs/1/cancel", "OPTIONS, POST"),
        ("DELETE", "/jobs/1/retry", "OPTIONS, POST"),
        ("POST", "/jobs/1/events", "GET, HEAD, OPTIONS"),
        ("POST", "/tasks", "GET, HEAD, OPTIONS"),
        ("POST", "/tasks/add", "GET, HEAD, OPTIONS"),
    ],
)
def test_wrong_method_says_which_are_allowed(api: RunningApi, method: str, target: str, allow: str) -> None:
    answer = api.send_raw(request_bytes(method, target))
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allow


def test_options_says_what_is_allowed_and_nothing_about_other_origins(api: RunningApi) -> None:
    answer = api.send_raw(
        request_bytes("OPTIONS", "/add", "Origin: http://evil.example", "Access-Control-Request-Method: POST")
    )
    assert (answer.status, answer.headers["allow"]) == (204, "OPTIONS, POST")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_head_is_get_without_the_body(api: RunningApi) -> None:
    got = api.get("/healthz")
    with socket.create_connection(("127.0.0.1", api.port), 5) as client:
        client.sendall(request_bytes("HEAD", "/healthz", "Connection: close"))
        data = b"".join(iter(lambda: client.recv(4096), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(got.content) in head
    assert body == b""


@pytest.mark.parametrize("host", ["localhost", "LocalHost:1", "127.0.0.1:8000", "[::1]", "[::1]:80"])
def test_our_own_hosts_are_served_whatever_the_port(api: RunningApi, host: str) -> None:
    assert api.send_raw(request_bytes("GET", "/healthz", host=host)).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "evil.example:8000", "::1", "127.0.0.2", "", "localhost:x"]
)
def test_foreign_host_is_misdirected(api: RunningApi, host: str) -> None:
    assert_problem(api.send_raw(request_bytes("GET", "/healthz", host=host)), 421, "misdirected")


def test_any_host_is_served_if_the_setting_says_so() -> None:
    with RunningApi(make_settings(NO_DATABASE, allowed_hosts="*")) as api:
        assert api.send_raw(request_bytes("GET", "/healthz", host="evil.example")).status == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"POST /add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Type: text/plain\r\n\r\n",
        b"POST /add HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n",
        b"POST /add HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /add HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /add HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"GET /h\xe9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=[
        "no-host",
        "two-hosts",
        "two-types",
        "two-keys",
        "two-lengths",
        "negative",
        "smuggling",
        "bytes",
        "no-http",
        "tls",
        "connect",
    ],
)
def test_unclear_http_is_malformed(api: RunningApi, head: bytes) -> None:
    assert_problem(api.send_raw(head), 400, "malformed")


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_client_that_offers_another_protocol_is_served_in_http_1(api: RunningApi, protocol: str) -> None:
    offer = (f"Upgrade: {protocol}", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAARAAAAA")
    whole = request_bytes("POST", "/add", JSON, *offer, body=b'{"x": 1}')
    again = request_bytes("POST", "/add", JSON, *offer, body=b'{"y": 1}')
    with socket.create_connection(("127.0.0.1", api.port), 5) as client:
        client.sendall(whole)
        assert read_response(client).json()["errors"][0]["loc"] == ["body", "y"]
        for piece in (again[:20], again[20:-4], again[-4:]):
            client.sendall(piece)
        assert read_response(client).json()["errors"][0]["loc"] == ["body", "x"]


def test_endless_head_is_refused(api: RunningApi) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: " + b"a" * 1000 + b"\r\n"
    assert_problem(api.send_raw(head + b"X-B: b\r\n" * 10000), 400, "malformed")


def test_slow_body_is_a_request_timeout(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.protocol.ARRIVAL_LIMIT_S", 0.2)
    answer = api.send_raw(request_bytes("POST", "/add", JSON, "Content-Length: 10"))
    assert_problem(answer, 408, "request_timeout")
    assert answer.headers["connection"] == "close"


def test_slow_head_is_a_request_timeout(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.protocol.ARRIVAL_LIMIT_S", 0.2)
    assert_problem(api.send_raw(b"POST /add HTT"), 408, "request_timeout")


def test_trickled_request_is_a_request_timeout(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.protocol.ARRIVAL_LIMIT_S", 0.3)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", api.port), 5) as client:
        client.settimeout(0.05)
        client.sendall(request_bytes("POST", "/add", JSON, "Content-Length: 1000"))
        answer = b""
        while not answer:
            client.sendall(b" ")
            try:
                answer = client.recv(4096)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 5  # without the limit, 50 s


@pytest.mark.parametrize("sent", [b"", b"\r\n"], ids=["nothing", "blank-lines"])
def test_new_connection_without_a_request_is_closed(api: RunningApi, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr("api.protocol.ARRIVAL_LIMIT_S", 0.2)
    with socket.create_connection(("127.0.0.1", api.port), 5) as client:
        client.sendall(sent)
        while client.recv(4096):
            continue


def test_blank_line_does_not_keep_a_connection_for_ever(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.protocol.IDLE_LIMIT_S", 0.2)
    with socket.create_connection(("127.0.0.1", api.port), 5) as client:
        client.sendall(request_bytes("GET", "/healthz"))
        assert read_response(client).status == 200
        client.sendall(b"\r\n")
        assert client.recv(4096) == b""


def test_body_that_goes_on_after_its_answer_is_cut_off(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.protocol.ARRIVAL_LIMIT_S", 0.2)
    with socket.create_connection(("127.0.0.1", api.port), 5) as client:
        client.sendall(request_bytes("POST", "/nope", JSON, "Content-Length: 100"))
        assert read_response(client).status == 404
        assert client.recv(4096) == b""


def test_connection_goes_on_after_a_problem(api: RunningApi) -> None:
    with socket.create_connection(("127.0.0.1", api.port), 5) as client:
        client.sendall(request_bytes("POST", "/nope", JSON, body=b"{}"))
        assert read_response(client).status == 404
        client.sendall(request_bytes("GET", "/healthz"))
        assert read_response(client).status == 200


def test_unexpected_error_is_logged_and_says_nothing(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(api.services.writer, "accept", explode)
    answer = post_raw(api, json.dumps(ADD).encode(), JSON)
    assert_problem(answer, 500, "internal")
    assert b"secret" not in answer.body
    logged = "".join(capfd.readouterr())
    assert "request.failed" in logged
    assert "secret of the house" in logged


def test_client_that_goes_away_in_mid_body_is_no_error(api: RunningApi, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_connection(("127.0.0.1", api.port), 5) as client:
        client.sendall(request_bytes("POST", "/add", JSON, "Content-Length: 100"))
    assert api.get("/healthz").status_code == 200
    assert "request.failed" not in "".join(capfd.readouterr())
