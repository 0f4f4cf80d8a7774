"""How a driver of switches logs in, and what it makes of a switch that is not the one, or that says odd things."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from drivers.base import (
    AuthenticationFailed,
    Peer,
    PortConfig,
    Rejected,
    SecretUnavailable,
    SwitchConfig,
    SwitchEndpoint,
    SwitchNeighbour,
    SwitchScope,
    Unreachable,
    Unreadable,
)
from drivers.switch.linux import LinuxSwitches
from drivers.switch.ssh_shell import SshAddress, SwitchShell, in_session, ssh_address
from tests.switch.leaf import Leaf, needs_leaf, running_leaf, until


@pytest.fixture(scope="module")
def leaf() -> Iterator[Leaf]:
    with running_leaf(ports=("swp1", "swp2")) as running:
        yield running


@pytest.fixture
def endpoint(leaf: Leaf) -> SwitchEndpoint:
    return SwitchEndpoint("linux", leaf.address, leaf.host_key, lambda _peer: leaf.key())


def ran(endpoint: SwitchEndpoint, *command: str) -> bytes:
    async def work(shell: SwitchShell) -> bytes:
        return (await shell.run(*command)).output

    return in_session(endpoint, work)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://admin@leaf01", SshAddress("admin", "leaf01")),
        ("ssh://admin@10.1.1.11:2222", SshAddress("admin", "10.1.1.11", 2222)),
        ("ssh://admin@[2001:db8::1]:22", SshAddress("admin", "2001:db8::1")),
    ],
)
def test_an_address_has_a_user_a_host_and_a_port(text: str, address: SshAddress) -> None:
    assert ssh_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "leaf01",
        "ssh://leaf01",
        "https://a@b",
        "ssh://a@b:0",
        "ssh://a@b:70000",
        "ssh://a@b/c",
        "ssh://-oX=y@b",
        "ssh://a@b c",
    ],
)
def test_another_address_is_refused_before_anything_is_sent(text: str) -> None:
    with pytest.raises(Rejected, match="ssh://USER@HOST"):
        LinuxSwitches().open(SwitchEndpoint("linux", text))


@needs_leaf
def test_words_of_a_command_arrive_as_they_are(endpoint: SwitchEndpoint) -> None:
    words = ("a b", "$(id)", "';'", '"', "*")
    assert ran(endpoint, "printf", "%s\n", *words).decode().splitlines() == list(words)


@needs_leaf
def test_the_login_is_asked_for_once_and_for_the_peer_that_gets_it(endpoint: SwitchEndpoint, leaf: Leaf) -> None:
    asked: list[Peer] = []

    def secret(peer: Peer) -> str:
        asked.append(peer)
        return leaf.key()

    ran(replace(endpoint, secret=secret), "true")
    assert asked == [Peer("127.0.0.1", verified=True)]


@needs_leaf
def test_another_host_key_is_refused_and_gets_no_login(endpoint: SwitchEndpoint, leaf: Leaf) -> None:
    def secret(_peer: Peer) -> str:
        pytest.fail("the login was asked for")

    other = (leaf.folder / "stranger.pub").read_text()
    with pytest.raises(Rejected, match=r"spec\.hostKey"):
        ran(replace(endpoint, host_key=other, secret=secret), "true")


@needs_leaf
@pytest.mark.parametrize("key", ["", "no key", "ssh-ed25519 AAAA", "ssh-rsa AAAAB3NzaC1yc2E="])
def test_a_host_key_that_is_none_is_refused(endpoint: SwitchEndpoint, key: str) -> None:
    with pytest.raises(Rejected, match="ssh-keyscan"):
        ran(replace(endpoint, host_key=key), "true")


@needs_leaf
def test_a_login_that_the_switch_refuses_is_said_to_be_so(endpoint: SwitchEndpoint, leaf: Leaf) -> None:
    for secret in (leaf.key("stranger"), "a password"):
        with pytest.raises(AuthenticationFailed, match="refused the login of root"):
            ran(replace(endpoint, secret=lambda _peer, secret=secret: secret), "true")


@needs_leaf
def test_a_key_that_cannot_be_read_is_not_sent(endpoint: SwitchEndpoint) -> None:
    broken = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----\n"
    with pytest.raises(SecretUnavailable, match="passphrase"):
        ran(replace(endpoint, secret=lambda _peer: broken), "true")


@needs_leaf
def test_what_the_source_of_the_login_says_is_passed_on(endpoint: SwitchEndpoint) -> None:
    def secret(_peer: Peer) -> str:
        raise SecretUnavailable("the file leaf.key is not there")

    with pytest.raises(SecretUnavailable, match=r"leaf\.key"):
        ran(replace(endpoint, secret=secret), "true")


@needs_leaf
def test_a_network_that_the_settings_do_not_allow_is_not_connected_to(endpoint: SwitchEndpoint) -> None:
    def connects(address: str) -> None:
        raise Rejected(f"{address} is in no network of switches")

    with pytest.raises(Rejected, match=r"127\.0\.0\.1 is in no network"):
        ran(replace(endpoint, connects=connects), "true")


@needs_leaf
def test_endless_output_is_an_error_and_no_memory(endpoint: SwitchEndpoint) -> None:
    with pytest.raises(Unreadable, match="more than"):
        ran(endpoint, "yes")


@needs_leaf
def test_a_script_stops_at_what_fails_and_names_it(endpoint: SwitchEndpoint, leaf: Leaf) -> None:
    async def work(shell: SwitchShell) -> None:
        await shell.script([("touch", "/run/first"), ("ip", "link", "set", "swp9", "up"), ("touch", "/run/third")])

    with pytest.raises(Rejected, match="swp9"):
        in_session(endpoint, work)
    assert leaf.is_there("/run/first")
    assert not leaf.is_there("/run/third")


@needs_leaf
@pytest.mark.parametrize("writes", [False, True])
def test_a_connection_that_ends_leaves_open_what_was_written(endpoint: SwitchEndpoint, writes: bool) -> None:
    async def work(shell: SwitchShell) -> None:
        # The parent of the command's shell is this connection's sshd.
        await shell.run("sh", "-c", "kill -9 $PPID; sleep 5", writes=writes)

    with pytest.raises(Unreachable) as caught:
        in_session(endpoint, work)
    assert caught.value.maybe_sent is writes


ODD = ["", "garbage", "[", "{}", "[]", "[1]", '[{"ifname": 5}]', "null"]


@needs_leaf
@pytest.mark.parametrize("said", ODD)
def test_odd_words_of_a_switch_are_an_error_with_a_reason(leaf: Leaf, endpoint: SwitchEndpoint, said: str) -> None:
    leaf.write("/usr/local/sbin/ip", f"#!/bin/sh\nprintf '%s' '{said}'\n", "755")
    try:
        with pytest.raises(Unreadable, match=r"`ip -j .*`"):
            LinuxSwitches().open(endpoint).read()
    finally:
        leaf.run("rm", "/usr/local/sbin/ip")


@needs_leaf
def test_a_switch_without_lldpd_and_frr_says_nothing_of_neighbours(leaf: Leaf, endpoint: SwitchEndpoint) -> None:
    for program in ("lldpcli", "vtysh"):
        leaf.write(f"/usr/local/sbin/{program}", "#!/bin/sh\nexit 1\n", "755")
    try:
        state = LinuxSwitches().open(endpoint).read()
    finally:
        leaf.run("rm", "/usr/local/sbin/lldpcli", "/usr/local/sbin/vtysh")
    assert (state.neighbours, state.peers, state.saved) == (None, None, None)
    assert set(state.ports) == {"swp1", "swp2"}


@needs_leaf
def test_the_port_by_which_the_switch_is_reached_is_not_changed(leaf: Leaf, endpoint: SwitchEndpoint) -> None:
    """Whatever it is called."""
    switch = LinuxSwitches().open(endpoint)
    assert switch.read().management == ()
    leaf.run("ip", "address", "del", "127.0.0.1/8", "dev", "lo")
    leaf.run("ip", "address", "add", "127.0.0.1/32", "dev", "swp2")
    try:
        assert switch.read().management == ("swp2",)
        config = SwitchConfig(SwitchScope.PORTS, 4000, {"swp2": PortConfig(vlan=4000)})
        for call in (switch.check, switch.apply):
            with pytest.raises(Rejected, match="groundstate reaches the switch through swp2"):
                call(config)
    finally:
        leaf.run("ip", "address", "del", "127.0.0.1/32", "dev", "swp2")
        leaf.run("ip", "address", "add", "127.0.0.1/8", "dev", "lo")
    assert leaf.run("ip", "-o", "link", "show", "type", "bridge") == ""


@needs_leaf
def test_lldp_is_read_from_the_machines_that_are_cabled(leaf: Leaf, endpoint: SwitchEndpoint) -> None:
    leaf.run("ip", "link", "set", "swp1", "up")
    leaf.start_machine_lldpd("m1")
    switch = LinuxSwitches().open(endpoint)
    heard: list[SwitchNeighbour] = []

    def hears() -> bool:
        heard[:] = [one for one in switch.read().neighbours or () if one.port == "swp1" and one.system == "m1"]
        return bool(heard)

    until(hears, "the neighbour")
    mac = leaf.run("ip", "netns", "exec", "m1", "cat", "/sys/class/net/eth0/address").strip()
    assert (heard[0].system, heard[0].description, heard[0].mac) == ("m1", "eth0", mac)


def test_a_connection_that_is_dropped_before_the_login_is_made_once_more(leaf: Leaf, endpoint: SwitchEndpoint) -> None:
    """As sshd drops them at random while many begin (sshd_config(5), MaxStartups)."""
    leaf.drops = 1
    assert ran(endpoint, "echo", "there") == b"there\n"
    leaf.drops = 2
    with pytest.raises(Unreachable):
        ran(endpoint, "echo", "there")
    assert leaf.drops == 0
