"""What ends is told so many days before and on the day, once, whatever else ends."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mtlsd.partners.expiry import Expiring, due, expiring_partner
from mtlsd.partners.partner import Partner
from tests.support import pki
from tests.support.pki import DAY, NOW

DAYS = (60, 30, 14, 7, 3, 1, 0)


def thing(left: timedelta, owner: str = "partner acme", sha256: str = "a") -> Expiring:
    return Expiring(owner, "connections", "CN=a", sha256, NOW + left, is_ours=False)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (61 * DAY, []),
        (61 * DAY - timedelta(seconds=1), [60]),
        (60 * DAY, [60]),
        (31 * DAY, [60]),
        (30.5 * DAY, [30]),
        (14 * DAY, [14]),
        (13 * DAY, [14]),
        (7 * DAY, [7]),
        (3 * DAY, [3]),
        (1.9 * DAY, [1]),
        (0.9 * DAY, [0]),
        (timedelta(0), [0]),
        (-DAY, [0]),  # on a Sunday, when nobody looked
        (-30 * DAY, [0]),
        (-31 * DAY, []),  # nobody's news
    ],
)
def test_the_alert_that_is_due(left: timedelta, expected: list[int]) -> None:
    assert [alert.days for alert in due([thing(left)], DAYS, NOW)] == expected


def test_each_alert_becomes_due_once_while_the_days_go_by() -> None:
    seen = [alert.days for hour in range(70 * 24) for alert in due([thing(65 * DAY)], DAYS, NOW + hour * DAY / 24)]
    assert tuple(dict.fromkeys(seen)) == DAYS
    assert seen == sorted(seen, reverse=True)


def test_no_days_are_no_alerts() -> None:
    assert list(due([thing(DAY)], (), NOW)) == []


def test_a_certificate_that_many_have_is_one_alert_with_some_of_their_names() -> None:
    things = [thing(DAY, f"partner p{number}") for number in range(8)]
    (alert,) = due(things, DAYS, NOW)
    assert alert.about.owner == "partner p0, partner p1, partner p2, partner p3, partner p4 and 3 more"


def test_a_certificate_that_we_have_too_is_ours_to_renew() -> None:
    ours = replace(thing(DAY, "any name at all"), is_ours=True)
    for things, is_ours in (([thing(DAY)], False), ([thing(DAY), ours], True), ([ours], True)):
        (alert,) = due(things, DAYS, NOW)
        assert alert.about.is_ours == is_ours


def test_everything_that_a_partner_uses_is_looked_at() -> None:
    root, other = pki.root(), pki.root("MDN root")
    leaf, message = pki.leaf(root), pki.self_signed("message")
    middle = pki.intermediate(root)
    partner = Partner(
        "acme",
        ("ACME",),
        public_certificates=(leaf.certificate,),
        trusted_roots=(root.certificate,),
        intermediates=(middle.certificate,),
        message_certificates=(message.certificate, leaf.certificate),
        mdn_roots=(other.certificate,),
    )
    assert {each.name: each.use for each in expiring_partner(partner)} == {
        "CN=edi.acme.example": "connections, messages",
        "CN=Root": "root",
        "CN=Intermediate": "intermediate",
        "CN=message": "messages",
        "CN=MDN root": "MDN servers",
    }
