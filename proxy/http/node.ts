/**
 * What is used of node:http. An `import` of it reads all that it exports, and some of that (WebSocket, MessageEvent)
 * loads a whole HTTP client on the way: 8 MiB that nobody uses.
 */
const { createServer: createHttpServer, STATUS_CODES } = process.getBuiltinModule('node:http')

export { createHttpServer, STATUS_CODES }
