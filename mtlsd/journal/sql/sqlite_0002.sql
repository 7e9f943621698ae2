-- Notices of expiry have rows of their own. What the chain says was given counts as given.

CREATE TABLE notices (
    certificate   TEXT NOT NULL,      -- sha256
    days          INTEGER NOT NULL,   -- before it expires
    claimed_by    TEXT NOT NULL,      -- a node
    claimed_until REAL NOT NULL,
    given_at      REAL,
    PRIMARY KEY (certificate, days)
) STRICT, WITHOUT ROWID;

INSERT INTO notices (certificate, days, claimed_by, claimed_until, given_at)
SELECT substr(subject, length('expiry ') + 1), json_extract(facts, '$.days'), min(node), min(at), min(at)
FROM entries
WHERE kind = 'alert_given' AND CASE WHEN json_valid(facts) THEN json_type(facts, '$.days') = 'integer' ELSE 0 END
GROUP BY 1, 2;
