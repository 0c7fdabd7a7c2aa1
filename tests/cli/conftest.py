"""The program called in this process: exit status, stdout, stderr."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pendula.cli import main


@pytest.fixture
def pendula(capsys, monkeypatch, tmp_path):
    """`pendula("fit", "x.csv")` -> status, out, err; in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*argv):
        status = main([str(part) for part in argv])
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return call
