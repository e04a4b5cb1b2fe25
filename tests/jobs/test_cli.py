import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.settings import KEY_VARIABLE
from jobs.warehouse.object_store import ObjectStore

COMMANDS = [
    command.name or command.callback.__name__
    for commands in (app, *(group.typer_instance for group in app.registered_groups))
    for command in commands.registered_commands
]
runner = CliRunner()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does_with_an_example(command: str) -> None:
    shown = runner.invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Example: checkout-ages {command}" in " ".join(shown.output.split())


def test_a_night_whose_day_has_not_landed_says_what_is_missing(tmp_path: Path) -> None:
    landing = ObjectStore(tmp_path.as_uri())
    landing.write("photos/business_date=2026-11-20/_SUCCESS", b"")
    arguments = [
        "night",
        "--business-date",
        "2026-11-20",
        "--landing-uri",
        str(tmp_path),
        "--warehouse-uri",
        "/nowhere",
    ]
    refused = runner.invoke(app, arguments)
    assert refused.exit_code == 2
    assert f"missing {tmp_path.as_uri()}/transactions/business_date=2026-11-20/_SUCCESS" in refused.stderr
    assert not Path("/nowhere").exists()


def test_a_night_whose_landing_does_not_answer_names_it_and_publishes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    arguments = ["--business-date", "2026-11-20", "--landing-uri", "s3://in/landing", "--warehouse-uri", "s3://out/w"]
    refused = runner.invoke(app, ["night", *arguments])
    assert refused.exit_code == 2
    assert "object store 's3://in/landing' cannot be reached at 'http://127.0.0.1:9'" in refused.stderr


def test_a_night_without_a_landing_says_how_to_name_it() -> None:
    refused = runner.invoke(app, ["night", "--business-date", "2026-11-20"])
    assert (refused.exit_code, refused.stderr.strip()) == (
        2,
        "error: no landing uri: set CHECKOUT_AGES_LANDING_URI or pass --landing-uri",
    )


def test_estimate_prints_one_json_line_per_photo_whatever_it_holds(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_bytes(b"no photo")
    shown = runner.invoke(app, ["estimate", *(str(tmp_path / name) for name in ("empty.jpg", "text.jpg", "gone.jpg"))])
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [line["estimate_status"] for line in lines] == ["empty", "not_an_image", "missing"]
    assert all(line["estimate_reason"] and line["model_version"] for line in lines)
    assert all(line["estimated_age_years"] is None for line in lines)


def test_the_data_dictionary_is_printed() -> None:
    assert "### `photo_age_estimates`" in runner.invoke(app, ["tables"]).stdout


def test_pseudonyms_are_printed_before_the_ids_of_a_list() -> None:
    key = {KEY_VARIABLE: "k" * 32}
    listed = runner.invoke(app, ["pseudonym", "-"], env=key, input="c1\nc2\n").stdout
    assert [line.split("\t")[1] for line in listed.splitlines()] == ["c1", "c2"]
    assert runner.invoke(app, ["pseudonym", "c1"], env=key).stdout == listed.splitlines(keepends=True)[0]


def test_without_a_key_there_are_no_pseudonyms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    refused = runner.invoke(app, ["pseudonym", "c1"])
    assert (refused.exit_code, refused.stderr.strip()) == (
        2,
        f"error: no key: set {KEY_VARIABLE} to the key that the pseudonyms were made with",
    )


def test_no_key_is_listed_among_the_settings() -> None:
    listed = runner.invoke(app, ["settings"], env={"COLUMNS": "200", KEY_VARIABLE: "k" * 32}).stdout
    assert KEY_VARIABLE in listed
    assert "k" * 32 not in listed


def test_settings_are_listed_with_their_variables() -> None:
    assert "CHECKOUT_AGES_STORE_TIME_ZONE" in runner.invoke(app, ["settings"], env={"COLUMNS": "200"}).stdout
