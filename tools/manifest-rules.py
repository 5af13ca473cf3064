"""Our own rules for manifests: least rights, secrets that only their owner reads, images by digest, limits, and patient probes."""

import re
import sys

import yaml


# In seconds: what a new start does not mend keeps /health from answering well.
RESTARTS_AFTER = 3600


def containers(pod):
    return pod.get("containers", []) + pod.get("initContainers", [])


def problems(document):
    pod = document.get("spec", {}).get("template", {}).get("spec")
    if document.get("kind") == "Secret":
        yield "a secret in the repository"
    if pod is None:
        return
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True:
        yield "it may run as root"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "it gets a service account's token"
    if document["kind"] == "StatefulSet" and document["spec"].get("replicas") != 1:
        yield "more than one replica would share a key"
    for volume in pod.get("volumes", []):
        if "secret" in volume and volume["secret"].get("defaultMode") != 0o400:
            yield f"secret {volume['name']} is not 0400"
    secrets = {volume["name"] for volume in pod.get("volumes", []) if "secret" in volume}
    for container in containers(pod):
        name, own = container["name"], container.get("securityContext", {})
        if not re.search(r"@sha256:[0-9a-f]{64}$", container["image"]):
            yield f"{name}: the image has no digest"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{name}: its root can be written"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: it may gain rights"
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{name}: it has capabilities"
        resources = container.get("resources", {})
        for kind, what in [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")]:
            if what not in resources.get(kind, {}):
                yield f"{name}: no {what} {kind}"
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"]:
            if container.get(probe, {}).get("httpGet", {}).get("path") != "/health":
                yield f"{name}: {probe} does not ask /health"
        for probe in ["startupProbe", "livenessProbe"]:
            asked = container.get(probe, {})
            if asked.get("periodSeconds", 10) * asked.get("failureThreshold", 3) < RESTARTS_AFTER:
                yield f"{name}: {probe} restarts within an hour"
        for mount in container.get("volumeMounts", []):
            if mount["name"] in secrets and mount.get("readOnly") is not True:
                yield f"{name}: secret {mount['name']} can be written"


def main(paths):
    found = 0
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for document in filter(None, yaml.safe_load_all(file)):
                for problem in problems(document):
                    found += 1
                    print(f"error: {path}: {document['kind']} {document['metadata']['name']}: {problem}")
    return 1 if found else 0


sys.exit(main(sys.argv[1:]))
