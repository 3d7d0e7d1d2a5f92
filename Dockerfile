# The collector in one small image. Its folders are those of the old collector: /devo-collector/{config,certs,credentials,state}.
FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY schemas ./schemas
COPY src ./src
RUN npm run --silent build && npm prune --omit=dev --no-audit --no-fund

FROM node:24-slim
# The status page must be reachable from outside of the container. Who reaches it, the publishing of the port decides: where somebody from beyond the
# container's networks comes, and globals.http has no token, the log says so.
ENV NODE_ENV=production TAP_COLLECTOR_HTTP_HOST=0.0.0.0
COPY --from=build /build/package.json /opt/tap-collector/
COPY --from=build /build/node_modules /opt/tap-collector/node_modules
COPY --from=build /build/schemas /opt/tap-collector/schemas
COPY --from=build /build/dist /opt/tap-collector/dist
# What messages refer to: docker run --rm --entrypoint cat IMAGE /opt/tap-collector/docs/errors.md
COPY README.md SECURITY.md /opt/tap-collector/
COPY docs /opt/tap-collector/docs
WORKDIR /devo-collector
RUN mkdir config certs credentials state && chown 1000:1000 state
EXPOSE 8080
# Whether it lives. Whether it makes progress is what /readyz tells, with the reasons; a restart would not help there.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["node", "-e", "fetch('http://127.0.0.1:8080/healthz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# No USER: as root it does nothing but become the owner of state/, whoever that is on the machine. With --user, and in a cluster that forbids
# root (runAsUser: 1000), it is not root for a moment. It writes to state/ alone, and for a moment
# to /tmp: the rest of the image may be read-only.
ENTRYPOINT ["node", "/opt/tap-collector/dist/container.js"]
CMD ["run"]
