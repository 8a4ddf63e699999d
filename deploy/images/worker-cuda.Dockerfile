# A worker that computes on an NVIDIA GPU (Linux x64; the node needs a driver for CUDA 12.8). Build it at the root of the checkout:
#   docker build -f deploy/images/worker-cuda.Dockerfile -t elibad-worker-cuda:0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" .

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
RUN rm -rf node_modules/onnxruntime-node/bin/napi-v6/darwin node_modules/onnxruntime-node/bin/napi-v6/win32
# onnxruntime's CUDA libraries, by its own install script, which fetches them from NuGet: the one way (docs/devices.md).
RUN ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node

# CUDA 12 and cuDNN 9, where the dynamic loader finds them.
FROM nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04
ARG REVISION=unknown
LABEL org.opencontainers.image.title="elibad worker (CUDA)" \
      org.opencontainers.image.description="Finds and removes backdoors in neural code models: computes for a coordinator, on an NVIDIA GPU" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04"
# Nobody's home: whatever a library would write there goes to the one folder that every container may write to.
ENV NODE_ENV=production HOME=/tmp ORT_DISABLE_TELEMETRY=1
WORKDIR /app
COPY --from=modules /usr/local/bin/node /usr/local/bin/node
COPY --from=modules /app/node_modules node_modules
COPY --from=build /app/dist/proto dist/proto
COPY --from=build /app/dist/coordinator dist/coordinator
COPY --from=build /app/dist/worker dist/worker
# The lockfile stays in the image: tools that list what is in it read it.
COPY package.json package-lock.json LICENSE ./
COPY proto/elibad.proto proto/
COPY coordinator/cli/elibad.mjs coordinator/cli/
# Owned by root, run as nobody in particular: the program cannot change itself. It writes to /tmp, and to the folder of --cache.
USER 10001:10001
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=6 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9464/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# node is process 1 and takes SIGTERM itself; there is no shell around it, and no tini, since it reaps every process that it starts.
STOPSIGNAL SIGTERM
# Set by name: the base image has an entrypoint of its own, a shell script.
ENTRYPOINT ["node", "/app/coordinator/cli/elibad.mjs"]
CMD ["worker", "--device", "cuda", "--metrics-port", "9464"]
