-- The queries of the journal that are the same in SQLite and in PostgreSQL.
--
-- Values have names, as in :id; those of a whole record are ?, in the order of its columns. Both drivers get what they
-- know. A lock of rows, FOR UPDATE, is PostgreSQL's: SQLite locks the whole file, and never sees the clause.

-- name: accept_message
INSERT INTO messages (
    id, as2_from, as2_to, message_id, partner, host, route, received_at, content_type, size, payload, original,
    original_size, request_id, compressed, subject, filename, mic, mic_algorithm, signer_sha256, encrypted_with,
    signed, signature, form, configuration, salt, contents, headers, notes, digests, mdn_headers, mdn_body
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (message_id, as2_from, as2_to) DO NOTHING;

-- name: accept_document
INSERT INTO documents (name, data) VALUES (?, ?);

-- name: document
SELECT data FROM documents WHERE name = :name;

-- name: accept_delivery
INSERT INTO deliveries (
    id, message_id, refusal_id, kind, target, lane, pinned, state, not_before, attempts, created_at,
    lease_owner, lease_until, finished_at, last_reason
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: lock_message
SELECT id FROM messages WHERE id = :id FOR NO KEY UPDATE;

-- name: lock_contents
SELECT contents FROM messages WHERE id = :id FOR NO KEY UPDATE;  -- nobody prunes them before the commit

-- name: delivery_to_be_made
SELECT id FROM deliveries
WHERE message_id = :message_id AND kind = :kind AND target = :target AND state IN ('pending', 'claimed');

-- name: answer_message
UPDATE messages SET mdn_headers = :headers, mdn_body = :body WHERE id = :id AND mdn_headers IS NULL;

-- name: accept_refusal
INSERT INTO refusals (
    id, as2_from, as2_to, message_id, partner, host, refused_at, reason, request_id, configuration, salt,
    mdn_headers, mdn_body
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: find_message
SELECT * FROM messages WHERE message_id = :message_id AND as2_from = :as2_from AND as2_to = :as2_to;

-- name: message
SELECT * FROM messages WHERE id = :id;

-- name: message_by_message_id
SELECT * FROM messages WHERE message_id = :message_id ORDER BY received_at DESC, id DESC LIMIT :limit;

-- name: refusal
SELECT * FROM refusals WHERE id = :id;

-- name: refusal_by_message_id
SELECT * FROM refusals WHERE message_id = :message_id ORDER BY refused_at DESC, id DESC LIMIT :limit;

-- name: lock_first
SELECT * FROM deliveries WHERE id = :id FOR UPDATE SKIP LOCKED;

-- name: lease_delivery
UPDATE deliveries SET state = 'claimed', attempts = :attempts, lease_owner = :owner, lease_until = :until
WHERE id = :id;

-- name: renew_lease
UPDATE deliveries  -- if the clock jumped back, what was due stays due
SET lease_until = :until, not_before = CASE WHEN not_before > :until THEN :until ELSE not_before END
WHERE id = :id AND state = 'claimed' AND lease_owner = :owner;

-- name: record_attempt
INSERT INTO attempts (delivery_id, number, started_at, finished_at, status, reason, detail, target)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: record_outcome
UPDATE deliveries
SET state = :state, not_before = coalesce(:not_before, not_before), finished_at = :finished_at,
    last_reason = :reason, lease_owner = NULL, lease_until = NULL, pinned = coalesce(:pinned, pinned)
WHERE id = :id;

-- name: take_back_leases
UPDATE deliveries
SET state = 'pending', not_before = CASE WHEN not_before > :now THEN :now ELSE not_before END,
    lease_owner = NULL, lease_until = NULL
WHERE state = 'claimed' AND lease_owner = :owner;

-- name: requeue_delivery
UPDATE deliveries
SET state = 'pending', not_before = :now, finished_at = NULL, pinned = CASE WHEN :unpin THEN NULL ELSE pinned END
WHERE id = :id;

-- name: drop_delivery
UPDATE deliveries SET state = 'dropped', finished_at = :now WHERE id = :id;

-- name: lock_delivery
SELECT * FROM deliveries WHERE id = :id FOR UPDATE;

-- name: deliveries
SELECT * FROM deliveries WHERE message_id = :id
UNION ALL
SELECT * FROM deliveries WHERE refusal_id = :id ORDER BY id;

-- name: attempts
SELECT * FROM attempts WHERE delivery_id = :delivery_id ORDER BY number;

-- name: counts
SELECT state, count(*) AS count FROM deliveries GROUP BY state;

-- name: spool_names
SELECT id, payload, original, signed, signature, contents FROM messages WHERE id > :after ORDER BY id LIMIT :limit;

-- name: notice_given
SELECT days FROM notices WHERE certificate = :certificate AND days <= :days AND given_at <= :latest LIMIT 1;

-- name: claim_notice
INSERT INTO notices (certificate, days, claimed_by, claimed_until) VALUES (:certificate, :days, :node, :until)
ON CONFLICT (certificate, days) DO UPDATE
SET claimed_by = excluded.claimed_by, claimed_until = excluded.claimed_until, given_at = NULL
WHERE (notices.given_at IS NULL OR notices.given_at > :latest)
  AND (notices.claimed_until <= :now OR notices.claimed_until > :latest);

-- name: notice_claimed
SELECT claimed_by FROM notices WHERE certificate = :certificate AND days = :days;

-- name: give_notice
UPDATE notices SET given_at = ? WHERE certificate = ? AND days = ?;
