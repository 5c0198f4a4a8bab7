"""The reference pages are made from the code."""

import pytest

from scripts.reference import PAGES, REFERENCE


@pytest.mark.parametrize("name", PAGES)
def test_reference_page_is_up_to_date(name: str) -> None:
    assert (REFERENCE / name).read_text() == PAGES[name](), "run: python -m scripts.reference"
