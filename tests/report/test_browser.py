"""A stranger opens the page: headless Chromium, its console, its requests."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

import run_example
from pendula.report import write_page


CHROMIUM = next(
    filter(
        None,
        map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome")),
    ),
    None,
)
# the browser's own calls home, which no switch turns off
OWN = re.compile(r"https?://([\w.-]+\.)?(google|googleapis|gstatic)\.com/")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here to open the page with"
)


def look(page, folder):
    """(lines on the console, requests of the page, the screenshot's bytes)"""
    shot, net = folder / "shot.png", folder / "net.json"
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}",
            f"--log-net-log={net}",
            "--window-size=1280,900",
            f"--screenshot={shot}",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert shot.exists(), done.stderr[-500:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    urls = set(re.findall(r'"url":"(https?://[^"]*)"', net.read_text(errors="replace")))
    return console, {u for u in urls if not OWN.match(u)}, shot.read_bytes()


def test_no_console_error_and_no_request(tmp_path):
    page = write_page(run_example.write(tmp_path / "run"))
    console, requests, shot = look(page, tmp_path)
    assert console == []
    assert requests == set()
    assert len(shot) > 50_000  # a page with figures, not an empty one


def test_the_look_sees_errors_and_requests(tmp_path):
    """The control: a page that logs and fetches is caught."""
    page = tmp_path / "bad.html"
    page.write_text(
        '<img src="http://example.invalid/x.png"><script>console.error("no")</script>'
    )
    console, requests, _ = look(page, tmp_path)
    assert len(console) >= 1
    assert requests == {"http://example.invalid/x.png"}
