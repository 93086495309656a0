"""Chromium for tests of pages: the installed one, else the system's package, fetched without root, with one font."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from local import packages
from local.process import ServerFailed

PROGRAM = "chromium"
PACKAGES = ("chromium", "fonts-inter")
_FONTS = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>{folder}</dir>
</fontconfig>
"""


@dataclass(frozen=True, slots=True)
class Browser:
    """A program, and the environment variables that it needs beside those that there are."""

    program: Path
    environment: dict[str, str] = field(default_factory=dict)


def installed() -> Path | None:
    """The machine's own Chromium; None where it has none."""
    program = shutil.which(PROGRAM)
    return None if program is None else Path(program)


def browser() -> Browser:
    """The installed Chromium, else the fetched one, fetched first where needed. Raises ServerFailed with remedies."""
    program = installed()
    return fetched_browser() if program is None else Browser(program)


def fetched_browser() -> Browser:
    """The Chromium of the system's package, which finds its libraries and its font beside it. Raises ServerFailed."""
    try:
        unpacked = packages.fetch(*PACKAGES)
    except ServerFailed as error:
        raise ServerFailed(
            f"chromium was not found, and the system's package cannot be used instead. {error}\n"
            "Install it (as root: apt install chromium fonts-inter), so that it is on the path."
        ) from error
    program = unpacked.root / "usr/lib/chromium/chromium"  # usr/bin has a script that looks for it below /usr
    if not program.is_file():
        raise ServerFailed(f"the package {PROGRAM} in {unpacked.root} has no program {program.name}")
    return Browser(program, {**unpacked.environment(), "FONTCONFIG_FILE": str(_font_settings(unpacked.root))})


def _font_settings(root: Path) -> Path:
    """The settings that name the font's folder. Written whole, whoever writes it first."""
    settings = root.parent / "fonts.conf"
    if not settings.is_file():
        part = settings.with_suffix(".part")
        part.write_text(_FONTS.format(folder=root / "usr/share/fonts"), encoding="utf-8")
        part.replace(settings)
    return settings
