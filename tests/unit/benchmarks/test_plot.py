"""The picture is well-formed, and says in words what it shows."""

from xml.etree import ElementTree

import pytest

from benchmarks.findings import Findings
from benchmarks.plot import draw
from benchmarks.samples import Sample

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def picture() -> ElementTree.Element:
    rates = {"ours": [Sample(3000.0, {}, {50: 8.0})], "tutorial": [Sample(600.0, {}, {50: 10.0})]}
    return ElementTree.fromstring(draw(Findings({"submit 64": rates, "round-trip idle": rates}), "on a <machine>"))


def test_each_contestant_has_a_bar_in_each_panel(picture: ElementTree.Element) -> None:
    bars = [float(bar.attrib["width"]) for bar in picture.iter(f"{SVG}rect") if bar.attrib.get("height") == "18"]
    assert len(bars) == 4
    assert bars[0] == pytest.approx(5 * bars[1])


def test_the_best_comes_first_also_where_less_is_better(picture: ElementTree.Element) -> None:
    texts = [text.text or "" for text in picture.iter(f"{SVG}text")]
    assert texts.index("ours") < texts.index("tutorial")
    assert [text for text in texts if "x)" in text] == ["600 (5.00 x)", "10.0 (0.80 x)"]


def test_it_brings_its_own_background_and_a_description(picture: ElementTree.Element) -> None:
    assert next(picture.iter(f"{SVG}rect")).attrib["fill"] == "#ffffff"
    assert "ours 3,000.0, tutorial 600.0" in picture.attrib["aria-label"]


def test_nothing_measured_is_no_picture() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        draw(Findings(), "")
