-- Messages, refusals that are told asynchronously, the deliveries of both, and the attempts at them.
-- Ids sort by their octets, whatever the locale of the database.

CREATE TABLE journal_version (version INTEGER NOT NULL);

CREATE TABLE messages (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    as2_from       TEXT NOT NULL,
    as2_to         TEXT NOT NULL,
    message_id     TEXT NOT NULL,  -- exactly as received
    partner        TEXT NOT NULL,
    host           TEXT NOT NULL,
    route          TEXT NOT NULL,
    received_at    DOUBLE PRECISION NOT NULL,
    content_type   TEXT NOT NULL,
    size           BIGINT NOT NULL,
    payload        TEXT,           -- none where we hold no key for the message
    original       TEXT NOT NULL,
    original_size  BIGINT NOT NULL,
    headers        TEXT NOT NULL,  -- JSON: [[name, value], ...]
    request_id     TEXT NOT NULL,
    compressed     BOOLEAN NOT NULL,
    subject        TEXT,
    filename       TEXT,
    mic            TEXT,
    mic_algorithm  TEXT,
    signer_sha256  TEXT,
    encrypted_with TEXT,
    notes          TEXT NOT NULL,  -- JSON: [sentence, ...]
    mdn_headers    TEXT,           -- JSON: [[name, value], ...]
    mdn_body       BYTEA,
    UNIQUE (message_id, as2_from, as2_to),  -- message_id leads: operators search by it alone
    CHECK ((mdn_headers IS NULL) = (mdn_body IS NULL))
);

CREATE INDEX messages_by_partner ON messages (partner, id);

CREATE TABLE documents (          -- small ones; large ones are in the spool
    name TEXT NOT NULL PRIMARY KEY,
    data BYTEA NOT NULL
);

CREATE TABLE refusals (           -- no key but the id: a refused message may come again
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    as2_from    TEXT NOT NULL,
    as2_to      TEXT NOT NULL,
    message_id  TEXT NOT NULL,     -- exactly as received
    partner     TEXT NOT NULL,
    host        TEXT NOT NULL,
    refused_at  DOUBLE PRECISION NOT NULL,
    reason      TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    mdn_headers TEXT NOT NULL,     -- JSON: [[name, value], ...]
    mdn_body    BYTEA NOT NULL
);

-- By hash: it may be refused for its length, and an entry of a B-tree has at most 2704 octets.
CREATE INDEX refusals_by_message_id ON refusals USING hash (message_id);

CREATE TABLE deliveries (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    message_id  TEXT COLLATE "C" REFERENCES messages (id),
    refusal_id  TEXT COLLATE "C" REFERENCES refusals (id),
    kind        TEXT NOT NULL,
    target      TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'claimed', 'delivered', 'failed')),
    not_before  DOUBLE PRECISION NOT NULL,
    attempts    INTEGER NOT NULL,
    created_at  DOUBLE PRECISION NOT NULL,
    lease_owner TEXT,
    lease_until DOUBLE PRECISION,
    finished_at DOUBLE PRECISION,
    last_reason TEXT,
    CHECK ((message_id IS NULL) <> (refusal_id IS NULL)),
    CHECK ((state = 'claimed') = (lease_owner IS NOT NULL)),
    CHECK ((state = 'claimed') = (lease_until IS NOT NULL)),
    CHECK ((state IN ('delivered', 'failed')) = (finished_at IS NOT NULL))
);

CREATE INDEX deliveries_by_message ON deliveries (message_id);
CREATE INDEX deliveries_by_refusal ON deliveries (refusal_id) WHERE refusal_id IS NOT NULL;
CREATE INDEX deliveries_by_state ON deliveries (state, message_id);
CREATE INDEX deliveries_open ON deliveries (not_before, id) WHERE state IN ('pending', 'claimed');
CREATE INDEX deliveries_pending ON deliveries (not_before) WHERE state = 'pending';
CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE state = 'claimed';

CREATE TABLE attempts (
    delivery_id TEXT COLLATE "C" NOT NULL REFERENCES deliveries (id),
    number      INTEGER NOT NULL,
    started_at  DOUBLE PRECISION NOT NULL,
    finished_at DOUBLE PRECISION NOT NULL,
    status      INTEGER,
    reason      TEXT,
    detail      TEXT NOT NULL,
    PRIMARY KEY (delivery_id, number)
);
