# The collector in one small image. Its folders are those of the old collector: /devo-collector/{config,certs,state}.
FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY schemas ./schemas
COPY src ./src
RUN npm run --silent build && npm prune --omit=dev --no-audit --no-fund

FROM node:24-slim
# The status page must be reachable from outside of the container; which port of the host it gets is another matter.
ENV NODE_ENV=production TAP_COLLECTOR_HTTP_HOST=0.0.0.0
COPY --from=build /build/package.json /opt/tap-collector/
COPY --from=build /build/node_modules /opt/tap-collector/node_modules
COPY --from=build /build/schemas /opt/tap-collector/schemas
COPY --from=build /build/dist /opt/tap-collector/dist
WORKDIR /devo-collector
RUN mkdir config certs state && chown 1000:1000 state
# By number: a cluster that forbids root can check it.
USER 1000:1000
EXPOSE 8080
ENTRYPOINT ["node", "/opt/tap-collector/dist/cli.js"]
CMD ["run"]
