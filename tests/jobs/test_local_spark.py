import os
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from jobs.errors import InputError
from jobs.local_spark import local_spark_environment

START = """
from jobs.spark import spark_session
session = spark_session("quiet")
print(session.range(3).count())
session.stop()
"""


def test_another_spark_is_named_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"SPARK_HOME is '{tmp_path}', which has no Spark {pyspark.__version__}"):
        local_spark_environment(os.environ | {"SPARK_HOME": str(tmp_path)})


def test_the_spark_of_the_package_may_be_named() -> None:
    home = str(Path(pyspark.__file__).parent)
    assert local_spark_environment(os.environ | {"SPARK_HOME": home})["PYSPARK_PYTHON"] == sys.executable


@pytest.mark.slow
def test_spark_starts_without_a_line_of_its_own() -> None:
    environment = os.environ | local_spark_environment(os.environ)
    done = subprocess.run([sys.executable, "-c", START], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("3\n", "")
