# The slim environment in an image: no torch, no downloads at run time. docs/how-to/install.md says how to run it.
#
#     docker build -t codx-index .
#     docker run --rm --read-only --tmpfs /tmp -v "$PWD:$PWD:ro" -w "$PWD" -v codx-index:/data codx-index run
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements-slim.txt constraints.txt ./
COPY slim slim
# The libraries in a layer of their own: only a change of their versions makes it anew.
RUN python -m venv /opt/codx-index \
    && /opt/codx-index/bin/pip install --no-cache-dir --no-deps --requirement requirements-slim.txt
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY indexer indexer
RUN /opt/codx-index/bin/pip install --no-cache-dir --no-deps . \
    && /opt/codx-index/bin/pip uninstall --yes --quiet setuptools pip

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="codx-index" \
      org.opencontainers.image.description="Make a Milvus collection equal to a source tree" \
      org.opencontainers.image.source="https://github.com/gbrian/codx-index" \
      org.opencontainers.image.licenses="MIT"
# A mounted work tree belongs to a user of the host. git refuses it for what its configuration could
# run, and codx-index lets git run none of that (docs/design/tree.md).
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system --add safe.directory '*' \
    && useradd --uid 1000 --create-home codx \
    && install --directory --owner=codx --group=codx --mode=0700 /data /data/state /data/cache
COPY --from=build /opt/codx-index /opt/codx-index
ENV PATH=/opt/codx-index/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    CODX_INDEX_CACHE_DIR=/data/cache \
    CODX_INDEX_STATE_DIR=/data/state
# A number, because Kubernetes checks runAsNonRoot by it.
USER 1000
VOLUME /data
ENTRYPOINT ["codx-index"]
CMD ["--help"]
