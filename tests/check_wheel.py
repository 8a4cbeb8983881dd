"""The wheel, installed alone into a clean environment without extras, does the main job and names what it lacks.

Not a test of pytest: it builds the wheel and installs it from the package index (``make wheel``).

    python tests/check_wheel.py FOLDER
"""

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0"

NEED_AN_EXTRA = {
    "timm": ["trace", "timm:resnet18(pretrained=False)"],
    "transformers": ["trace", "hf:bert-base-uncased"],
    "images": ["measure", "zoo:cnn", "--data", "imagefolder:IMAGES"],
    "parquet": ["measure", "zoo:cnn", "--data", "parquet:TABLE.parquet"],
    "datasets": ["measure", "zoo:cnn", "--data", "datasets:IMAGES"],
}
"""By extra a command that cannot do without it."""


def install(folder: Path) -> Path:
    """Build the wheel, install it and nothing else, and return the environment's folder of commands."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("netcaliper-*.whl")
    venv.create(folder / "venv", with_pip=True)
    commands = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    pip = [commands / "python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt"]
    run(*pip, TORCH)  # a CPU build, where the index offers one
    run(*pip, wheel)
    return commands


def run(*command: object, code: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command that must end with this exit code."""
    words = [str(word) for word in command]
    done = subprocess.run(words, text=True, capture_output=True, cwd=cwd, check=False, timeout=1200)
    if done.returncode != code:
        raise SystemExit(f"{' '.join(words)}: exit code {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}")
    return done


def check(commands: Path, folder: Path) -> None:
    """Run the commands as a user would, in a folder without the source tree."""
    work = folder / "work"
    (work / "IMAGES" / "one").mkdir(parents=True)
    (work / "IMAGES" / "one" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (work / "TABLE.parquet").write_bytes(b"PAR1PAR1")
    netcaliper = commands / "netcaliper"
    where = run(commands / "python", "-c", "import netcaliper; print(netcaliper.__file__)", cwd=work).stdout
    if str(folder) not in where:
        raise SystemExit(f"netcaliper is imported from {where.strip()}, not from the clean environment")
    run(netcaliper, "doctor", cwd=work)
    run(netcaliper, "measure", "zoo:cnn(widths=[8, 16])", "--data", "digits(examples=300)", "-o", "out", cwd=work)
    reading = json.loads((work / "out" / "reading.json").read_text(encoding="utf-8"))
    if not reading["sites"] or not (work / "out" / "report.html").stat().st_size:
        raise SystemExit("the reading has no site, or its page is empty")
    run(netcaliper, "report", "out", "--figures", "figures", "--formats", "svg,png", cwd=work)
    for extra, command in NEED_AN_EXTRA.items():
        said = run(netcaliper, *command, code=2, cwd=work).stderr
        if f"netcaliper[{extra}]" not in said or "Traceback" in said:
            raise SystemExit(f"{' '.join(command)} must name the extra {extra!r}, it said: {said}")
    print(f"the wheel alone: doctor, measure and report run; {len(NEED_AN_EXTRA)} missing extras are named")


if __name__ == "__main__":
    place = Path(sys.argv[1]).resolve()
    check(install(place), place)
