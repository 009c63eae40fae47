# An image with the program and what it is linked to, and nothing else: no shell, no package manager.
#
#   docker build -t catena .
#   docker run --rm -p 1053:53/udp -p 1053:53/tcp catena
#
# runs the DNS-over-TLS proxy (docs/proxy.md); with a Corefile:
#
#   docker run --rm -p 1053:53/udp -p 1053:53/tcp -v "$PWD/Corefile:/etc/catena/Corefile:ro" catena -conf Corefile

FROM docker.io/library/rust:1.95-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends libcap2-bin
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package catena
RUN deploy/image/assemble target/release/catena /image

FROM scratch
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /image/var/lib/catena/ /var/lib/catena/
USER 65532:65532
WORKDIR /etc/catena
EXPOSE 53/udp 53/tcp 8080/tcp 8181/tcp 9153/tcp
# Asks the `health` endpoint on port 8080, or where DNS_PROXY_HEALTH says.
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --retries=3 CMD ["/usr/bin/catena", "probe"]
ENTRYPOINT ["/usr/bin/catena"]
CMD ["proxy"]
