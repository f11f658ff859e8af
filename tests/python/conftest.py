"""Miniatures for the tests of scripts/export. Importing what they are made with takes seconds, which other tests here need
not wait for."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Family -> its pipeline saved as diffusers does."""
    from exporting import ROOT  # noqa: F401  sets the path
    from miniatures import miniature

    saved = {}

    def save(family: str) -> Path:
        if family not in saved:
            saved[family] = tmp_path_factory.mktemp(family) / "source"
            miniature(family).save_pretrained(saved[family])
        return saved[family]

    return save


@pytest.fixture(scope="session")
def models(folders, tmp_path_factory):
    """Family -> its exported model folder, at float32."""
    from exporter import checks
    from exporting import export

    exported = {}

    def model(family: str) -> Path:
        if family not in exported:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(checks, "PICTURES", [])  # a second or two each, as are half precisions
                patch.setattr(checks, "HALVES", {})
                output = tmp_path_factory.mktemp("models") / family
                exported[family] = export(folders(family), output, "--precision", "fp32")
        return exported[family]

    return model
