import asyncio
from pathlib import Path

import pytest

from standalone.sources import PACKAGES, Sources, source_roots


def _changed(root: Path, change: Path, text: str) -> list[Path]:
    async def story() -> list[Path]:
        stream = Sources([root]).changes(poll_s=0.01)
        await asyncio.to_thread(change.write_text, text)  # before anyone follows: parts may have read the old text
        try:
            async with asyncio.timeout(0.3 if change.suffix == ".txt" else 10):
                return await anext(stream)
        except TimeoutError:
            return []
        finally:
            await stream.aclose()

    return asyncio.run(story())


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/mail.py").write_text("")
    return tmp_path / "shop"


@pytest.mark.parametrize("name", ["mail.py", "new.py", "query.sql"])
def test_changed_and_new_sources_are_told(package: Path, name: str) -> None:
    assert _changed(package, package / name, "changed = True") == [package / name]


def test_other_files_are_not_sources(package: Path) -> None:
    assert _changed(package, package / "notes.txt", "x") == []


def test_single_module_can_be_watched(package: Path) -> None:
    assert _changed(package / "mail.py", package / "mail.py", "changed = True") == [package / "mail.py"]


def test_modules_of_the_user_are_watched_beside_our_packages(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "__init__.py").write_text("")
    (package.parent / "more.py").write_text("")
    monkeypatch.syspath_prepend(str(package.parent))
    roots = source_roots(Path("/repo"), "shop.mail, more, no_such_module")
    assert set(roots) == {Path("/repo", name) for name in PACKAGES} | {package, package.parent / "more.py"}
