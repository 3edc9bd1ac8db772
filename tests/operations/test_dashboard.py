"""From loci.metrics() to Prometheus and Grafana: the file that is collected, and panels that find what they ask for."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.database import ROOT, Database

METRICS = ROOT / "docker/metrics.sh"
DASHBOARD = json.loads((ROOT / "docker/grafana/loci.json").read_text())
_WORDS = {"sum", "by", "rate", "increase", "histogram_quantile", "min", "le"}


def collect(dsn: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(METRICS), str(directory)], env={**os.environ, "LOCI_DSN": dsn}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def series(db: Database, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Names of series, and of their labels, as the collector reads them after a little of everything."""
    db.execute(
        "select loci_private.write_calls(jsonb_agg(jsonb_build_object('call_id', gen_random_uuid(), 'request_id', "
        "'00000000-0000-0000-0000-000000000001', 'called_at', extract(epoch from now()) + n, 'purpose', 'chat', 'gateway', "
        "'default', 'model', 'model ' || n, 'fallback', n = 2, 'status', (array['error', 'ok'])[n], 'tokens_in', 10, "
        "'tokens_out', 5, 'cost_usd', 0.1, 'cost_estimated', false, 'latency_ms', 20))) from generate_series(1, 2) as n"
    )
    people = db.people()
    db.document(people.acme, "something to find")
    db.drain()
    db.search(people.ada, "something")
    db.execute("select loci_private.note_observations(array['observations_dropped_total'], '{}', array[1])")
    directory = tmp_path_factory.mktemp("textfile")
    role = db.login_role("metrics", "loci_monitor")
    done = collect(db.dsn_as(role), directory)
    assert done.returncode == 0, done.stderr
    assert [file.name for file in directory.iterdir()] == ["loci.prom"]
    assert stat.S_IMODE((directory / "loci.prom").stat().st_mode) == 0o644
    found: dict[str, set[str]] = {}
    for metric in text_string_to_metric_families((directory / "loci.prom").read_text()):
        for sample in metric.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_panel_asks_for_what_there_is(series: dict[str, set[str]], db: Database) -> None:
    # Where pg_cron lives in another database its jobs cannot be seen.
    jobs = {"job_up": {"job"}, "job_last_run_seconds_ago": {"job"}} if "job_up" not in series else {}
    known = {**series, **jobs, "model_up": series["model_up"] | {"chat_gateway"}}
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert len(panels) > 15
    asked = set()
    for panel in panels:
        for target in panel["targets"]:
            expression = re.sub(r'"[^"]*"|\[\w+\]', "", target["expr"])
            names = {word for word in re.findall(r"\b[a-z_]\w*\b", expression) if word in known}
            assert names, f"{panel['title']}: {target['expr']}"
            labels = set().union(*(known[name] for name in names))
            unknown = set(re.findall(r"\b[a-z_]\w*\b", expression)) - names - _WORDS - labels
            assert not unknown, f"{panel['title']}: {unknown}"
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, panel["title"]
            asked |= names
    # And there is nothing of Loci's that no panel shows.
    stems = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known}
    assert stems - {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} == set()


def test_panels_have_a_place_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_a_database_that_is_gone_is_down_and_not_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "loci.prom").write_text("queue_depth 7\n")
    done = collect("postgresql://nobody@127.0.0.1:1/nowhere", tmp_path)
    assert done.returncode == 1
    text = (tmp_path / "loci.prom").read_text()
    assert "loci_up 0\n" in text
    assert "queue_depth" not in text


def test_whoever_has_no_right_gets_no_figures(db: Database, tmp_path: Path) -> None:
    done = collect(db.dsn_as(db.app_role()), tmp_path)
    assert done.returncode == 1
    assert "permission denied" in done.stderr
    assert "loci_up 0\n" in (tmp_path / "loci.prom").read_text()


def test_what_compose_mounts_is_there() -> None:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
    assert [name for name, service in compose["services"].items() if "profiles" not in service] == ["database"]
    mounted = [
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ]
    assert len(mounted) == 6
    assert [path for path in mounted if not (ROOT / "docker" / path).exists()] == []
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    (target,) = yaml.safe_load((ROOT / "docker/prometheus.yaml").read_text())["scrape_configs"][0]["static_configs"]
    assert target["targets"] == ["exporter:9100"]
    source = yaml.safe_load((ROOT / "docker/grafana/provisioning/datasources/prometheus.yaml").read_text())
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if panel["type"] != "row"} == {
        source["datasources"][0]["uid"]
    }
