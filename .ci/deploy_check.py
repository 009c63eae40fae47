"""Checks the manifests, the compose file and the Dockerfile: schemas, and what a schema cannot see."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

PROGRAM = sys.argv[1]
# The oldest version that is still looked after, and the newest one that the schemas know.
VERSIONS = ["1.29", "1.37"]
ROOT = pathlib.Path(__file__).resolve().parent.parent
USER = 65532


def fail(message):
    sys.exit(f"deploy: {message}")


def manifests():
    for path in sorted((ROOT / "deploy/kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield path.name, document


def check_schema(name, document):
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            fail(f"{name}: {'.'.join(map(str, error.path))}: {error.message} (Kubernetes {version})")


def check_pod(name, document, others):
    """What ties a workload's parts together, and what keeps it in its place."""
    template = document["spec"]["template"]
    labels, pod = template["metadata"]["labels"], template["spec"]
    if not document["spec"]["selector"]["matchLabels"].items() <= labels.items():
        fail(f"{name}: the selector does not select the pods")
    for volume in pod.get("volumes", []):
        wanted = volume.get("configMap", {}).get("name")
        if wanted and not any(o["kind"] == "ConfigMap" and o["metadata"]["name"] == wanted for _, o in others):
            fail(f"{name}: there is no ConfigMap {wanted}")
    if pod["securityContext"].get("runAsNonRoot") is not True or pod["securityContext"]["runAsUser"] != USER:
        fail(f"{name}: the pod does not run as the image's user")
    for container in pod["containers"]:
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe in ("livenessProbe", "readinessProbe"):
            port = container[probe]["httpGet"]["port"]
            if isinstance(port, str) and port not in ports:
                fail(f"{name}: {probe} asks a port that is not there: {port}")
        if "memory" not in container["resources"]["limits"] or "cpu" not in container["resources"]["requests"]:
            fail(f"{name}: resources are missing")
        context = container["securityContext"]
        if context["capabilities"] != {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}:
            fail(f"{name}: capabilities are {context['capabilities']}")
        if not context["readOnlyRootFilesystem"]:
            fail(f"{name}: the root can be written")
        if container["args"] == ["proxy"]:
            check_proxy(name, container)
    return labels


def check_proxy(name, container):
    """The proxy takes the manifest's settings, and serves where its probes ask."""
    environment = {entry["name"]: entry.get("value", "192.0.2.1") for entry in container.get("env", [])}
    filled = {key: re.sub(r"\$\((\w+)\)", lambda m: environment[m[1]], value) for key, value in environment.items()}
    made = run([PROGRAM, "proxy", "-print-corefile"], env=filled)
    if made.stderr:
        fail(f"{name}: {made.stderr}")
    for probe, directive in (("livenessProbe", "health"), ("readinessProbe", "ready")):
        asked = container[probe]["httpGet"]
        want = f"{directive} {asked['host']}:{asked['port']}\n"
        if want not in made.stdout:
            fail(f"{name}: {probe} asks {asked}, but the proxy has\n{made.stdout}")
    check_corefile(name, made.stdout)


def check_corefile(name, text):
    checked = run([PROGRAM, "check", "-conf", "stdin"], input=text)
    if checked.returncode != 0:
        fail(f"{name}: {checked.stderr}")


def run(command, env=None, **more):
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, **more)


def check_kubernetes():
    all_of_them = list(manifests())
    pods = []
    for name, document in all_of_them:
        check_schema(name, document)
        if document["kind"] in ("Deployment", "DaemonSet"):
            pods.append((document, check_pod(name, document, all_of_them)))
        if document["kind"] == "ConfigMap":
            check_corefile(name, document["data"]["Corefile"])
    for name, document in all_of_them:
        if document["kind"] not in ("Service", "PodDisruptionBudget"):
            continue
        selector = document["spec"]["selector"]
        selector = selector.get("matchLabels", selector)
        chosen = [pod for pod, labels in pods if selector.items() <= labels.items()]
        if [pod["kind"] for pod in chosen] != ["Deployment"]:
            fail(f"{name}: selects {[pod['metadata']['name'] for pod in chosen]}")
        ports = {port["name"] for port in chosen[0]["spec"]["template"]["spec"]["containers"][0]["ports"]}
        for port in document["spec"].get("ports", []):
            if port["targetPort"] not in ports:
                fail(f"{name}: there is no port {port['targetPort']}")
    kinds = sorted(document["kind"] for _, document in all_of_them)
    if kinds != ["ConfigMap", "DaemonSet", "Deployment", "Namespace", "PodDisruptionBudget", "Service"]:
        fail(f"the manifests are {kinds}")
    print(f"   {len(kinds)} manifests are good for Kubernetes {' and '.join(VERSIONS)}")


def instructions():
    """The Dockerfile's instructions, each on one line."""
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def check_dockerfile():
    lines = instructions()
    last = {}
    for word, rest in lines:
        last[word] = rest
    stages = [rest for word, rest in lines if word == "FROM"]
    if stages[-1] != "scratch" or len(stages) != 2:
        fail(f"Dockerfile: the stages are {stages}")
    if ("RUN", "deploy/image/assemble target/release/catena /image") not in lines:
        fail("Dockerfile: the image is put together in another way than here")
    entry, command = json.loads(last["ENTRYPOINT"]), json.loads(last["CMD"])
    health = json.loads(last["HEALTHCHECK"].split(" CMD ")[1])
    if (entry, command, health) != (["/usr/bin/catena"], ["proxy"], ["/usr/bin/catena", "probe"]):
        fail(f"Dockerfile: it runs {entry} {command}, and checks with {health}")
    if last["USER"] != f"{USER}:{USER}":
        fail(f"Dockerfile: the user is {last['USER']}")
    # What the build needs goes to the builder.
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    needed = {"Cargo.toml", "Cargo.lock", "deploy/image", "src"}
    needed |= {member.split("/")[0] for member in workspace_members()}
    if not needed <= sent:
        fail(f".dockerignore keeps back {sorted(needed - sent)}")
    with tempfile.TemporaryDirectory() as context:
        for entry in sorted(sent):
            there = pathlib.Path(context, entry)
            there.parent.mkdir(exist_ok=True)
            there.symlink_to(ROOT / entry)
        read = run(["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version=1"], cwd=context)
    if read.returncode != 0:
        fail(f"cargo cannot build what .dockerignore leaves: {read.stderr}")
    print("   the Dockerfile and .dockerignore are good")


def workspace_members():
    text = (ROOT / "Cargo.toml").read_text()
    return json.loads(re.search(r"^members = (\[.*\])$", text, flags=re.M)[1])


def check_compose():
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    dns, app = compose["services"]["dns"], compose["services"]["app"]
    if [dns["networks"]["default"]["ipv4_address"]] != app["dns"]:
        fail("compose.yaml: the application asks another address than the proxy's")
    if not (ROOT / "deploy" / dns["build"]["context"] / "Dockerfile").is_file():
        fail("compose.yaml: the build context has no Dockerfile")
    made = run([PROGRAM, *dns["command"], "-print-corefile"], env=dns["environment"])
    if made.returncode != 0 or made.stderr:
        fail(f"compose.yaml: {made.stderr}")
    check_corefile("compose.yaml", made.stdout)
    print("   compose.yaml is good")


check_kubernetes()
check_dockerfile()
check_compose()
