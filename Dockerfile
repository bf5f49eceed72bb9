# syntax=docker/dockerfile:1
# Builds the one binary and puts it, alone, into a slim image, where it runs as an unprivileged user.

FROM rust:1-bookworm AS build
WORKDIR /build
COPY . .
# What was downloaded and compiled before is kept between builds.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --release --locked --package podberth --bin podberth && cp target/release/podberth /podberth

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="podberth" \
      org.opencontainers.image.description="The Kubernetes scheduler as an HTTP service" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 65532 podberth && useradd --uid 65532 --gid 65532 --home-dir /var/lib/podberth --create-home podberth
COPY --from=build /podberth /usr/local/bin/podberth
USER 65532:65532
WORKDIR /var/lib/podberth
VOLUME /var/lib/podberth
ENV PODBERTH_LISTEN=0.0.0.0:8080 \
    PODBERTH_LOG_FORMAT=json
EXPOSE 8080
# The image has no curl, but bash speaks enough HTTP to ask. Over TLS it sees only that the server answers.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -qE ' 200 OK|an HTTPS server' <&3"]
ENTRYPOINT ["/usr/local/bin/podberth"]
CMD ["serve"]
