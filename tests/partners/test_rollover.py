"""Several certificates for one use: dates say what each may do, and the first use of a newer one which is active."""

from datetime import datetime, timedelta

import pytest

from mtlsd.partners.rollover import CertificateState, Registered, Standing, Use, current, standings
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.dates import Dates
from tests.support import pki
from tests.support.pki import DAY, NOW

OLD = pki.self_signed("roll-over", start=NOW - 300 * DAY, end=NOW + 20 * DAY).certificate
NEW = pki.self_signed("roll-over", start=NOW - 10 * DAY, end=NOW + 300 * DAY).certificate
NEXT = pki.self_signed("roll-over", start=NOW + 10 * DAY, end=NOW + 600 * DAY).certificate
MICROSECOND = timedelta(microseconds=1)
PENDING, ACTIVE, RETIRING, RETIRED = CertificateState


def at(now: datetime, *promoted: object, old: Dates = Dates(), new: Dates = Dates()) -> list[Standing]:  # noqa: B008
    promotions = {Use.MESSAGE.mark("acme", each): NOW for each in promoted}  # type: ignore[arg-type]
    return standings(Use.MESSAGE, "acme", [Registered(NEW, new), Registered(OLD, old)], promotions, now)


def states(found: list[Standing]) -> list[CertificateState]:
    return [each.state for each in found]


def test_a_single_certificate_is_active_without_a_promotion() -> None:
    [found] = standings(Use.MESSAGE, "acme", [Registered(OLD)], {}, NOW)
    assert (found.state, found.usable, found.ends) == (ACTIVE, True, OLD.not_after)


def test_a_new_one_waits_for_its_first_use_and_may_be_used() -> None:
    found = at(NOW)
    assert [each.certificate for each in found] == [OLD, NEW]
    assert states(found) == [ACTIVE, PENDING]
    assert [each.usable for each in found] == [True, True]


def test_its_first_use_makes_it_active_and_the_older_retiring() -> None:
    found = at(NOW, NEW)
    assert states(found) == [RETIRING, ACTIVE]
    assert [each.usable for each in found] == [True, True]


def test_before_its_date_it_is_pending_even_when_it_was_promoted_once() -> None:
    later = Dates(active_from=NOW + DAY)
    assert states(at(NOW, new=later)) == [ACTIVE, PENDING]
    assert states(at(NOW, NEW, new=later)) == [ACTIVE, PENDING]
    assert [each.usable for each in at(NOW, NEW, new=later)] == [True, False]
    assert at(NOW + DAY, new=later)[1].usable


def test_after_its_date_the_old_one_is_retired_whoever_uses_it() -> None:
    ending = Dates(retire_after=NOW)
    assert states(at(NOW, NEW, old=ending)) == [RETIRING, ACTIVE]
    assert states(at(NOW + MICROSECOND, NEW, old=ending)) == [RETIRED, ACTIVE]
    assert states(at(NOW + MICROSECOND, old=ending)) == [RETIRED, ACTIVE]  # there is no other
    assert not at(NOW + MICROSECOND, old=ending)[0].usable
    assert at(NOW, old=ending)[0].ends == NOW


def test_an_expired_one_is_retired_without_a_date() -> None:
    assert states(at(OLD.not_after + MICROSECOND, NEW)) == [RETIRED, ACTIVE]
    assert states(at(NEW.not_after + MICROSECOND)) == [RETIRED, RETIRED]


def test_a_promotion_is_of_one_use_and_of_one_owner() -> None:
    marks = {use.mark(owner, OLD) for use in Use for owner in ("acme", "globex")}
    assert len(marks) == 12
    promotions = {Use.CONNECTION.mark("acme", NEW): NOW, Use.MESSAGE.mark("globex", NEW): NOW}
    found = standings(Use.MESSAGE, "acme", [Registered(OLD), Registered(NEW)], promotions, NOW)
    assert states(found) == [ACTIVE, PENDING]


def test_one_that_was_left_out_is_retiring_too() -> None:
    promotions = {Use.MESSAGE.mark("acme", NEXT): NOW}
    found = standings(Use.MESSAGE, "acme", map(Registered, (OLD, NEW, NEXT)), promotions, NOW + 11 * DAY)
    assert states(found) == [RETIRING, RETIRING, ACTIVE]


LATER, ENDED = Dates(active_from=NOW + DAY), Dates(retire_after=NOW - DAY)


@pytest.mark.parametrize(
    ("old", "new", "now", "expected"),
    [
        (Dates(), Dates(), NOW, NEW),
        (Dates(), LATER, NOW, OLD),
        (Dates(), LATER, NOW + DAY, NEW),
        (ENDED, Dates(), NOW, NEW),
        (ENDED, LATER, NOW, OLD),  # neither is to be used: the one that was
        (Dates(), Dates(), NEW.not_before - DAY, OLD),
        (Dates(), Dates(), OLD.not_before - DAY, NEW),  # neither is valid
        (Dates(), Dates(retire_after=NOW), NOW + DAY, OLD),  # somebody went back
        (Dates(), Dates(active_from=NOW + 30 * DAY), NOW + 25 * DAY, NEW),  # an expired one serves nobody
        (Dates(), Dates(), NEW.not_after + DAY, NEW),
    ],
)
def test_of_ours_the_newest_is_used_whose_dates_hold(
    old: Dates, new: Dates, now: datetime, expected: Certificate
) -> None:
    assert current([Registered(OLD, old), Registered(NEW, new)], now).certificate is expected
    assert current([Registered(NEW, new), Registered(OLD, old)], now).certificate is expected
