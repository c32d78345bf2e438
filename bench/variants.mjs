// Who consumes. `label` is what tables say; everything else tells measure.mjs how to start it. `factor`: so many times the
// events of the others, since so little is done with each. `payload`: only with that one. `endsWithMark`: not all events reach the listener.
const HAS_WEBSOCKET = Number(process.versions.node.split('.')[0]) >= 22
const WEBSOCKET_FLAG = HAS_WEBSOCKET ? [] : ['--experimental-websocket', '--no-warnings']

export const VARIANTS = {
  ws: { label: 'ws', file: 'ws.mjs' },
  natives: { label: 'ws with bufferutil', file: 'ws.mjs', env: { WS_NO_BUFFER_UTIL: '' } },
  node: { label: "Node's WebSocket", file: 'node.mjs', execArgv: WEBSOCKET_FLAG },
  worker: { label: 'ws in a worker', file: 'ws-worker.mjs' },
  scan: { label: 'ws, topic scanned, body not touched', file: 'ws-scan.mjs' },
  parsed: { label: 'ours, every body parsed', file: 'parsed.mjs' },
  text: { label: 'ours, as text, every body parsed', file: 'parsed.mjs', options: bodies('text') },
  shaped: { label: 'ours, shape-coded, every body parsed', file: 'parsed.mjs', options: bodies('shaped') },
  iterator: { label: 'ours, iterator, every body parsed', file: 'iterator.mjs' },
  batches: { label: 'ours, batches, every body parsed', file: 'batches.mjs' },
  untouched: { label: 'ours, body not touched', file: 'untouched.mjs', factor: 4 },
  raw: { label: 'ours, raw text', file: 'raw.mjs', factor: 4 },
  rawBatches: { label: 'ours, raw batches', file: 'raw-batches.mjs', factor: 4 },
  select: { label: 'ours, one field selected and read', file: 'select.mjs', factor: 4 },
  conflate: { label: 'ours, conflated to 10 a second per topic', file: 'conflate.mjs', factor: 4, endsWithMark: true },
  filter: {
    label: 'ours, a tenth of the topics, parsed',
    file: 'parsed.mjs',
    factor: 4,
    endsWithMark: true,
    options: ({ topics, mark }) => ({ delivery: { topics: [mark, ...topics.filter(isInTenth)] } }),
  },
}

function bodies(bodies) {
  return () => ({ delivery: { bodies } })
}

/** By the number that stands for an id, so that all kinds of topics are among them. */
function isInTenth(topic) {
  return Number(/-(\d{12})\b/.exec(topic)[1]) % 10 === 5
}

/** What cannot be undercut: reading bytes, parsing bodies that are there already, crossing the border in vain. */
export const FLOORS = {
  read: { label: 'floor: bytes read and thrown away', file: 'floor-read.mjs', countsBytes: true, factor: 4 },
  buffers: { label: 'floor: JSON.parse of the Buffers of ws', file: 'floor-buffers.mjs', isLocal: true },
  texts: { label: 'floor: JSON.parse of ready body texts', file: 'floor-texts.mjs', isLocal: true },
  values: { label: 'floor: JSON.parse of the values in the bodies', file: 'floor-values.mjs', isLocal: true },
  emit: {
    label: 'floor: an object made and emitted',
    file: 'floor-emit.mjs',
    isLocal: true,
    factor: 8,
    payload: 'small',
  },
  crossing: { label: 'floor: a native call', file: 'floor-crossing.mjs', isLocal: true, factor: 8, payload: 'small' },
}

/** Over TLS, by an authority that nobody trusts of himself. */
export function secureVariants(certificatePath) {
  const env = { NODE_EXTRA_CA_CERTS: certificatePath }
  const secure = (name, more) => ({ ...VARIANTS[name], label: `TLS: ${VARIANTS[name].label}`, isSecure: true, ...more })
  return {
    ws: secure('ws'),
    node: secure('node', { env }),
    worker: secure('worker'),
    parsed: secure('parsed'),
    text: secure('text'),
    shaped: secure('shaped'),
    untouched: secure('untouched'),
  }
}

/** At a pace. */
export const PACED = {
  ws: VARIANTS.ws,
  worker: VARIANTS.worker,
  parsed: VARIANTS.parsed,
  immediate: {
    ...VARIANTS.parsed,
    label: 'ours, every body parsed, maxWaitMs 0',
    options: () => ({ delivery: { maxWaitMs: 0 } }),
  },
}

/** What a short run makes do with. */
export const QUICK = {
  payloads: ['small', 'medium', 'large'],
  plain: ['ws', 'text', 'shaped', 'parsed', 'untouched', 'select', 'texts', 'values'],
  secure: ['ws', 'parsed'],
  paced: ['ws', 'parsed'],
}
