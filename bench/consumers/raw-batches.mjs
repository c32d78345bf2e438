import { ours } from './connect.mjs'

export async function consume({ source, options, count }) {
  const client = ours(source, options)
  await client.connect()
  read(client.batches({ raw: true }), count)
}

async function read(batches, count) {
  for await (const lines of batches) count(lines.offsets.length)
}
