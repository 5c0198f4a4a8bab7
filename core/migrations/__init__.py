"""The schema's history (Alembic). `python -m core.migrations` brings a database to the newest revision."""

#: The revision that this code needs; a test holds it against the newest file in versions/.
SCHEMA_REVISION = "0003"
