-- The queries of the journal that PostgreSQL has to be told in its own way, and those of the locks that only it has.

-- A limit that is NULL goes away when the query is planned, and the planner knows what is left: else it would guess
-- that a range holds few rows, and sort them. `coalesce(d.state, '')` keeps an outer join, which is made message by
-- message in the order of their ids.

-- name: list_messages
SELECT m.*, d.state, d.last_reason AS reason FROM messages m
LEFT JOIN deliveries d ON d.id = (SELECT max(id) FROM deliveries WHERE message_id = m.id AND kind <> 'mdn')
WHERE (:after::text IS NULL OR m.id > :after) AND (:before::text IS NULL OR m.id < :before)
    AND (:since::float8 IS NULL OR m.received_at >= :since) AND (:until::float8 IS NULL OR m.received_at < :until)
ORDER BY m.id DESC LIMIT :limit;

-- name: list_messages_of_partner
SELECT m.*, d.state, d.last_reason AS reason FROM messages m
LEFT JOIN deliveries d ON d.id = (SELECT max(id) FROM deliveries WHERE message_id = m.id AND kind <> 'mdn')
WHERE m.partner = :partner AND (:after::text IS NULL OR m.id > :after) AND (:before::text IS NULL OR m.id < :before)
    AND (:since::float8 IS NULL OR m.received_at >= :since) AND (:until::float8 IS NULL OR m.received_at < :until)
    AND (:state::text IS NULL OR coalesce(d.state, '') = :state)
ORDER BY m.id DESC LIMIT :limit;

-- name: list_messages_in_state
SELECT m.*, d.state, d.last_reason AS reason FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.state = :state AND d.kind <> 'mdn'
    AND NOT EXISTS (  -- only the newest delivery counts
        SELECT 1 FROM deliveries n WHERE n.message_id = d.message_id AND n.kind <> 'mdn' AND n.id > d.id
    )
    AND (:after::text IS NULL OR d.message_id > :after) AND (:before::text IS NULL OR d.message_id < :before)
    AND (:partner::text IS NULL OR m.partner = :partner)
    AND (:since::float8 IS NULL OR m.received_at >= :since) AND (:until::float8 IS NULL OR m.received_at < :until)
ORDER BY d.message_id DESC LIMIT :limit;

-- name: list_messages_with_reason
SELECT m.*, d.state, r.last_reason AS reason FROM deliveries r
JOIN messages m ON m.id = r.message_id
LEFT JOIN deliveries d ON d.id = (SELECT max(id) FROM deliveries WHERE message_id = m.id AND kind <> 'mdn')
WHERE r.last_reason = :reason
    AND (:after::text IS NULL OR r.message_id > :after) AND (:before::text IS NULL OR r.message_id < :before)
    AND r.id = (SELECT max(id) FROM deliveries WHERE message_id = r.message_id AND last_reason = :reason)  -- once
    AND (:partner::text IS NULL OR m.partner = :partner) AND (:state::text IS NULL OR d.state = :state)
    AND (:since::float8 IS NULL OR m.received_at >= :since) AND (:until::float8 IS NULL OR m.received_at < :until)
ORDER BY r.message_id DESC LIMIT :limit;

-- name: list_refusals
SELECT * FROM refusals
WHERE (:after::text IS NULL OR id > :after) AND (:before::text IS NULL OR id < :before)
    AND (:partner::text IS NULL OR partner = :partner) AND (:reason::text IS NULL OR reason = :reason)
    AND (:since::float8 IS NULL OR refused_at >= :since) AND (:until::float8 IS NULL OR refused_at < :until)
ORDER BY id DESC LIMIT :limit;

-- Searches. Few messages that begin so are found by their texts, and sorted; of many, the newest are read until a page
-- is full. `breadth` tells which.

-- name: list_breadth
SELECT count(*) AS count FROM (
    SELECT 1 FROM messages
    WHERE left(lower(filename COLLATE "C"), 100) >= :name_low
        AND left(lower(filename COLLATE "C"), 100) < :name_high
    UNION ALL
    SELECT 1 FROM messages
    WHERE left(lower(subject COLLATE "C"), 100) >= :text_low
        AND left(lower(subject COLLATE "C"), 100) < :text_high
    UNION ALL
    SELECT 1 FROM messages
    WHERE left(lower(message_id COLLATE "C"), 100) >= :text_low
        AND left(lower(message_id COLLATE "C"), 100) < :text_high
    UNION ALL
    SELECT 1 FROM messages
    WHERE left(lower(message_id COLLATE "C"), 100) >= :angle_low
        AND left(lower(message_id COLLATE "C"), 100) < :angle_high
    LIMIT :most
) AS found;

-- name: list_messages_that_begin
SELECT m.*, d.state, d.last_reason AS reason FROM messages m
LEFT JOIN deliveries d ON d.id = (SELECT max(id) FROM deliveries WHERE message_id = m.id AND kind <> 'mdn')
WHERE m.id = ANY (ARRAY(  -- an array is expected to be short; a join would be planned as if it found many
    SELECT id FROM messages
    WHERE left(lower(filename COLLATE "C"), 100) >= :name_low
        AND left(lower(filename COLLATE "C"), 100) < :name_high
    UNION
    SELECT id FROM messages
    WHERE left(lower(subject COLLATE "C"), 100) >= :text_low
        AND left(lower(subject COLLATE "C"), 100) < :text_high
    UNION
    SELECT id FROM messages
    WHERE left(lower(message_id COLLATE "C"), 100) >= :text_low
        AND left(lower(message_id COLLATE "C"), 100) < :text_high
    UNION
    SELECT id FROM messages
    WHERE left(lower(message_id COLLATE "C"), 100) >= :angle_low
        AND left(lower(message_id COLLATE "C"), 100) < :angle_high
))
    AND (:after::text IS NULL OR m.id > :after) AND (:before::text IS NULL OR m.id < :before)
    AND (:partner::text IS NULL OR m.partner = :partner) AND (:state::text IS NULL OR d.state = :state)
    AND (:since::float8 IS NULL OR m.received_at >= :since) AND (:until::float8 IS NULL OR m.received_at < :until)
    AND (:reason::text IS NULL OR EXISTS (
        SELECT 1 FROM deliveries r WHERE r.message_id = m.id AND r.last_reason = :reason
    ))
    AND (:glob::text IS NULL OR lower(m.filename COLLATE "C") LIKE :glob)
    AND (
        :pattern::text IS NULL
        OR lower(m.filename COLLATE "C") LIKE :pattern OR lower(m.subject COLLATE "C") LIKE :pattern
        OR lower(m.message_id COLLATE "C") LIKE :pattern OR lower(m.message_id COLLATE "C") LIKE '<' || :pattern
    )
ORDER BY m.id DESC LIMIT :limit;

-- name: list_messages_that_contain
SELECT m.*, d.state, d.last_reason AS reason FROM messages m
LEFT JOIN deliveries d ON d.id = (SELECT max(id) FROM deliveries WHERE message_id = m.id AND kind <> 'mdn')
WHERE (:after::text IS NULL OR m.id > :after) AND (:before::text IS NULL OR m.id < :before)
    AND (:partner::text IS NULL OR m.partner = :partner) AND (:state::text IS NULL OR coalesce(d.state, '') = :state)
    AND (:since::float8 IS NULL OR m.received_at >= :since) AND (:until::float8 IS NULL OR m.received_at < :until)
    AND (:reason::text IS NULL OR EXISTS (
        SELECT 1 FROM deliveries r WHERE r.message_id = m.id AND r.last_reason = :reason
    ))
    AND (:glob::text IS NULL OR lower(m.filename COLLATE "C") LIKE :glob)
    AND (
        :pattern::text IS NULL
        OR lower(m.filename COLLATE "C") LIKE :pattern OR lower(m.subject COLLATE "C") LIKE :pattern
        OR lower(m.message_id COLLATE "C") LIKE :pattern OR lower(m.message_id COLLATE "C") LIKE '<' || :pattern
    )
ORDER BY m.id DESC LIMIT :limit;

-- name: list_refusals_that_begin
SELECT * FROM (
    SELECT * FROM refusals
    WHERE left(lower(message_id COLLATE "C"), 100) >= :text_low
        AND left(lower(message_id COLLATE "C"), 100) < :text_high
    UNION ALL
    SELECT * FROM refusals
    WHERE left(lower(message_id COLLATE "C"), 100) >= :angle_low
        AND left(lower(message_id COLLATE "C"), 100) < :angle_high
) AS found
WHERE (:after::text IS NULL OR id > :after) AND (:before::text IS NULL OR id < :before)
    AND (:partner::text IS NULL OR partner = :partner) AND (:reason::text IS NULL OR reason = :reason)
    AND (:since::float8 IS NULL OR refused_at >= :since) AND (:until::float8 IS NULL OR refused_at < :until)
    AND (
        lower(message_id COLLATE "C") LIKE :pattern OR lower(message_id COLLATE "C") LIKE '<' || :pattern
    )
ORDER BY id DESC LIMIT :limit;

-- name: list_refusals_that_contain
SELECT * FROM refusals
WHERE (:after::text IS NULL OR id > :after) AND (:before::text IS NULL OR id < :before)
    AND (:partner::text IS NULL OR partner = :partner) AND (:reason::text IS NULL OR reason = :reason)
    AND (:since::float8 IS NULL OR refused_at >= :since) AND (:until::float8 IS NULL OR refused_at < :until)
    AND (
        lower(message_id COLLATE "C") LIKE :pattern OR lower(message_id COLLATE "C") LIKE '<' || :pattern
    )
ORDER BY id DESC LIMIT :limit;

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
WHERE lane = :lane AND state IN ('pending', 'claimed') AND not_before <= :now
    AND (state = 'pending' OR lease_until <= :now)
ORDER BY not_before, id LIMIT :limit
FOR UPDATE SKIP LOCKED;  -- what another node claims at this moment is not ours

-- name: first_in_lane
SELECT * FROM deliveries
WHERE lane = :lane AND lane >= 'ordered ' AND lane < 'ordered!' AND state IN ('pending', 'claimed', 'failed')
ORDER BY id LIMIT 1;

-- name: next_due_in_lane
SELECT least(
    (SELECT min(not_before) FROM deliveries WHERE lane = :lane AND state = 'pending'),
    (SELECT min(lease_until) FROM deliveries WHERE lane = :lane AND state = 'claimed')
) AS due;

-- name: hasten_deliveries
UPDATE deliveries SET not_before = :latest WHERE state = 'pending' AND not_before > :latest;

-- name: backlog
SELECT kind, state, count(*) AS count, min(created_at) AS oldest FROM deliveries
WHERE state IN ('pending', 'claimed', 'failed') GROUP BY state, kind;

-- name: subjects
SELECT id FROM (SELECT id FROM messages WHERE id > :after ORDER BY id LIMIT :limit) m
UNION ALL
SELECT id FROM (SELECT id FROM refusals WHERE id > :after ORDER BY id LIMIT :limit) r
ORDER BY id LIMIT :limit;  -- without the limits inside, all of both tables would be sorted

-- name: begin_chain
INSERT INTO heads (node) VALUES (:node) ON CONFLICT (node) DO NOTHING;

-- name: lock_chain
SELECT node FROM heads WHERE node = :node FOR UPDATE;

-- name: try_node_lock
SELECT pg_try_advisory_xact_lock(:key::bigint) AS free;

-- name: probe
UPDATE journal_version SET version = version;
