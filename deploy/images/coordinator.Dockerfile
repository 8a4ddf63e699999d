# The coordinator, and the commands that submit to one. Build it at the root of the checkout:
#   docker build -f deploy/images/coordinator.Dockerfile -t elibad-coordinator:0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" .

FROM node:20.20.2-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY proto proto
COPY coordinator coordinator
COPY worker worker
RUN node coordinator/cli/build.mjs

FROM node:20.20.2-bookworm-slim AS modules
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts
# A coordinator computes nothing with onnxruntime; it only says which version its workers must have.
RUN rm -rf node_modules/onnxruntime-node/bin

FROM node:20.20.2-bookworm-slim
ARG REVISION=unknown
LABEL org.opencontainers.image.title="elibad coordinator" \
      org.opencontainers.image.description="Finds and removes backdoors in neural code models: decides, keeps sweeps, gives work to workers" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/node:20.20.2-bookworm-slim"
# Nobody's home: whatever a library would write there goes to the one folder that every container may write to.
ENV NODE_ENV=production HOME=/tmp ORT_DISABLE_TELEMETRY=1
WORKDIR /app
COPY --from=modules /app/node_modules node_modules
COPY --from=build /app/dist/proto dist/proto
COPY --from=build /app/dist/coordinator dist/coordinator
COPY --from=build /app/dist/worker dist/worker
# The lockfile stays in the image: tools that list what is in it read it.
COPY package.json package-lock.json LICENSE ./
COPY proto/elibad.proto proto/
COPY coordinator/cli/elibad.mjs coordinator/cli/
# Owned by root, run as nobody in particular: the program cannot change itself. It writes to /tmp, and to the folder of --state.
USER 10001:10001
EXPOSE 7070 8080 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=6 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9464/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# node is process 1 and takes SIGTERM itself; there is no shell around it, and no tini, since it reaps every process that it starts.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/coordinator/cli/elibad.mjs"]
CMD ["coordinator", "--metrics-port", "9464"]
