"""RabbitMQ from Debian, as a node of its own: own name, ports, folders, cookie and epmd."""

import os
import socket
from pathlib import Path

from .process import Ground, accepts

NAME = "rabbitmq"
# Erlang's name server and the port of the node's own protocol: a machine-wide epmd would make checkouts meet.
EPMD = "epmd"
DISTRIBUTION = "rabbitmq-distribution"
# Debian's /usr/sbin/rabbitmq-server switches to the system's user and folders; the script below it does not.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def missing_packages() -> list[str]:
    return [] if SERVER.exists() else ["rabbitmq-server"]


def launch(ground: Ground) -> None:
    if ground.running(NAME) and ground.running(EPMD):
        return
    # A node that lost its epmd cannot be reached by its tools: both start afresh.
    stop(ground)
    folder = ground.folder / NAME
    folder.mkdir(exist_ok=True)
    (folder / "rabbitmq.conf").write_text("disk_free_limit.absolute = 200MB\nloopback_users = none\n")
    (folder / "enabled_plugins").write_text("[].\n")
    ground.start(EPMD, ["epmd", "-port", str(ground.port(EPMD)), "-address", "127.0.0.1"])
    ground.wait(EPMD, lambda: accepts(ground.port(EPMD)))
    environment = {
        **os.environ,
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(ground.port(EPMD)),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": "indexer@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(ground.port(NAME)),
        "RABBITMQ_DIST_PORT": str(ground.port(DISTRIBUTION)),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "node.pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        # Lets the script become the Erlang machine instead of watching it, so that the recorded pid is the server's.
        "RUNNING_UNDER_SYSTEMD": "true",
    }
    ground.start(NAME, [str(SERVER)], env=environment, cwd=folder)


def wait_ready(ground: Ground) -> None:
    ground.wait(NAME, lambda: speaks_amqp(ground.port(NAME)))


def speaks_amqp(port: int) -> bool:
    """Whether a greeting is answered with AMQP's first method frame."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


def variables(ground: Ground) -> dict[str, str]:
    url = f"amqp://guest:guest@127.0.0.1:{ground.port(NAME)}/%2f"
    return {"TEST_AMQP_URL": url, "AMQP_URL": url}


def stop(ground: Ground) -> None:
    ground.stop(NAME)
    ground.stop(EPMD)
