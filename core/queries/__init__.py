"""SQL statements, each alone in a file that is named after what it does."""

from importlib.resources import files


def load_query(package: str, name: str) -> str:
    """Return the text of `<package>/queries/<name>.sql`."""
    return files(f"{package}.queries").joinpath(f"{name}.sql").read_text(encoding="utf-8")
