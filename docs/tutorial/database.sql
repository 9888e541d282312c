-- The application's own database: one row for each support ticket, whoever or whatever routed it.
-- psql -f docs/tutorial/database.sql   (as a superuser; run it again to begin anew)
DROP DATABASE IF EXISTS helpdesk;
DROP ROLE IF EXISTS helpdesk_app;
DROP ROLE IF EXISTS retrainer_reader;
CREATE ROLE helpdesk_app LOGIN PASSWORD 'app-tutorial';
CREATE ROLE retrainer_reader LOGIN PASSWORD 'reader-tutorial';
CREATE DATABASE helpdesk OWNER helpdesk_app;
\connect helpdesk
SET ROLE helpdesk_app;
CREATE TABLE tickets (
  id BIGSERIAL PRIMARY KEY,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  customer TEXT NOT NULL,
  -- What the model sees.
  words INTEGER NOT NULL,
  amounts INTEGER NOT NULL,        -- sums of money named in the text
  error_codes INTEGER NOT NULL,
  plan TEXT NOT NULL,              -- none, basic or pro
  -- What it answered, and which revision of it.
  predicted_team TEXT,
  model_revision TEXT,
  -- What people say: 1 routed well, -1 routed badly; and the team that had to answer it, looked up for a random
  -- sample by somebody who does not know what the model said.
  thumb SMALLINT,
  true_team TEXT
);
CREATE INDEX ON tickets (created_at);
GRANT SELECT ON tickets TO retrainer_reader;
