/** Publishes events whose bodies are numbered. */
export function publisher(sim, topic) {
  let n = 0
  let timer
  const one = () => sim.publish(topic, { n: ++n })
  return {
    get last() {
      return n
    },
    some(count) {
      for (let i = 0; i < count; i++) one()
    },
    start(t) {
      clearInterval(timer)
      timer = setInterval(() => this.some(2), 10)
      t.after(() => clearInterval(timer))
    },
    stop: () => clearInterval(timer),
  }
}

/** Connections that were made to an endpoint of the simulator's gateway, refused ones included. */
export const connections = (sim, endpoint) => sim.log().gateway.filter((connection) => connection.endpoint === endpoint)
export const isOpen = ({ readyAt, endedAt }) => readyAt !== null && endedAt === null
/** Every socket that is open now ends without a goodbye. */
export const kill = (sim) => sim.fault({ match: { operation: 'socket' }, action: { kind: 'reset' } })
