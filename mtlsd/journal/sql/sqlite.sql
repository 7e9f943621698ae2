-- The queries of the journal that SQLite has to be told in its own way: mostly by which index it is to go.

-- name: list_messages
SELECT m.*, d.state, d.last_reason AS reason FROM messages m
LEFT JOIN deliveries d ON d.id = (SELECT max(id) FROM deliveries WHERE message_id = m.id AND kind <> 'mdn')
WHERE m.id > coalesce(:after, '') AND m.id < coalesce(:before, char(1114111))  -- the last character that there is
    AND m.received_at >= coalesce(:since, -9e999) AND m.received_at < coalesce(:until, 9e999)
ORDER BY m.id DESC LIMIT :limit;

-- name: list_messages_of_partner
SELECT m.*, d.state, d.last_reason AS reason FROM messages m
LEFT JOIN deliveries d ON d.id = (SELECT max(id) FROM deliveries WHERE message_id = m.id AND kind <> 'mdn')
WHERE m.partner = :partner AND m.id > coalesce(:after, '') AND m.id < coalesce(:before, char(1114111))
    AND m.received_at >= coalesce(:since, -9e999) AND m.received_at < coalesce(:until, 9e999)
    AND (:state IS NULL OR d.state = :state)
ORDER BY m.id DESC LIMIT :limit;

-- name: list_messages_in_state
SELECT m.*, d.state, d.last_reason AS reason FROM deliveries d CROSS JOIN messages m ON m.id = d.message_id
WHERE d.state = :state AND d.kind <> 'mdn'
    AND NOT EXISTS (  -- only the newest delivery counts
        SELECT 1 FROM deliveries n WHERE n.message_id = d.message_id AND n.kind <> 'mdn' AND n.id > d.id
    )
    AND d.message_id > coalesce(:after, '') AND d.message_id < coalesce(:before, char(1114111))
    AND (:partner IS NULL OR m.partner = :partner)
    AND m.received_at >= coalesce(:since, -9e999) AND m.received_at < coalesce(:until, 9e999)
ORDER BY d.message_id DESC LIMIT :limit;

-- name: list_messages_with_reason
SELECT m.*, d.state, r.last_reason AS reason FROM deliveries r
CROSS JOIN messages m ON m.id = r.message_id
LEFT JOIN deliveries d ON d.id = (SELECT max(id) FROM deliveries WHERE message_id = m.id AND kind <> 'mdn')
WHERE r.last_reason = :reason
    AND r.message_id > coalesce(:after, '') AND r.message_id < coalesce(:before, char(1114111))
    AND r.id = (SELECT max(id) FROM deliveries WHERE message_id = r.message_id AND last_reason = :reason)  -- once
    AND (:partner IS NULL OR m.partner = :partner) AND (:state IS NULL OR d.state = :state)
    AND m.received_at >= coalesce(:since, -9e999) AND m.received_at < coalesce(:until, 9e999)
ORDER BY r.message_id DESC LIMIT :limit;

-- name: list_refusals
SELECT * FROM refusals
WHERE id > coalesce(:after, '') AND id < coalesce(:before, char(1114111))
    AND (:partner IS NULL OR partner = :partner) AND (:reason IS NULL OR reason = :reason)
    AND refused_at >= coalesce(:since, -9e999) AND refused_at < coalesce(:until, 9e999)
ORDER BY id DESC LIMIT :limit;

-- Searches. Few messages that begin so are found by their texts, and sorted; of many, the newest are read until a page
-- is full. `breadth` tells which.

-- name: list_breadth
SELECT count(*) AS count FROM (
    SELECT 1 FROM messages WHERE filename COLLATE NOCASE >= :name_low AND filename COLLATE NOCASE < :name_high
    UNION ALL
    SELECT 1 FROM messages WHERE subject COLLATE NOCASE >= :text_low AND subject COLLATE NOCASE < :text_high
    UNION ALL
    SELECT 1 FROM messages WHERE message_id COLLATE NOCASE >= :text_low AND message_id COLLATE NOCASE < :text_high
    UNION ALL
    SELECT 1 FROM messages WHERE message_id COLLATE NOCASE >= :angle_low AND message_id COLLATE NOCASE < :angle_high
    LIMIT :most
) AS found;

-- name: list_messages_that_begin
SELECT m.*, d.state, d.last_reason AS reason FROM (
    SELECT id FROM messages WHERE filename COLLATE NOCASE >= :name_low AND filename COLLATE NOCASE < :name_high
    UNION
    SELECT id FROM messages WHERE subject COLLATE NOCASE >= :text_low AND subject COLLATE NOCASE < :text_high
    UNION
    SELECT id FROM messages WHERE message_id COLLATE NOCASE >= :text_low AND message_id COLLATE NOCASE < :text_high
    UNION
    SELECT id FROM messages WHERE message_id COLLATE NOCASE >= :angle_low AND message_id COLLATE NOCASE < :angle_high
) AS found
CROSS JOIN messages m ON m.id = found.id
LEFT JOIN deliveries d ON d.id = (SELECT max(id) FROM deliveries WHERE message_id = m.id AND kind <> 'mdn')
WHERE m.id > coalesce(:after, '') AND m.id < coalesce(:before, char(1114111))
    AND (:partner IS NULL OR m.partner = :partner) AND (:state IS NULL OR d.state = :state)
    AND m.received_at >= coalesce(:since, -9e999) AND m.received_at < coalesce(:until, 9e999)
    AND (:reason IS NULL OR EXISTS (
        SELECT 1 FROM deliveries r WHERE r.message_id = m.id AND r.last_reason = :reason
    ))
    AND (:glob IS NULL OR m.filename LIKE :glob ESCAPE '\')
    AND (
        :pattern IS NULL
        OR m.filename LIKE :pattern ESCAPE '\' OR m.subject LIKE :pattern ESCAPE '\'
        OR m.message_id LIKE :pattern ESCAPE '\' OR m.message_id LIKE '<' || :pattern ESCAPE '\'
    )
ORDER BY m.id DESC LIMIT :limit;

-- name: list_messages_that_contain
SELECT m.*, d.state, d.last_reason AS reason FROM messages m
LEFT JOIN deliveries d ON d.id = (SELECT max(id) FROM deliveries WHERE message_id = m.id AND kind <> 'mdn')
WHERE m.id > coalesce(:after, '') AND m.id < coalesce(:before, char(1114111))
    AND (:partner IS NULL OR m.partner = :partner) AND (:state IS NULL OR d.state = :state)
    AND m.received_at >= coalesce(:since, -9e999) AND m.received_at < coalesce(:until, 9e999)
    AND (:reason IS NULL OR EXISTS (
        SELECT 1 FROM deliveries r WHERE r.message_id = m.id AND r.last_reason = :reason
    ))
    AND (:glob IS NULL OR m.filename LIKE :glob ESCAPE '\')
    AND (
        :pattern IS NULL
        OR m.filename LIKE :pattern ESCAPE '\' OR m.subject LIKE :pattern ESCAPE '\'
        OR m.message_id LIKE :pattern ESCAPE '\' OR m.message_id LIKE '<' || :pattern ESCAPE '\'
    )
ORDER BY m.id DESC LIMIT :limit;

-- name: list_refusals_that_begin
SELECT * FROM (
    SELECT * FROM refusals WHERE message_id COLLATE NOCASE >= :text_low AND message_id COLLATE NOCASE < :text_high
    UNION ALL
    SELECT * FROM refusals WHERE message_id COLLATE NOCASE >= :angle_low AND message_id COLLATE NOCASE < :angle_high
) AS found
WHERE id > coalesce(:after, '') AND id < coalesce(:before, char(1114111))
    AND (:partner IS NULL OR partner = :partner) AND (:reason IS NULL OR reason = :reason)
    AND refused_at >= coalesce(:since, -9e999) AND refused_at < coalesce(:until, 9e999)
    AND (message_id LIKE :pattern ESCAPE '\' OR message_id LIKE '<' || :pattern ESCAPE '\')
ORDER BY id DESC LIMIT :limit;

-- name: list_refusals_that_contain
SELECT * FROM refusals
WHERE id > coalesce(:after, '') AND id < coalesce(:before, char(1114111))
    AND (:partner IS NULL OR partner = :partner) AND (:reason IS NULL OR reason = :reason)
    AND refused_at >= coalesce(:since, -9e999) AND refused_at < coalesce(:until, 9e999)
    AND (message_id LIKE :pattern ESCAPE '\' OR message_id LIKE '<' || :pattern ESCAPE '\')
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
SELECT min(due) AS due FROM (
    SELECT * FROM (
        SELECT not_before AS due FROM deliveries INDEXED BY deliveries_open
        WHERE lane = :lane AND state IN ('pending', 'claimed') AND state = 'pending' ORDER BY not_before LIMIT 1
    )
    UNION ALL
    SELECT min(lease_until) FROM deliveries INDEXED BY deliveries_leased WHERE lane = :lane AND state = 'claimed'
);

-- name: hasten_deliveries
UPDATE deliveries INDEXED BY deliveries_open SET not_before = :latest
WHERE state IN ('pending', 'claimed') AND state = 'pending' AND not_before > :latest;

-- name: backlog
SELECT kind, state, count(*) AS count, min(created_at) AS oldest FROM deliveries INDEXED BY deliveries_by_state
WHERE state IN ('pending', 'claimed', 'failed') GROUP BY state, kind;

-- name: subjects
SELECT id FROM messages WHERE id > :after
UNION ALL
SELECT id FROM refusals WHERE id > :after
ORDER BY id LIMIT :limit;  -- merged as both are read by their keys
