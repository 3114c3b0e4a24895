"""A Ray cluster of two nodes on this machine, which ends with the test."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.environment import child_environment

PATIENCE = 180.0


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ray_environment(home: Path) -> dict[str, str]:
    """Return the environment of Ray's processes, which write their token into `home`."""
    home.mkdir(parents=True, exist_ok=True)
    return {
        **child_environment(),
        "HOME": str(home),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
    }


@contextlib.contextmanager
def ray_cluster(folder: Path, temporary: str) -> Iterator[str]:
    """Start a head and a second node with one core each; yield the address.

    `temporary` is a short path: the paths of sockets have at most 107 characters.
    """
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
    address = f"127.0.0.1:{free_port()}"
    head = ["--head", f"--port={address.rpartition(':')[2]}", "--include-dashboard=false"]
    environment = ray_environment(folder / "home")
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        for words in ([*head, f"--temp-dir={temporary}"], [f"--address={address}"]):
            with (folder / f"node{len(nodes)}.txt").open("wb") as log:
                nodes.append(
                    subprocess.Popen(
                        [*ray, *words],
                        cwd=folder,
                        env=environment,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )
            wait_for_nodes(len(nodes), address, environment)
        yield address
    finally:
        for node in reversed(nodes):
            with contextlib.suppress(OSError):
                os.killpg(node.pid, signal.SIGTERM)
        for node in nodes:
            node.wait(60)


def wait_for_nodes(count: int, address: str, environment: dict[str, str]) -> None:
    """Wait until a cluster has this many nodes."""
    until = time.monotonic() + PATIENCE
    words = [sys.executable, "-m", "ray.scripts.scripts", "status", f"--address={address}"]
    while time.monotonic() < until:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if done.stdout.count(" node_") >= count:
            return
        time.sleep(1)
    raise AssertionError(f"the Ray cluster has fewer than {count} nodes")
