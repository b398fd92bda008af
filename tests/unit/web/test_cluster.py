"""What the page, the metrics and the health say of several instances."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.page import FakeAccountView, bridge
from tests.support.web import application_client
from wx2mqtt.web.bridge_state import ClusterState, InstanceState
from wx2mqtt.web.html import PageText
from wx2mqtt.web.page.sections import cluster_section

STATE = ClusterState(
    instances=(
        InstanceState(name="east", url="https://east.test", version="1", accounts=("home",), is_here=True),
        InstanceState(name="west", url="https://west.test", version="1", accounts=("work",)),
    ),
    accounts=("home", "work", "club"),
    waiting=("club",),
    differences={"west": ("accounts.home.plain",)},
    heartbeat_seconds=0.25,
    look_seconds=0.5,
    failovers=2,
    lost_connections=1,
)


def test_the_page_says_where_each_account_runs_and_links_to_the_other_instances():
    html = cluster_section(STATE, PageText("en"))
    assert 'href="https://west.test"' in html
    assert "https://east.test" not in html, "this page is the one of east"
    assert "No instance runs club." in html
    assert "accounts.home.plain" in html


@pytest.mark.parametrize("url", ["", "javascript:alert(1)"])
def test_only_an_address_of_the_web_becomes_a_link(url):
    west = replace(STATE.instances[1], url=url)
    assert "href" not in cluster_section(replace(STATE, instances=(west,)), PageText("en"))


async def test_the_metrics_say_which_accounts_run_here():
    async with application_client(
        [], bridge=replace(bridge(FakeAccountView()), cluster=lambda: STATE)
    ) as http:
        text = (await http.get("/metrics")).text
    samples = {
        (sample.name.removeprefix("wx2mqtt_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert [samples["account_owned", name] for name in ("home", "work", "club")] == [1, 0, 0]
    assert samples["failovers_total",] == 2
    assert samples["database_connections_lost_total",] == 1
    assert samples["cluster_instances",] == 2
    assert samples["cluster_accounts_waiting",] == 1
    assert (samples["database_commit_seconds",], samples["database_lock_seconds",]) == (0.25, 0.5)


@pytest.mark.parametrize(("cluster", "status"), [(STATE, 200), (None, 503)])
async def test_an_instance_without_accounts_is_well_where_others_have_them(cluster, status):
    async with application_client([], bridge=replace(bridge(), cluster=lambda: cluster)) as http:
        assert (await http.get("/healthz")).status_code == status


async def test_the_whole_page_has_the_instances():
    async with application_client(
        [], bridge=replace(bridge(FakeAccountView()), cluster=lambda: STATE)
    ) as http:
        assert "https://west.test" in (await http.get("/")).text
