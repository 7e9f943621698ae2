-- name: accept_message
INSERT INTO messages (
    id, as2_from, as2_to, message_id, partner, host, route, received_at, content_type, size, payload, original,
    original_size, request_id, compressed, subject, filename, mic, mic_algorithm, signer_sha256, encrypted_with,
    signed, signature, form, configuration, salt, contents, headers, notes, digests, mdn_headers, mdn_body
) VALUES (
    %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
    %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s
) ON CONFLICT (message_id, as2_from, as2_to) DO NOTHING;

-- name: accept_document
INSERT INTO documents (name, data) VALUES (%s, %s);

-- name: document
SELECT data FROM documents WHERE name = %(name)s;

-- name: accept_delivery
INSERT INTO deliveries (
    id, message_id, refusal_id, kind, target, lane, pinned, state, not_before, attempts, created_at,
    lease_owner, lease_until, finished_at, last_reason
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s);

-- name: lock_message
SELECT id FROM messages WHERE id = %(id)s FOR NO KEY UPDATE;

-- name: delivery_to_be_made
SELECT 1 FROM deliveries
WHERE message_id = %(message_id)s AND kind = %(kind)s AND target = %(target)s AND state IN ('pending', 'claimed');

-- name: try_node_lock
SELECT pg_try_advisory_xact_lock(%(key)s::bigint) AS free;

-- name: answer_message
UPDATE messages SET mdn_headers = %s, mdn_body = %s WHERE id = %s AND mdn_headers IS NULL;

-- name: accept_refusal
INSERT INTO refusals (
    id, as2_from, as2_to, message_id, partner, host, refused_at, reason, request_id, configuration, salt,
    mdn_headers, mdn_body
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s);

-- name: find_message
SELECT * FROM messages WHERE message_id = %(message_id)s AND as2_from = %(as2_from)s AND as2_to = %(as2_to)s;

-- name: message
SELECT * FROM messages WHERE id = %(id)s;

-- name: message_by_message_id
SELECT * FROM messages WHERE message_id = %(message_id)s ORDER BY received_at DESC, id DESC LIMIT %(limit)s;

-- name: refusal
SELECT * FROM refusals WHERE id = %(id)s;

-- name: refusal_by_message_id
SELECT * FROM refusals WHERE message_id = %(message_id)s ORDER BY refused_at DESC, id DESC LIMIT %(limit)s;

-- name: list_messages
SELECT m.*, d.state FROM messages m
LEFT JOIN deliveries d ON d.message_id = m.id AND d.kind <> 'mdn'
WHERE (%(after)s::text IS NULL OR m.id > %(after)s) AND (%(before)s::text IS NULL OR m.id < %(before)s) AND (%(since)s::float8 IS NULL OR m.received_at >= %(since)s) AND (%(until)s::float8 IS NULL OR m.received_at < %(until)s)
ORDER BY m.id DESC LIMIT %(limit)s;

-- name: list_messages_of_partner
SELECT m.*, d.state FROM messages m
LEFT JOIN deliveries d ON d.message_id = m.id AND d.kind <> 'mdn'
WHERE m.partner = %(partner)s AND (%(after)s::text IS NULL OR m.id > %(after)s) AND (%(before)s::text IS NULL OR m.id < %(before)s) AND (%(since)s::float8 IS NULL OR m.received_at >= %(since)s) AND (%(until)s::float8 IS NULL OR m.received_at < %(until)s)
    AND (%(state)s::text IS NULL OR d.state = %(state)s)
ORDER BY m.id DESC LIMIT %(limit)s;

-- name: list_messages_in_state
SELECT m.*, d.state FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.state = %(state)s AND d.kind <> 'mdn' AND (%(after)s::text IS NULL OR d.message_id > %(after)s) AND (%(before)s::text IS NULL OR d.message_id < %(before)s)
    AND (%(partner)s::text IS NULL OR m.partner = %(partner)s) AND (%(since)s::float8 IS NULL OR m.received_at >= %(since)s) AND (%(until)s::float8 IS NULL OR m.received_at < %(until)s)
ORDER BY d.message_id DESC LIMIT %(limit)s;

-- name: list_messages_with_reason
SELECT m.*, d.state FROM deliveries r
JOIN messages m ON m.id = r.message_id
LEFT JOIN deliveries d ON d.message_id = m.id AND d.kind <> 'mdn'
WHERE r.last_reason = %(reason)s AND (%(after)s::text IS NULL OR r.message_id > %(after)s) AND (%(before)s::text IS NULL OR r.message_id < %(before)s)
    AND r.id = (SELECT max(id) FROM deliveries WHERE message_id = r.message_id AND last_reason = %(reason)s)  -- once
    AND (%(partner)s::text IS NULL OR m.partner = %(partner)s) AND (%(state)s::text IS NULL OR d.state = %(state)s)
    AND (%(since)s::float8 IS NULL OR m.received_at >= %(since)s) AND (%(until)s::float8 IS NULL OR m.received_at < %(until)s)
ORDER BY r.message_id DESC LIMIT %(limit)s;

-- name: list_refusals
SELECT * FROM refusals
WHERE (%(after)s::text IS NULL OR id > %(after)s) AND (%(before)s::text IS NULL OR id < %(before)s) AND (%(partner)s::text IS NULL OR partner = %(partner)s)
    AND (%(reason)s::text IS NULL OR reason = %(reason)s) AND (%(since)s::float8 IS NULL OR refused_at >= %(since)s) AND (%(until)s::float8 IS NULL OR refused_at < %(until)s)
ORDER BY id DESC LIMIT %(limit)s;

-- name: open_lanes
WITH RECURSIVE lanes (lane) AS (  -- from one to the next by the index, however many deliveries a lane has
    SELECT min(lane) FROM deliveries WHERE state IN ('pending', 'claimed')
    UNION ALL
    SELECT (
        SELECT min(d.lane) FROM deliveries d
        WHERE d.state IN ('pending', 'claimed') AND d.lane > lanes.lane
    ) FROM lanes WHERE lanes.lane IS NOT NULL
)
SELECT lane FROM lanes WHERE lane IS NOT NULL;

-- name: due_in_lane
SELECT * FROM deliveries  -- in the order of deliveries_open
WHERE lane = %(lane)s AND state IN ('pending', 'claimed') AND not_before <= %(now)s
    AND (state = 'pending' OR lease_until <= %(now)s)
ORDER BY not_before, id LIMIT %(limit)s
FOR UPDATE SKIP LOCKED;  -- what another node claims at this moment is not ours

-- name: lock_first
SELECT * FROM deliveries WHERE id = %(id)s FOR UPDATE SKIP LOCKED;

-- name: first_in_lane
SELECT * FROM deliveries
WHERE lane = %(lane)s AND lane >= 'ordered ' AND lane < 'ordered!' AND state IN ('pending', 'claimed', 'failed')
ORDER BY id LIMIT 1;

-- name: next_due_in_lane
SELECT least(
    (SELECT min(not_before) FROM deliveries WHERE lane = %(lane)s AND state = 'pending'),
    (SELECT min(lease_until) FROM deliveries WHERE lane = %(lane)s AND state = 'claimed')
) AS due;

-- name: lease_deliveries
UPDATE deliveries
SET state = 'claimed', attempts = attempts + 1, lease_owner = %(owner)s, lease_until = %(until)s
WHERE id = ANY(%(ids)s);

-- name: messages_of
SELECT * FROM messages WHERE id = ANY(%(ids)s);

-- name: refusals_of
SELECT * FROM refusals WHERE id = ANY(%(ids)s);

-- name: renew_lease
UPDATE deliveries  -- where the clock jumped back, what was due stays due
SET lease_until = %(until)s, not_before = least(not_before, %(until)s)
WHERE id = %(id)s AND state = 'claimed' AND lease_owner = %(owner)s;

-- name: record_attempt
INSERT INTO attempts (delivery_id, number, started_at, finished_at, status, reason, detail, target)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s);

-- name: record_outcome
UPDATE deliveries
SET state = %(state)s, not_before = coalesce(%(not_before)s, not_before), finished_at = %(finished_at)s,
    last_reason = %(reason)s, lease_owner = NULL, lease_until = NULL,
    pinned = coalesce(%(pinned)s, pinned)
WHERE id = %(id)s;

-- name: take_back_leases
UPDATE deliveries
SET state = 'pending', not_before = least(not_before, %(now)s), lease_owner = NULL, lease_until = NULL
WHERE state = 'claimed' AND lease_owner = %(owner)s;

-- name: hasten_deliveries
UPDATE deliveries SET not_before = %(latest)s WHERE state = 'pending' AND not_before > %(latest)s;

-- name: requeue_delivery
UPDATE deliveries
SET state = 'pending', not_before = %(now)s, finished_at = NULL,
    pinned = CASE WHEN %(unpin)s THEN NULL ELSE pinned END
WHERE id = %(id)s;

-- name: drop_delivery
UPDATE deliveries SET state = 'dropped', finished_at = %(now)s WHERE id = %(id)s;

-- name: lock_delivery
SELECT * FROM deliveries WHERE id = %(id)s FOR UPDATE;

-- name: deliveries
SELECT * FROM deliveries WHERE message_id = %(id)s
UNION ALL
SELECT * FROM deliveries WHERE refusal_id = %(id)s ORDER BY id;

-- name: attempts
SELECT * FROM attempts WHERE delivery_id = %(delivery_id)s ORDER BY number;

-- name: counts
SELECT state, count(*) FROM deliveries GROUP BY state;

-- name: backlog
SELECT kind, state, count(*) AS count, min(created_at) AS oldest FROM deliveries
WHERE state IN ('pending', 'claimed', 'failed') GROUP BY state, kind;

-- name: probe
UPDATE journal_version SET version = version;

-- name: spool_names
SELECT id, payload, original, signed, signature, contents FROM messages
WHERE id > %(after)s ORDER BY id LIMIT %(limit)s;
