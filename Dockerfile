# One image for the API, the workers and the Ray head; docker-compose.yml says who runs what.
FROM python:3.11-slim

ENV PYTHONPATH=/app PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0
WORKDIR /app

# Requirements before code: a change of code installs nothing again.
COPY pyproject.toml constraints.txt README.md CHANGELOG.md LICENSE NOTICE ./
COPY fewstep fewstep
RUN pip install --no-cache-dir -c constraints.txt '.[service]'

COPY space space
COPY evaluators evaluators
COPY search search
COPY store store
COPY migrations migrations
COPY api api

RUN useradd --create-home fewstep && mkdir /data /models && chown fewstep /data
USER fewstep
ENV FEWSTEP_DATA_DIR=/data FEWSTEP_HOST=0.0.0.0
EXPOSE 8321
CMD ["python", "-m", "api.serve"]
