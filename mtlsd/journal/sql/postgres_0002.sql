-- Notices of expiry have rows of their own. What the chain says was given counts as given.

CREATE TABLE notices (
    certificate   TEXT COLLATE "C" NOT NULL,  -- sha256
    days          INTEGER NOT NULL,           -- before it expires
    claimed_by    TEXT COLLATE "C" NOT NULL,  -- a node
    claimed_until DOUBLE PRECISION NOT NULL,
    given_at      DOUBLE PRECISION,
    PRIMARY KEY (certificate, days)
);

INSERT INTO notices (certificate, days, claimed_by, claimed_until, given_at)
SELECT substr(subject, length('expiry ') + 1), substring(facts FROM '"days":(\d{1,6})[,}]')::integer, min(node), min(at), min(at)
FROM entries WHERE kind = 'alert_given' AND facts ~ '"days":\d{1,6}[,}]' GROUP BY 1, 2;
