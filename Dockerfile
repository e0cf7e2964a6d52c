# syntax=docker/dockerfile:1
# steno on a CPU, or with extras on a GPU:
#   docker build -t steno .
#   docker build -t steno:qwen --build-arg EXTRAS=qwen .
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim AS build
ARG EXTRAS=""
WORKDIR /build
RUN python -m venv /opt/steno
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
# moonshine: the weights of the embedded recogniser. Where no wheel exists, PocketSphinx does its work.
RUN /opt/steno/bin/pip install --no-cache-dir ".[moonshine${EXTRAS:+,${EXTRAS}}]" \
    || /opt/steno/bin/pip install --no-cache-dir ".${EXTRAS:+[${EXTRAS}]}"

FROM python:${PYTHON_VERSION}-slim
RUN useradd --create-home --uid 10001 steno \
    && mkdir -p /models && chown steno:steno /models
COPY --from=build /opt/steno /opt/steno
COPY docker/healthcheck.py /opt/steno/healthcheck.py
ENV PATH=/opt/steno/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    LOG_JSON=true
USER steno
# Where Hugging Face models are cached; keep it across containers.
RUN mkdir -p /home/steno/.cache && ln -s /models /home/steno/.cache/huggingface
VOLUME /models
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD ["python", "/opt/steno/healthcheck.py"]
STOPSIGNAL SIGTERM
CMD ["steno", "serve"]
