"""The bodies of refusals: every cause has a page and a problem, and both say no more than a stranger may know."""

import json
from html import escape

import pytest

from mtlsd.errors import CertificateRefused, CertKnownOtherHost, PeerError, peer_errors
from mtlsd.http.problems import respond

ANSWERED = [error for error in peer_errors() if error.http_status is not None]
DETAIL = "ACME /var/lib/mtlsd 10.0.0.1"


@pytest.mark.parametrize("error", ANSWERED, ids=lambda error: error.__name__)
def test_every_cause_has_a_page(error: type[PeerError]) -> None:
    refusal = error(DETAIL, partner="acme")
    response = respond(refusal, request_id="the-id", as_json=False)
    page = response.body.decode("ascii")
    assert response.status == error.http_status
    assert dict(response.fields)["Mtlsd-Reason"] == error.reason
    assert f"<p>{error.reason}: {escape(refusal.said)}</p>\r\n<p>Request the-id</p>\r\n" in page
    assert page.startswith("<html>\r\n<head><title>")
    assert ("ACME" in page) is error.tells_cause
    assert response.close


@pytest.mark.parametrize("error", ANSWERED, ids=lambda error: error.__name__)
def test_every_cause_has_a_problem(error: type[PeerError]) -> None:
    response = respond(error(DETAIL), request_id="the-id", as_json=True)
    problem = json.loads(response.body)
    assert problem["status"] == error.http_status
    assert problem["reason"] == error.reason
    assert problem["request_id"] == "the-id"
    assert ("ACME" in problem["detail"]) is error.tells_cause


@pytest.mark.parametrize("error", ANSWERED, ids=lambda error: error.__name__)
def test_a_client_s_own_fault_is_no_5xx_and_ours_says_when_to_come_back(error: type[PeerError]) -> None:
    fields = dict(respond(error(), request_id="", as_json=False).fields)
    assert (fields.get("Retry-After") is not None) == (error.http_status in (429, 503))


@pytest.mark.parametrize("error", ANSWERED, ids=lambda error: error.__name__)
def test_a_page_about_a_certificate_names_whoami_if_the_host_has_it(error: type[PeerError]) -> None:
    link = b'<a href="/whoami">/whoami</a>'
    is_about = issubclass(error, CertificateRefused | CertKnownOtherHost)
    assert (link in respond(error(), request_id="", as_json=False, whoami="/whoami").body) is is_about
    assert b"<a" not in respond(error(), request_id="", as_json=False).body
