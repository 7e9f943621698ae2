"""What follows from an outcome."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.errors import (
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from mtlsd.journal.model import DeliveryState
from mtlsd.relay.retry import Answered, Decision, Outcome, RetryPolicy, decide

POLICY = RetryPolicy(first_retry=10.0, max_retry=600.0, give_up_after=86_400.0)
NOW = 1_000_000.0  # Mon, 12 Jan 1970 13:46:40 GMT
PENDING, DELIVERED, FAILED = DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.FAILED


def decided(outcome: Outcome, attempts: int = 1, age: float = 0.0, jitter: float = 1.0) -> Decision:
    return decide(outcome, attempts, age, NOW, POLICY, jitter)


def waits(outcome: Outcome, attempts: int = 1, age: float = 0.0, jitter: float = 1.0) -> float:
    decision = decided(outcome, attempts, age, jitter)
    assert decision.not_before is not None
    return decision.not_before - NOW


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        *[(Answered(status), DELIVERED, None) for status in (200, 201, 202, 204, 299)],
        *[(Answered(status), PENDING, "upstream_5xx") for status in (408, 425, 429, 500, 502, 503, 504, 599)],
        *[(Answered(status), FAILED, "upstream_rejected") for status in (100, 199, 300, 301, 307, 400, 401)],
        *[(Answered(status), FAILED, "upstream_rejected") for status in (403, 404, 409, 413, 422, 499, 600)],
        (UpstreamUnreachable(), PENDING, "upstream_unreachable"),
        (UpstreamTimeout(), PENDING, "upstream_timeout"),
        (UpstreamRejected(), FAILED, "upstream_rejected"),
    ],
)
def test_an_outcome_means(outcome: Outcome, state: DeliveryState, reason: str | None) -> None:
    decision = decided(outcome)
    assert (decision.state, decision.reason) == (state, reason)
    assert (decision.not_before is None) == (state is not PENDING)


@pytest.mark.parametrize(
    ("attempts", "jitter", "wait"),
    [
        (1, 1.0, 10.0),
        (1, 0.0, 5.0),
        (2, 1.0, 20.0),
        (3, 1.0, 40.0),
        (3, 0.5, 30.0),
        (7, 1.0, 600.0),
        (10_000, 1.0, 600.0),
        (10_000, 0.0, 300.0),
        (0, 1.0, 10.0),
    ],
)
def test_the_wait_doubles_up_to_its_limit(attempts: int, jitter: float, wait: float) -> None:
    assert waits(UpstreamUnreachable(), attempts, jitter=jitter) == wait


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1", 10.0),  # never sooner than our own back-off
        ("Mon, 12 Jan 1970 13:48:40 GMT", 120.0),
        ("Monday, 12-Jan-70 13:48:40 GMT", 120.0),  # RFC 850
        ("Mon Jan 12 13:48:40 1970", 120.0),  # asctime
        ("Mon, 12 Jan 1970 13:00:00 GMT", 10.0),
        ("999999999", 86_400.0),  # there is an attempt before we give up
        ("9999999999999", 10.0),
        ("-120", 10.0),
        ("1.5", 10.0),
        ("soon", 10.0),
        ("", 10.0),
        ("Mon, 99 Foo 1970 99:99:99 GMT", 10.0),
    ],
)
def test_retry_after_is_honoured_where_it_makes_sense(retry_after: str, wait: float) -> None:
    assert waits(Answered(503, retry_after)) == wait


def test_retry_after_saves_nothing_that_is_final() -> None:
    assert decided(Answered(400, "120")) == Decision(FAILED, reason="upstream_rejected")


@pytest.mark.parametrize("outcome", [Answered(503), UpstreamTimeout(), UpstreamUnreachable()])
@pytest.mark.parametrize("age", [86_400.0, 86_401.0, 1e12])
def test_what_is_too_old_fails(outcome: Outcome, age: float) -> None:
    decision = decided(outcome, age=age)
    assert decision.state is FAILED
    assert decision.reason


def test_what_is_old_but_delivered_is_delivered() -> None:
    assert decided(Answered(200), age=1e12) == Decision(DELIVERED)


def test_the_last_wait_ends_when_we_give_up() -> None:
    assert waits(UpstreamTimeout(), attempts=100, age=86_400.0 - 7.0) == 7.0


def test_a_clock_that_jumped_back_only_prolongs() -> None:
    assert waits(UpstreamTimeout(), age=-3600.0) == 10.0


OUTCOMES = st.one_of(
    st.builds(Answered, st.integers(0, 999), st.none() | st.text() | st.from_regex(r"[0-9A-Za-z,:+ -]*")),
    st.sampled_from([UpstreamTimeout(), UpstreamUnreachable(), UpstreamRejected()]),
)


@given(
    outcome=OUTCOMES,
    attempts=st.integers(0, 10**9),
    age=st.floats(-1e9, 1e9),
    jitter=st.floats(0, 1),
)
def test_any_outcome_is_decided(outcome: Outcome, attempts: int, age: float, jitter: float) -> None:
    decision = decide(outcome, attempts, age, NOW, POLICY, jitter)
    assert decision.state in {PENDING, DELIVERED, FAILED}
    assert (decision.reason is None) == (decision.state is DELIVERED)
    if decision.state is PENDING:
        assert decision.not_before is not None
        assert NOW <= decision.not_before <= NOW + (POLICY.give_up_after - age)


def test_every_cause_has_its_reason() -> None:
    for cause in UpstreamFailed.__subclasses__():
        assert decided(cause()).reason == cause.reason


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answered(422, body=b"order 4711 is not known"), "order 4711 is not known"),
        (Answered(500, body=b"<p>\r\n  a\tb</p>\n"), "<p> a b</p>"),
        (Answered(400, body=b"\x1b[31mred\x00\xe2\x80\xae"), "\\x1b[31mred\\x00\\u202e"),
        (Answered(400, body=b"\xff\xfe"), "\ufffd\ufffd"),
        (Answered(503, body=b"x" * 10_000), "x" * 500),
        (Answered(503), ""),
        (Answered(400, headers=(("content-encoding", "gzip"),), body=b"\x1f\x8b"), ""),
        (Answered(200, body=b"accepted as 4711"), ""),
        (Answered(204, body=b"x"), ""),
    ],
)
def test_only_a_refusal_is_explained_in_printable_words(answer: Answered, words: str) -> None:
    assert answer.explanation == words
