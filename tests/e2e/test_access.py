"""A changed way in to a machine: seen in the plan, before it is in force, and told by whoever puts it in force."""

from __future__ import annotations

from tests.e2e.desk import Desk, machine, partition


def fleet(desk: Desk, **m1: str) -> None:
    desk.commit(lab=[partition(), machine("m1", **m1), machine("m2", "bmc-m2")])


def test_what_was_shown_and_applied_is_not_shown_again(desk: Desk) -> None:
    fleet(desk)
    assert "+ Machine m[1-2]" in desk.run("plan").out
    assert desk.run("apply", "--yes").code == 0
    again = desk.run("plan")
    assert again.code == 0
    assert "Access" not in again.out


def desk_says_not_held(key: str) -> str:
    return (
        f"error: guard system-identity does not hold {key}, as far as groundstate has observed. Without a daemon, run "
        "`groundstate apply` for these resources, which observes them. Then give the override again\n"
    )


def test_a_moved_address_is_a_change_in_every_view_until_it_is_applied(desk: Desk) -> None:
    fleet(desk)
    desk.run("apply", "--yes")
    fleet(desk, address="bmc-m9")
    for form in ("text", "markdown"):
        plan = desk.run("plan", "-o", form)
        assert plan.code == 3
        assert "spec.bmc.address: bmc-m1 -> bmc-m9" in plan.out
        assert "the address and the system changed together" in plan.out
    [shown] = desk.run("plan", "-o", "json").json["access"]
    assert (shown["before"]["spec.bmc.address"], shown["after"]["spec.bmc.address"]) == ("bmc-m1", "bmc-m9")
    accept = ["override", "system-identity", "--for", "1h", "--reason", "the server was replaced"]
    early = desk.run(*accept, "machine/m1")
    assert (early.code, early.err) == (1, desk_says_not_held("Machine/m1"))
    assert desk.run("apply", "--yes").code == 3
    assert desk.run(*accept, "machine/m1", "machine/m2").err == desk_says_not_held("Machine/m2")
    assert desk.run(*accept, "machine/m1").code == 0
    assert desk.run("apply", "--yes").code == 0
    assert desk.run("plan").code == 0
    [told] = desk.told("AccessChanged", "m1")
    assert told.message == "spec.bmc.address: bmc-m1 -> bmc-m9"


def test_no_filter_hides_it(desk: Desk) -> None:
    fleet(desk)
    desk.run("apply", "--yes")
    fleet(desk, address="bmc-m9")
    assert "bmc-m1 -> bmc-m9" in desk.run("plan", "machine/m2").out


def test_a_saved_plan_sends_nothing_by_a_way_that_it_did_not_show(desk: Desk) -> None:
    desk.commit(lab=[partition(), machine("m1", power="On")])
    desk.run("plan", "--out", "p.json")
    desk.commit(lab=[partition(), machine("m1", address="bmc-m9", power="On")])
    done = desk.run("apply", "--yes", "p.json")
    assert done.code == 1
    assert "stale: the change of Machine/m1" in done.err
    assert desk.told("ActionSent") == []
