"""The reference pages are made from the code."""

import pytest

from core.task_options import OPTIONS, Treatment
from scripts.reference import DEFAULTS, PAGES, REFERENCE


@pytest.mark.parametrize("name", PAGES)
def test_reference_page_is_up_to_date(name: str) -> None:
    assert (REFERENCE / name).read_text() == PAGES[name](), "run: python -m scripts.reference"


def test_each_honoured_option_has_a_default() -> None:
    assert DEFAULTS.keys() == {option.name for option in OPTIONS if option.treatment is Treatment.HONOURED}
