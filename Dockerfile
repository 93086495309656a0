# One image for every creditmeter process: the worker, the loader and the commands that people type.
# Every dependency comes as a wheel; the build stage has a compiler for creditmeter's own hot modules.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/venv
WORKDIR /src
# Dependencies first, in a layer that a change of our code leaves alone.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
      > requirements.txt \
 && /opt/venv/bin/pip install --only-binary :all: -c constraints.txt -r requirements.txt
COPY . .
RUN /opt/venv/bin/pip install --no-deps -c constraints.txt . \
 && /opt/venv/bin/pip uninstall --yes pip \
 && find /opt/venv -name __pycache__ -type d -prune -exec rm -rf {} +

FROM python:3.11.14-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --home-dir /var/lib/creditmeter creditmeter \
 && install --directory --owner creditmeter /var/lib/creditmeter
COPY --from=build /opt/venv /opt/venv
COPY examples /opt/creditmeter/examples
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CREDITMETER_DATA_DIR=/var/lib/creditmeter
WORKDIR /var/lib/creditmeter
# Named here with its owner, so that a new named volume belongs to the user below.
VOLUME /var/lib/creditmeter
USER creditmeter
ENTRYPOINT ["creditmeter"]
CMD ["--help"]
