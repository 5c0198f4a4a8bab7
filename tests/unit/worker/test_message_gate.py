"""What a message may say, and how what is refused is told."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from worker.message_gate import (
    HIGHEST_SERIES,
    TELL_INTERVAL_S,
    Fault,
    RefusedMessages,
    UnreadableMessageError,
    checked_headers,
)
from worker.transports.valkey import Message

VALID = {"task": "tasks.add", "id": "01a20ba9-b712-73da-923e-91fe1ec48a25", "series": 1}

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_valid_headers_pass_and_nothing_else_of_them() -> None:
    others = {"timelimit": [0.2, 0.1], "expires": "2001-01-01", "ignore_result": True, "shadow": "x"}
    assert checked_headers(VALID | others) == VALID | {"ignore_result": False}


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        (None, Fault.HEADERS),
        ([], Fault.HEADERS),
        ({}, Fault.TASK),
        (VALID | {"task": ""}, Fault.TASK),
        (VALID | {"task": "x" * 301}, Fault.TASK),
        (VALID | {"task": "null \0"}, Fault.TASK),
        (VALID | {"task": "half \ud800"}, Fault.TASK),
        (VALID | {"task": b"tasks.add"}, Fault.TASK),
        (VALID | {"series": True}, Fault.SERIES),
        (VALID | {"series": 0}, Fault.SERIES),
        (VALID | {"series": HIGHEST_SERIES + 1}, Fault.SERIES),
        (VALID | {"series": 1.0}, Fault.SERIES),
        (VALID | {"id": 5}, Fault.ID),
        (VALID | {"id": None}, Fault.ID),
        (VALID | {"id": "no-uuid"}, Fault.ID),
    ],
)
def test_fault_is_named(headers: object, fault: Fault) -> None:
    with pytest.raises(UnreadableMessageError) as raised:
        checked_headers(headers)
    assert raised.value.fault is fault


@given(ANYTHING)
def test_any_headers_pass_or_are_refused(headers: object) -> None:
    with suppress(UnreadableMessageError):
        assert checked_headers(headers).keys() == VALID.keys() | {"ignore_result"}


@given(ANYTHING, ANYTHING, ANYTHING)
def test_any_entry_of_a_list_is_a_message_or_refused(headers: object, properties: object, info: object) -> None:
    for payload in (
        headers,
        {"headers": headers, "properties": properties},
        {"headers": headers, "properties": {"delivery_tag": properties, "delivery_info": info}},
        {"headers": headers, "properties": {"delivery_tag": "t", "delivery_info": info}},
    ):
        with suppress(UnreadableMessageError):
            assert isinstance(Message(payload).headers, dict)


def test_a_packed_body_stays_packed() -> None:
    properties = {"delivery_tag": "t", "delivery_info": {"exchange": "", "routing_key": "q"}}
    payload = {"body": "!", "headers": {"compression": "gzip"}, "properties": properties | {"body_encoding": "base64"}}
    message = Message(payload)
    assert (message.body, message.headers, message.errors) == (None, {}, [])


def test_refused_messages_are_told_of_at_once_and_then_once_a_minute_with_their_count() -> None:
    now = [0.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731  # two lines for a def say no more
    refused = RefusedMessages(clock)
    with capture_logs() as logs:
        for _ in range(5):
            refused.note(Fault.ID, {"id": 7})
        refused.note(Fault.TASK, {})
        now[0] = TELL_INTERVAL_S - 1.0
        refused.tell()
        assert [(line["reason"], line["count"]) for line in logs] == [(Fault.ID, 1), (Fault.TASK, 1)]
        now[0] = TELL_INTERVAL_S
        refused.tell()
        now[0] = 10 * TELL_INTERVAL_S
        refused.tell()
    assert [(line["reason"], line["count"]) for line in logs[2:]] == [(Fault.ID, 4)]
    assert logs[2]["example"] == "{'id': 7}"
