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

-- name: delivery_to_be_made
SELECT 1 FROM deliveries
WHERE message_id = :message_id AND kind = :kind AND target = :target AND state IN ('pending', 'claimed');

-- name: answer_message
UPDATE messages SET mdn_headers = ?, mdn_body = ? WHERE id = ? AND mdn_headers IS NULL;

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

-- name: list_messages
SELECT m.*, d.state FROM messages m
LEFT JOIN deliveries d ON d.message_id = m.id AND d.kind <> 'mdn'
WHERE m.id > :after AND m.id < :before AND m.received_at >= :since AND m.received_at < :until
ORDER BY m.id DESC LIMIT :limit;

-- name: list_messages_of_partner
SELECT m.*, d.state FROM messages m
LEFT JOIN deliveries d ON d.message_id = m.id AND d.kind <> 'mdn'
WHERE m.partner = :partner AND m.id > :after AND m.id < :before AND m.received_at >= :since AND m.received_at < :until
    AND (:state IS NULL OR d.state = :state)
ORDER BY m.id DESC LIMIT :limit;

-- name: list_messages_in_state
SELECT m.*, d.state FROM deliveries d CROSS JOIN messages m ON m.id = d.message_id
WHERE d.state = :state AND d.kind <> 'mdn' AND d.message_id > :after AND d.message_id < :before
    AND (:partner IS NULL OR m.partner = :partner) AND m.received_at >= :since AND m.received_at < :until
ORDER BY d.message_id DESC LIMIT :limit;

-- name: list_messages_with_reason
SELECT m.*, d.state FROM deliveries r
CROSS JOIN messages m ON m.id = r.message_id
LEFT JOIN deliveries d ON d.message_id = m.id AND d.kind <> 'mdn'
WHERE r.last_reason = :reason AND r.message_id > :after AND r.message_id < :before
    AND r.id = (SELECT max(id) FROM deliveries WHERE message_id = r.message_id AND last_reason = :reason)  -- once
    AND (:partner IS NULL OR m.partner = :partner) AND (:state IS NULL OR d.state = :state)
    AND m.received_at >= :since AND m.received_at < :until
ORDER BY r.message_id DESC LIMIT :limit;

-- name: list_refusals
SELECT * FROM refusals
WHERE id > :after AND id < :before AND (:partner IS NULL OR partner = :partner)
    AND (:reason IS NULL OR reason = :reason) AND refused_at >= :since AND refused_at < :until
ORDER BY id DESC LIMIT :limit;

-- name: open_lanes
WITH RECURSIVE lanes (lane) AS (  -- from one to the next by the index, however many deliveries a lane has
    SELECT min(lane) FROM deliveries INDEXED BY deliveries_open WHERE state IN ('pending', 'claimed')
    UNION ALL
    SELECT (
        SELECT min(d.lane) FROM deliveries d INDEXED BY deliveries_open
        WHERE d.state IN ('pending', 'claimed') AND d.lane > lanes.lane
    ) FROM lanes WHERE lanes.lane IS NOT NULL
)
SELECT lane FROM lanes WHERE lane IS NOT NULL;

-- name: due_in_lane
SELECT * FROM deliveries INDEXED BY deliveries_open  -- else a long backlog is sorted at every claim
WHERE lane = :lane AND state IN ('pending', 'claimed') AND not_before <= :now
    AND (state = 'pending' OR lease_until <= :now)
ORDER BY not_before, id LIMIT :limit;

-- name: first_in_lane
SELECT * FROM deliveries INDEXED BY deliveries_in_order
WHERE lane = :lane AND lane >= 'ordered ' AND lane < 'ordered!' AND state IN ('pending', 'claimed', 'failed')
ORDER BY id LIMIT 1;

-- name: next_due_in_lane
SELECT min(due) FROM (
    SELECT * FROM (
        SELECT not_before AS due FROM deliveries INDEXED BY deliveries_open
        WHERE lane = :lane AND state IN ('pending', 'claimed') AND state = 'pending' ORDER BY not_before LIMIT 1
    )
    UNION ALL
    SELECT min(lease_until) FROM deliveries INDEXED BY deliveries_leased WHERE lane = :lane AND state = 'claimed'
);

-- name: lease_delivery
UPDATE deliveries SET state = 'claimed', attempts = :attempts, lease_owner = :owner, lease_until = :until
WHERE id = :id;

-- name: renew_lease
UPDATE deliveries
SET lease_until = :until, not_before = min(not_before, :until)  -- the clock jumped back: what was due stays due
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
SET state = 'pending', not_before = min(not_before, :now), lease_owner = NULL, lease_until = NULL
WHERE state = 'claimed' AND lease_owner = :owner;

-- name: hasten_deliveries
UPDATE deliveries INDEXED BY deliveries_open SET not_before = :latest
WHERE state IN ('pending', 'claimed') AND state = 'pending' AND not_before > :latest;

-- name: requeue_delivery
UPDATE deliveries
SET state = 'pending', not_before = :now, finished_at = NULL, pinned = CASE WHEN :unpin THEN NULL ELSE pinned END
WHERE id = :id;

-- name: drop_delivery
UPDATE deliveries SET state = 'dropped', finished_at = :now WHERE id = :id;

-- name: delivery
SELECT * FROM deliveries WHERE id = :id;

-- name: deliveries
SELECT * FROM deliveries WHERE message_id = :id
UNION ALL
SELECT * FROM deliveries WHERE refusal_id = :id ORDER BY id;

-- name: attempts
SELECT * FROM attempts WHERE delivery_id = :delivery_id ORDER BY number;

-- name: counts
SELECT state, count(*) FROM deliveries GROUP BY state;

-- name: backlog
SELECT kind, state, count(*), min(created_at) FROM deliveries INDEXED BY deliveries_by_state
WHERE state IN ('pending', 'claimed', 'failed') GROUP BY state, kind;

-- name: spool_names
SELECT id, payload, original, signed, signature, contents FROM messages WHERE id > :after ORDER BY id LIMIT :limit;
