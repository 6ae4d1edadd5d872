"""The notebook of ten people runs, and says what it said when it was written."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parent.parent / "docs"


def said(cell):
    """What a cell put out: texts, and that there was a picture."""
    texts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data:
            texts.append("picture")
        else:
            texts.append(output.get("text") or data["text/plain"])
    return texts


@pytest.mark.service
@pytest.mark.filterwarnings("default::DeprecationWarning")
def test_the_notebook_says_what_it_shows():
    kept = nbformat.read(DOCS / "attribution.ipynb", as_version=4)
    fresh = nbformat.read(DOCS / "attribution.ipynb", as_version=4)
    NotebookClient(fresh, timeout=120, kernel_name="python3").execute()
    pairs = list(zip(kept.cells, fresh.cells, strict=True))
    assert [said(cell) for cell, _ in pairs] == [said(cell) for _, cell in pairs]
    assert sum(text == "picture" for _, cell in pairs for text in said(cell)) == 4
