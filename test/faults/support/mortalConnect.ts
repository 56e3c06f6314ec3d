import { SluiceError } from '../../../src/core/errors.ts'
import type { Connect } from '../../../src/protocol/transport.ts'
import { connectWebSocket } from '../../../src/protocol/websocket/node.ts'

/** A way to connect that a test can take away: what a buyer in this process has left of its links when it is killed. */
export function mortalConnect(): { readonly connect: Connect; die(): void } {
  const dead = new AbortController()
  return {
    connect: async (url, options) => {
      if (dead.signal.aborted) throw new SluiceError('CONNECTION_FAILED', 'this buyer was killed')
      const transport = await connectWebSocket(url, options)
      dead.signal.addEventListener('abort', () => transport.close())
      return { ...transport, send: (packet) => (dead.signal.aborted ? undefined : transport.send(packet)) }
    },
    die: () => dead.abort(),
  }
}
