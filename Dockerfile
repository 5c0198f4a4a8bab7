# One image for every part: api, scheduler, worker, migrations and the demo client. A small one, `credentials`, for what the
# engines start after: were it the same, new code would restart them too.

FROM python:3.13-slim AS builder
COPY requirements.txt requirements-client.txt /build/
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check --only-binary :all: \
        -r /build/requirements.txt -r /build/requirements-client.txt
WORKDIR /app
COPY . .
RUN rm -r requirements*.txt deploy && python -m compileall -q .

FROM python:3.13-slim AS credentials
WORKDIR /app
COPY deploy deploy
CMD ["python", "-m", "deploy.credentials", "/credentials"]

FROM python:3.13-slim
LABEL org.opencontainers.image.title="task-service" \
      org.opencontainers.image.description="Typed Python functions behind HTTP: FastAPI, RabbitMQ, Celery, PostgreSQL" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --uid 10001 --no-log-init --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin service
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app
# The root is mounted read-only; what looks for a home directory finds a tmpfs.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 HOME=/tmp
WORKDIR /app
USER 10001:10001
CMD ["python", "-m", "api"]
