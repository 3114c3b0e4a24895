"""A fresh environment: a clone of the committed state, a new venv, and few variables."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.environment import ROOT

KEPT = ("HOME", "LANG", "LANGUAGE", "LOGNAME", "SHELL", "TERM", "TZ", "USER")
KEPT_PARTS = ("CA_BUNDLE", "CERT", "INDEX_URL", "FIND_LINKS", "PIP_", "PROXY")  # for pip
TEXT_FILES, TEXT_BYTES = 3, 200_000


@dataclass(frozen=True)
class Environment:
    """A folder with a clone (`ablab`), its environment (`venv`) and temporary files (`tmp`)."""

    folder: Path

    @property
    def clone(self) -> Path:
        return self.folder / "ablab"

    @property
    def binaries(self) -> Path:
        return self.folder / "venv" / "bin"

    def create(self) -> str:
        """Clone the committed state, make the venv, and return the commit."""
        for name in ("tmp", "logs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        clone = ["git", "clone", "--quiet", str(ROOT), str(self.clone)]
        venv = [sys.executable, "-m", "venv", str(self.binaries.parent)]
        for words in (clone, venv):
            subprocess.run(words, check=True, env=self.variables())
        return self.commit()

    def commit(self) -> str:
        """Return the commit of the clone."""
        words = ["git", "-C", str(self.clone), "rev-parse", "HEAD"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()

    def variables(self) -> dict[str, str]:
        """Return the variables of a new login: none of a test session, and the venv first."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name in KEPT or name.startswith("LC_") or any(p in name.upper() for p in KEPT_PARTS)
        }
        ours = Path(sys.prefix, "bin")
        path = [p for p in os.get_exec_path() if Path(p) != ours]
        return {
            **inherited,
            "PATH": os.pathsep.join([str(self.binaries), *path]),
            "TMPDIR": str(self.folder / "tmp"),  # a study outside must not make it wait
            "COLUMNS": "80",
        }

    def write_texts(self, pattern: str) -> list[Path]:
        """Write files of English text and code that match a pattern, such as `my/*.md`."""
        sources = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("runner/**/*.py")])
        text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
        names = [f"text{number}" for number in range(TEXT_FILES)] if "*" in pattern else [""]
        paths = [self.clone / pattern.replace("**", "*").replace("*", name) for name in names]
        for number, path in enumerate(paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            part = text[number * TEXT_BYTES : (number + 1) * TEXT_BYTES]
            path.write_text(part, encoding="utf-8")
        return paths
