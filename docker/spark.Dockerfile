# Spark's executors with jobs/, models/ and the inference engine: photos are looked at here.
# The same image runs the standalone master. Executors need nothing from outside but object storage.
# It holds OpenVINO, the night's engine, and not TensorFlow: the reference would make the image twice as large.
# BASE_IMAGE is a Debian; the images of driver and executors must be built on the same, for the same Python.
ARG BASE_IMAGE=debian:bookworm-slim

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS packages
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY docker/spark.lock /tmp/image.lock
# A builder whose network has a package index or a certificate authority of its own hands them in as secrets.
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_certificates,target=/run/secrets/ca_certificates \
    --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --quiet --no-deps --require-hashes -r /tmp/image.lock \
    && /opt/venv/bin/pip uninstall --quiet --yes setuptools pip

# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates default-jre-headless python3 tini tzdata \
    && rm -rf /var/cache/apt/* /var/lib/apt/lists/*
COPY models /opt/checkout-ages/models
RUN useradd --uid 10001 --create-home --home-dir /opt/spark spark
COPY --from=packages /opt/venv /opt/venv
COPY jobs /opt/checkout-ages/jobs
COPY --chmod=0755 docker/checkout-ages /usr/local/bin/

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/checkout-ages \
    PYTHONUNBUFFERED=1 \
    JAVA_HOME=/usr/lib/jvm/default-java \
    PYSPARK_PYTHON=/opt/venv/bin/python3 \
    SPARK_WORKER_DIR=/opt/spark/work
USER 10001
WORKDIR /opt/spark
EXPOSE 7077 8080 8081
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8081/json/', timeout=5)"]
ENTRYPOINT ["tini", "-g", "--"]
CMD ["spark-class", "org.apache.spark.deploy.worker.Worker", "spark://spark-master:7077"]
