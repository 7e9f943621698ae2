-- Operators search by the beginning of a file name, a subject or a Message-ID, whatever the case of its letters.
-- An entry of a B-tree has at most 2704 octets, so only the first characters are in it.

CREATE INDEX messages_by_filename ON messages (left(lower(filename COLLATE "C"), 100), id) WHERE filename IS NOT NULL;
CREATE INDEX messages_by_subject ON messages (left(lower(subject COLLATE "C"), 100), id) WHERE subject IS NOT NULL;
CREATE INDEX messages_by_message_id ON messages (left(lower(message_id COLLATE "C"), 100), id);
CREATE INDEX refusals_by_any_case ON refusals (left(lower(message_id COLLATE "C"), 100), id);
