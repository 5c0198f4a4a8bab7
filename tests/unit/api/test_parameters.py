"""api.parameters: delay_s, eta, wait."""

from datetime import UTC, datetime, timedelta

import pytest

from api.parameters import NO_OPTIONS, parse_query, parse_submit_options, parse_wait_s
from core.errors import InvalidArgumentsError
from tests.api_rig import make_settings

SETTINGS = make_settings("postgresql://nowhere")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def parse(query: str) -> tuple[float, datetime | None]:
    options = parse_submit_options(query.encode(), SETTINGS, NOW)
    return options.delay_s, options.eta


def test_no_query_is_no_option() -> None:
    assert parse_submit_options(b"", SETTINGS, NOW) is NO_OPTIONS


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0.0), ("-0", 0.0), ("1.5", 1.5), ("1e3", 1000.0), ("2592000", 2592000.0), ("1E-3", 0.001)]
)
def test_delay_is_a_number_of_seconds(text: str, seconds: float) -> None:
    assert parse(f"delay_s={text}") == (seconds, None)


@pytest.mark.parametrize(
    ("text", "eta"),
    [
        ("2026-01-01T13:00:00Z", NOW + timedelta(hours=1)),
        ("2026-01-01t13:00:00z", NOW + timedelta(hours=1)),
        ("2026-01-01T15:00:00%2B02:00", NOW + timedelta(hours=1)),
        ("2026-01-01T13:00:00-00:00", NOW + timedelta(hours=1)),
        ("2026-01-01%2013:00:00.25Z", NOW + timedelta(hours=1, seconds=0.25)),
        ("2026-01-01T13:00:00.123456789Z", NOW + timedelta(hours=1, microseconds=123456)),
        ("2026-01-31T12:00:00Z", NOW + timedelta(days=30)),
        ("2026-01-01T12:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
    ],
)
def test_eta_is_a_moment_and_none_if_it_has_passed(text: str, eta: datetime | None) -> None:
    assert parse(f"eta={text}") == (0.0, eta)


@pytest.mark.parametrize("query", ["delay_s=2592000.1", "eta=2026-01-31T12:00:01Z"])
def test_delay_beyond_30_days_is_refused(query: str) -> None:
    with pytest.raises(InvalidArgumentsError, match="2592000 seconds"):
        parse(query)


def test_the_same_moment_in_another_spelling_is_the_same_request() -> None:
    spelled = [b"eta=2026-01-01T13:00:00Z", b"eta=2026-01-01T14:00:00.0%2B01:00"]
    first, second = (parse_submit_options(query, SETTINGS, NOW).asked for query in spelled)
    assert first == second


def test_no_delay_is_the_same_request_as_a_delay_of_0() -> None:
    assert parse_submit_options(b"delay_s=0", SETTINGS, NOW).asked == NO_OPTIONS.asked


@pytest.mark.parametrize("priority", range(10))
def test_priority_is_a_digit(priority: int) -> None:
    options = parse_submit_options(f"priority={priority}".encode(), SETTINGS, NOW)
    assert (options.priority, options.asked) == (priority, {"priority": str(priority)})


@pytest.mark.parametrize("text", ["-1", "10", "1.0", "", "x", "\u0663", "1e0", "+1"])
def test_other_priorities_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentsError, match="priority"):
        parse(f"priority={text}")


@pytest.mark.parametrize(
    ("query", "expires_s"),
    [("expires_s=1.5", 1.5), ("delay_s=5&expires_s=5.1", 5.1), ("eta=2026-01-01T12:01:00Z&expires_s=61", 61.0)],
)
def test_expiry_counts_from_now(query: str, expires_s: float) -> None:
    options = parse_submit_options(query.encode(), SETTINGS, NOW)
    assert options.expires_s == expires_s
    assert options.asked["expires_s"] == repr(expires_s)


@pytest.mark.parametrize(
    "query",
    [
        "expires_s=0",
        "expires_s=-1",
        "expires_s=5184001",
        "delay_s=5&expires_s=5",
        "eta=2026-01-01T12:01:00Z&expires_s=60",
        "expires_s=nan",
    ],
)
def test_expiry_before_the_job_is_due_is_refused(query: str) -> None:
    with pytest.raises(InvalidArgumentsError, match="expires_s"):
        parse(query)


def test_job_with_the_longest_delay_may_expire() -> None:
    assert parse("delay_s=2592000&expires_s=2592001") == (2592000.0, None)


def test_wait_is_0_without_the_parameter() -> None:
    assert parse_wait_s(b"", SETTINGS) == 0.0


def test_error_names_the_unknown_parameter_and_the_known_ones() -> None:
    with pytest.raises(InvalidArgumentsError, match="'dely_s' is no query parameter; known here: delay_s, eta"):
        parse("dely_s=1")


def test_plus_sign_that_became_a_space_is_explained() -> None:
    with pytest.raises(InvalidArgumentsError, match="%2B"):
        parse("eta=2026-01-01T15:00:00+02:00")


@pytest.mark.parametrize("query", [b"a=%ff&a=%fe", b"&".join([b"a=1"] * 1000), b"%", b"=", b"\xff=1", b"a" * 100_000])
def test_strange_query_is_invalid(query: bytes) -> None:
    with pytest.raises(InvalidArgumentsError):
        parse_query(query, ("a",))
