# docker build -t antiphon . ; see docs/deploy.md
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src ./src
# Every dependency is a wheel: nothing is compiled here, so no compiler is in the image.
RUN pip install ".[server,postgres,s3,otel,speech,mcp,espeak]" && rm -rf /src/*

RUN useradd --system --uid 10001 --home-dir /var/lib/antiphon --create-home antiphon \
    && install -d -o antiphon -g antiphon /var/lib/antiphon/agents /var/lib/antiphon/data
WORKDIR /var/lib/antiphon
USER antiphon
VOLUME /var/lib/antiphon/data
EXPOSE 8080

# No proxy for the way to oneself.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8080/health', timeout=4)"]

STOPSIGNAL SIGTERM
ENTRYPOINT ["antiphon"]
CMD ["serve", "--host", "0.0.0.0"]
