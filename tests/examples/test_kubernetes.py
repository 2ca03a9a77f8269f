"""The Kubernetes manifest: valid, unprivileged, and its three commands run a cohort together."""

import os
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from distributed import Security

from qsmengine import __version__
from qsmengine.cli.main import main
from tests.cohort.small import SETTINGS, derivatives, write_cohort

FILE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "kubernetes.yaml"
OBJECTS = list(yaml.safe_load_all(FILE.read_text()))
PODS = {
    tree["metadata"]["name"].removeprefix("qsmengine-"): tree["spec"]["template"]["spec"]
    for tree in OBJECTS
    if "template" in tree["spec" if "spec" in tree else "data"]
}


@pytest.mark.parametrize("release", ["1.29", "1.35"])
@pytest.mark.parametrize("tree", OBJECTS, ids=lambda tree: f"{tree['kind']}-{tree['metadata']['name']}")
def test_objects_fit_the_schemas_of_kubernetes(tree, release):
    import kubernetes_validate  # 2 s, which every test process would spend when it collects

    kubernetes_validate.validate(tree, release, strict=True)


@pytest.mark.parametrize("name", ["scheduler", "worker", "run"])
def test_pods_are_unprivileged_and_mount_what_they_name(name):
    pod = PODS[name]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    assert container["image"] in {f"qsmengine:{__version__}-cpu", f"qsmengine:{__version__}-cuda"}


def test_references_between_the_objects_resolve():
    names = {(tree["kind"], tree["metadata"]["name"]): tree for tree in OBJECTS}
    service = names["Service", "qsmengine-scheduler"]["spec"]
    labels = names["Deployment", "qsmengine-scheduler"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    for pod in PODS.values():
        (container,) = pod["containers"]
        for source in container["envFrom"]:
            assert ("ConfigMap", source["configMapRef"]["name"]) in names
        hosts = [word for word in container["args"] if "://" in word]
        assert set(hosts) <= {f"tls://qsmengine-scheduler:{service['ports'][0]['port']}"}


@contextmanager
def started(words, environment):
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def free_port():
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(port):
    for _ in range(600):
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
            return
        time.sleep(0.1)


class Cluster:
    """The containers of the manifest as processes, with their folders below `root`."""

    def __init__(self, root):
        self.places = {f"/{name}": root / name for name in ("data", "out", "tls", "scratch")}
        self.port = free_port()
        settings = next(tree["data"] for tree in OBJECTS if tree["kind"] == "ConfigMap")
        own = {key: self.here(value) for key, value in settings.items()}
        self.environment = os.environ | own | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def here(self, text):
        """Text with folders and the scheduler's address as they are on this machine."""
        for inside, outside in self.places.items():
            if text == inside or text.startswith(inside + "/"):
                return f"{outside}{text[len(inside) :]}"
        return text.replace("qsmengine-scheduler:8786", f"127.0.0.1:{self.port}")

    def command(self, name, changes=()):
        """Command of a container; `changes` replaces words."""
        (container,) = PODS[name]["containers"]
        words = [dict(changes).get(word, word) for word in (*container["command"], *container["args"])]
        return [sys.executable, "-m", *(self.here(word) for word in words)]

    def write_certificates(self):
        security, folder = Security.temporary(), self.places["/tls"]
        folder.mkdir(mode=0o700)
        (folder / "ca.pem").write_text(security.tls_ca_file)
        (folder / "cert.pem").write_text(security.tls_client_cert)
        (folder / "key.pem").write_text(security.tls_client_key)


@pytest.mark.slow
def test_its_commands_run_a_cohort_with_tls(tmp_path):
    cluster = Cluster(tmp_path)
    write_cohort(tmp_path / "data", 2)
    cluster.write_certificates()
    small = ["--preset", "fast", *(f"--set={setting}" for setting in SETTINGS)]
    run = [*cluster.command("run", [("cuda", "cpu")]), "--threads", "1", *small]
    scheduler = [*cluster.command("scheduler", [("8786", str(cluster.port))]), "--host", "127.0.0.1"]
    with started(scheduler, cluster.environment), started(cluster.command("worker"), cluster.environment):
        wait_for(cluster.port)
        done = subprocess.run(run, env=cluster.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    alone = [
        "run",
        str(tmp_path / "data"),
        str(tmp_path / "alone"),
        "--workers",
        "0",
        "--device",
        "cpu",
        *small,
    ]
    assert main(alone) == 0
    assert derivatives(tmp_path / "out") == derivatives(tmp_path / "alone")
