# syntax=docker/dockerfile:1
# One image for both roles: `docker run IMAGE edge`, `docker run IMAGE worker`, `docker run IMAGE migrate`.
# Built by BuildKit, for amd64 and arm64 each on its own kind of machine. Layers and caches: the page is built anew when
# the page has changed, dependencies are kept between builds.

FROM node:22-bookworm-slim AS page
WORKDIR /src/crates/web
COPY crates/web/package.json crates/web/package-lock.json crates/web/.npmrc ./
COPY crates/web/client/package.json client/
COPY crates/web/sdk/package.json sdk/
ENV PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY crates/web/sdk sdk
COPY crates/web/client client
RUN npm run build --workspace client

FROM rust:1.95-bookworm AS program
# Each architecture has a cache of its own.
ARG TARGETARCH
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY migrations migrations
COPY --from=page /src/crates/web/client/dist crates/web/client/dist
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=target-$TARGETARCH \
    cargo build --release --locked --package rally \
    && install -D --strip target/release/rally /image/usr/local/bin/rally

# glibc and its friends, certificates, time zones; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Rally" \
    org.opencontainers.image.description="A realtime game cluster" \
    org.opencontainers.image.licenses="MIT"
COPY --from=program /image/ /
USER 10001:10001
# 8080: players. 9090: probes and metrics, never public.
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/local/bin/rally", "health"]
ENTRYPOINT ["/usr/local/bin/rally"]
