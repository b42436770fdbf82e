-- People for match.sql. Doing it again changes nothing.
INSERT INTO users (id, kind, name)
SELECT md5('bench ' || n)::uuid, 'guest', 'bench ' || n FROM generate_series(1, :people) n
ON CONFLICT DO NOTHING;
