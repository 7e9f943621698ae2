"""The bodies of refusals: every cause has a page and a problem, and both say no more than a stranger may know."""

import json

import pytest

from mtlsd.errors import PeerError, peer_errors
from mtlsd.http.problems import respond

ANSWERED = [error for error in peer_errors() if error.http_status is not None]
DETAIL = "ACME /var/lib/mtlsd 10.0.0.1"


@pytest.mark.parametrize("error", ANSWERED, ids=lambda error: error.__name__)
def test_every_cause_has_a_page(error: type[PeerError]) -> None:
    response = respond(error(DETAIL, partner="acme"), request_id="the-id", as_json=False)
    page = response.body.decode("ascii")
    assert response.status == error.http_status
    assert dict(response.fields)["Mtlsd-Reason"] == error.reason
    assert f"<!-- {error.reason}: {error.advice} Request the-id -->" in page
    assert page.startswith("<html>\r\n<head><title>")
    assert "ACME" not in page
    assert response.close


@pytest.mark.parametrize("error", ANSWERED, ids=lambda error: error.__name__)
def test_every_cause_has_a_problem(error: type[PeerError]) -> None:
    response = respond(error(DETAIL), request_id="the-id", as_json=True)
    problem = json.loads(response.body)
    assert problem["status"] == error.http_status
    assert problem["reason"] == error.reason
    assert problem["request_id"] == "the-id"
    assert "ACME" not in response.body.decode()


@pytest.mark.parametrize("error", ANSWERED, ids=lambda error: error.__name__)
def test_a_client_s_own_fault_is_no_5xx_and_ours_says_when_to_come_back(error: type[PeerError]) -> None:
    fields = dict(respond(error(), request_id="", as_json=False).fields)
    assert (fields.get("Retry-After") is not None) == (error.http_status in (429, 503))


def test_no_advice_ends_the_comment_that_it_stands_in() -> None:
    assert not [error for error in ANSWERED if "--" in error.advice or ">" in error.advice]
