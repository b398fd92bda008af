"""A connection to PostgreSQL keeps texts with a NUL whole, and its errors quote no value."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import conninfo

from tests.unit.store.make import command, on_postgresql
from wx2mqtt.errors import StoreError, StoreFull
from wx2mqtt.store.database import Connection, Database, json_list
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.postgresql_connection import (
    CONNECTION_DEFAULTS,
    check_url,
    connection_address,
    postgresql_error,
    with_password,
)


@on_postgresql
@pytest.mark.parametrize("text", ["a\0b", "\0", "\\u0000", "\\\0", "\\\\u0000\0", "x"])
async def test_a_text_with_a_nul_comes_back_whole(database: Database, text: str) -> None:
    def both(connection: Connection) -> tuple[str, str]:
        (alone,) = connection.execute("SELECT ?1::text", (text,)).fetchone()
        (in_list,) = connection.execute(
            "SELECT jsonb_array_elements_text(?1::jsonb)", (json_list([text]),)
        ).fetchone()
        return alone, in_list

    assert await database.read(both) == (text, text)


@on_postgresql
async def test_a_command_with_a_nul_does_not_stop_the_others(database: Database) -> None:
    journal = Journal(database, "home")
    await journal.open()
    await journal.commands.accept([command("a", text="x\0y\\u0000", person=None), command("b", person=None)])
    assert [row.command.text for row in await journal.commands.list_due(9)] == ["x\0y\\u0000", "你好"]
    assert await journal.commands.list_due(9, ["wife"]) == []
    assert await journal.commands.list_urgent() == []


def test_a_connection_has_keepalives_unless_the_url_names_its_own() -> None:
    address = conninfo.conninfo_to_dict(
        connection_address("postgresql://bridge@db/wx2mqtt?keepalives_idle=60")
    )
    assert (address["host"], address["user"], address["dbname"]) == ("db", "bridge", "wx2mqtt")
    assert address["keepalives_idle"] == "60"
    assert address["tcp_user_timeout"] == CONNECTION_DEFAULTS["tcp_user_timeout"]


def test_a_password_is_added_to_the_address_and_none_changes_nothing() -> None:
    url = "postgresql://bridge@db/wx2mqtt"
    assert conninfo.conninfo_to_dict(with_password(url, "ge heim'"))["password"] == "ge heim'"
    assert with_password(url, None) == url


def test_a_url_that_libpq_cannot_read_is_refused_with_the_reason() -> None:
    check_url("postgresql://bridge@db/wx2mqtt?sslmode=require")
    with pytest.raises(ValueError, match=r"cannot be used: .*sslmod"):
        check_url("postgresql://db/wx2mqtt?sslmod=require")


def test_an_error_names_its_class_and_code_and_not_the_statement() -> None:
    error = psycopg.errors.UndefinedTable('relation "geheim" does not exist')
    assert str(postgresql_error(error)) == (
        "The database cannot be used: it refused a statement (UndefinedTable, 42P01)."
    )


def test_a_full_disk_of_the_server_is_a_full_store() -> None:
    assert isinstance(postgresql_error(psycopg.errors.DiskFull()), StoreFull)


@on_postgresql
async def test_the_value_of_a_row_is_in_no_error(database: Database) -> None:
    insert = "INSERT INTO meta (name, value) VALUES ('secret', 'geheim')"
    await database.write("first", lambda db: db.execute(insert))
    with pytest.raises(StoreError) as caught:
        await database.write("again", lambda db: db.execute(insert))
    assert "geheim" not in str(caught.value)
    assert "secret" not in str(caught.value)
