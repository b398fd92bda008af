"""What the bridge installs besides itself: `python -m tests.supply_chain`.

- `sbom [FILE]` writes a software bill of materials (CycloneDX 1.6, JSON): each package that is installed with the
  bridge, or with an extra (scope `optional`), with its version, the hashes of its files, its licence and
  what it depends on. The same locks give the same bytes.
- `audit` asks for known vulnerabilities of these packages and of those that build the bridge (pip-audit, from the
  environment .venv-audit). Exit code 0:
  none; 1: some, they are listed; 75: the data could not be reached, so nothing is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Mapping
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name

import wx2mqtt
from tests.support.lock import Pin, installed, read_lock

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "deploy/requirements.lock"
EXTRA_LOCKS = (ROOT / "deploy/fallback.lock", ROOT / "deploy/postgresql.lock")
BUILD_LOCK = ROOT / "deploy/build.lock"
LICENCES = ROOT / "deploy/licences.toml"
AUDIT = ROOT / ".venv-audit/bin/pip-audit"
TEMPORARY_FAILURE = 75


def licences() -> dict[str, str]:
    """Returns the SPDX expression of each locked package by name."""
    packages: dict[str, str] = tomllib.loads(LICENCES.read_text(encoding="utf-8"))["packages"]
    return packages


def optional_pins() -> dict[str, Pin]:
    """Returns the packages of all extras."""
    return {name: pin for lock in EXTRA_LOCKS for name, pin in read_lock(lock).items()}


def bill_of_materials(
    required: Mapping[str, Pin], optional: Mapping[str, Pin], expressions: Mapping[str, str]
) -> Bom:
    """Returns the packages of the locks as components of the bridge. Raises KeyError for one without a licence."""
    product = Component(
        name="wx2mqtt",
        version=wx2mqtt.__version__,
        type=ComponentType.APPLICATION,
        bom_ref="wx2mqtt",
        licenses=[LicenseFactory().make_from_string("MIT")],
    )
    components = {
        name: _component(
            name,
            pin,
            expressions[name],
            ComponentScope.REQUIRED if name in required else ComponentScope.OPTIONAL,
        )
        for name, pin in {**optional, **required}.items()
    }
    bom = Bom(components=components.values())
    bom.metadata.component = product
    bom.register_dependency(product, components.values())
    for name, component in components.items():
        package = installed(name)
        needed = (
            {canonicalize_name(requirement.name) for requirement in package.requires} if package else set()
        )
        bom.register_dependency(
            component, [components[other] for other in sorted(needed & components.keys())]
        )
    return bom


def _component(name: str, pin: Pin, expression: str, scope: ComponentScope) -> Component:
    marker = pin.requirement.marker
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/simple/{name}/"),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in pin.hashes],
    )
    return Component(
        name=name,
        version=pin.version,
        type=ComponentType.LIBRARY,
        scope=scope,
        bom_ref=f"{name}=={pin.version}",
        purl=PackageURL(type="pypi", name=name, version=pin.version),
        licenses=[LicenseFactory().make_from_string(expression)],
        external_references=[files],
        properties=[Property(name="wx2mqtt:marker", value=str(marker))] if marker else [],
    )


def as_json(bom: Bom, locks: bytes) -> str:
    """Returns CycloneDX 1.6. The serial number comes from the locks and there is no time: equal locks, equal text."""
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, locks.hex()).urn
    del document["metadata"]["timestamp"]
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def sbom() -> str:
    bom = bill_of_materials(read_lock(LOCK), optional_pins(), licences())
    return as_json(bom, b"".join(lock.read_bytes() for lock in (LOCK, *EXTRA_LOCKS)))


def audit() -> int:
    """Asks pip-audit, prints what is known, and returns the exit code."""
    locks = [option for lock in (LOCK, *EXTRA_LOCKS, BUILD_LOCK) for option in ("--requirement", str(lock))]
    modes = ["--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    result = subprocess.run([str(AUDIT), *locks, *modes], capture_output=True, text=True, check=False)
    code, lines = audit_result(result.stdout, result.stderr)
    sys.stdout.write("\n".join(lines) + "\n")
    return code


def audit_result(output: str, errors: str) -> tuple[int, list[str]]:
    """Returns the exit code and the lines for a person from what pip-audit prints.

    pip-audit itself ends with 0 and "No known vulnerabilities" when it reaches a package index that has no such data.
    """
    try:
        dependencies = json.loads(output)["dependencies"]
    except ValueError:
        reason = errors.strip().splitlines()[-1:] or ["pip-audit printed nothing"]
        return TEMPORARY_FAILURE, [f"not audited: {reason[0]}"]
    lines = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no version'}"
        for package in dependencies
        for hole in package.get("vulns", ())
    ]
    skipped = [package["skip_reason"] for package in dependencies if "skip_reason" in package]
    if skipped:
        lines.append(f"not audited: {len(skipped)} of {len(dependencies)} packages; the first: {skipped[0]}")
        return (1 if len(lines) > 1 else TEMPORARY_FAILURE), lines
    if lines:
        return 1, lines
    return 0, [f"{len(dependencies)} packages, no known vulnerability"]


def main(arguments: list[str]) -> int:
    match arguments:
        case ["sbom"]:
            sys.stdout.write(sbom())
        case ["sbom", file]:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text(sbom(), encoding="utf-8")
        case ["audit"]:
            return audit()
        case _:
            sys.stdout.write(str(__doc__))
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
