# Static binaries on an image without a shell. Two targets: passgate (the last, so the default) and
# sample-upstream, which compose.yaml puts behind Envoy.
FROM golang:1.26 AS build
WORKDIR /src
# auto: go.mod may ask for a newer patch release than the image holds.
ENV CGO_ENABLED=0 GOTOOLCHAIN=auto
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN go build -trimpath -ldflags="-s -w" -o /out/ ./cmd/passgate ./cmd/sample-upstream
RUN mkdir /out/accounts

FROM gcr.io/distroless/static-debian12:nonroot AS sample-upstream
COPY --from=build /out/sample-upstream /sample-upstream
ENTRYPOINT ["/sample-upstream"]

FROM gcr.io/distroless/static-debian12:nonroot AS passgate
COPY --from=build /out/passgate /passgate
# The file of SQLite, without a configuration that says otherwise: mount a volume here.
COPY --from=build --chown=nonroot:nonroot /out/accounts /var/lib/passgate
ENV PASSGATE_DATABASE=sqlite:/var/lib/passgate/passgate.db
# A passgate.yaml mounted here is found without a flag.
WORKDIR /etc/passgate
ENTRYPOINT ["/passgate"]
CMD ["serve"]
