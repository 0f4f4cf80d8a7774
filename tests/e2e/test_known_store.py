"""A store that was deleted, or another one that was named by mistake, is not begun anew in silence."""

from __future__ import annotations

from tests.e2e.desk import Desk, machine, partition

ORDER = {"target": "Pxe", "enabled": "Once"}


def test_an_order_of_a_new_repository_is_carried_out_in_its_first_store(desk: Desk) -> None:
    desk.commit(lab=[partition(), machine("m1", power="On", boot=ORDER)])
    assert "set-boot Pxe Once" in desk.run("plan").out
    done = desk.run("apply", "--yes")
    assert "set-boot (Pxe Once) took effect" in done.out + done.err


def test_an_order_of_a_repository_that_began_long_ago_is_held_in_a_new_store(desk: Desk) -> None:
    with_dates = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"}
    desk.environment.update(with_dates)
    desk.commit(lab=[partition()])
    for name in with_dates:
        del desk.environment[name]
    desk.commit(lab=[partition(), machine("m1", boot=ORDER)])
    assert "held by guard first-sight" in desk.run("plan").out


def test_another_store_is_not_begun_beside_the_one_of_the_repository(desk: Desk) -> None:
    """An operator gave `apply` another store beside a running daemon, and a machine was installed again."""
    desk.commit(lab=[partition(), machine("m1", boot=ORDER)])
    desk.run("apply", "--yes")
    done = desk.run("apply", "--yes", "--store", "other.db")
    assert done.code == 1
    assert "the store of this repository is" in done.err
    assert not (desk.repo / "other.db").exists()
    assert "held by guard first-sight" in desk.run("apply", "--yes", "--store", "other.db", "--new-store").out


def test_a_daemon_does_not_begin_anew_when_its_store_was_deleted(desk: Desk) -> None:
    """WiseLibs/better-sqlite3#1237: systemd starts the daemon again, and the store is gone."""
    desk.commit(lab=[partition(), machine("m1", boot=ORDER)])
    desk.run("apply", "--yes")
    desk.store.unlink()
    for _ in range(2):
        done = desk.run("run", "--listen", "127.0.0.1:0")
        assert done.code == 1
        assert "the store of this repository is gone" in done.err
        assert "--new-store" in done.err
    assert "is gone" in desk.run("plan").err
    assert "first-sight" in desk.run("apply", "--yes", "--new-store").out
    assert desk.run("apply", "--yes").code == 3  # The new store is the one of the repository by now.
