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
    signed         TEXT,
    signature      TEXT,
    form           TEXT,
    configuration  TEXT NOT NULL,
    salt           TEXT NOT NULL,
    contents       BIGINT NOT NULL,  -- octets of documents; 0 once they were pruned
    notes          TEXT NOT NULL,  -- JSON: [sentence, ...]
    digests        TEXT NOT NULL,  -- JSON: [[suffix, SHA-256], ...]
    mdn_headers    TEXT,           -- JSON: [[name, value], ...]
    mdn_body       BYTEA,
    UNIQUE (message_id, as2_from, as2_to),  -- message_id leads: operators search by it alone
    CHECK ((mdn_headers IS NULL) = (mdn_body IS NULL))
);

CREATE INDEX messages_by_partner ON messages (partner, id);
CREATE INDEX messages_with_contents ON messages (partner, received_at) INCLUDE (contents) WHERE contents > 0;

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
    configuration TEXT NOT NULL,
    salt        TEXT NOT NULL,
    mdn_headers TEXT NOT NULL,     -- JSON: [[name, value], ...]
    mdn_body    BYTEA NOT NULL
);

-- By hash: it may be refused for its length, and an entry of a B-tree has at most 2704 octets.
CREATE INDEX refusals_by_message_id ON refusals USING hash (message_id);
CREATE INDEX refusals_by_partner ON refusals (partner, id);

CREATE TABLE deliveries (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    message_id  TEXT COLLATE "C" REFERENCES messages (id),
    refusal_id  TEXT COLLATE "C" REFERENCES refusals (id),
    kind        TEXT NOT NULL,
    target      TEXT NOT NULL,    -- one or more URLs, with blanks between
    lane        TEXT COLLATE "C" NOT NULL,
    pinned      TEXT,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'claimed', 'delivered', 'failed', 'dropped')),
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
    CHECK ((state IN ('delivered', 'failed', 'dropped')) = (finished_at IS NOT NULL))
);

CREATE INDEX deliveries_by_message ON deliveries (message_id);
CREATE INDEX deliveries_by_refusal ON deliveries (refusal_id) WHERE refusal_id IS NOT NULL;
CREATE INDEX deliveries_by_state ON deliveries (state, message_id);
CREATE INDEX deliveries_open ON deliveries (lane, not_before, id) WHERE state IN ('pending', 'claimed');
CREATE INDEX deliveries_pending ON deliveries (lane, not_before) WHERE state = 'pending';
CREATE INDEX deliveries_leased ON deliveries (lane, lease_until) WHERE state = 'claimed';
CREATE INDEX deliveries_in_order ON deliveries (lane, id)
WHERE lane >= 'ordered ' AND lane < 'ordered!' AND state IN ('pending', 'claimed', 'failed');
CREATE INDEX deliveries_by_reason ON deliveries (last_reason, message_id) WHERE last_reason IS NOT NULL;

CREATE TABLE attempts (
    delivery_id TEXT COLLATE "C" NOT NULL REFERENCES deliveries (id),
    number      INTEGER NOT NULL,
    started_at  DOUBLE PRECISION NOT NULL,
    finished_at DOUBLE PRECISION NOT NULL,
    status      INTEGER,
    reason      TEXT,
    detail      TEXT NOT NULL,
    target      TEXT,
    PRIMARY KEY (delivery_id, number)
);

CREATE TABLE entries (            -- the hash chain of each node: see chain.py
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- in the order of writing, of one subject and of one node
    node     TEXT COLLATE "C" NOT NULL,
    number   BIGINT NOT NULL,
    at       DOUBLE PRECISION NOT NULL,
    kind     TEXT NOT NULL,
    subject  TEXT NOT NULL,       -- the id of a message or a refusal, or a version of the configuration
    facts    TEXT NOT NULL,       -- canonical JSON
    previous TEXT NOT NULL,
    digest   TEXT NOT NULL,
    UNIQUE (node, number)
);

CREATE INDEX entries_by_subject ON entries (subject, position);

CREATE TABLE heads (              -- one row a node, to be locked by whoever enters something in its chain
    node TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

CREATE TABLE certificates (       -- of those who signed
    sha256 TEXT NOT NULL PRIMARY KEY,
    der    BYTEA NOT NULL
);
