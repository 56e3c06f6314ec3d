/**
 * Where a node is found.
 * @module
 */

/** What discoveries are told beside what they look for. */
export interface DiscoveryOptions {
  readonly signal?: AbortSignal | undefined
}

/** Finds the endpoints of nodes by their accounts. What it says is a hint: the node there still has to show who it is. */
export interface Discovery {
  /**
   * The `ws:` and `wss:` URLs at which a node may be reached, best first, at most {@link MAX_ENDPOINTS}; none when nothing
   * is known of it.
   * @throws `ABORTED`; `RPC_FAILED`, `TIMEOUT` or `CONNECTION_FAILED` when nobody could be asked.
   */
  find(account: string, options?: DiscoveryOptions): Promise<readonly string[]>
  /** Makes this node's own endpoint known, and keeps it known until {@link close}; missing where that isn't possible. */
  announce?(endpoint: string, options?: DiscoveryOptions): Promise<void>
  /** Lets go of what it holds. */
  close(): Promise<void>
}

/** Endpoints of one node that are worth trying. */
export const MAX_ENDPOINTS = 8
