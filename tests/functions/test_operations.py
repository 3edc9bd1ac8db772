"""What a DBA looks at: status, progress, jobs, settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import psycopg
import pytest

from tests.database import Database, migrate, wait_until
from tests.pipeline.background import background
from tests.pipeline.rows import consistent


def status(database: Database) -> dict[str, dict[str, object]]:
    return {row["component"]: row for row in database.rows("select * from loci.status()")}


def test_status_tells_of_a_waiting_queue_and_of_failures(db: Database) -> None:
    people = db.people()
    assert status(db)["queue"]["detail"] == "0 rows, 0 chunks and 0 completions waiting"
    db.document(people.acme, "something to wait for")
    db.document(people.acme, "an impossible one", mime_type="image/png")
    assert status(db)["queue"]["detail"] == "2 rows, 0 chunks and 0 completions waiting"
    db.drain()
    after = status(db)
    assert after["queue"]["detail"] == "0 rows, 0 chunks and 0 completions waiting"
    assert not after["failures"]["ok"]
    assert str(after["failures"]["detail"]).startswith("1 parked")
    failure = db.rows("select * from loci.failures")[0]
    assert (failure["state"], failure["stage"], failure["source"], failure["code"]) == (
        "parked",
        "split",
        "documents",
        "LC201",
    )
    progress = db.rows("select * from loci.progress")[0]
    assert (progress["rows"], progress["chunks"], progress["embedded"], progress["failed"]) == (1, 1, 1, 1)
    assert float(progress["percent"]) == 100


def test_status_names_the_model_and_no_gateway_that_is_well(db: Database) -> None:
    model = status(db)["model"]
    assert model["ok"]
    assert model["detail"] == "hash (hash, 256 dimensions)"


def test_status_warns_when_work_is_old(db: Database) -> None:
    db.document(db.people().acme, "left lying about")
    db.execute("update loci_private.row_queue set enqueued_at = enqueued_at - interval '1 hour'")
    assert not status(db)["queue"]["ok"]
    db.drain()
    assert status(db)["queue"]["ok"]


def test_without_pg_cron_status_says_what_to_do(db: Database) -> None:
    jobs = status(db)["jobs"]
    assert not jobs["ok"]
    assert "loci.drain()" in str(jobs["detail"])
    assert db.rows("select * from loci.jobs") == []


def test_without_pg_cron_all_the_rest_works(db: Database) -> None:
    people = db.people()
    db.document(people.acme, "drained by hand")
    db.drain()
    assert db.found(people.ada, "by hand") == {"drained by hand"}
    assert db.value("select loci.reconcile()") == 0
    assert db.value("select loci_private.job_housekeeping()") == 0
    for row in db.rows(
        "select c.oid::regclass::text as name from pg_class as c "
        "where c.relnamespace in ('loci'::regnamespace, 'loci_private'::regnamespace) and c.relkind = 'v'"
    ):
        db.rows(f"select * from {row['name']}")
    db.execute("update loci.settings set value = '2' where name = 'drain_workers'")
    db.execute("update loci.settings set value = null where name = 'drain_workers'")
    migrate(db.dsn)
    assert db.rows("select from loci.schedule_jobs() where scheduled") == []


def test_pg_cron_of_another_database_is_told_what_to_run(db: Database, cron_db: Database) -> None:
    jobs = status(db)["jobs"]
    assert jobs["ok"] is None, "from here nobody can tell"
    assert 'database "loci"' in str(jobs["detail"]) and "loci.schedule_jobs()" in str(jobs["detail"])
    db.execute("update loci.settings set value = '2' where name = 'drain_workers'")
    wanted = db.rows("select * from loci.schedule_jobs()")
    db.execute("update loci.settings set value = null where name = 'drain_workers'")
    before = jobs_of(cron_db)
    with cron_db.connect() as connection, connection.transaction(force_rollback=True):
        for row in wanted:
            connection.execute(row["statement"])
        made = connection.execute(
            "select jobname, schedule, command from cron.job where database = %s order by jobname", (db.name,)
        ).fetchall()
    assert [(m["jobname"], m["schedule"], m["command"]) for m in made] == [
        (f"{row['job']} in {db.name}", row["schedule"], row["command"]) for row in wanted
    ]
    assert len(made) == len(wanted) and jobs_of(cron_db) == before


def test_a_server_that_has_not_loaded_pg_cron(new_database: Callable[..., Database]) -> None:
    database = new_database()
    database.execute(
        "create or replace function loci_private.cron_database() returns text language sql stable as 'select null::text'"
    )
    jobs = status(database)["jobs"]
    assert not jobs["ok"] and "not loaded" in str(jobs["detail"])
    assert {row["statement"] for row in database.rows("select * from loci.schedule_jobs()")} == {None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("split_batch", "0"),
        ("split_batch", "many"),
        ("split_batch", "1.5"),
        ("vector_weight", "NaN"),
        ("text_search_config", "klingon"),
        ("jwt_key_ref", "my-secret-key"),
    ],
)
def test_settings_refuse_nonsense(db: Database, name: str, value: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        db.execute("update loci.settings set value = %s where name = %s", value, name)
    assert caught.value.sqlstate == "LC011"
    assert caught.value.diag.message_hint


def test_an_administrator_may_change_every_setting(db: Database) -> None:
    role = db.login_role("admin", "loci_admin")
    with db.connect(role) as connection, connection.transaction(force_rollback=True):
        connection.execute("update loci.settings set value = default_value where default_value is not null")
        connection.execute("update loci.settings set value = 'env:SOME_KEY' where name = 'jwt_key_ref'")
        changed = connection.execute("select name from loci.settings where value is null").fetchall()
    assert {row["name"] for row in changed} == {
        row["name"]
        for row in db.rows("select name from loci.settings where default_value is null and name <> 'jwt_key_ref'")
    }


SCHEDULES = [
    "* * * * *",
    "*/5 * * * *",
    "0,30 8-18 * * mon-fri",
    "0-30/10 0 1,15 jan,Jul 0-7",
    "59 23 31 12 7",
    "@hourly",
]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules(cron_db: Database, schedule: str) -> None:
    """What is taken as a schedule is one to pg_cron too."""
    with cron_db.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("update loci.settings set value = %s where name = 'drain_schedule'", (schedule,))
        jobs = connection.execute("select job, schedule from loci.jobs where job ~ 'drain'").fetchall()
    assert jobs == [{"job": "loci drain 1", "schedule": schedule}]


@pytest.mark.parametrize(
    "schedule",
    [
        "", "nonsense", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
        "30-10 * * * *", "*/0 * * * *", "5/2 * * * *", "* * * mon *", "* * jan * *", "@reboot", "60 seconds", "0 seconds",
        "5 minutes", "*;select", "* * * * *\n* * * * *", "1,,2 * * * *", "-1 * * * *",
    ],
)  # fmt: skip
def test_what_is_no_schedule(db: Database, schedule: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        db.execute("update loci.settings set value = %s where name = 'drain_schedule'", schedule)
    assert caught.value.sqlstate == "LC290"
    assert caught.value.diag.message_hint


def test_seconds_need_a_pg_cron_that_knows_them(cron_db: Database) -> None:
    """Older ones refuse them, or worse: never run the job."""
    version = cron_db.value("select extversion from pg_extension where extname = 'pg_cron'")
    change = "update loci.settings set value = '30 seconds' where name = 'drain_schedule'"
    with cron_db.connect() as connection, connection.transaction(force_rollback=True):
        if [int(n) for n in version.split("-")[0].split(".")] >= [1, 5]:
            connection.execute(change)
            (job,) = connection.execute("select schedule from loci.jobs where job = 'loci drain 1'").fetchall()
            assert job["schedule"] == "30 seconds"
        else:
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(change)
            assert caught.value.sqlstate == "LC291"
            assert "1.5" in str(caught.value.diag.message_hint)


def test_an_unknown_setting_is_refused(db: Database) -> None:
    with pytest.raises(psycopg.Error) as caught:
        db.value("select loci.setting('nonsense')")
    assert caught.value.sqlstate == "LC010"


def test_jobs_are_scheduled_once(cron_db: Database) -> None:
    jobs = {row["job"]: row for row in cron_db.rows("select * from loci.jobs")}
    assert set(jobs) == {
        f"loci {job}"
        for job in ("calls", "consolidation", "drain 1", "housekeeping", "indexes", "memories", "reconcile", "turns")
    }
    assert jobs["loci drain 1"]["schedule"] == "*/5 * * * *"
    assert status(cron_db)["jobs"]["ok"]


def jobs_of(database: Database) -> dict[str, tuple[str, bool]]:
    return {row["job"]: (row["schedule"], row["active"]) for row in database.rows("select * from loci.jobs")}


def test_jobs_follow_their_settings(cron_db: Database) -> None:
    """At once, changed by an administrator who has no right on pg_cron."""
    before = jobs_of(cron_db)
    others = {name: job for name, job in before.items() if "drain" not in name}
    role = cron_db.login_role("admin", "loci_admin")
    try:
        with cron_db.connect(role) as admin:
            admin.execute("update loci.settings set value = '3' where name = 'drain_workers'")
            drains = {f"loci drain {n}": ("*/5 * * * *", True) for n in (1, 2, 3)}
            assert jobs_of(cron_db) == others | drains
            # One that somebody stopped stays stopped.
            cron_db.execute(
                "select cron.alter_job(jobid, active => false) from cron.job where jobname = 'loci drain 2'"
            )
            admin.execute("update loci.settings set value = '2' where name = 'drain_workers'")
            drains = {"loci drain 1": ("*/5 * * * *", True), "loci drain 2": ("*/5 * * * *", False)}
            assert jobs_of(cron_db) == others | drains
            admin.execute("update loci.settings set value = '*/7 * * * *' where name = 'drain_schedule'")
            drains = {"loci drain 1": ("*/7 * * * *", True), "loci drain 2": ("*/7 * * * *", False)}
            assert jobs_of(cron_db) == others | drains
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                admin.execute("select cron.unschedule('loci drain 1')")
    finally:
        cron_db.execute("update loci.settings set value = null where name in ('drain_workers', 'drain_schedule')")
    assert jobs_of(cron_db) == before


def test_jobs_of_others_are_left_alone(cron_db: Database) -> None:
    with cron_db.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("select cron.schedule('loci drain house', '0 0 * * *', 'select 1')")
        connection.execute("select cron.schedule_in_database('loci drain 9', '0 0 * * *', 'select 1', 'postgres')")
        connection.execute("select * from loci.schedule_jobs()")
        left = connection.execute(
            "select from cron.job where jobname in ('loci drain house', 'loci drain 9')"
        ).fetchall()
    assert len(left) == 2


def test_pg_cron_that_is_installed_later(cron_db: Database) -> None:
    before = jobs_of(cron_db)
    cron_db.execute("drop extension pg_cron")
    try:
        jobs = status(cron_db)["jobs"]
        assert not jobs["ok"] and "create extension pg_cron" in str(jobs["detail"])
        cron_db.execute("update loci.settings set value = '2' where name = 'drain_workers'")
        assert jobs_of(cron_db) == {}
        assert not any(row["scheduled"] for row in cron_db.rows("select * from loci.schedule_jobs()"))
    finally:
        cron_db.execute("create extension pg_cron")
        # Sessions that knew the extension before hold on to tables that are no more.
        with cron_db.connect() as connection:
            made = connection.execute("select job from loci.schedule_jobs() where scheduled").fetchall()
            connection.execute("update loci.settings set value = null where name = 'drain_workers'")
    assert len(made) == len(before) + 1
    assert jobs_of(cron_db) == before
    assert status(cron_db)["jobs"]["ok"]


def test_runs_that_overlap_are_harmless(db: Database) -> None:
    """What the jobs run, late and on top of each other: nothing fails, nothing is done twice."""
    people = db.people()
    for n in range(20):
        db.document(people.acme, f"document number {n} of the overlapping runs")
    commands = [row["command"] for row in db.rows("select command from loci_private.job_definitions")]
    assert {"CALL loci.drain()", "SELECT loci.reconcile()"} <= set(commands)
    with ExitStack() as stack:
        running = [stack.enter_context(background(db, command)) for command in commands * 3]
        for run in running:
            run.finish()
    consistent(db)
    (progress,) = db.rows("select * from loci.progress where source = 'documents'")
    assert progress["pending"] == 0
    assert len(db.found(people.ada, "overlapping runs")) == 20


@pytest.mark.slow
def test_pg_cron_embeds_what_an_application_inserted(cron_db: Database) -> None:
    cron_db.execute("select cron.schedule('loci drain 1', '* * * * *', 'CALL loci.drain()')")
    try:
        people = cron_db.people()
        cron_db.document(people.acme, "the job will find me")
        wait_until(lambda: cron_db.waiting() == 0, "pg_cron ran the drain", timeout=100)
        assert cron_db.found(people.ada, "who finds me?") == {"the job will find me"}
        run = wait_until(
            lambda: cron_db.rows("select * from loci.jobs where job = 'loci drain 1' and last_status = 'succeeded'"),
            "the run is noted",
        )
        assert run[0]["last_end"] is not None
    finally:
        cron_db.execute("select cron.schedule('loci drain 1', '*/5 * * * *', 'CALL loci.drain()')")


def test_old_runs_are_removed(cron_db: Database) -> None:
    job = cron_db.value("select jobid from cron.job where jobname = 'loci reconcile'")
    for days in (1, 30):
        cron_db.execute(
            "insert into cron.job_run_details (jobid, runid, database, username, command, status, start_time, end_time) "
            "values (%s, nextval('cron.runid_seq'), 'loci', 'postgres', 'SELECT loci.reconcile()', 'succeeded', "
            "now() - make_interval(days => %s), now() - make_interval(days => %s))",
            job,
            days,
            days,
        )
        # A job that is scheduled no more.
        cron_db.execute(
            "insert into cron.job_run_details (jobid, runid, database, username, command, status, start_time, end_time) "
            "values (-1, nextval('cron.runid_seq'), 'loci', 'postgres', 'CALL loci.drain()', 'succeeded', "
            "now() - make_interval(days => %s), now() - make_interval(days => %s))",
            days,
            days,
        )
    assert cron_db.value("select loci_private.job_housekeeping()") == 2
    cron_db.execute("delete from cron.job_run_details where jobid = -1")
    assert cron_db.value("select count(*) from cron.job_run_details where jobid = %s", job) == 1
    # Others look at when this job ran last.
    cron_db.execute("delete from cron.job_run_details where jobid = %s", job)
