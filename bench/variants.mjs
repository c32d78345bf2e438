// Who consumes. `label` is what tables say; everything else tells measure.mjs how to start it.
const HAS_WEBSOCKET = Number(process.versions.node.split('.')[0]) >= 22
const WEBSOCKET_FLAG = HAS_WEBSOCKET ? [] : ['--experimental-websocket', '--no-warnings']

export const VARIANTS = {
  ws: { label: 'ws', file: 'ws.mjs' },
  natives: { label: 'ws with bufferutil', file: 'ws.mjs', env: { WS_NO_BUFFER_UTIL: '' } },
  node: { label: "Node's WebSocket", file: 'node.mjs', execArgv: WEBSOCKET_FLAG },
  worker: { label: 'ws in a worker', file: 'ws-worker.mjs' },
  scan: { label: 'ws, topic scanned, body not touched', file: 'ws-scan.mjs' },
  parsed: { label: 'ours, every body parsed', file: 'parsed.mjs' },
  iterator: { label: 'ours, iterator, every body parsed', file: 'iterator.mjs' },
  batches: { label: 'ours, batches, every body parsed', file: 'batches.mjs' },
  untouched: { label: 'ours, body not touched', file: 'untouched.mjs' },
  raw: { label: 'ours, raw text', file: 'raw.mjs' },
  floor: { label: 'floor: bytes read and thrown away', file: 'floor.mjs', countsBytes: true },
}

/** Over TLS. Ours is not among them yet: it has no option for a private authority. */
export function secureVariants(certificatePath) {
  const env = { NODE_EXTRA_CA_CERTS: certificatePath }
  return {
    ws: { ...VARIANTS.ws, label: 'TLS: ws', isSecure: true },
    node: { ...VARIANTS.node, label: "TLS: Node's WebSocket", isSecure: true, env },
    worker: { ...VARIANTS.worker, label: 'TLS: ws in a worker', isSecure: true },
  }
}
