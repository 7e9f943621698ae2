-- The queries of the hash chain, and of what of the journal may go, that are the same in SQLite and in PostgreSQL.

-- name: chain_head
SELECT number, digest FROM entries WHERE node = :node ORDER BY number DESC LIMIT 1;

-- name: enter
INSERT INTO entries (node, number, at, kind, subject, facts, previous, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: chain_nodes
WITH RECURSIVE nodes (node) AS (  -- one step a node, and not a scan of all entries
    SELECT min(node) FROM entries
    UNION ALL
    SELECT (SELECT min(e.node) FROM entries e WHERE e.node > nodes.node) FROM nodes WHERE nodes.node IS NOT NULL
)
SELECT node FROM nodes WHERE node IS NOT NULL;

-- name: chain_entries
SELECT node, number, at, kind, subject, facts, previous, digest FROM entries
WHERE node = :node AND number > :after ORDER BY number LIMIT :limit;

-- name: entries_about
SELECT node, number, at, kind, subject, facts, previous, digest FROM entries
WHERE subject = :subject ORDER BY position;

-- name: certificate
SELECT der FROM certificates WHERE sha256 = :sha256;

-- name: certificates
SELECT sha256, der FROM certificates WHERE sha256 > :after ORDER BY sha256 LIMIT :limit;

-- name: accept_certificate
INSERT INTO certificates (sha256, der) VALUES (?, ?) ON CONFLICT (sha256) DO NOTHING;

-- name: salt
SELECT salt FROM messages WHERE id = :id UNION ALL SELECT salt FROM refusals WHERE id = :id;

-- name: attempts_at
SELECT a.* FROM deliveries d JOIN attempts a ON a.delivery_id = d.id WHERE d.message_id = :id
UNION ALL
SELECT a.* FROM deliveries d JOIN attempts a ON a.delivery_id = d.id WHERE d.refusal_id = :id;

-- name: stored_contents
SELECT partner, CAST(sum(contents) AS BIGINT) AS octets FROM messages WHERE contents > 0 GROUP BY partner;

-- name: prunable
SELECT id, contents FROM messages m
WHERE partner = :partner AND contents > 0 AND received_at < :before AND NOT EXISTS (
    SELECT 1 FROM deliveries d WHERE d.message_id = m.id AND d.kind <> 'mdn' AND d.state NOT IN ('delivered', 'dropped')
)
ORDER BY received_at LIMIT :limit;

-- name: prunable_message
SELECT payload, original, signed, signature FROM messages m
WHERE id = :id AND contents > 0 AND NOT EXISTS (
    SELECT 1 FROM deliveries d WHERE d.message_id = m.id AND d.kind <> 'mdn' AND d.state NOT IN ('delivered', 'dropped')
)
FOR UPDATE OF m;  -- another node may do the same now

-- name: prune_contents
UPDATE messages SET contents = 0 WHERE id = :id;

-- name: prune_document
DELETE FROM documents WHERE name = :name;

-- name: refused_partners
SELECT DISTINCT partner FROM refusals ORDER BY partner;

-- name: forgettable
SELECT id FROM refusals r
WHERE partner = :partner AND refused_at < :before AND NOT EXISTS (
    SELECT 1 FROM deliveries d WHERE d.refusal_id = r.id AND d.state IN ('pending', 'claimed')
)
ORDER BY id LIMIT :limit;

-- name: forgettable_refusal
SELECT id FROM refusals r
WHERE id = :id AND NOT EXISTS (
    SELECT 1 FROM deliveries d WHERE d.refusal_id = r.id AND d.state IN ('pending', 'claimed')
)
FOR UPDATE OF r;

-- name: open_deliveries
SELECT count(*) AS count FROM (
    SELECT d.id FROM messages m JOIN deliveries d ON d.message_id = m.id
    WHERE m.partner = :partner AND d.state NOT IN ('delivered', 'dropped', :allowed)
    UNION ALL
    SELECT d.id FROM refusals r JOIN deliveries d ON d.refusal_id = r.id
    WHERE r.partner = :partner AND d.state NOT IN ('delivered', 'dropped', :allowed)
) AS subquery;

-- name: messages_to_erase
SELECT id, payload, original, signed, signature FROM messages WHERE partner = :partner
ORDER BY id LIMIT :limit FOR UPDATE;

-- name: refusals_to_erase
SELECT id FROM refusals WHERE partner = :partner ORDER BY id LIMIT :limit FOR UPDATE;

-- name: erase_attempts
DELETE FROM attempts WHERE delivery_id IN (
    SELECT id FROM deliveries WHERE message_id = :id UNION ALL SELECT id FROM deliveries WHERE refusal_id = :id
);

-- name: erase_message_deliveries
DELETE FROM deliveries WHERE message_id = :id;

-- name: erase_refusal_deliveries
DELETE FROM deliveries WHERE refusal_id = :id;

-- name: erase_message
DELETE FROM messages WHERE id = :id;

-- name: erase_refusal
DELETE FROM refusals WHERE id = :id;
