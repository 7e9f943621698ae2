-- name: begin_chain
INSERT INTO heads (node) VALUES (%(node)s) ON CONFLICT (node) DO NOTHING;

-- name: lock_chain
SELECT node FROM heads WHERE node = %(node)s FOR UPDATE;

-- name: chain_head
SELECT number, digest FROM entries WHERE node = %(node)s ORDER BY number DESC LIMIT 1;

-- name: enter
INSERT INTO entries (node, number, at, kind, subject, facts, previous, digest) VALUES (%s, %s, %s, %s, %s, %s, %s, %s);

-- name: chain_nodes
WITH RECURSIVE nodes (node) AS (  -- one step a node, and not a scan of all entries
    SELECT min(node) FROM entries
    UNION ALL
    SELECT (SELECT min(e.node) FROM entries e WHERE e.node > nodes.node) FROM nodes WHERE nodes.node IS NOT NULL
)
SELECT node FROM nodes WHERE node IS NOT NULL;

-- name: chain_entries
SELECT node, number, at, kind, subject, facts, previous, digest FROM entries
WHERE node = %(node)s AND number > %(after)s ORDER BY number LIMIT %(limit)s;

-- name: entries_about
SELECT node, number, at, kind, subject, facts, previous, digest FROM entries
WHERE subject = %(subject)s ORDER BY position;

-- name: subjects
SELECT id FROM (SELECT id FROM messages WHERE id > %(after)s ORDER BY id LIMIT %(limit)s) m
UNION ALL
SELECT id FROM (SELECT id FROM refusals WHERE id > %(after)s ORDER BY id LIMIT %(limit)s) r
ORDER BY id LIMIT %(limit)s;

-- name: certificate
SELECT der FROM certificates WHERE sha256 = %(sha256)s;

-- name: certificates
SELECT sha256, der FROM certificates WHERE sha256 > %(after)s ORDER BY sha256 LIMIT %(limit)s;

-- name: accept_certificate
INSERT INTO certificates (sha256, der) VALUES (%s, %s) ON CONFLICT (sha256) DO NOTHING;

-- name: salt
SELECT salt FROM messages WHERE id = %(id)s UNION ALL SELECT salt FROM refusals WHERE id = %(id)s;

-- name: message_of
SELECT * FROM messages WHERE id = %(id)s;

-- name: refusal_of
SELECT * FROM refusals WHERE id = %(id)s;

-- name: deliveries_of
SELECT * FROM deliveries WHERE message_id = %(id)s
UNION ALL
SELECT * FROM deliveries WHERE refusal_id = %(id)s;

-- name: attempts_at
SELECT a.* FROM deliveries d JOIN attempts a ON a.delivery_id = d.id WHERE d.message_id = %(id)s
UNION ALL
SELECT a.* FROM deliveries d JOIN attempts a ON a.delivery_id = d.id WHERE d.refusal_id = %(id)s;

-- name: stored_contents
SELECT partner, sum(contents)::bigint AS octets FROM messages WHERE contents > 0 GROUP BY partner;

-- name: prunable
SELECT id, contents FROM messages m
WHERE partner = %(partner)s AND contents > 0 AND received_at < %(before)s AND NOT EXISTS (
    SELECT 1 FROM deliveries d WHERE d.message_id = m.id AND d.kind <> 'mdn' AND d.state NOT IN ('delivered', 'dropped')
)
ORDER BY received_at LIMIT %(limit)s;

-- name: prunable_message
SELECT payload, original, signed, signature FROM messages m
WHERE id = %(id)s AND contents > 0 AND NOT EXISTS (
    SELECT 1 FROM deliveries d WHERE d.message_id = m.id AND d.kind <> 'mdn' AND d.state NOT IN ('delivered', 'dropped')
)
FOR UPDATE OF m;  -- another node may do the same now

-- name: prune_contents
UPDATE messages SET contents = 0 WHERE id = %(id)s;

-- name: prune_document
DELETE FROM documents WHERE name = %(name)s;

-- name: refused_partners
SELECT DISTINCT partner FROM refusals ORDER BY partner;

-- name: forgettable
SELECT id FROM refusals r
WHERE partner = %(partner)s AND refused_at < %(before)s AND NOT EXISTS (
    SELECT 1 FROM deliveries d WHERE d.refusal_id = r.id AND d.state IN ('pending', 'claimed')
)
ORDER BY id LIMIT %(limit)s;

-- name: forgettable_refusal
SELECT id FROM refusals r
WHERE id = %(id)s AND NOT EXISTS (
    SELECT 1 FROM deliveries d WHERE d.refusal_id = r.id AND d.state IN ('pending', 'claimed')
) FOR UPDATE OF r;

-- name: refusals_of_partner
SELECT * FROM refusals WHERE partner = %(partner)s AND id > %(after)s ORDER BY id LIMIT %(limit)s;

-- name: open_deliveries
SELECT count(*) AS count FROM (
    SELECT d.id FROM messages m JOIN deliveries d ON d.message_id = m.id
    WHERE m.partner = %(partner)s AND d.state NOT IN ('delivered', 'dropped', %(allowed)s)
    UNION ALL
    SELECT d.id FROM refusals r JOIN deliveries d ON d.refusal_id = r.id
    WHERE r.partner = %(partner)s AND d.state NOT IN ('delivered', 'dropped', %(allowed)s)
) still_open;

-- name: messages_to_erase
SELECT id, payload, original, signed, signature FROM messages WHERE partner = %(partner)s
ORDER BY id LIMIT %(limit)s FOR UPDATE;

-- name: refusals_to_erase
SELECT id FROM refusals WHERE partner = %(partner)s ORDER BY id LIMIT %(limit)s FOR UPDATE;

-- name: erase_attempts
DELETE FROM attempts WHERE delivery_id IN (
    SELECT id FROM deliveries WHERE message_id = %(id)s UNION ALL SELECT id FROM deliveries WHERE refusal_id = %(id)s
);

-- name: erase_message_deliveries
DELETE FROM deliveries WHERE message_id = %(id)s;

-- name: erase_refusal_deliveries
DELETE FROM deliveries WHERE refusal_id = %(id)s;

-- name: erase_message
DELETE FROM messages WHERE id = %(id)s;

-- name: erase_refusal
DELETE FROM refusals WHERE id = %(id)s;
