from jobs.operations.render_readmes import README, rendered


def test_readme_shows_the_settings_and_the_dictionary_as_they_are() -> None:
    readme = README.read_text()
    assert rendered(readme) == readme, "run `make readme`"
    assert "| `under_18_probability` | double |" in readme
    assert "| `CHECKOUT_AGES_CHALLENGE_AGE_YEARS` | `25` |" in readme
