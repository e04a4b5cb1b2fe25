from pathlib import Path

import pytest

from jobs.addresses import store_uri
from jobs.errors import InputError
from jobs.settings import read_settings


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("/data/in", "file:///data/in"),
        ("/data/in/", "file:///data/in"),
        ("file:/data/in", "file:///data/in"),
        ("file:///data/in/", "file:///data/in"),
        ("file:////data/in", "file:///data/in"),
        ("file://localhost/data/in", "file:///data/in"),
        ("FILE:/data/in", "file:///data/in"),
        ("~/in", "file:///home/shop/in"),
        ("~", "file:///home/shop"),
        ("file:~/in", "file:///home/shop/in"),
        ("/data/my landing's", "file:///data/my%20landing%27s"),
        ("file:///data/my landing", "file:///data/my%20landing"),
        ("file:///data/my%20landing", "file:///data/my%20landing"),
        ("/data/a#b?c", "file:///data/a%23b%3Fc"),
        ("/data/касса", "file:///data/%D0%BA%D0%B0%D1%81%D1%81%D0%B0"),
        ("s3://bucket/in/", "s3://bucket/in"),
        ("S3://bucket/In", "s3://bucket/In"),
        ("gs://bucket", "gs://bucket"),
        ("http://host/x", "http://host/x"),
    ],
)
def test_an_address_is_the_uri_that_it_means(address: str, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/shop")
    assert store_uri(address) == uri
    assert store_uri(uri) == uri


def test_a_path_without_a_slash_lies_in_the_folder_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert store_uri("data:2026/in") == (tmp_path / "data:2026" / "in").as_uri()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("C:\\data\\in", "it is a path of Windows; write the folder as this machine names it, such as file:///mnt/c/data"),
        ("d:/in", "such as file:///mnt/d/in"),
        ("d:", "such as file:///mnt/d"),
        ("d:in", "such as file:///mnt/d/in"),
        ("", "it is empty; write a folder, such as /data/landing, or s3://bucket/folder"),
        ("  ", "it is empty; write a folder"),
        ("file:///C:/data/in", "such as file:///mnt/c/data/in"),
        ("file://C:\\in", "such as file:///mnt/c/in"),
        ("\\\\server\\share", "it is a share of Windows; mount it"),
        ("file://data/in", "'data' is where a host is named; write file:///data/in, with three slashes, or the path"),
        ("file://in", "write file:///in, with three slashes"),
        ("file://~/in", "write file:///home/shop/in, with three slashes"),
        ("file:data", "a URI names the whole path; write file:///"),
        ("~nobody-of-this-name/in", "there is no home of user '~nobody-of-this-name'; write the whole path"),
        ("s3:/bucket/in", "write s3://bucket/in"),
        ("s3:bucket", "write s3://bucket"),
        ("s3a://bucket/in", "write s3://bucket/in"),
        ("gcs://bucket", "write gs://bucket"),
        ("s3://", "it names no bucket; write s3://bucket/folder"),
        ("s3:///in", "it names no bucket; write s3://bucket/folder"),
    ],
)  # fmt: skip
def test_an_address_that_means_something_else_is_refused_with_the_right_form(
    address: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/shop")
    with pytest.raises(InputError) as error:
        read_settings({}, landing_uri=address, warehouse_uri="/out")
    assert str(error.value).startswith("setting CHECKOUT_AGES_LANDING_URI = '")
    assert words in str(error.value)
