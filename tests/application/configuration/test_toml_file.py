"""The configuration file: names from tables, lines, and what is no such file."""

from pathlib import Path

import pytest

from application.configuration.toml_file import ConfigFileError, read_config_file

TEXT = """\
partitions = 8  # a comment

[clickhouse]
host = "ch"
limits = { rows = 5 }

["kafka".ssl]
ca_location = "ca.pem"
"""


def test_tables_are_prefixes_and_every_setting_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "creditmeter.toml"
    path.write_text(TEXT)
    assert {name: tuple(entry) for name, entry in read_config_file(path).items()} == {
        "partitions": (8, 1),
        "clickhouse_host": ("ch", 4),
        "clickhouse_limits_rows": (5, 5),
        "kafka_ssl_ca_location": ("ca.pem", 8),
    }


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"a = 1\nb =\n", "line 2"), (b"\xff\xfe", "cannot be read as text")]
)
def test_what_is_no_configuration_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "creditmeter.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigFileError, match=said) as raised:
        read_config_file(path)
    assert str(path) in str(raised.value)
