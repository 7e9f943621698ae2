-- Operators search by the beginning of a file name, a subject or a Message-ID, whatever the case of its letters.

CREATE INDEX messages_by_filename ON messages (filename COLLATE NOCASE, id) WHERE filename IS NOT NULL;
CREATE INDEX messages_by_subject ON messages (subject COLLATE NOCASE, id) WHERE subject IS NOT NULL;
CREATE INDEX messages_by_message_id ON messages (message_id COLLATE NOCASE, id);
CREATE INDEX refusals_by_any_case ON refusals (message_id COLLATE NOCASE, id);
