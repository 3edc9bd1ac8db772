"""What a DBA looks at: status, progress, jobs, settings."""

from __future__ import annotations

import psycopg
import pytest

from tests.database import Database, wait_until


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


def test_an_unknown_setting_is_refused(db: Database) -> None:
    with pytest.raises(psycopg.Error) as caught:
        db.value("select loci.setting('nonsense')")
    assert caught.value.sqlstate == "LC010"


def test_jobs_are_scheduled_once(cron_db: Database) -> None:
    jobs = {row["job"]: row for row in cron_db.rows("select * from loci.jobs")}
    assert set(jobs) == {"loci calls", "loci drain 1", "loci reconcile", "loci housekeeping"}
    assert jobs["loci drain 1"]["schedule"] == "*/5 * * * *"
    assert status(cron_db)["jobs"]["ok"]


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
            "values (%s, nextval('cron.runid_seq'), 'loci', 'postgres', 'x', 'succeeded', "
            "now() - make_interval(days => %s), now() - make_interval(days => %s))",
            job,
            days,
            days,
        )
    assert cron_db.value("select loci_private.job_housekeeping()") == 1
    assert cron_db.value("select count(*) from cron.job_run_details where jobid = %s", job) == 1
